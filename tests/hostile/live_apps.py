"""One application of each kind that keeps in mind what it was asked: what really arrived behind a real server.

``/seen`` tells (and forgets) it. The other paths choose how the application answers; all but ``/ignored/`` read the
body.
"""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import unquote_to_bytes

from bridge import ASGIToWSGI, Limits, WSGIToASGI

CONTENT = b"this content must not be seen"
_LIMITS = Limits(shutdown_s=1.0, cancel_s=0.5)


class Memory:
    """What has been asked; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[dict[str, Any]] = []

    def keep(self, **request: Any) -> None:
        """Remember a request."""
        with self._lock:
            self._requests.append(request)

    def tell(self) -> bytes:
        """Return all requests, and forget them."""
        with self._lock:
            told, self._requests = self._requests, []
        return json.dumps(told).encode()


memory = Memory()


def answer_for(path: str, query: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and content: some of them are not what should be sent."""
    if path == "/seen":
        return 200, [(b"content-type", b"application/json")], memory.tell()
    if path == "/no-content":
        return 204, [(b"content-length", b"29")], CONTENT
    if path == "/not-modified":
        return 304, [(b"content-length", b"29")], CONTENT
    if path == "/field":
        return 200, [(b"x-echo", unquote_to_bytes(query))], b"echoed"
    return 200, [(b"content-type", b"text/plain")], CONTENT


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    """The WSGI application."""
    path = environ["PATH_INFO"]
    if path != "/seen":
        body = b"" if path.startswith("/ignored/") else environ["wsgi.input"].read()
        host = environ.get("HTTP_HOST")
        memory.keep(method=environ["REQUEST_METHOD"], path=path, host=host, body=body.decode("latin-1"))
    status, headers, content = answer_for(path, environ["QUERY_STRING"].encode("latin-1"))
    start_response(f"{status} Answer", [(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers])
    return [content]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    path = scope["path"]
    if path != "/seen":
        body, has_more = b"", not path.startswith("/ignored/")
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, has_more = body + message["body"], message["more_body"]
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        memory.keep(method=scope["method"], path=path, host=host, body=body.decode("latin-1"))
    status, headers, content = answer_for(path, scope["query_string"])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


on_asgi = WSGIToASGI(wsgi_app, limits=_LIMITS)
on_wsgi = ASGIToWSGI(asgi_app, limits=_LIMITS)
