"""Tasks on a loop of our own, and its clean end: what differs between asyncio and trio there. Loop thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any, Protocol

logger = logging.getLogger("bridge.portal")

_CLEAN_UP_S = 2.0
"""Seconds for each step of closing the loop: left-over tasks, generators, the default executor."""


class Work(Protocol):
    """A running task."""

    def cancel(self) -> object:
        """Cancel it. Loop thread."""
        ...


def _forget_other_loop(context: Context) -> None:
    """Take out of a context what sniffio was told of the loop in whose thread it was copied."""
    library: ContextVar[str | None] | None = getattr(sys.modules.get("sniffio"), "current_async_library_cvar", None)
    if library is not None and context.get(library) is not None:
        context.run(library.set, None)


def asyncio_spawner(loop: asyncio.AbstractEventLoop) -> Callable[..., Work]:
    """Return what runs a coroutine function as a task, in a context, on the running loop."""
    if sys.version_info >= (3, 12):

        def spawn_eagerly(function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> Work:
            _forget_other_loop(context)
            # The first step runs here and now: work that never waits is done without a turn of the loop.
            return asyncio.Task(function(), loop=loop, context=context, eager_start=True)

        return spawn_eagerly

    def spawn(function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> Work:
        _forget_other_loop(context)
        return loop.create_task(function(), context=context)

    return spawn


def trio_spawner(trio: Any, nursery: Any) -> Callable[..., Work]:
    """Return what runs a coroutine function as a task, in a context, in the nursery; it fails alone."""

    def spawn(function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> Work:
        limit = trio.CancelScope()

        async def guarded() -> None:
            with limit:
                try:
                    await function()
                except Exception:  # alone: the nursery would end everything else with it
                    logger.exception("work in %s has failed", trio.__name__)

        context.run(nursery.start_soon, guarded)  # trio copies the context of whoever starts a task
        return limit  # type: ignore[no-any-return]  # a CancelScope

    return spawn


async def clean_up_asyncio(loop: asyncio.AbstractEventLoop, executor: BoundedExecutor) -> None:
    """Leave nothing pending on the loop, as far as that can be had within limits."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=_CLEAN_UP_S)
        for task in left:
            logger.error("%s ignores that it was cancelled; it is given up", repr(task))
    with suppress(TimeoutError):
        await asyncio.wait_for(loop.shutdown_asyncgens(), _CLEAN_UP_S)
    if executor.is_used:
        await _shut(executor)


class BoundedExecutor(concurrent.futures.ThreadPoolExecutor):
    """The loop's default executor: like asyncio's own, but it can be ended within a time."""

    is_used = False  # set by whoever submits, never taken back

    def submit(self, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        self.is_used = True
        return super().submit(*args, **kwargs)


async def _shut(executor: BoundedExecutor) -> None:
    """Wait for the executor's threads, but not for ever: asyncio's own way joins them however long they take."""
    joiner = threading.Thread(target=executor.shutdown, name="bridge-loop-end", daemon=True)
    try:
        joiner.start()
    except RuntimeError:  # the interpreter starts no thread any more
        executor.shutdown(wait=False)
        return
    deadline_s = time.monotonic() + _CLEAN_UP_S
    while joiner.is_alive() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.002)
    if joiner.is_alive():
        logger.error("a thread of the event loop's default executor is still busy; it is given up")
    else:
        joiner.join()
