"""Event streams as servers in subprocesses import them: a WSGI application, and the same with Starlette.

Four times a second there is an event, which all subscribers get; it says when it was made, by the clock that all
processes of a machine share.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import cache
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

INTERVAL_S = 0.25
HELLO = b": hello\n\n"
"""The first that a subscriber gets."""
_HEADERS = {"Cache-Control": "no-store"}


def _event() -> bytes:
    return b"data: %d\n\n" % time.monotonic_ns()


# ---- WSGI -----------------------------------------------------------------------------------------------------------


class _ThreadedSource:
    """Puts events into the queues of its subscribers, from a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: set[queue.SimpleQueue[bytes]] = set()
        threading.Thread(target=self._publish, daemon=True).start()

    def subscription(self) -> Iterator[bytes]:
        mine: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        with self._lock:
            self._queues.add(mine)
        try:
            yield HELLO
            while True:
                yield mine.get()
        finally:
            with self._lock:
                self._queues.discard(mine)

    def _publish(self) -> None:
        due_s = time.monotonic()
        while True:
            due_s += INTERVAL_S
            time.sleep(max(0.0, due_s - time.monotonic()))
            event = _event()
            with self._lock:
                for each in self._queues:
                    each.put(event)


_lock = threading.Lock()


@cache
def _threaded_source() -> _ThreadedSource:
    return _ThreadedSource()


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/events":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]
    start_response("200 OK", [("Content-Type", "text/event-stream"), *_HEADERS.items()])
    with _lock:
        source = _threaded_source()
    return source.subscription()


# ---- ASGI -----------------------------------------------------------------------------------------------------------


class _Source:
    """Puts events into the queues of its subscribers, from a task."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()
        self._task: asyncio.Task[None] | None = None

    async def subscription(self) -> AsyncIterator[bytes]:
        if self._task is None:
            self._task = asyncio.create_task(self._publish())
        mine: asyncio.Queue[bytes] = asyncio.Queue()
        self._queues.add(mine)
        try:
            yield HELLO
            while True:
                yield await mine.get()
        finally:
            self._queues.discard(mine)

    async def _publish(self) -> None:
        due_s = time.monotonic()
        while True:
            due_s += INTERVAL_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            event = _event()
            for each in self._queues:
                each.put_nowait(event)


_source = _Source()


async def _index(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def _events(request: Request) -> StreamingResponse:
    return StreamingResponse(_source.subscription(), media_type="text/event-stream", headers=_HEADERS)


asgi = Starlette(routes=[Route("/", _index), Route("/events", _events)])
