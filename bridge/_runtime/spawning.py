"""Tasks on a loop of our own, and its clean end: what differs between asyncio and trio there. Loop thread."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import logging
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from contextlib import suppress
from contextvars import Context, ContextVar
from types import FrameType
from typing import Any, Protocol

logger = logging.getLogger("bridge.portal")

_CLEAN_UP_S = 2.0
"""Seconds for each step of closing the loop: left-over tasks, generators, the default executor."""


class Work(Protocol):
    """A running task."""

    def cancel(self) -> object:
        """Cancel it. Loop thread."""
        ...

    def get_coro(self) -> Any:
        """Return the coroutine that it runs; None if it has not begun."""
        ...


def where(work: Work) -> str:
    """Return where a task waits, from its coroutine down to the innermost, formatted like a traceback. Any thread.

    Empty if it does not wait: it runs, or has ended. From another thread than the loop's it is a look at what may move.
    """
    frames = list(_frames_of(work.get_coro()))
    return "".join(traceback.StackSummary.extract((frame, frame.f_lineno or 0) for frame in frames).format())


def _frames_of(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine and of what it awaits: coroutines, generators, and then a future."""
    while awaited is not None:
        for kind, following in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                if getattr(awaited, f"{kind}_running", False):
                    return
                yield frame
                awaited = getattr(awaited, following, None)
                break
        else:
            return


class _WorkOfTrio:
    """A task of trio's: what cancels it, and its coroutine."""

    __slots__ = ("_limit", "coroutine")

    def __init__(self, limit: Any) -> None:
        self._limit = limit
        self.coroutine: Any = None

    def cancel(self) -> object:
        return self._limit.cancel()

    def get_coro(self) -> Any:
        return self.coroutine


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
        work = _WorkOfTrio(limit)

        async def guarded() -> None:
            with limit:
                try:
                    work.coroutine = coroutine = function()
                    await coroutine
                except Exception:  # alone: the nursery would end everything else with it
                    logger.exception("work in %s has failed", trio.__name__)

        context.run(nursery.start_soon, guarded)  # trio copies the context of whoever starts a task
        return work

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

    def is_alive(self) -> bool:
        """Tell whether any of the threads still runs. Any thread."""
        return any(thread.is_alive() for thread in tuple(self._threads))

    def give_up(self) -> None:
        """Let the process end without the threads, however long they take. Any thread.

        They are daemons, like the loop's thread that starts them; but the exit hook of ``concurrent.futures`` joins all
        that it knows of, without a limit.
        """
        known: MutableMapping[Any, Any] = getattr(concurrent.futures.thread, "_threads_queues", {})
        for thread in tuple(self._threads):
            known.pop(thread, None)


async def _shut(executor: BoundedExecutor) -> None:
    """Wait for the executor's threads, but not for ever: asyncio's own way joins them however long they take."""
    executor.shutdown(wait=False)
    deadline_s = time.monotonic() + _CLEAN_UP_S
    while executor.is_alive() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.002)
    if executor.is_alive():
        logger.error("a thread of the event loop's default executor is still busy; it is given up")
        executor.give_up()
