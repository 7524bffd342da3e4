"""The way into an asyncio loop (or uvloop) of our own, woken over an eventfd.

``call_soon_threadsafe`` does for any loop what has to be done for one's own in a shorter way. Uvloop's writes while the
interpreter's lock is held, so the loop's thread wakes, waits for the lock, and wakes again; then it takes the lock once
to see that there is something and once to do it. Asyncio's reads its socketpair until that is empty, by an exception.
With one request thread on one processor, to the loop and back takes 15 us instead of 27 with uvloop, and 19 instead of
25 with asyncio; with many threads the gates decide (`bridge._runtime.descriptor_gates`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from bridge._runtime.gates import is_eventlet_patched, is_gevent_patched
from bridge._runtime.loops import AsyncioPort, LoopGoneError


class _Eventfd:
    """An eventfd that is closed with the last reference to it: its number may be somebody else's a moment later."""

    number = -1

    def __init__(self) -> None:
        self.number = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.number >= 0:
            close(self.number)  # bound above: at the end of the interpreter modules are empty


class OwnLoopPort(AsyncioPort):
    """`LoopPort` for a loop of our own. Made and closed on the loop.

    Raises:
        OSError: no descriptor is left.
    """

    __slots__ = ("_bell", "_is_in_line")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        bell = _Eventfd()
        self._bell: _Eventfd | None = bell
        # What a thread posts comes after what was ready before: the first step of a task, for one. Asyncio lines its
        # readers up with all the rest; uvloop calls them at once.
        self._is_in_line = isinstance(loop, asyncio.SelectorEventLoop)
        loop.add_reader(bell.number, self._hear, bell.number)

    def _hear(self, descriptor: int) -> None:
        with suppress(BlockingIOError):  # nothing there: whoever reads it elsewhere is wrong, but the loop goes on
            os.eventfd_read(descriptor)
        # After that: a ring that comes while it works is for the next turn.
        if self._is_in_line:
            self._deliver()
        else:
            self._loop.call_soon(self._deliver)

    def flush(self) -> None:
        bell = self._bell  # held until it has been written to
        if bell is None:
            self._callbacks.clear()
            raise LoopGoneError("the event loop is closed")
        if not self._is_scheduled:
            self._is_scheduled = True
            try:
                os.eventfd_write(bell.number, 1)
            except BaseException:  # of a signal: else nobody would be woken any more
                self._is_scheduled = False
                raise

    def close(self) -> None:
        """Take no more callbacks: the loop is about to be closed."""
        if self._bell is not None:
            self._loop.remove_reader(self._bell.number)
            self._bell = None


def own_port(loop: asyncio.AbstractEventLoop) -> AsyncioPort:
    """Return the way into a running loop of our own; the ordinary one where there is no eventfd (it is Linux).

    And where something is put into the place of threads: who calls is in a hub then, which has its own ways to wait.
    """
    if hasattr(os, "eventfd") and not (is_gevent_patched() or is_eventlet_patched()):
        with suppress(OSError):
            return OwnLoopPort(loop)
    return AsyncioPort(loop)
