"""The ``BRIDGE_...`` variables: which application to host and how. For `bridge.asgi`, `bridge.wsgi`, the command line.

One place reads them and one writes them, so that what the command line hands to a server process arrives there.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final, cast

from bridge._setting_text import number_from, pairs_from, switch_from, value_from
from bridge.asgi_to_wsgi import ASGIToWSGI, ASGIToWSGIOptions, to_wsgi
from bridge.detect import PROTOCOLS, Protocol, detect, mark
from bridge.dual import recognisable
from bridge.errors import BridgeError, ConfigurationError, DetectionError
from bridge.limits import Limits
from bridge.loading import Loaded, load, put_first
from bridge.types import ASGIApp, WSGIApp
from bridge.wsgi_to_asgi import WSGIToASGI, WSGIToASGIOptions, to_asgi

VARIABLES: Final = {
    "BRIDGE_APP": "the application: module:attribute, module, or a path",
    "BRIDGE_APP_DIR": "a folder for the front of the import path; several like a PATH",
    "BRIDGE_FACTORY": "1 if that is a function which makes the application",
    "BRIDGE_PROTOCOL": f"what it speaks, where that cannot be told: {', '.join(PROTOCOLS)}",
    "BRIDGE_LIMITS": "numbers of Limits: workers=80,body_max_bytes=1000000,app_wait_s=none",
    "BRIDGE_OPTIONS": "options of the adapter: large_body=stream,lifespan=on",
    "BRIDGE_TELEMETRY": "1 to report to OpenTelemetry (needs the extra 'opentelemetry')",
}
"""Every variable there is, and what it says."""

ASGI_OPTIONS: Final[Mapping[str, type]] = {
    "large_body": str,
    "set_content_length": bool,
    "strip_root_path": bool,
    "multiprocess": bool,
    "hop_by_hop": str,
    "strict": bool,
    "pathsend": bool,
    "on_error": str,
    "websocket_denial_status": int,
}
"""Options of `WSGIToASGI` that can be given as text."""

WSGI_OPTIONS: Final[Mapping[str, type]] = {
    "lifespan": str,
    "event_loop": str,
    "own_loop": bool,
    "on_error": str,
    "websocket_compression": bool,
}
"""Options of `ASGIToWSGI` that can be given as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the variables say, checked.

    Attributes:
        app: the name of the application (`bridge.targets`).
        app_dir: folders for the front of the import path, joined like a PATH.
        is_factory: it makes the application.
        protocol: what it is said to speak.
        limits: as given: pairs of name and text.
        options: as given: pairs of name and text.
        telemetry: whether to report to OpenTelemetry.
    """

    app: str
    app_dir: str = ""
    is_factory: bool = False
    protocol: Protocol | None = None
    limits: Mapping[str, str] = field(default_factory=dict[str, str])
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    telemetry: bool = False

    def __post_init__(self) -> None:
        if self.protocol is not None and self.protocol not in PROTOCOLS:
            raise ConfigurationError(f"a protocol is one of {', '.join(PROTOCOLS)}, not {self.protocol!r}")
        self.read_limits()
        read_options(self.options)

    # ---- To and from variables ----------------------------------------------------------------------------------

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Settings:
        """Read the variables.

        Raises:
            ConfigurationError: one is wrong or misspelt, or ``BRIDGE_APP`` is missing.
        """
        check_names(variables)
        if not variables.get("BRIDGE_APP"):
            raise ConfigurationError("BRIDGE_APP says which application to host: set it, as in BRIDGE_APP=shop:app")
        return cls(
            app=variables["BRIDGE_APP"],
            app_dir=variables.get("BRIDGE_APP_DIR", ""),
            is_factory=switch_from("BRIDGE_FACTORY", variables),
            protocol=cast("Protocol | None", variables.get("BRIDGE_PROTOCOL") or None),
            limits=pairs_from(variables.get("BRIDGE_LIMITS", ""), "BRIDGE_LIMITS"),
            options=pairs_from(variables.get("BRIDGE_OPTIONS", ""), "BRIDGE_OPTIONS"),
            telemetry=switch_from("BRIDGE_TELEMETRY", variables),
        )

    def to_variables(self) -> dict[str, str]:
        """Return the variables that say the same; those at their default are left out."""
        said = {
            "BRIDGE_APP": self.app,
            "BRIDGE_APP_DIR": self.app_dir,
            "BRIDGE_FACTORY": "1" if self.is_factory else "",
            "BRIDGE_PROTOCOL": self.protocol or "",
            "BRIDGE_LIMITS": ",".join(f"{name}={value}" for name, value in self.limits.items()),
            "BRIDGE_OPTIONS": ",".join(f"{name}={value}" for name, value in self.options.items()),
            "BRIDGE_TELEMETRY": "1" if self.telemetry else "",
        }
        return {name: value for name, value in said.items() if value}

    def read_limits(self) -> Limits:
        """Return the limits.

        Raises:
            ConfigurationError: a name or a value is wrong.
        """
        types = {one.name: str(one.type) for one in fields(Limits)}
        numbers: dict[str, Any] = {}
        for name, text in self.limits.items():
            if name not in types:
                raise ConfigurationError(f"there is no limit {name!r}; there are {', '.join(types)}")
            numbers[name] = number_from(name, text, types[name])
        try:
            return Limits(**numbers)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(str(error)) from None

    # ---- The application ----------------------------------------------------------------------------------------

    def load(self, *, prefers_wsgi: bool = False) -> Loaded:
        """Import the application and hold it against what it is said to speak.

        Args:
            prefers_wsgi: of a package that has both, take the module for WSGI servers.

        Raises:
            LoadError: it cannot be had.
            DetectionError: it is no application, or it cannot be told which.
            ConfigurationError: it certainly speaks something else than was said.
        """
        for directory in reversed(self.app_dir.split(os.pathsep) if self.app_dir else []):
            if not os.path.exists(directory):
                raise ConfigurationError(f"there is no folder {directory} (--app-dir, or BRIDGE_APP_DIR)")
            put_first(os.path.abspath(directory))
        loaded = load(self.app, is_factory=self.is_factory, prefers_wsgi=prefers_wsgi)
        if self.protocol is None:
            detect(loaded.app)
            return loaded
        try:
            found = detect(loaded.app)
        except DetectionError:
            if not callable(loaded.app):
                raise
        else:
            if found.protocol not in (self.protocol, "dual"):
                raise ConfigurationError(
                    f"{loaded.target.name} speaks {found.protocol}, because {found.reason}; it cannot be hosted as "
                    f"{self.protocol}: leave the protocol out"
                )
            return loaded
        return Loaded(_as_said(loaded.app, self.protocol), loaded.target, loaded.module)

    def asgi_app(self, loaded: Loaded | None = None) -> ASGIApp:
        """Return the application for ASGI servers: the one that is given, or what `load` returns."""
        options = cast("WSGIToASGIOptions", {"limits": self.read_limits(), **read_options(self.options, ASGI_OPTIONS)})
        with _said_as_configuration():
            app = to_asgi((loaded or self.load()).app, **options)
        if self.telemetry and isinstance(app, WSGIToASGI):
            _observe(app)
        return recognisable(app)

    def wsgi_app(self, loaded: Loaded | None = None) -> WSGIApp:
        """Return the application for WSGI servers: the one that is given, or what `load` returns."""
        options = cast("ASGIToWSGIOptions", {"limits": self.read_limits(), **read_options(self.options, WSGI_OPTIONS)})
        with _said_as_configuration():
            app = to_wsgi((loaded or self.load()).app, **options)
        if self.telemetry and isinstance(app, ASGIToWSGI):
            _observe(app)
        return app


def check_names(variables: Mapping[str, str]) -> None:
    """Look for slips in the names of variables. Others may have some that begin alike; those are not ours to judge.

    Raises:
        ConfigurationError: one is nearly, but not quite, a variable of ours.
    """
    endings = [name.removeprefix("BRIDGE_") for name in VARIABLES]  # what begins alike is not therefore close
    for name in variables:
        if not name.startswith("BRIDGE_") or name in VARIABLES:
            continue
        if meant := get_close_matches(name.removeprefix("BRIDGE_"), endings, 1, cutoff=0.8):
            raise ConfigurationError(f"there is no variable {name}; BRIDGE_{meant[0]} is probably meant")


def read_options(given: Mapping[str, str], known: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Return the options an adapter has, read from text; all are checked, those of the other adapter left out.

    Raises:
        ConfigurationError: there is no such option, or it cannot have this value.
    """
    everything = {**ASGI_OPTIONS, **WSGI_OPTIONS}
    read: dict[str, Any] = {}
    for name, text in given.items():
        if name not in everything:
            raise ConfigurationError(f"there is no option {name!r}; there are {', '.join(sorted(everything))}")
        value: object = value_from(name, text, everything[name])
        if known is None or name in known:
            read[name] = value
    return read


# ---- What was said --------------------------------------------------------------------------------------------------


def _as_said(app: Any, protocol: Protocol) -> Any:
    """Return the application with a mark; a function around it where it takes none."""
    try:
        return mark(protocol)(app)
    except TypeError:

        def call(*arguments: Any) -> Any:
            return app(*arguments)

        return mark(protocol)(call)


@contextmanager
def _said_as_configuration() -> Generator[None]:
    """Let what an adapter says of its options count as what it is here: a wrong setting."""
    try:
        yield
    except BridgeError:
        raise
    except (TypeError, ImportError) as error:
        raise ConfigurationError(str(error)) from error


def _observe(adapter: WSGIToASGI | ASGIToWSGI) -> None:
    from bridge.telemetry import observe  # noqa: PLC0415 - the extra is needed only where it is asked for

    with _said_as_configuration():
        observe(adapter)
