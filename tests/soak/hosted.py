"""What the servers of the soak serve: the two applications, across the bridge and without it.

Beside each stands the route that looks at the process (`tests.soak.watching`): answered by the server's own thread or
loop, so that looking does not use the bridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bridge import ASGIToWSGI, Limits, WSGIToASGI
from bridge.types import ASGIApp, Environ, Message, Receive, Scope, Send, StartResponse, WSGIApp
from tests.soak import watching
from tests.soak.asgi_application import application as asgi_application
from tests.soak.books import count
from tests.soak.contract import MOST_UPLOAD_BYTES, SPOOLED
from tests.soak.wsgi_application import application as wsgi_application

_LIMITS = Limits(
    body_max_bytes=MOST_UPLOAD_BYTES,
    # Fewer than visitors: requests wait for workers, and what clients take slowly leaves its worker for that.
    workers=4,
    # A server comes to rest at each look only if idle workers end soon. And threads come and go more often.
    worker_idle_s=0.3,
)


def _watched_asgi(app: ASGIApp, statistics: Callable[[], list[Any]]) -> ASGIApp:
    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != watching.PATH:
            await app(scope, receive, send)
            return
        body = watching.look(statistics(), scope["query_string"])
        headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return watched


def _watched_wsgi(app: WSGIApp, statistics: Callable[[], list[Any]]) -> WSGIApp:
    def watched(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != watching.PATH:
            return app(environ, start_response)
        body = watching.look(statistics(), environ["QUERY_STRING"].encode("ascii"))
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return watched


_adapter = WSGIToASGI(wsgi_application, limits=_LIMITS)
_spooling = WSGIToASGI(wsgi_application, limits=_LIMITS, large_body="spool")


def _noting_files(send: Send) -> Send:
    """Count the response once, if it is sent while something waits in a temporary file."""
    is_noted = False

    async def noting(message: Message) -> None:
        nonlocal is_noted
        if not is_noted and _adapter.statistics().bytes_spooled:
            is_noted = True
            count("responses sent from a file")
        await send(message)

    return noting


async def _with_spooling(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"].startswith(SPOOLED):
        await _spooling({**scope, "root_path": scope.get("root_path", "") + SPOOLED}, receive, send)
    elif scope["type"] == "http" and scope["path"] == "/large":
        await _adapter(scope, receive, _noting_files(send))
    else:
        await _adapter(scope, receive, send)


to_asgi = _watched_asgi(_with_spooling, lambda: [_adapter.statistics(), _spooling.statistics()])
"""The WSGI application for ASGI servers."""

_host = ASGIToWSGI(asgi_application, limits=_LIMITS)
to_wsgi = _watched_wsgi(_host, lambda: [_host.statistics()])
"""The ASGI application for WSGI servers."""

native_asgi = _watched_asgi(asgi_application, list)
"""The ASGI application for ASGI servers, without the bridge."""

native_wsgi = _watched_wsgi(wsgi_application, list)
"""The WSGI application for WSGI servers, without the bridge."""
