"""The WSGI applications that are measured. They do as little as possible, so that the adapters show."""

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
