"""`Outflow`: items from a thread to a loop, with backpressure. What holds for both channels is in `links`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from bridge._runtime.links import NO_LINK, OutflowLink, wait

T = TypeVar("T")

ITEM_OVERHEAD_BYTES = 64
"""What an item costs besides its content, so that very small items are bounded too."""


class Outflow(Generic[T]):
    """Items from one thread to one loop, with backpressure counted in bytes.

    Args:
        high_water_bytes: `wait_for_room` blocks while more than this is unsent.
        link: the owner; its ``notify`` is called by the thread side at most once until the loop side has taken.
    """

    # Defaults on the class: an ordinary request changes few of them, and making this object is on its path.
    _condition: threading.Condition | None = None
    _error: BaseException | None = None
    _held_bytes = 0
    _is_finished = False
    _is_notified = False
    reason: Exception | None = None
    """Why nothing more is taken, or None."""

    def __init__(self, high_water_bytes: int, link: OutflowLink) -> None:
        self._lock = threading.Lock()
        self._items: list[T] = []
        self._high_water_bytes = high_water_bytes
        self._link: OutflowLink = link

    @property
    def held_bytes(self) -> int:
        """Bytes put and not yet reported as sent. Any thread."""
        return self._held_bytes

    # ---- Thread side ------------------------------------------------------------------------------------------

    def put(self, items: tuple[T, ...], size_bytes: int) -> None:
        """Hand items over; never blocks. Thread side.

        Raises:
            Exception: the reason, if the loop side has closed.
            RuntimeError: after `finish`.
        """
        with self._lock:
            if self.reason is not None:
                raise self.reason
            if self._is_finished:
                raise RuntimeError("the exchange is over: nothing can be sent any more")
            self._items.extend(items)
            self._held_bytes += size_bytes + ITEM_OVERHEAD_BYTES * len(items)
            is_first, self._is_notified = not self._is_notified, True
        if is_first:
            self._link.notify()

    def wait_for_room(self, timeout_s: float | None) -> bool:
        """Block while too much is unsent; return False when the time is up. Thread side.

        Raises:
            Exception: the reason, if the loop side has closed.
        """
        if (
            self._held_bytes <= self._high_water_bytes and self.reason is None
        ):  # a stale look errs by one item at the most
            return True
        half_bytes = self._high_water_bytes // 2
        return self._wait(lambda: self._held_bytes <= half_bytes, timeout_s)

    def wait_until_sent(self, timeout_s: float | None) -> bool:
        """Block until everything put has been sent; return False when the time is up. Thread side.

        Raises:
            Exception: the reason, if the loop side has closed.
        """
        return self._wait(lambda: self._held_bytes == 0, timeout_s)

    def _wait(self, is_over: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait; as long as bytes go out, the time starts anew."""
        with self._lock:
            if self._condition is None:
                self._condition = threading.Condition(self._lock)
            while True:
                before_bytes = self._held_bytes
                in_time = wait(self._condition, self._link, lambda: self.reason is not None or is_over(), timeout_s)
                if self.reason is not None:
                    raise self.reason
                if in_time or self._held_bytes == before_bytes:
                    return in_time

    def finish(self, error: BaseException | None = None, items: tuple[T, ...] = ()) -> None:
        """Hand the last items over and say how it went. Thread side, once, as the last act of its job.

        Never raises the reason.
        """
        with self._lock:
            if items and self.reason is None:
                self._items.extend(items)
            self._error = error
            self._is_finished = True
            is_first, self._is_notified = not self._is_notified, True
        if is_first:
            self._link.notify_soon()

    # ---- Loop side --------------------------------------------------------------------------------------------

    def take(self) -> tuple[list[T], bool]:
        """Return all items there are, and whether the thread side has finished. Loop side; never blocks."""
        with self._lock:
            items, self._items = self._items, []
            self._is_notified = self._is_finished  # after the end there is nothing to be told
            return items, self._is_finished

    def sent(self, count: int, size_bytes: int) -> None:
        """Report that many items, of that size together, as sent. Loop side."""
        with self._lock:
            if self.reason is None:  # closing has forgotten them already
                self._held_bytes -= size_bytes + ITEM_OVERHEAD_BYTES * count
                if self._condition is not None:
                    self._condition.notify_all()

    def close(self, reason: Exception) -> None:
        """Take nothing more: whoever puts or waits gets ``reason``. The first reason stays. Loop side."""
        with self._lock:
            if self.reason is None:
                self.reason = reason
                self._items.clear()
                self._held_bytes = 0
            if self._condition is not None:
                self._condition.notify_all()

    def detach(self) -> None:
        """Let go of the owner: nothing will be notified any more. Loop side, at the very end."""
        self._link = NO_LINK

    def take_error(self) -> BaseException | None:
        """Return what `finish` was told, once: it is kept no longer than needed. Loop side."""
        error, self._error = self._error, None
        return error

    @property
    def is_finished(self) -> bool:
        """Whether the thread side has finished."""
        return self._is_finished
