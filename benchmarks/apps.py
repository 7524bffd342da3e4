"""The applications that are measured. They do as little as possible, so that the adapters show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.settings import KIB

BLOCK = b"x" * (64 * KIB)
SMALL_BLOCK = b"x" * 100


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """One short block."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [b"Hello, world!"]


def small_blocks(count: int) -> Any:
    """Return an app that streams that many blocks of 100 bytes."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        for _ in range(count):
            yield SMALL_BLOCK

    return app


def download(count: int) -> Any:
    """Return an app that streams that many blocks of 64 KiB."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        for _ in range(count):
            yield BLOCK

    return app


def upload(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Read the body in pieces of 64 KiB; answer with its length."""
    size_bytes = 0
    while piece := environ["wsgi.input"].read(64 * KIB):
        size_bytes += len(piece)
    body = b"%d" % size_bytes
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def blocking(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Block for 10 ms, as a database query does."""
    time.sleep(0.01)
    return hello(environ, start_response)


# ---- The same without an adapter ------------------------------------------------------------------------------------


async def native_hello(scope: Any, receive: Any, send: Any) -> None:
    """The hello of an application that is ASGI from the start."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!", "more_body": False})


def native_stream(block: bytes, count: int) -> Any:
    """Return an ASGI app that streams a block that many times."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for _ in range(count):
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def native_upload(scope: Any, receive: Any, send: Any) -> None:
    """Take the body event by event; answer with its length."""
    size_bytes = 0
    more_body = True
    while more_body:
        event = await receive()
        size_bytes += len(event.get("body", b""))
        more_body = event.get("more_body", False)
    body = b"%d" % size_bytes
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
