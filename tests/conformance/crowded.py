"""Requests whose workers are wanted elsewhere: what makes the bridge put responses of slow clients into files."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from bridge import Limits, WSGIToASGI
from tests.conformance.driver import TEXT, Driver, block, make_scope, run, until
from tests.leaks import open_descriptors

HIGH_BYTES = 1000
"""How much of a response may be in memory here."""

BLOCKS = [bytes([65 + number % 26]) * 700 for number in range(40)]
"""A response that is more than that."""

Steps = Callable[[WSGIToASGI], Awaitable[object]]


def scarce(**others: Any) -> Limits:
    """Limits with one worker and little memory: the second request waits for the first one's worker."""
    return Limits(**{"workers": 1, "response_memory_bytes": HIGH_BYTES, **others})


class Crowded:
    """A WSGI application that begins its response when somebody waits for its worker; ``/other`` is that somebody."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.entered = threading.Event()
        self.is_crowded = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/other":
            start_response("200 OK", list(TEXT))
            return [b"other"]
        self.entered.set()
        block(self.is_crowded)
        return self.app(environ, start_response)


async def call_crowded(adapter: WSGIToASGI, app: Crowded, driver: Driver, steps: Steps) -> None:
    """Serve one request while another waits for its worker; ``steps`` play the client. Nothing is left in files."""
    other = Driver(make_scope(path="/other"))
    before = nameless_files()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(driver.call, adapter)
        await until(app.entered.is_set)
        tasks.start_soon(other.call, adapter)
        await until(lambda: adapter.statistics().waiting)
        app.is_crowded.set()
        await steps(adapter)
    assert other.body == b"other"
    # Files that were not sent to their end are closed on a thread, after the request.
    await until(lambda: adapter.statistics().bytes_spooled == 0)
    await until(lambda: nameless_files() == before)


def serve_crowded(
    app: Callable[..., Any],
    driver: Driver,
    steps: Steps,
    *,
    backend: str = "asyncio",
    limits: Limits | None = None,
    **options: Any,
) -> None:
    """The same with an adapter of its own, on a new event loop."""
    crowded = Crowded(app)
    adapter = WSGIToASGI(crowded, limits=limits or scarce(), **options)

    async def main() -> None:
        await call_crowded(adapter, crowded, driver, steps)
        assert adapter.statistics().requests == 0
        await adapter.drain()

    run(functools.partial(main), backend)


async def spooled(adapter: WSGIToASGI) -> None:
    """Wait until something of a response is in a file and its worker is free for others."""
    await until(lambda: adapter.statistics().bytes_spooled)


def held_from(*numbers: int) -> Driver:
    """A client that takes nothing from these events on."""
    return Driver(hold_at=set(numbers))


def taking_all(driver: Driver) -> Steps:
    """Steps: wait until the response is in a file, and then take everything."""

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        driver.release(*driver.hold_at)

    return steps


def nameless_files() -> int:
    """How many open files of this process no name leads to."""
    return sum(target.endswith("(deleted)") for target in open_descriptors().values())


def paths_open(path: str | os.PathLike[str]) -> int:
    """How many descriptors lead to this file, whether it has been deleted or not."""
    name = os.fspath(path)
    return sum(target.removesuffix(" (deleted)") == name for target in open_descriptors().values())
