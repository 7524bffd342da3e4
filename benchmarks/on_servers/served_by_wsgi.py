"""What WSGI servers in subprocesses import: adapters for ASGI applications and their floors, and large transfers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from benchmarks.apps import hello
from benchmarks.in_memory.adapters import A2WSGI, BRIDGE
from benchmarks.settings import MIB
from bridge import to_wsgi

PLAIN = "plain WSGI"
BARE_WAY = "the bare way"
ON_ASYNCIO = "bridge, on asyncio"


def _a2wsgi(app: Any) -> Any:
    """Return a2wsgi, with its defaults; made at the first request, because it starts a thread."""

    @cache
    def made() -> Any:
        from a2wsgi import ASGIMiddleware

        return ASGIMiddleware(app)

    def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        blocks: Iterable[bytes] = made()(environ, start_response)
        return blocks

    return wsgi


@cache
def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _bare_way(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Let one empty task run on a loop in another thread, wait for it, and answer."""
    loop, gate = _loop(), threading.Lock()
    gate.acquire()

    async def task() -> None:
        gate.release()

    loop.call_soon_threadsafe(lambda: loop.create_task(task()))
    gate.acquire()
    return hello(environ, start_response)


ADAPTERS: dict[str, Callable[[Any], Any]] = {
    PLAIN: lambda _: hello,
    BARE_WAY: lambda _: _bare_way,
    BRIDGE: lambda app: to_wsgi(app, event_loop="uvloop"),
    ON_ASYNCIO: lambda app: to_wsgi(app, event_loop="asyncio"),
    A2WSGI: _a2wsgi,
}
"""What makes a WSGI application of an ASGI one, by name; the first two say hello without it."""


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
