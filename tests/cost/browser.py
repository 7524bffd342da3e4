"""What a browser's request looks like, to an ASGI server and to a WSGI server."""

from __future__ import annotations

import io
import sys
from typing import Any

HEADERS = [
    (b"host", b"shop.example:8000"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", b"https://shop.example/basket"),
    (b"cookie", b"session=0123456789abcdef; theme=dark"),
]
FORM = b"name=value&" * 20
_FORM_HEADERS = [
    *HEADERS,
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"content-length", b"%d" % len(FORM)),
]
_HANDSHAKE_HEADERS = [
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"MDEyMzQ1Njc4OWFiY2RlZg=="),
]


def make_scope(**more: Any) -> dict[str, Any]:
    """Return the scope of a GET; ``more`` replaces or adds keys."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/shelf/books",
        "raw_path": b"/shelf/books",
        "query_string": b"page=2",
        "root_path": "",
        "headers": list(HEADERS),
        "client": ("192.0.2.7", 50007),
        "server": ("192.0.2.1", 8000),
        "state": {},
    } | more


def make_form_scope() -> dict[str, Any]:
    """Return the scope of a POST of `FORM`."""
    return make_scope(method="POST", headers=list(_FORM_HEADERS))


def make_mounted_scope() -> dict[str, Any]:
    """Return the scope of a GET below a mount point."""
    return make_scope(path="/shop/shelf/books", raw_path=b"/shop/shelf/books", root_path="/shop")


def make_websocket_scope() -> dict[str, Any]:
    """Return the scope of a WebSocket."""
    scope = make_scope(type="websocket", scheme="ws", subprotocols=[], headers=[*HEADERS, *_HANDSHAKE_HEADERS])
    del scope["method"]
    return scope


def make_environ(body: bytes = b"") -> dict[str, Any]:
    """Return the environ of a GET, or of a POST with a body."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/shelf/books",
        "QUERY_STRING": "page=2",
        "SERVER_NAME": "192.0.2.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "50007",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in HEADERS:
        environ["HTTP_" + name.decode().upper().replace("-", "_")] = value.decode()
    if body:
        environ |= {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "text/plain"}
    return environ
