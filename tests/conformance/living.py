"""An ASGI application with a lifespan that notes what happens to it, for tests of startup and shutdown."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from tests.meeting import Flag

STARTED = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}


def current_loop() -> object:
    """Return what identifies the running event loop."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token()
    return asyncio.get_running_loop()


async def answer(send: Any, body: bytes = b"hello") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def _pass(*_: Any) -> None:
    """Do nothing."""


class LivingApp:
    """An application that supports the lifespan.

    Args:
        startup: called with the lifespan's state, before it is answered.
        shutdown: called before the shutdown is answered.
        request: called as an application with each request; by default it answers.

    Attributes:
        events: what happened, in order: ``startup``, ``started``, ``request``, ``request over``, ``shutdown``,
            ``stopped``.
        loops: the event loops this was seen on.
    """

    def __init__(
        self,
        startup: Callable[[dict[str, Any]], Awaitable[None]] = _pass,
        shutdown: Callable[[], Awaitable[None]] = _pass,
        request: Callable[[Any, Any, Any], Awaitable[None]] | None = None,
    ) -> None:
        self.events: list[str] = []
        self.loops: set[object] = set()
        self.thread_ids: set[int] = set()
        self._startup = startup
        self._shutdown = shutdown
        self._request = request

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loops.add(current_loop())
        self.thread_ids.add(threading.get_ident())
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        self.events.append("request")
        if self._request is None:
            await answer(send)
        else:
            await self._request(scope, receive, send)
        self.events.append("request over")

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "lifespan.startup"}
        self.events.append("startup")
        await self._startup(scope["state"])
        self.events.append("started")
        await send(STARTED)
        assert await receive() == {"type": "lifespan.shutdown"}
        self.events.append("shutdown")
        await self._shutdown()
        self.events.append("stopped")
        await send(STOPPED)


def lifespan_only(live: Callable[[Any, Any, Any], Awaitable[object]]) -> Any:
    """Return an application with this lifespan, which answers all requests."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await live(scope, receive, send)
        else:
            await answer(send, repr(sorted(scope.get("state", ["no state"]))).encode())

    return app


async def be_deaf_until(flag: Flag) -> None:
    """Wait for a flag, whoever cancels."""
    with anyio.CancelScope(shield=True):  # enough for trio
        while not flag.is_set():
            with suppress(anyio.get_cancelled_exc_class()):  # for asyncio
                await flag.wait_on_loop()


def logged(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    """Return the messages the bridge has logged at a level, as they were then: what they tell of may have changed."""
    return [
        record.message for record in caplog.records if record.levelno == level and record.name == "bridge.asgi_to_wsgi"
    ]
