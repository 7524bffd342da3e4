"""An ASGI application for servers whose threads are green ones: it waits in every way there is.

``/sleep`` waits on the loop, ``/thread`` in a thread of anyio's, ``/to_thread`` in one of asyncio's, ``/slow-log`` logs
all the while; sockets are echoed.
"""

from __future__ import annotations

import asyncio
import logging
import time

import anyio

from bridge import to_wsgi
from bridge.types import Receive, Scope, Send

WAIT_S = 0.4


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    logging.getLogger("app").info("lifespan over in %s", await asyncio.to_thread(lambda: "a thread"))
    await send({"type": "lifespan.shutdown.complete"})


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    logging.getLogger("app").info("socket over with %d", message["code"])


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await _echo(receive, send)
        return
    if scope["path"] == "/sleep":
        await asyncio.sleep(WAIT_S)
    elif scope["path"] == "/thread":
        await anyio.to_thread.run_sync(time.sleep, WAIT_S)
    elif scope["path"] == "/to_thread":
        await asyncio.to_thread(time.sleep, WAIT_S)
    elif scope["path"] == "/slow-log":
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s:
            logging.getLogger("app").info("on the loop")
            await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello\n"})


app = to_wsgi(asgi)
