"""The types of both protocols, spelled once.

Everything here is an alias or a ``Protocol``: an application typed against ``_typeshed.wsgi``, Starlette's or
asgiref's types is accepted where these names stand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import TracebackType
from typing import Any, Protocol, TypeAlias

Environ: TypeAlias = dict[str, Any]
"""A WSGI ``environ``: exactly a ``dict``. Values under keys without a dot are latin-1 ``str`` (PEP 3333)."""

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
"""What ``sys.exc_info()`` returns."""


class StartResponse(Protocol):
    """The ``start_response`` callable handed to a WSGI application (PEP 3333)."""

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Take the status line and header list; return the ``write`` callable."""
        ...


WSGIApp: TypeAlias = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
"""A WSGI application: called with two positional arguments, returns an iterable of ``bytes``."""

Scope: TypeAlias = MutableMapping[str, Any]
"""An ASGI connection scope."""

Message: TypeAlias = MutableMapping[str, Any]
"""An ASGI event, received or sent."""

Receive: TypeAlias = Callable[[], Awaitable[Message]]
"""Awaited for the next event; some servers return a plain awaitable, not a coroutine."""

Send: TypeAlias = Callable[[Message], Awaitable[None]]
"""Awaited with an event to send."""

ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI 3 application."""

AnyASGIApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[object]]
"""An ASGI 3 application as others type it: with asgiref's or a framework's own scopes and events."""

HeaderPairs: TypeAlias = list[tuple[bytes, bytes]]
"""ASGI headers: pairs of ``bytes`` (name, value), names lower-case, order and repeats kept."""
