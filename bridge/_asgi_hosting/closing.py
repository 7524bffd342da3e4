"""What a host waits for before its lifespan ends: its requests, and the farewell of its WebSockets. Loop thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from bridge._asgi_hosting.hosting import logger
from bridge._runtime.bells import Bell

if TYPE_CHECKING:
    from bridge._asgi_hosting.host import Host

_FAREWELL_S = 1.0
"""What the clients of WebSockets get at the end to answer a close."""


async def drain(host: Host, changed: Bell) -> None:
    """Wait until no request runs, at most ``shutdown_s``; then cancel what is left."""
    limits = host.limits
    with anyio.move_on_after(limits.shutdown_s):
        while host.live:
            await changed.wait()
    if not host.live:
        return
    for exchange in tuple(host.live):
        logger.error(
            "%s is still running %.1f s after shutdown began: cancelled; it was here:\n%s",
            repr(exchange),
            limits.shutdown_s,
            exchange.where(),
        )
        exchange.cancel()
    with anyio.move_on_after(limits.cancel_s):
        while host.live:
            await changed.wait()
    for exchange in tuple(host.live):
        logger.error(
            "%s ignores that it was cancelled; it is given up; it is here:\n%s", repr(exchange), exchange.where()
        )


async def see_off(host: Host, changed: Bell) -> None:
    """Give the clients of WebSockets a moment to take their farewell, and cut what is left."""
    with anyio.move_on_after(_FAREWELL_S):
        while host.websockets:
            await changed.wait()
    for websocket in tuple(host.websockets):
        websocket.abort()
