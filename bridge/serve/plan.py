"""From what was asked for to what will be run: every choice made, every contradiction refused. Starts nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from bridge._settings import Settings
from bridge.detect import Detection, detect
from bridge.errors import ConfigurationError
from bridge.loading import Loaded
from bridge.serve.servers import HIGHEST_PORT, SERVERS, Interface, Launch, ServerKind, adapter_between, first_installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for, nothing of it checked yet; None is for the plan to choose.

    Attributes:
        settings: which application, and how the adapter is to be set.
        directory: what is put in front of the import path.
        server: name of a server.
        interface: the protocol to run a server with that speaks both.
        host, port, uds: where to listen.
        workers: processes.
        threads: threads for application code in each process.
        reload: start anew when a file changes.
        log_level, root_path: passed on.
        extra: arguments for the server's own command, passed on as they are.
    """

    settings: Settings
    directory: str = "."
    server: str | None = None
    interface: Interface | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    workers: int | None = None
    threads: int | None = None
    reload: bool = False
    log_level: str | None = None
    root_path: str | None = None
    extra: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be run.

    Attributes:
        loaded: the application.
        detection: what it speaks.
        kind: the server.
        launch: what it is asked to do.
        adapter: the name of what is in between, or None.
        command: the server's command line.
        variables: what is added to the environment of its process.
        notes: what was asked for and has no effect.
    """

    loaded: Loaded
    detection: Detection
    kind: ServerKind
    launch: Launch
    adapter: str | None
    command: Sequence[str]
    variables: dict[str, str]
    notes: Sequence[str] = ()

    def sentence(self) -> str:
        """Say in one line what is done and what is in between."""
        speaks = {"wsgi": "WSGI", "asgi": "ASGI", "asgi2": "ASGI 2", "dual": "WSGI and ASGI"}[self.detection.protocol]
        version = self.kind.version()
        server = f"{self.kind.name} {version}" if version else self.kind.name
        between = f"through {self.adapter}" if self.adapter else "with nothing in between"
        where = f"unix:{self.launch.uds}" if self.launch.uds else f"http://{self.launch.address}"
        if self.launch.uds is None and self.launch.port == 0:
            where = f"a free port of {self.launch.host}"
        interface = f" ({self.launch.interface.upper()})" if len(self.kind.protocols) > 1 else ""
        return f"{self.loaded.target.name} speaks {speaks}; {server}{interface} serves it {between} on {where}"


def make_plan(request: Request) -> Plan:
    """Import the application, choose a server, check everything. Any thread; ``sys.path`` is changed.

    Raises:
        LoadError: the application cannot be had.
        DetectionError: it cannot be told what it speaks, or it speaks neither protocol.
        ConfigurationError: something is missing, unknown, or contradicts something else.
    """
    directory = os.path.abspath(request.directory)
    if not os.path.isdir(directory):
        raise ConfigurationError(f"there is no folder {directory} (--app-dir)")
    kind = _chosen_server(request.server)
    _check_numbers(request)
    asks_for_wsgi = "wsgi" in (request.interface, *kind.protocols[:1])
    loaded = replace(request.settings, app_dir=directory).load(prefers_wsgi=asks_for_wsgi)
    detection = detect(loaded.app)
    interface = _chosen_interface(request.interface, kind, detection)
    adapter = adapter_between(interface, detection.protocol)
    settings = _complete(request, loaded, interface, adapter, directory)
    # Made once here, so that what an adapter has to say of its options is said before a server is started.
    (settings.asgi_app if interface == "asgi" else settings.wsgi_app)(loaded)
    _check_abilities(request, kind, interface, threads_are_ours=interface == "asgi" and adapter is not None)
    _check_shadows(kind, [loaded.target.directory, directory])
    launch = Launch(
        interface=interface,
        host=request.host,
        port=request.port,
        uds=request.uds,
        workers=request.workers,
        threads=request.threads if interface == "wsgi" else None,
        reload=request.reload,
        reload_dir=loaded.target.directory or directory,
        log_level=request.log_level,
        root_path=request.root_path,
    )
    return Plan(
        loaded=loaded,
        detection=detection,
        kind=kind,
        launch=launch,
        adapter=adapter,
        command=[*kind.command(launch), *request.extra],
        variables=settings.to_variables(),
        notes=_without_effect(request, kind, adapter),
    )


def _chosen_server(name: str | None) -> ServerKind:
    if name is None:
        kind = first_installed()
        if kind is None:
            raise ConfigurationError("no server is installed: pip install 'uvicorn[standard]'")
        return kind
    kind = SERVERS.get(name.lower())
    if kind is None:
        raise ConfigurationError(f"there is no server {name!r} here; there are {', '.join(SERVERS)}")
    if not kind.is_installed():
        raise ConfigurationError(f"{kind.name} is not installed: pip install '{kind.distribution}'")
    return kind


def _chosen_interface(asked: Interface | None, kind: ServerKind, detection: Detection) -> Interface:
    if asked is None:
        return kind.interface_for(detection.protocol)
    if asked not in kind.protocols:
        raise ConfigurationError(
            f"{kind.name} does not speak {asked.upper()}: leave --interface out, or choose one of "
            f"{', '.join(other.name for other in SERVERS.values() if asked in other.protocols)} with --server"
        )
    return asked


def _check_numbers(request: Request) -> None:
    for name, number in {"--workers": request.workers, "--threads": request.threads}.items():
        if number is not None and number < 1:
            raise ConfigurationError(f"{name} must be at least 1, not {number}")
    if request.uds is None and not 0 <= request.port <= HIGHEST_PORT:
        raise ConfigurationError(f"a port is a number from 0 to {HIGHEST_PORT}, not {request.port}")
    if request.reload and (request.workers or 1) > 1:
        raise ConfigurationError("--reload is for one process: leave --workers out")


def _check_abilities(request: Request, kind: ServerKind, interface: Interface, *, threads_are_ours: bool) -> None:
    asked = {
        "uds": request.uds,
        "workers": request.workers if request.workers != 1 else None,
        "threads": None if threads_are_ours else request.threads,
        "reload": request.reload or None,
        "log_level": request.log_level,
        "root_path": request.root_path,
    }
    for ability, value in asked.items():
        if value is None or kind.can(ability, interface):
            continue
        option = f"--{ability.replace('_', '-')}"
        if ability == "threads" and interface == "asgi":
            raise ConfigurationError(f"{option} has no meaning for an ASGI application on {kind.name}: leave it out")
        able = (other for other in SERVERS.values() if any(other.can(ability, one) for one in other.protocols))
        others = [other.name for other in able if other is not kind]
        raise ConfigurationError(
            f"{kind.name} has no {option} here: leave it out, or choose one of {', '.join(others)} with --server"
        )
    if request.reload and kind.reload_needs is not None:
        module, distribution = kind.reload_needs
        if find_spec(module) is None:
            raise ConfigurationError(f"--reload on {kind.name} needs {module}: pip install '{distribution}'")


def _check_shadows(kind: ServerKind, directories: Sequence[str | None]) -> None:
    """Refuse names in the project that would hide the bridge, or the server itself, from the server's process."""
    own = str(Path(__file__).resolve().parents[2])
    current = None if sys.flags.safe_path else os.getcwd()
    for directory in dict.fromkeys([current, *directories]):
        if directory is None or os.path.realpath(directory) == own:
            continue
        for name in ("bridge", kind.module):
            for hiding in (f"{name}.py", os.path.join(name, "__init__.py")):
                path = os.path.join(directory, hiding)
                if os.path.exists(path):
                    raise ConfigurationError(
                        f"{path} hides the package {name} from the server's process: give it another name, or start "
                        "from another folder and name this one with --app-dir"
                        if directory == current and directory not in directories
                        else f"{path} hides the package {name} from the server's process: give it another name"
                    )


def _without_effect(request: Request, kind: ServerKind, adapter: str | None) -> list[str]:
    """Say what was asked of an adapter that is not there."""
    settings = request.settings
    asked = {"--limit": settings.limits, "--option": settings.options, "--telemetry": settings.telemetry}
    given = [name for name, value in asked.items() if value]
    if adapter is not None or not given:
        return []
    return [f"nothing is between {kind.name} and the application, so {' and '.join(given)} have no effect"]


def _complete(request: Request, loaded: Loaded, interface: Interface, adapter: str | None, directory: str) -> Settings:
    """Return the settings for the server's process: the application by its full name, threads as a limit."""
    # Servers put the current folder in front of theirs: that of the application has to come before it again.
    folders = dict.fromkeys(part for part in (loaded.target.directory, directory) if part)
    settings = replace(
        request.settings,
        app=loaded.target.name,
        app_dir=os.pathsep.join(folders),
        is_factory=loaded.target.is_factory,
    )
    if request.threads is not None and interface == "asgi" and adapter is not None:
        if "workers" in settings.limits:
            raise ConfigurationError("--threads and --limit workers=... say the same: leave one of them out")
        return replace(settings, limits={**settings.limits, "workers": str(request.threads)})
    return settings
