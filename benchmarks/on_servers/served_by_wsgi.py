"""The WSGI applications that WSGI servers in subprocesses import: an ASGI hello through adapters, and its floors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

from benchmarks.apps import hello as wsgi
from benchmarks.on_servers.served import native
from benchmarks.settings import MIB
from bridge import to_wsgi

__all__ = ["bare_way_uvloop", "to_wsgi_a2wsgi", "to_wsgi_asyncio", "to_wsgi_uvloop", "transfers", "wsgi"]

to_wsgi_asyncio = to_wsgi(native(), event_loop="asyncio")
to_wsgi_uvloop = to_wsgi(native(), event_loop="uvloop")


@cache
def _a2wsgi() -> Any:
    from a2wsgi import ASGIMiddleware

    return ASGIMiddleware(native())


def to_wsgi_a2wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """a2wsgi, with its defaults; made at the first request, because it starts a thread."""
    return _a2wsgi()(environ, start_response)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def bare_way_uvloop(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Let one empty task run on a loop in another thread, wait for it, and answer."""
    loop, gate = _loop(), threading.Lock()
    gate.acquire()

    async def task() -> None:
        gate.release()

    loop.call_soon_threadsafe(lambda: loop.create_task(task()))
    gate.acquire()
    return wsgi(environ, start_response)


async def _transfers(scope: Any, receive: Any, send: Any) -> None:
    """Take uploads at ``/up/``, and send as many MiB as ``/down/<n>`` says, in blocks of 64 KiB."""
    if scope["type"] != "http":
        return
    _, kind, number = scope["path"].split("/")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if kind == "up":
        size_bytes, more = 0, True
        while more:
            message = await receive()
            size_bytes += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.body", "body": b"%d" % size_bytes})
        return
    block = bytes(MIB // 16)
    for _ in range(int(number) * 16):
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body"})


transfers = to_wsgi(_transfers)
