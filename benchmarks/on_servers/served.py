"""What ASGI servers in subprocesses import: a native hello, the adapters, and functions that make applications."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks import apps
from benchmarks.in_memory import adapters
from benchmarks.settings import MIB
from bridge import Limits, WSGIToASGI

CHECKED = "inline, with all checks"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Say hello as an application does that is ASGI from the start."""
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!", "more_body": False})


def _bridge(app: Any, workers: int | None) -> Any:
    return WSGIToASGI(app, limits=Limits() if workers is None else Limits(workers=workers))


def _a2wsgi(app: Any, workers: int | None) -> Any:
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(app) if workers is None else WSGIMiddleware(app, workers=workers)


def _asgiref(app: Any, workers: int | None) -> Any:
    from asgiref.wsgi import WsgiToAsgi

    adapter: Any = WsgiToAsgi
    return adapter(app)


def _starlette(app: Any, workers: int | None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its retirement
        from starlette.middleware.wsgi import WSGIMiddleware

        return WSGIMiddleware(app)


def _uvicorn(app: Any, workers: int | None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so does this one
        # The public name is a2wsgi's where that is installed.
        from uvicorn.middleware.wsgi import _WSGIMiddleware

        return _WSGIMiddleware(app) if workers is None else _WSGIMiddleware(app, workers=workers)


ADAPTERS: dict[str, Callable[[Any, int | None], Any]] = {
    adapters.NATIVE: lambda app, _: app,
    adapters.FLOOR: lambda app, _: adapters.inline(app),
    CHECKED: lambda app, _: adapters.checked(app),
    adapters.BRIDGE: _bridge,
    adapters.A2WSGI: _a2wsgi,
    adapters.ASGIREF: _asgiref,
    "starlette": _starlette,
    "uvicorn": _uvicorn,
}
"""What makes an ASGI application of a WSGI one, by name; the number is that of threads, for those that can be told."""


def transfers() -> Any:
    """Return an app that takes uploads, and sends as many MiB as the path says, as a stream or from a file."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        _, kind, number = environ["PATH_INFO"].split("/")
        if kind == "up":
            return apps.upload(environ, start_response)
        size_mib = int(number)
        if kind == "stream":
            blocks: Iterable[bytes] = apps.download(size_mib * 16)(environ, start_response)
            return blocks
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the wrapper closes it
        file.truncate(size_mib * MIB)
        start_response("200 OK", [("Content-Length", str(size_mib * MIB))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

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
