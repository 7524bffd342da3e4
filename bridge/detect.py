"""What a callable is, judged by how it can be called; it is never called to find out."""

from __future__ import annotations

import inspect
from typing import Any

from bridge.types import ASGIApp, Receive, Scope, Send

_ASGI_ARGUMENTS = 3
_WSGI_ARGUMENTS = 2


def is_two_step(app: Any) -> bool:
    """Tell whether this is an ASGI 2 application: called with a scope, it returns what takes receive and send."""
    if _is_async(app):
        return False
    return _takes(app, 1) and not _takes(app, _ASGI_ARGUMENTS) and not _takes(app, _WSGI_ARGUMENTS)


def single_callable(app: Any) -> ASGIApp:
    """Return an ASGI 2 application as one of version 3."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope)(receive, send)

    return call


def is_asgi(app: Any) -> bool | None:
    """Tell whether this is an ASGI application, of version 3 or 2; None where its signature is not known.

    What takes both two and three arguments is taken for WSGI, unless calling it is known to give a coroutine.
    """
    if _is_async(app):
        return True
    try:
        inspect.signature(app)
    except ValueError:  # a builtin, or compiled code
        return None
    return not _takes(app, _WSGI_ARGUMENTS) and (_takes(app, _ASGI_ARGUMENTS) or is_two_step(app))


def _is_async(app: Any) -> bool:
    if inspect.isclass(app):
        return False
    call: Any = getattr(app.__class__, "__call__", None)  # noqa: B004 - looked at, not asked for
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(call)


def _takes(app: Any, count: int) -> bool:
    try:
        inspect.signature(app).bind(*range(count))
    except (TypeError, ValueError):  # also what has no signature
        return False
    return True
