"""What a request takes of the memory, in blocks of the allocator: while it runs, and for good.

With real threads and loops, and nothing watching: what watches takes memory, too.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bridge import WSGIToASGI
from tests.cost import on_asgi, on_wsgi
from tests.cost.browser import make_environ, make_scope

REQUESTS = 300
_WARM_UP = 50
_LOOKS = 25
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Memory:
    """Blocks of the allocator, and objects.

    Attributes:
        held: blocks for one request, when its application has just been called.
        left: blocks after `REQUESTS` requests that were not taken before.
        garbage: objects after them that only the garbage collector can free.
    """

    held: int
    left: int
    garbage: int


class _Look:
    """How many blocks are taken when the application is called, more than before its request."""

    def __init__(self) -> None:
        self.before = 0
        self.more: list[int] = []

    def begin(self, is_quiet: Callable[[], bool]) -> None:
        """A request is about to be made, once the last one has come to its end."""
        _wait_until(is_quiet)
        gc.collect()  # which empties the stores of objects to be used again: all that is wanted is taken anew
        self.before = sys.getallocatedblocks()

    def take(self) -> None:
        """The application has been called."""
        if self.before:
            self.more.append(sys.getallocatedblocks() - self.before)
            self.before = 0


@contextmanager
def _small_heap() -> Iterator[None]:
    """Collect no garbage but when told to; and then only what has come since."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def to_asgi() -> Memory:
    """Measure a GET of a WSGI application under an ASGI server."""
    look = _Look()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        look.take()
        return on_asgi.hello(environ, start_response)

    async def receive() -> dict[str, Any]:
        raise AssertionError("a GET has no body")

    async def send(_: Any) -> None:
        """Take it."""

    adapter = WSGIToASGI(app)

    def is_quiet() -> bool:
        return not adapter.statistics().workers_busy

    async def requests(count: int, *, looks: bool = False) -> None:
        for _ in range(count):
            scope = make_scope()
            if looks:
                look.begin(is_quiet)
            await adapter(scope, receive, send)
        _wait_until(is_quiet)

    async def main() -> Memory:
        await requests(_WARM_UP)
        with _small_heap():
            await requests(_LOOKS, looks=True)
            await requests(REQUESTS)
            before = sys.getallocatedblocks()
            await requests(REQUESTS)
            left = sys.getallocatedblocks() - before
            garbage = gc.collect()
        await adapter.drain()
        return Memory(int(statistics.median(look.more)), left, garbage)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main())


def to_wsgi() -> Memory:
    """Measure a GET of an ASGI application under a WSGI server."""
    look = _Look()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        look.take()
        await on_wsgi.hello(scope, receive, send)

    adapter = on_wsgi.make_adapter(app)

    def is_quiet() -> bool:
        return not adapter.statistics().background

    def requests(count: int, *, looks: bool = False) -> None:
        for _ in range(count):
            environ = make_environ()
            if looks:
                look.begin(is_quiet)
            on_wsgi.request(adapter, environ)
        _wait_until(is_quiet)

    try:
        requests(_WARM_UP)
        with _small_heap():
            requests(_LOOKS, looks=True)
            requests(REQUESTS)
            before = sys.getallocatedblocks()
            requests(REQUESTS)
            left = sys.getallocatedblocks() - before
            garbage = gc.collect()
    finally:
        adapter.shutdown()
    return Memory(int(statistics.median(look.more)), left, garbage)


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s, "the last request does not come to an end"
        time.sleep(0.001)


MEMORY: dict[str, Callable[[], Memory]] = {"to_asgi-hello": to_asgi, "to_wsgi-hello": to_wsgi}
"""By the names of scenarios."""
