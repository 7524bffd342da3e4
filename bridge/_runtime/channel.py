"""The two ways across: `Outflow` from a thread to a loop, `Inflow` from a loop to threads.

Both are bounded in bytes and in time, and both end in exactly one of three ways that are never confused: *ended*,
*gone* (closed with a reason, which is raised on the other side), or not yet.

Every shared variable is guarded by ``_lock``, held for a few instructions only. A thread that must wait does so on a
condition over that lock, made at the first wait: most requests never need one. Waits are cut into slices so that a
loop that has ended without a word is noticed too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

# Seconds between two looks at whether the loop is still there; only paid by a thread that waits.
_LOOK_EVERY_S = 0.25
_LOOKS_AT_A_STILL_LOOP = 4

ITEM_OVERHEAD_BYTES = 64
"""What an item costs besides its content, so that very small items are bounded too."""


class LoopLink(Protocol):
    """What a waiting thread asks of its channel's owner. Any thread."""

    def is_loop_running(self) -> bool:
        """Tell whether the loop still runs."""
        ...

    def loop_is_gone(self) -> Exception:
        """Make the exception for a thread whose loop has ended."""
        ...


class OutflowLink(LoopLink, Protocol):
    """What an outflow asks of its owner. Any thread."""

    def notify_soon(self) -> None:
        """Wake the loop's side at the end of the calling worker's job, or earlier."""
        ...

    def notify(self) -> None:
        """Wake the loop's side."""
        ...


class InflowLink(LoopLink, Protocol):
    """What an inflow asks of its owner. Any thread."""

    def ask(self) -> None:
        """Ask the loop's side for one more piece."""
        ...

    def body_is_late(self) -> Exception:
        """Make the exception for a thread that has waited too long for a piece."""
        ...


class _NoLink:
    """The link of a channel whose request is over."""

    def notify(self) -> None:
        pass

    def notify_soon(self) -> None:
        pass

    def ask(self) -> None:
        pass

    def is_loop_running(self) -> bool:
        return True

    def loop_is_gone(self) -> Exception:
        return RuntimeError("the request is over")

    def body_is_late(self) -> Exception:
        return RuntimeError("the request is over")


_NO_LINK = _NoLink()


def _wait(condition: threading.Condition, link: LoopLink, is_over: Callable[[], bool], timeout_s: float | None) -> bool:
    """Wait until ``is_over()``; return False when the time is up. The condition's lock is held.

    Raises:
        Exception: what the link makes of a loop that has ended.
    """
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    looks_left = _LOOKS_AT_A_STILL_LOOP
    while not is_over():
        left_s = _LOOK_EVERY_S if deadline_s is None else min(_LOOK_EVERY_S, deadline_s - time.monotonic())
        if left_s <= 0:
            return False
        if condition.wait(left_s) or is_over():
            continue
        # A loop may be between two runs; one that is still at several looks has ended without a word.
        looks_left = _LOOKS_AT_A_STILL_LOOP if link.is_loop_running() else looks_left - 1
        if not looks_left:
            raise link.loop_is_gone()
    return True


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
                in_time = _wait(self._condition, self._link, lambda: self.reason is not None or is_over(), timeout_s)
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
        self._link = _NO_LINK

    def take_error(self) -> BaseException | None:
        """Return what `finish` was told, once: it is kept no longer than needed. Loop side."""
        error, self._error = self._error, None
        return error

    @property
    def is_finished(self) -> bool:
        """Whether the thread side has finished."""
        return self._is_finished


class Inflow:
    """Octets from a loop to threads, asked for while no more than ``low_water_bytes`` are there.

    With 0, the default, the loop side is at most one piece ahead of the reader.

    Args:
        timeout_s: how long a thread waits without an octet.
        link: the owner; its ``ask`` is called by the thread side, at most once until enough came.
        low_water_bytes: how many octets are still there when more is asked for.
    """

    __slots__ = (
        "_condition",
        "_has_asked",
        "_held_bytes",
        "_is_ended",
        "_link",
        "_lock",
        "_low_water_bytes",
        "_pieces",
        "_position",
        "_reason",
        "_timeout_s",
    )

    def __init__(self, timeout_s: float | None, link: InflowLink, low_water_bytes: int = 0) -> None:
        self._lock = threading.Lock()
        self._low_water_bytes = low_water_bytes
        self._held_bytes = 0
        self._condition = threading.Condition(self._lock)
        self._pieces: deque[bytes] = deque()
        self._position = 0
        self._is_ended = False
        self._has_asked = False
        self._reason: Exception | None = None
        self._timeout_s = timeout_s
        self._link: InflowLink = link

    # ---- Thread side (several threads are served in turn) ------------------------------------------------------

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` with what is there, waiting for a first octet; return 0 at the end. Thread side.

        Raises:
            Exception: the reason, once the octets that came before it have been read; or the time is up.
        """
        if not len(buffer):
            return 0
        while True:
            with self._lock:
                if self._pieces:
                    count = self._copy(buffer)
                    # Ahead of need: the loop fetches while the application works on these.
                    asks = self._held_bytes <= self._low_water_bytes and self._claim_ask()
                    break
                if self._is_ended:
                    return 0
                if self._reason is not None:
                    raise self._reason
                asks = self._claim_ask()
                if not asks and not _wait(self._condition, self._link, self._has_news, self._timeout_s):
                    raise self._link.body_is_late()
                count = 0
            if asks:
                self._link.ask()
        if asks:
            with suppress(Exception):  # the octets are there; the next read finds out why no more will come
                self._link.ask()
        return count

    def _has_news(self) -> bool:
        return bool(self._pieces) or self._is_ended or self._reason is not None

    def _claim_ask(self) -> bool:
        if self._has_asked or self._is_ended or self._reason is not None:
            return False
        self._has_asked = True
        return True

    def _copy(self, buffer: memoryview) -> int:
        piece = self._pieces[0]
        start = self._position
        count = min(len(buffer), len(piece) - start)
        buffer[:count] = memoryview(piece)[start : start + count]
        self._held_bytes -= count
        if start + count == len(piece):
            self._pieces.popleft()
            self._position = 0
        else:
            self._position = start + count
        return count

    # ---- Loop side --------------------------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """Hand one piece over, which must not be empty. Loop side."""
        with self._lock:
            self._pieces.append(piece)
            self._held_bytes += len(piece)
            if self._held_bytes > self._low_water_bytes:
                self._has_asked = False
            self._condition.notify_all()

    def end(self) -> None:
        """Say that the octets are complete. Loop side."""
        with self._lock:
            self._is_ended = True
            self._condition.notify_all()

    def close(self, reason: Exception) -> None:
        """Say that no octet will come any more: reads raise ``reason`` after what is there. Loop side."""
        with self._lock:
            if self._reason is None and not self._is_ended:
                self._reason = reason
            self._condition.notify_all()

    def detach(self) -> None:
        """Let go of the owner: nothing will be asked for any more. Loop side, at the very end."""
        self._link = _NO_LINK

    @property
    def held_bytes(self) -> int:
        """Octets that wait to be read. Any thread."""
        return self._held_bytes
