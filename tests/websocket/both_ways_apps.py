"""The two compositions, served by processes of the tests: an application goes through both halves of the bridge.

`asgi_there_and_back` is the ASGI site of `tests.integration.websocket_asgi_apps`. `wsgi_there_and_back` has the same
sockets as a WSGI application, which uses ``wsgi.websocket``; below ``/wire`` it uses ``werkzeug.socket``, by way of
simple-websocket.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

import simple_websocket

from bridge import Limits, to_asgi, to_wsgi
from bridge.types import Environ, StartResponse
from tests.integration.asgi_apps import write
from tests.integration.websocket_asgi_apps import ViewError, site

_LIMITS = Limits(shutdown_s=3.0, cancel_s=1.0, websocket_close_s=3.0)


class _Native:
    """A socket as the application uses it, on ``wsgi.websocket``."""

    def __init__(self, environ: Environ) -> None:
        self._socket: Any = environ["wsgi.websocket"]

    def accept(self, subprotocol: str | None = None) -> None:
        self._socket.accept(subprotocol=subprotocol)

    def receive(self) -> str | bytes | None:
        return self._socket.receive()

    def send(self, message: str | bytes) -> None:
        self._socket.send(message)

    def close(self, code: int, reason: str) -> None:
        self._socket.close(code, reason)

    def ending(self) -> tuple[int, str]:
        return self._socket.close_code, self._socket.close_reason


class _Wire:
    """The same on ``werkzeug.socket``."""

    def __init__(self, environ: Environ) -> None:
        self._environ = environ
        self._socket: Any = None

    def accept(self, subprotocol: str | None = None) -> None:
        subprotocols = [subprotocol] if subprotocol else None
        self._socket = simple_websocket.Server.accept(self._environ, subprotocols=subprotocols)

    def receive(self) -> str | bytes | None:
        try:
            return self._socket.receive()
        except simple_websocket.ConnectionClosed:
            return None

    def send(self, message: str | bytes) -> None:
        self._socket.send(message)

    def close(self, code: int, reason: str) -> None:
        self._socket.close(code, reason)

    def ending(self) -> tuple[int, str]:
        return self._socket.close_reason, self._socket.close_message or ""


def _serve(name: str, arguments: dict[str, str], socket: _Native | _Wire) -> None:
    socket.accept(arguments.get("choose"))
    if name == "echo":
        while (message := socket.receive()) is not None:
            socket.send(message)
        code, reason = socket.ending()
        write("disconnect", id=arguments.get("id"), code=int(code), reason=reason)
    elif name == "choose":
        while socket.receive() is not None:
            pass
    elif name == "close":
        socket.close(int(arguments["code"]), arguments.get("reason", ""))
    elif name == "raise_after":
        socket.send("so far so good")
        raise ViewError("failed after accept")


def wsgi_site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sockets, and what is not one."""
    *_, part, name = environ["PATH_INFO"].split("/")
    plain = ("Content-Type", "text/plain")
    if name == "hello":
        start_response("200 OK", [plain])
        return [b"hello\n"]
    if name == "refuse":
        start_response("403 Forbidden", [plain])
        return [b"not you\n"]
    if name == "deny":
        start_response("401 Unauthorized", [plain, ("X-A", "1"), ("X-A", "2")])
        return [b"who ", b"are you?\n"]
    if name == "raise_before":
        raise ViewError("failed before accept")
    socket = _Wire(environ) if part == "wire" else _Native(environ)
    _serve(name, dict(parse_qsl(environ["QUERY_STRING"])), socket)
    return []


asgi_there_and_back = to_asgi(to_wsgi(site, limits=_LIMITS), limits=_LIMITS)
wsgi_there_and_back = to_wsgi(to_asgi(wsgi_site, limits=_LIMITS), limits=_LIMITS)
