"""What differs between asyncio (and uvloop) and trio, and nothing else.

A `LoopPort` is the way from any thread into one running event loop. Its callbacks are collected in one deque, and the
loop is woken once for as many as are there by the time it runs: a burst of finished requests costs one wake-up.

Why no wake-up is lost: `post` appends first and looks at the flag second; `_deliver` clears the flag first and takes
what the deque holds second. Whoever finds the flag set can rely on a delivery that has yet to look at the deque;
whoever appends after that look found the flag down, and has scheduled the next delivery.

No lock is needed for that, with the GIL or without: a deque appends and pops in one atomic step, and so is the flag
written. Two threads that both find it down schedule two deliveries, of which one finds nothing. Only the loop takes
callbacks, or, once it is closed, whoever finds that out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import trio


logger = logging.getLogger("bridge.loops")


class LoopGoneError(RuntimeError):
    """The event loop has ended; nothing will run on it any more."""


class Signal(Protocol):
    """A flag that one coroutine waits for. Loop thread only.

    A waiter that is cancelled may take a wake-up with it: look at what the signal stands for before waiting again.
    """

    def set(self) -> None:
        """Raise the flag and wake the waiter."""
        ...

    def wait(self) -> Awaitable[None]:
        """Wait until the flag is up, and lower it; to be awaited at once."""
        ...


class LoopPort(Protocol):
    """The way into one running event loop.

    Attributes:
        is_watched: a note of whoever uses the port, that a timer of its own is running. Loop thread only.
    """

    is_watched: bool

    def post(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the loop, soon and in order. Any thread.

        Raises:
            LoopGoneError: the loop has ended.
        """
        ...

    def add(self, callback: Callable[[], None]) -> None:
        """Put ``callback`` with the others, for the next `flush` or `post`. Any thread."""
        ...

    def flush(self) -> None:
        """Wake the loop for what was added. Any thread.

        Raises:
            LoopGoneError: the loop has ended.
        """
        ...

    def is_running(self) -> bool:
        """Tell whether the loop still runs callbacks. Any thread."""
        ...

    def is_current(self) -> bool:
        """Tell whether the caller runs on this loop, in the process in which the loop was started."""
        ...

    def new_signal(self) -> Signal:
        """Make a `Signal`. Loop thread."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the loop after a while, unless it has ended by then. Loop thread."""
        ...


class _Ready:
    """An awaitable that does not wait."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_READY = _Ready()


class AsyncioSignal:
    """`Signal` over one future, awaited without a coroutine in between: every request waits once."""

    _future: asyncio.Future[None] | None = None
    _is_set = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def set(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)
        else:
            self._is_set = True

    def wait(self) -> Awaitable[None]:
        if self._is_set:
            self._is_set = False
            return _READY
        self._future = future = self._loop.create_future()
        return future


class AsyncioPort:
    """`LoopPort` for asyncio and loops that keep its contract (uvloop)."""

    __slots__ = ("_callbacks", "_is_scheduled", "_loop", "is_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_watched = False
        self._loop = loop
        self._callbacks: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def add(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def post(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
        self.flush()

    def flush(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except BaseException as error:  # also that of a signal: else nobody would be woken any more
                self._is_scheduled = False  # the next one is to be told, too
                if not isinstance(error, RuntimeError):
                    raise
                self._callbacks.clear()
                raise LoopGoneError("the event loop is closed") from error
        elif self._loop.is_closed():  # and the last delivery was scheduled too late to be made
            self._callbacks.clear()
            raise LoopGoneError("the event loop is closed")

    def _deliver(self) -> None:
        self._is_scheduled = False
        callbacks = self._callbacks
        for _ in range(len(callbacks)):  # what these post themselves is for the next turn of the loop
            try:
                callbacks.popleft()()
            except Exception:  # those behind it are not to wait for the next wake-up
                logger.exception("a callback has failed")

    def is_running(self) -> bool:
        return self._loop.is_running()

    def is_current(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop  # which asks for the process, too
        except RuntimeError:
            return False

    def new_signal(self) -> Signal:
        return AsyncioSignal(self._loop)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        # A context of its own: that of the request that starts the timer would be kept, by each timer after it, too.
        self._loop.call_later(delay_s, callback, context=Context())


class TrioSignal:
    """`Signal` over `trio.Event`."""

    __slots__ = ("_event", "_new_event")

    def __init__(self, new_event: Callable[[], trio.Event]) -> None:
        self._new_event = new_event
        self._event = new_event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        event = self._event
        await event.wait()
        if self._event is event:  # else another waiter has been quicker, and what it renewed may have been set since
            self._event = self._new_event()


class TrioPort:
    """`LoopPort` for trio."""

    __slots__ = ("_callbacks", "_gone", "_lowlevel", "_new_event", "_pid", "_sleep", "_token", "is_watched")

    def __init__(self, trio_module: Any) -> None:
        self.is_watched = False
        self._pid = os.getpid()
        self._sleep: Callable[[float], Awaitable[None]] = trio_module.sleep
        self._new_event: Callable[[], trio.Event] = trio_module.Event
        self._lowlevel: Any = trio_module.lowlevel
        self._gone: type[Exception] = trio_module.RunFinishedError
        self._token: trio.lowlevel.TrioToken = self._lowlevel.current_trio_token()
        self._callbacks: deque[Callable[[], None]] = deque()

    def add(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def post(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
        self.flush()

    def flush(self) -> None:
        try:
            self._token.run_sync_soon(self._deliver, idempotent=True)
        except self._gone as error:
            self._callbacks.clear()
            raise LoopGoneError("the trio run is over") from error

    def _deliver(self) -> None:
        callbacks = self._callbacks
        for _ in range(len(callbacks)):
            try:
                callbacks.popleft()()
            except Exception:
                logger.exception("a callback has failed")

    def is_running(self) -> bool:
        try:
            self._token.run_sync_soon(_nothing, idempotent=True)
        except self._gone:
            return False
        return True

    def is_current(self) -> bool:
        try:
            return bool(self._lowlevel.current_trio_token() is self._token) and os.getpid() == self._pid
        except RuntimeError:
            return False

    def new_signal(self) -> Signal:
        return TrioSignal(self._new_event)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        async def wait() -> None:
            await self._sleep(delay_s)
            try:
                callback()
            except Exception:  # it would end the whole trio run
                logger.exception("a callback has failed")

        self._lowlevel.spawn_system_task(wait)  # ends with the run, if that is earlier


def _nothing() -> None:
    """Do nothing, on the loop: only a running loop takes it."""


def current_port() -> LoopPort:
    """Make a port to the event loop that runs the caller. Loop thread.

    Raises:
        RuntimeError: neither asyncio nor trio is running here.
    """
    trio_module = sys.modules.get("trio")
    # trio first: as a guest it runs on top of an asyncio loop.
    if trio_module is not None and trio_module.lowlevel.in_trio_run():
        return TrioPort(trio_module)
    try:
        return AsyncioPort(asyncio.get_running_loop())
    except RuntimeError:
        raise RuntimeError("bridge runs on asyncio (also uvloop) and trio; neither is running in this thread") from None
