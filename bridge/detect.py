"""Which protocol an application speaks, judged by marks and by how it can be called; it is never called to find out.

What is looked at, in this order: an explicit mark (`mark`, or those of asgiref), names of frameworks that speak
neither protocol, whether calling it gives a coroutine, and its parameters: how many are required, and where that
leaves it open, whether they carry the specifications' own names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from bridge._strangers import name_of, refuse_foreign, refuse_uncallable
from bridge.errors import AmbiguousAppError, DetectionError, NotAnAppError
from bridge.types import ASGIApp, Receive, Scope, Send

Protocol: TypeAlias = Literal["wsgi", "asgi", "asgi2", "dual"]
"""``"asgi"`` is ASGI 3, ``"asgi2"`` the two-callable form of ASGI 2, ``"dual"`` what takes both kinds of call."""

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
MARK = "__bridge_protocol__"

_ASGI_ARGUMENTS = 3
_WSGI_ARGUMENTS = 2
_MOST_SHOWN = 4
_ENVIRON_NAMES = ("environ", "env")

_EXPLICIT = "say what it is: mark('wsgi')(app) or mark('asgi')(app) from bridge, or --protocol on the command line"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Detection:
    """What an application speaks.

    Attributes:
        protocol: one of `PROTOCOLS`.
        reason: what it was judged by, as the end of a sentence: "... because <reason>".
    """

    protocol: Protocol
    reason: str


def mark(protocol: Protocol) -> Callable[[T], T]:
    """Return a decorator that says what an application speaks; a mark wins over everything that is guessed.

    >>> @mark("wsgi")
    ... def app(*args): ...

    Raises:
        ValueError: the protocol is not one of `PROTOCOLS`.
        TypeError: (from the decorator) the application cannot carry a mark.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"a protocol is one of {', '.join(map(repr, PROTOCOLS))}, not {protocol!r}")

    def decorate(app: T) -> T:
        try:
            setattr(app, MARK, protocol)
        except AttributeError:
            raise TypeError(f"{name_of(app)} takes no attributes; mark a function around it") from None
        return app

    return decorate


def detect(app: object) -> Detection:
    """Tell which protocol an application speaks. Any thread.

    Args:
        app: anything; it is not called.

    Raises:
        AmbiguousAppError: it could be either; the message says what was looked at and how to be explicit.
        NotAnAppError: it is no application of either protocol; the message says what to do.
    """
    try:
        return _judge(app)
    except DetectionError:
        raise
    except Exception as error:
        raise AmbiguousAppError(
            f"{name_of(app)} cannot be looked at ({type(error).__name__}: {str(error).split(chr(10))[0]}): if it "
            "stands for an application, name that application itself"
        ) from error


def _judge(app: object) -> Detection:
    marked = _marked(app)
    if marked is not None:
        return marked
    refuse_foreign(app)
    if not callable(app):
        refuse_uncallable(app)
    if inspect.isclass(app):
        return _Parameters(app).judge_class(app)
    if isinstance(app, FunctionType) and app.__code__.co_qualname == "Request.application.<locals>.application":
        return Detection("wsgi", "it is made by Werkzeug's Request.application")
    if inspect.isasyncgenfunction(app):
        raise NotAnAppError(
            f"{name_of(app)} is neither a WSGI nor an ASGI application: it yields, so nobody can await it"
        )
    if is_coroutine_function(app):
        return _Parameters(app).judge_coroutine_function()
    return _Parameters(app).judge()


