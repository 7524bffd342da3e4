"""The table of servers: what each speaks, what its command can do, and how that is said in its own options.

A command is the server's own, run with this Python; ``bridge.asgi:app`` or ``bridge.wsgi:app`` is what it serves.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Literal, TypeAlias

from bridge.detect import Protocol

Interface: TypeAlias = Literal["asgi", "wsgi"]

HIGHEST_PORT = 65535

ENTRIES: Mapping[Interface, str] = {"asgi": "bridge.asgi:app", "wsgi": "bridge.wsgi:app"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a server is asked to do; None leaves it to the server."""

    interface: Interface
    host: str
    port: int
    uds: str | None = None
    workers: int | None = None
    threads: int | None = None
    reload: bool = False
    reload_dir: str
    log_level: str | None = None
    root_path: str | None = None

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKind:
    """One server.

    Attributes:
        name: what it is called here.
        distribution: what pip installs.
        module: what is imported to find out whether it is there.
        protocols: what it speaks, the first one by preference.
        abilities: which of ``uds``, ``workers``, ``threads``, ``reload``, ``log_level`` and ``root_path`` its command
            has, where that depends on the interface as ``asgi:threads`` or ``wsgi:threads``.
        arguments: writes a `Launch` as its command line, without the program.
        needs: what else has to be there, or to be known; or nothing.
        reload_needs: the module that its reloader needs, and what pip installs for it.
        is_program: it is a program on the PATH, not a module of this Python.
        follows_app: of two protocols, the application's own is used.
    """

    name: str
    distribution: str
    module: str
    protocols: tuple[Interface, ...]
    abilities: frozenset[str]
    arguments: Callable[[Launch], list[str]]
    needs: str = ""
    reload_needs: tuple[str, str] | None = None
    is_program: bool = False
    follows_app: bool = False

    def is_installed(self) -> bool:
        """Tell whether it can be run."""
        return self.program() is not None if self.is_program else find_spec(self.module) is not None

    def version(self) -> str | None:
        """Return the installed version, None where that is not known."""
        for name in (self.distribution, self.name):
            try:
                return metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return None

    def program(self) -> str | None:
        """Return the path of the program, of this environment if it has one."""
        beside = os.path.join(os.path.dirname(sys.executable), self.module)
        return beside if os.access(beside, os.X_OK) else shutil.which(self.module)

    def command(self, launch: Launch) -> list[str]:
        """Return the whole command line."""
        if not self.is_program:
            return [sys.executable, "-m", self.module, *self.arguments(launch)]
        program = self.program() or self.module
        # pyuwsgi's is a script: to reload, it would run the Python behind the links, outside of this environment.
        itself = ["--binary-path", sys.executable] if _is_script(program) else []
        return [program, *itself, *self.arguments(launch)]

    def can(self, ability: str, interface: Interface) -> bool:
        """Tell whether its command has an option of that meaning."""
        return ability in self.abilities or f"{interface}:{ability}" in self.abilities

    def interface_for(self, protocol: Protocol) -> Interface:
        """Return the protocol it is run with for an application, if nothing else is asked for."""
        if self.follows_app and protocol != "dual":
            return "wsgi" if protocol == "wsgi" else "asgi"
        return self.protocols[0]


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as program:
            return program.read(2) == b"#!"
    except OSError:
        return False


def adapter_between(interface: Interface, protocol: Protocol) -> str | None:
    """Return the name of the adapter between a server and an application, or None."""
    if interface == "asgi" and protocol == "wsgi":
        return "WSGIToASGI"
    if interface == "wsgi" and protocol in ("asgi", "asgi2"):
        return "ASGIToWSGI"
    return None


def first_installed() -> ServerKind | None:
    """Return the first server of the table that is installed."""
    return next((kind for kind in SERVERS.values() if kind.is_installed()), None)


# ---- Command lines --------------------------------------------------------------------------------------------------


def _given(option: str, value: object) -> list[str]:
    return [] if value is None else [option, str(value)]


def _reload(launch: Launch, *options: str) -> list[str]:
    return list(options) if launch.reload else []


def _uvicorn(launch: Launch) -> list[str]:
    where = ["--uds", launch.uds] if launch.uds else ["--host", launch.host, "--port", str(launch.port)]
    return [
        *where,
        *_given("--workers", launch.workers),
        *_reload(launch, "--reload", "--reload-dir", launch.reload_dir),
        *_given("--log-level", launch.log_level),
        *_given("--root-path", launch.root_path),
        ENTRIES["asgi"],
    ]


