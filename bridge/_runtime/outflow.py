"""`Outflow`: items from a thread to a loop, with backpressure. What holds for both channels is in `links`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from bridge._runtime.links import NO_LINK, OutflowLink, Place, wait

T = TypeVar("T")

# How many times as often a thread looks around that may be needed elsewhere: each 50 ms.
_SLICES_IF_NEEDED = 5

ITEM_OVERHEAD_BYTES = 64
"""What an item costs besides its content, so that very small items are bounded too."""


def _size_bytes(item: object) -> int:
    return (len(item) if isinstance(item, bytes) else 0) + ITEM_OVERHEAD_BYTES


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
    _last: tuple[T, ...] = ()  # what came with the end; written before the flag that says so
    reports = 0
    """How often something was reported as sent: while it stands still, nothing goes out."""
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

    @property
    def is_full(self) -> bool:
        """Whether too much is unsent; a quick look, which errs by one item at the most. Thread side."""
        return self._held_bytes > self._high_water_bytes

    @property
    def has_items(self) -> bool:
        """Whether there is something to take; if not, the loop side is woken by the next item. Loop side."""
        return bool(self._items) or (self._is_finished and bool(self._last))

    # ---- Thread side ------------------------------------------------------------------------------------------

    def put(self, items: tuple[T, ...], size_bytes: int) -> None:
        """Hand items over; never blocks. Thread side.

        Raises:
            Exception: the reason, if the loop side has closed.
            RuntimeError: after `finish`.
        """
        if self._append(items, size_bytes):
            self._link.notify()

    def put_last(self, items: tuple[T, ...], size_bytes: int) -> None:
        """Hand items over after which none will come, as `put` does; the calling thread will soon finish. Thread side.

        Raises:
            Exception: as of `put`.
        """
        if self._append(items, size_bytes):
            self._link.notify_shortly()

    def _append(self, items: tuple[T, ...], size_bytes: int) -> bool:
        """Hand items over; return whether the loop side has to be told."""
        with self._lock:
            if self.reason is not None:
                raise self.reason
            if self._is_finished:
                raise RuntimeError("the exchange is over: nothing can be sent any more")
            self._items.extend(items)
            self._held_bytes += size_bytes + ITEM_OVERHEAD_BYTES * len(items)
            is_first, self._is_notified = not self._is_notified, True
            return is_first

    def withdraw(self) -> list[T]:
        """Take the octets back that come last and were not taken yet, in their order. Thread side."""
        with self._lock:
            items = self._items
            start = len(items)
            while start and type(items[start - 1]) is bytes:
                start -= 1
            withdrawn = items[start:]
            del items[start:]
            self._held_bytes -= sum(map(_size_bytes, withdrawn))
            if not items:  # the loop side finds nothing now, and waits: the next item has to wake it
                self._is_notified = self._is_finished
        return withdrawn

    def has_room_within(self, timeout_s: float) -> bool:
        """Block until less is unsent, for no longer than that; return whether there is room. Thread side.

        Raises:
            Exception: the reason, if the loop side has closed.
        """
        with self._lock:
            return self._wait_once(self._is_half_empty, timeout_s, None)

    def wait_for_room(
        self, timeout_s: float | None, place: Place | None = None, is_needed: Callable[[], bool] = bool
    ) -> bool:
        """Block while too much is unsent; return False when no octet went out for so long. Thread side.

        Args:
            timeout_s: how long.
            place: where the thread steps aside meanwhile.
            is_needed: asked now and then; the wait is over, and False returned, when it says True.

        Raises:
            Exception: the reason, if the loop side has closed.
        """
        if not self.is_full and self.reason is None:
            return True
        slices = 1 if is_needed is bool else _SLICES_IF_NEEDED
        in_time = self._wait(lambda: is_needed() or self._is_half_empty(), timeout_s, place, slices)
        return in_time and self._is_half_empty()

    def wait_until_sent(self, timeout_s: float | None, place: Place | None = None) -> bool:
        """Block until everything put has been sent; return False when no octet went out for so long. Thread side.

        Raises:
            Exception: the reason, if the loop side has closed.
        """
        return self._wait(lambda: self._held_bytes == 0, timeout_s, place)

    def _is_half_empty(self) -> bool:
        return self._held_bytes <= self._high_water_bytes // 2

    def _wait(self, is_over: Callable[[], bool], timeout_s: float | None, place: Place | None, slices: int = 1) -> bool:
        """Wait; as long as something goes out, the time starts anew."""
        with self._lock:
            while True:
                before = self.reports
                in_time = self._wait_once(is_over, timeout_s, place, slices)
                if in_time or self.reports == before:
                    return in_time

    def _wait_once(
        self, is_over: Callable[[], bool], timeout_s: float | None, place: Place | None, slices: int = 1
    ) -> bool:
        """Wait with the lock held."""
        if self._condition is None:
            self._condition = threading.Condition(self._lock)

        def may_go_on() -> bool:
            return self.reason is not None or is_over()

        in_time = wait(self._condition, self._link, may_go_on, timeout_s, place, slices)
        if self.reason is not None:
            raise self.reason
        return in_time

    def finish(self, error: BaseException | None = None, items: tuple[T, ...] = ()) -> None:
        """Hand the last items over and say how it went. Thread side, once, as the last act of its job.

        Never raises the reason. An ordinary request, for which nothing was put before, does without the lock, which
        would cost it more than all the rest here: the flag is written last, so whoever sees it sees the others.
        """
        self._last = items
        self._error = error
        if self._items:
            with self._lock:
                self._is_finished = True
                if self._items:  # the loop side has been told, and has yet to look
                    return
        else:
            self._is_finished = True
        self._link.notify_soon()

    # ---- Loop side --------------------------------------------------------------------------------------------

    def all_at_once(self) -> Sequence[T]:
        """Return all items there are if the thread side has finished, and take none; else nothing. Loop side."""
        if not self._is_finished or self.reason is not None:
            return ()
        if self._items and self._last:
            return (*self._items, *self._last)
        return self._last or self._items

    def take(self) -> tuple[list[T], bool]:
        """Return all items there are, and whether the thread side has finished. Loop side; never blocks."""
        with self._lock:
            is_finished = self._is_finished  # first: what is put before it is there then
            items, self._items = self._items, []
            self._is_notified = is_finished  # after the end there is nothing to be told
            if is_finished:
                self._take_last(items)
            return items, is_finished

    def take_some(self, most_bytes: int) -> tuple[list[T], bool]:
        """Return the first items, of about that size, and whether they were the last of all. Loop side; never blocks.

        What is left can still be withdrawn. Look at `has_items` before waiting: nobody wakes the loop side for them.
        """
        if self._held_bytes <= most_bytes:
            return self.take()
        with self._lock:
            count = size_bytes = 0
            is_finished = self._is_finished
            while count < len(self._items) and size_bytes < most_bytes:
                size_bytes += _size_bytes(self._items[count])
                count += 1
            items, self._items = self._items[:count], self._items[count:]
            is_last = is_finished and not self._items
            self._is_notified = bool(self._items) or is_finished
            if is_last:
                self._take_last(items)
            return items, is_last

    def _take_last(self, items: list[T]) -> None:
        if self.reason is None:
            items.extend(self._last)
        self._last = ()

    def sent(self, count: int, size_bytes: int) -> None:
        """Report that many items, of that size together, as sent. Loop side."""
        with self._lock:
            self.reports += 1
            if self.reason is None:  # closing has forgotten them already
                self._held_bytes -= size_bytes + ITEM_OVERHEAD_BYTES * count
                # Not for each block, to find too little room and wait again: 190 switches to it for 64 MiB
                # in blocks of 64 KiB, instead of 310.
                if self._condition is not None and self._is_half_empty():
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