def single_callable(app: Any) -> ASGIApp:
    """Return an ASGI 2 application as one of version 3."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return call


def is_two_step(app: object) -> bool:
    """Tell whether this is an ASGI 2 application: called with a scope, it returns what takes receive and send."""
    try:
        return detect(app).protocol == "asgi2"
    except DetectionError:
        return False


def protocol_of(app: object) -> Protocol | None:
    """Return the protocol, or None where it is ambiguous: for callers who have been told what to translate.

    Raises:
        NotAnAppError: it is no application of either protocol.
    """
    try:
        return detect(app).protocol
    except AmbiguousAppError:
        return None


def is_coroutine_function(app: object) -> bool:
    """Tell whether a call is known to give a coroutine: what uvicorn, hypercorn and daphne judge by."""
    if inspect.isclass(app):
        return False
    call: Any = getattr(app.__class__, "__call__", None)  # noqa: B004 - looked at, not asked for
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call)


# ---- Marks ----------------------------------------------------------------------------------------------------------


def _marked(app: object) -> Detection | None:
    protocol = inspect.getattr_static(app, MARK, None)
    if protocol is not None:
        if protocol not in PROTOCOLS:
            raise AmbiguousAppError(f"{name_of(app)} is marked {protocol!r}; a mark is one of {', '.join(PROTOCOLS)}")
        return Detection(protocol, f"it is marked so ({MARK})")
    if inspect.isclass(app):
        return None  # asgiref's marks on a class are about its instances (Sanic)
    if inspect.getattr_static(app, "_asgi_single_callable", None) is True:
        return Detection("asgi", "it is marked so (asgiref's _asgi_single_callable)")
    if inspect.getattr_static(app, "_asgi_double_callable", None) is True:
        return Detection("asgi2", "it is marked so (asgiref's _asgi_double_callable)")
    return None


# ---- Parameters -----------------------------------------------------------------------------------------------------


class _Parameters:
    """How something can be called."""

    def __init__(self, app: Callable[..., object]) -> None:
        self._name = name_of(app)
        self._is_wrapper = hasattr(app, "__wrapped__")
        try:
            parameters = _signature(app).parameters.values()
        except (TypeError, ValueError):
            raise AmbiguousAppError(
                f"{self._name} does not tell its parameters (compiled code?), so it could be WSGI or ASGI: {_EXPLICIT}"
            ) from None
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._names = [parameter.name for parameter in parameters if parameter.kind in kinds]
        self._required = sum(
            parameter.kind in kinds and parameter.default is inspect.Parameter.empty for parameter in parameters
        )
        is_open = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
        self._most = 1000 if is_open else len(self._names)
        shown = self._names if len(self._names) <= _MOST_SHOWN else [*self._names[:_MOST_SHOWN], "..."]
        self._text = f"({', '.join([*shown, '*args'] if is_open else shown)})"
        keywords = [
            parameter.name
            for parameter in parameters
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is inspect.Parameter.empty
        ]
        if keywords:
            raise self._refusal(f"it needs the keyword argument {keywords[0]!r}, which no server gives")

    def judge(self) -> Detection:
        """Judge a function, or an instance by its ``__call__``, that is not known to give a coroutine."""
        self._refuse_unbound()
        if self._required == _ASGI_ARGUMENTS:
            return Detection("asgi", f"it takes three arguments {self._text}")
        if self._required == _WSGI_ARGUMENTS:
            return Detection("wsgi", f"it takes two arguments {self._text}")
        if self._required > _ASGI_ARGUMENTS:
            raise self._refusal(f"it needs {self._required} arguments {self._text}; WSGI gives two, ASGI three")
        if self._names[:1] == ["scope"]:
            if self._most >= _ASGI_ARGUMENTS:
                return Detection("asgi", f"its first argument is the scope {self._text}")
            if self._most == 1:
                return Detection("asgi2", "it takes one argument, the scope")
        if self._names[:1] and self._names[0] in _ENVIRON_NAMES and self._takes(_WSGI_ARGUMENTS):
            return Detection("wsgi", f"its first argument is the environ {self._text}")
        raise self._unclear()

    def judge_coroutine_function(self) -> Detection:
        """Judge what gives a coroutine when it is called."""
        self._refuse_unbound()
        if self._takes(_ASGI_ARGUMENTS):
            return Detection("asgi", "calling it with three arguments gives a coroutine")
        if self._is_wrapper:  # around something that is called otherwise
            return Detection("asgi", "calling it with any arguments gives a coroutine")
        raise self._refusal(
            f"it is a coroutine function of the arguments {self._text}; ASGI 3 calls it with (scope, receive, send)"
        )

    def judge_class(self, app: type) -> Detection:
        """Judge a class that is the application itself, its instances being one response each."""
        if self._required == _WSGI_ARGUMENTS and hasattr(app, "__iter__"):
            return Detection("wsgi", f"it is a class of two arguments {self._text} whose instances are iterable")
        if self._required == _ASGI_ARGUMENTS and hasattr(app, "__await__"):
            return Detection("asgi", f"it is a class of three arguments {self._text} whose instances can be awaited")
        if self._required == 1 and self._most == 1 and is_two_argument_method(app):
            return Detection("asgi2", "it is a class of one argument whose instances take (receive, send)")
        raise self._refusal(
            f"it is a class {self._text} whose instances are no responses: make an instance of it and name that, or "
            "use --factory if it needs no arguments"
        )

    def _refuse_unbound(self) -> None:
        if self._names[:1] == ["self"] and self._required:
            raise self._refusal("it is a method without its object: make an instance and name that")

    def _unclear(self) -> DetectionError:
        if self._required == 0 and not self._takes(_WSGI_ARGUMENTS):
            return self._refusal(
                "it can be called without arguments, so it looks like a factory: call it, or use --factory"
            )
        if self._most == 1:
            return AmbiguousAppError(
                f"{self._name} takes one argument {self._text}, which is an ASGI 2 application if that is the scope, "
                f"else none: {_EXPLICIT}"
            )
        factory = "; if it makes the application, call it or use --factory" if self._required == 0 else ""
        return AmbiguousAppError(
            f"{self._name} could be WSGI or ASGI: it is no coroutine function, and its parameters {self._text} fit "
            f"both; {_EXPLICIT}{factory}"
        )

    def _takes(self, count: int) -> bool:
        return self._required <= count <= self._most

    def _refusal(self, reason: str) -> NotAnAppError:
        return NotAnAppError(f"{self._name} is neither a WSGI nor an ASGI application: {reason}")


def _signature(app: Callable[..., object]) -> inspect.Signature:
    """Return how something is really called: what is around a function counts (functools.wraps), if it names all.

    A wrapper of ``*args`` hands them on, so there the wrapped function tells more.
    """
    try:
        own = inspect.signature(app, follow_wrapped=False)
    except (TypeError, ValueError):  # lru_cache: only what is inside has one
        return inspect.signature(app)
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in own.parameters.values()):
        return inspect.signature(app)
    return own


def is_two_argument_method(app: type) -> bool:
    """Tell whether calling an instance of a class with (receive, send) is the second step of ASGI 2.

    A class of WSGI middleware has the same shape; its names differ, and it gives no coroutine.
    """
    call = inspect.getattr_static(app, "__call__", None)
    if call is None or inspect.getattr_static(object, "__call__", None) is call:
        return False
    try:
        signature = inspect.signature(call)
        signature.bind("self", "receive", "send")
    except (TypeError, ValueError):
        return False
    return inspect.iscoroutinefunction(call) or list(signature.parameters)[1:2] == ["receive"]
