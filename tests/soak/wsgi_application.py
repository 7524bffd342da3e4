"""The WSGI application of the soak: hosted by `bridge.to_asgi`, and by a WSGI server itself for comparison."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Flask
from flask_sock import Sock  # type: ignore[import-untyped]

from bridge import call_async
from bridge.types import Environ, StartResponse
from tests.soak.books import count
from tests.soak.contract import (
    BLOCK,
    ETAG,
    FILE_VARIABLE,
    FIRST_BLOCK,
    HELLO,
    LARGE_BLOCK,
    LARGE_BLOCKS,
    STREAM_BLOCKS,
    answer_to_json,
    awaited,
    digest_line,
)

_PIECE_BYTES = 65536
_PLAIN = [("Content-Type", "text/plain")]


def _whole(start_response: StartResponse, body: bytes, kind: str = "text/plain") -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return _whole(start_response, HELLO)


def json(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    octets = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    return _whole(start_response, answer_to_json(octets), "application/json")


def _read_all(environ: Environ) -> bytes:
    digest, length_bytes = hashlib.sha1(), 0
    while piece := environ["wsgi.input"].read(_PIECE_BYTES):
        digest.update(piece)
        length_bytes += len(piece)
    return digest_line(length_bytes, digest.hexdigest())


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return _whole(start_response, _read_all(environ))


def cut(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read an upload whose client leaves in the middle."""
    try:
        _read_all(environ)
    except Exception:
        count("cut uploads")
        raise
    count("cut uploads that looked whole")
    return _whole(start_response, HELLO)


class _Stream:
    """So many blocks; it keeps book of its end, and of the thread of its end."""

    def __init__(self, block: bytes, blocks: int | None) -> None:
        self._block = block
        self._left = blocks
        self._thread = threading.get_ident()
        count("streams opened")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._left is not None:
            if not self._left:
                raise StopIteration
            self._left -= 1
        return self._block

    def close(self) -> None:
        count("streams closed")
        if threading.get_ident() != self._thread:
            count("closed in another thread")


def stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", _PLAIN)
    return _Stream(BLOCK, STREAM_BLOCKS)


def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", _PLAIN)
    return _Stream(BLOCK, None)


def large(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", _PLAIN)
    return _Stream(LARGE_BLOCK, LARGE_BLOCKS)


def fails_before(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("the soak wants this: failed before the start")


def fails_after(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", _PLAIN)
    yield FIRST_BLOCK
    raise RuntimeError("the soak wants this: failed after the start")


def not_modified(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("304 Not Modified", [("ETag", ETAG)])
    return []


def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    opened = open(os.environ[FILE_VARIABLE], "rb")  # noqa: SIM115 - the wrapper closes it
    length = str(os.fstat(opened.fileno()).st_size)
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", length)])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened)
    return wrapped


async def _square(number: int) -> int:
    await asyncio.sleep(0)
    return number * number


def awaits(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with what a coroutine on the server's loop has computed."""
    number = int(environ["QUERY_STRING"])
    if call_async(_square, number) != number * number:
        raise RuntimeError("call_async returned something else")
    return _whole(start_response, awaited(number))


def socket(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo by ``wsgi.websocket``."""
    websocket = environ["wsgi.websocket"]
    count("sockets begun")
    try:
        while (message := websocket.receive()) is not None:
            websocket.send(message)
    finally:
        count("sockets ended")
    return []


_flask = Flask("soak")
_sock: Any = Sock(_flask)


@_sock.route("/flask-socket")  # type: ignore[untyped-decorator]
def flask_socket(ws: Any) -> None:
    """Echo by Flask-Sock."""
    count("sockets begun")
    try:
        while True:
            ws.send(ws.receive())
    finally:
        count("sockets ended")


_ROUTES: dict[str, Callable[[Environ, StartResponse], Iterable[bytes]]] = {
    f"/{function.__name__.replace('_', '-')}": function
    for function in (
        awaits, cut, endless, fails_after, fails_before, file, hello, json, large, not_modified, socket, stream, upload,
    )
}  # fmt: skip


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """All of it, chosen by the path."""
    return _ROUTES.get(environ["PATH_INFO"], _flask)(environ, start_response)
