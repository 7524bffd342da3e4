"""The applications that servers in subprocesses import: a WSGI application, and functions that make ASGI ones."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks import apps
from benchmarks.in_memory import adapters
from benchmarks.settings import MIB
from bridge import Limits, WSGIToASGI

wsgi = apps.hello


def native() -> Any:
    """Return the hello of an application that is ASGI from the start."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"Hello, world!", "more_body": False})

    return app


def inline() -> Any:
    """Return the floor."""
    return adapters.inline(apps.hello)


def checked() -> Any:
    """Return the floor with the bridge's own translation and checks."""
    return adapters.checked(apps.hello)


def bridge() -> Any:
    """Return the bridge."""
    return WSGIToASGI(apps.hello)


def a2wsgi() -> Any:
    """Return a2wsgi, with its defaults."""
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(apps.hello)


def transfers() -> Any:
    """Return an app that takes uploads, and sends as many MiB as the path says, as a stream or from a file."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        _, kind, number = environ["PATH_INFO"].split("/")
        if kind == "up":
            return apps.upload(environ, start_response)
        size_mib = int(number)
        if kind == "stream":
            return apps.download(size_mib * 16)(environ, start_response)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the wrapper closes it
        file.truncate(size_mib * MIB)
        start_response("200 OK", [("Content-Length", str(size_mib * MIB))])
        return environ["wsgi.file_wrapper"](file)

    return WSGIToASGI(app, large_body="stream" if os.environ.get("BENCHMARK_LARGE_BODY") == "stream" else "spool")


def endless() -> Any:
    """Return an app with an endless stream at ``/`` and a native ``/books`` beside: iterators open, and threads."""
    books = threading.Lock()
    open_iterators = 0

    def stream() -> Iterator[bytes]:
        nonlocal open_iterators
        with books:
            open_iterators += 1
        try:
            while True:
                yield b"tick\n"
                time.sleep(0.1)
        finally:
            with books:
                open_iterators -= 1

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream()

    streams = WSGIToASGI(app, limits=Limits(workers=1000))

    async def with_books(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/books":
            body = b"%d %d" % (open_iterators, threading.active_count())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body, "more_body": False})
        else:
            await streams(scope, receive, send)

    return with_books