def _numeric(host: str) -> str:
    """Return the address of a host: granian takes no names."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):  # said by whoever looks whether the address is free
        return host


def _granian(launch: Launch) -> list[str]:
    where = ["--uds", launch.uds] if launch.uds else ["--host", _numeric(launch.host), "--port", str(launch.port)]
    return [
        *["--interface", launch.interface],
        *where,
        *_given("--workers", launch.workers),
        *_given("--blocking-threads", launch.threads),
        *_reload(launch, "--reload", "--reload-paths", launch.reload_dir),
        *_given("--log-level", launch.log_level),
        *_given("--url-path-prefix", launch.root_path),
        ENTRIES[launch.interface],
    ]


def _hypercorn(launch: Launch) -> list[str]:
    return [
        *["--bind", f"unix:{launch.uds}" if launch.uds else launch.address],
        *_given("--workers", launch.workers),
        *_reload(launch, "--reload"),
        *_given("--log-level", launch.log_level),
        *_given("--root-path", launch.root_path),
        ENTRIES["asgi"],
    ]


def _daphne(launch: Launch) -> list[str]:
    where = ["-u", launch.uds] if launch.uds else ["-b", launch.host, "-p", str(launch.port)]
    return [*where, *_given("--root-path", launch.root_path), ENTRIES["asgi"]]


def _gunicorn(launch: Launch) -> list[str]:
    # Without threads its WSGI worker serves one request at a time, and the first event stream would be the last.
    worker = ["-k", "asgi"] if launch.interface == "asgi" else ["-k", "gthread", "--threads", str(launch.threads or 8)]
    return [
        *worker,
        *["--bind", f"unix:{launch.uds}" if launch.uds else launch.address],
        *_given("--workers", launch.workers),
        *_reload(launch, "--reload"),
        *_given("--log-level", launch.log_level),
        *_given("--root-path", launch.root_path),
        ENTRIES[launch.interface],
    ]


def _waitress(launch: Launch) -> list[str]:
    return [
        *([f"--unix-socket={launch.uds}"] if launch.uds else [f"--listen={launch.address}"]),
        *_given("--threads", launch.threads),
        *_given("--url-prefix", launch.root_path),
        ENTRIES["wsgi"],
    ]


def _cheroot(launch: Launch) -> list[str]:
    where = os.path.abspath(launch.uds) if launch.uds else launch.address  # without a slash in front it is a host
    return ["--bind", where, *_given("--threads", launch.threads), ENTRIES["wsgi"]]


def _uwsgi(launch: Launch) -> list[str]:
    return [
        *["--http-socket", launch.uds or launch.address],
        *["--module", ENTRIES["wsgi"], "--need-app", "--master", "--single-interpreter", "--enable-threads"],
        *["--die-on-term", "--processes", str(launch.workers or 1), "--threads", str(launch.threads or 8)],
        *_reload(launch, "--py-autoreload", "1"),
    ]


SERVERS: Mapping[str, ServerKind] = {
    kind.name: kind
    for kind in (
        ServerKind(
            name="uvicorn",
            distribution="uvicorn[standard]",
            module="uvicorn",
            protocols=("asgi",),
            abilities=frozenset({"uds", "workers", "reload", "log_level", "root_path"}),
            arguments=_uvicorn,
        ),
        ServerKind(
            name="granian",
            distribution="granian",
            module="granian",
            # Its WSGI side loses data in readline() and headers set late (2.8), so that has to be asked for.
            protocols=("asgi", "wsgi"),
            abilities=frozenset({"uds", "workers", "wsgi:threads", "reload", "log_level", "root_path"}),
            arguments=_granian,
            reload_needs=("watchfiles", "granian[reload]"),
        ),
        ServerKind(
            name="hypercorn",
            distribution="hypercorn",
            module="hypercorn",
            protocols=("asgi",),
            abilities=frozenset({"uds", "workers", "reload", "log_level", "root_path"}),
            arguments=_hypercorn,
        ),
        ServerKind(
            name="gunicorn",
            distribution="gunicorn",
            module="gunicorn",
            protocols=("asgi", "wsgi"),
            abilities=frozenset({"uds", "workers", "wsgi:threads", "reload", "log_level", "asgi:root_path"}),
            arguments=_gunicorn,
            needs="POSIX; 24 or newer for ASGI",
            follows_app=True,
        ),
        ServerKind(
            name="daphne",
            distribution="daphne",
            module="daphne",
            protocols=("asgi",),
            abilities=frozenset({"uds", "root_path"}),
            arguments=_daphne,
            needs="it runs no lifespan",
        ),
        ServerKind(
            name="waitress",
            distribution="waitress",
            module="waitress",
            protocols=("wsgi",),
            abilities=frozenset({"uds", "threads", "root_path"}),
            arguments=_waitress,
            needs="it ends on SIGTERM without a lifespan shutdown",
        ),
        ServerKind(
            name="cheroot",
            distribution="cheroot",
            module="cheroot",
            protocols=("wsgi",),
            abilities=frozenset({"uds", "threads"}),
            arguments=_cheroot,
            needs="it ends on SIGTERM without a lifespan shutdown",
        ),
        ServerKind(
            name="uwsgi",
            distribution="pyuwsgi",
            module="uwsgi",
            protocols=("wsgi",),
            abilities=frozenset({"uds", "workers", "threads", "reload"}),
            arguments=_uwsgi,
            needs="POSIX; the program uwsgi of this Python (pyuwsgi or uwsgi)",
            is_program=True,
        ),
    )
}
"""Every server there is a command for, in the order in which one is picked."""
