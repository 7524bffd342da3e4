"""The ``BRIDGE_...`` variables: which application to host and how. For `bridge.asgi`, `bridge.wsgi`, the command line.

One place reads them and one writes them, so that what the command line hands to a server process arrives there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final, TypeVar, cast

from bridge.asgi_to_wsgi import ASGIToWSGI, ASGIToWSGIOptions, to_wsgi
from bridge.detect import PROTOCOLS, Protocol, detect, mark
from bridge.dual import recognisable
from bridge.errors import BridgeError, ConfigurationError, DetectionError
from bridge.limits import Limits
from bridge.loading import Loaded, load
from bridge.types import ASGIApp, WSGIApp
from bridge.wsgi_to_asgi import WSGIToASGI, WSGIToASGIOptions, to_asgi

VARIABLES: Final = {
    "BRIDGE_APP": "the application: module:attribute, module, or a path",
    "BRIDGE_FACTORY": "1 if that is a function which makes the application",
    "BRIDGE_PROTOCOL": f"what it speaks, where that cannot be told: {', '.join(PROTOCOLS)}",
    "BRIDGE_LIMITS": "numbers of Limits: workers=80,body_max_bytes=1000000,app_wait_s=none",
    "BRIDGE_OPTIONS": "options of the adapter: large_body=stream,lifespan=on",
    "BRIDGE_TELEMETRY": "1 to report to OpenTelemetry (needs the extra 'opentelemetry')",
}
"""Every variable there is, and what it says."""

_FLAG = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

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

WSGI_OPTIONS: Final[Mapping[str, type]] = {"lifespan": str, "event_loop": str, "own_loop": bool, "on_error": str}
"""Options of `ASGIToWSGI` that can be given as text."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the variables say, checked.

    Attributes:
        app: the name of the application (`bridge.targets`).
        is_factory: it makes the application.
        protocol: what it is said to speak.
        limits: as given: pairs of name and text.
        options: as given: pairs of name and text.
        telemetry: whether to report to OpenTelemetry.
    """

    app: str
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
        for name in variables:
            # Others may have variables of this name, but a slip of ours must not pass unseen.
            if (
                name.startswith("BRIDGE_")
                and name not in VARIABLES
                and (meant := get_close_matches(name, VARIABLES, 1))
            ):
                raise ConfigurationError(f"there is no variable {name}; {meant[0]} is probably meant")
        if not variables.get("BRIDGE_APP"):
            raise ConfigurationError("BRIDGE_APP says which application to host: set it, as in BRIDGE_APP=shop:app")
        return cls(
            app=variables["BRIDGE_APP"],
            is_factory=_flag("BRIDGE_FACTORY", variables),
            protocol=cast("Protocol | None", variables.get("BRIDGE_PROTOCOL") or None),
            limits=_pairs("BRIDGE_LIMITS", variables),
            options=_pairs("BRIDGE_OPTIONS", variables),
            telemetry=_flag("BRIDGE_TELEMETRY", variables),
        )

    def to_variables(self) -> dict[str, str]:
        """Return the variables that say the same; those at their default are left out."""
        said = {
            "BRIDGE_APP": self.app,
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
            numbers[name] = _number(name, text, types[name])
        try:
            return Limits(**numbers)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(str(error)) from None

    # ---- The application ----------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        """Import the application and hold it against what it is said to speak.

        Raises:
            LoadError: it cannot be had.
            DetectionError: it is no application, or it cannot be told which.
            ConfigurationError: it certainly speaks something else than was said.
        """
        loaded = load(self.app, is_factory=self.is_factory)
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
        return Loaded(_as_said(loaded.app, self.protocol), loaded.target, loaded.module)

    def asgi_app(self) -> ASGIApp:
        """Return the application for ASGI servers."""
        options = cast("WSGIToASGIOptions", {"limits": self.read_limits(), **read_options(self.options, ASGI_OPTIONS)})
        with _said_as_configuration():
            app = to_asgi(self.load().app, **options)
        if self.telemetry and isinstance(app, WSGIToASGI):
            _observe(app)
        return recognisable(app)

    def wsgi_app(self) -> WSGIApp:
        """Return the application for WSGI servers."""
        options = cast("ASGIToWSGIOptions", {"limits": self.read_limits(), **read_options(self.options, WSGI_OPTIONS)})
        with _said_as_configuration():
            app = to_wsgi(self.load().app, **options)
        if self.telemetry and isinstance(app, ASGIToWSGI):
            _observe(app)
        return app


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
        value: object = _value(name, text, everything[name])
        if known is None or name in known:
            read[name] = value
    return read


# ---- Text -----------------------------------------------------------------------------------------------------------


def pairs_from(text: str, source: str) -> dict[str, str]:
    """Read ``name=value`` pairs, separated by commas or spaces.

    Args:
        text: the pairs.
        source: where they stand, for the message.

    Raises:
        ConfigurationError: one is no pair.
    """
    pairs: dict[str, str] = {}
    for part in text.replace(",", " ").split():
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"{source} takes name=value, separated by commas; {part!r} is not that")
        pairs[name] = value
    return pairs


def _pairs(variable: str, variables: Mapping[str, str]) -> dict[str, str]:
    return pairs_from(variables.get(variable, ""), variable)


def _flag(variable: str, variables: Mapping[str, str]) -> bool:
    text = variables.get(variable, "")
    return _value(variable, text, bool) if text else False


def _value(name: str, text: str, kind: type[T]) -> T:
    if kind is bool:
        if text.lower() not in _FLAG:
            raise ConfigurationError(f"{name} is a switch, 1 or 0; {text!r} is neither")
        return cast("T", _FLAG[text.lower()])
    try:
        return kind(text)  # type: ignore[call-arg]
    except ValueError:
        raise ConfigurationError(f"{name} is a number; {text!r} is none") from None


def _number(name: str, text: str, annotation: str) -> float | None:
    if text.lower() in ("none", "off") and "None" in annotation:
        return None
    reads: tuple[Callable[[str], float], ...] = (int, float) if "float" in annotation else (int,)
    for read in reads:
        try:
            return read(text)
        except ValueError:
            continue
    kind = "a number" if "float" in annotation else "a whole number"
    raise ConfigurationError(f"the limit {name} is {kind}{' or none' if 'None' in annotation else ''}; {text!r} is not")


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

    observe(adapter)
