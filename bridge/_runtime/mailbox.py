"""`Mailbox`: messages from a loop to threads, bounded in bytes. What holds for all channels is in `links`."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from bridge._runtime.links import LoopLink, wait_for_waker
from bridge._runtime.wakers import Waker, new_waker

T = TypeVar("T")

MESSAGE_OVERHEAD_BYTES = 256
"""What a message costs besides its content, about, so that empty ones are bounded too: the objects around it (an ASGI
event, a tuple, two numbers, the head of the text itself) take 150 to 350 bytes."""


class Mailbox(Generic[T]):
    """Messages from one loop to any number of threads, each message to one of them, in order.

    ``_lock`` guards all that changes; `held_bytes` and `is_full` are looks at one variable without it. Whoever takes a
    waker out of ``_waiting``, other than the thread that waits for it, owes it one `Waker.release`.

    Args:
        high_water_bytes: `put` says that it is full while more than this is there.
        link: asked whether the loop still runs, while a thread waits.
        on_room: called, by the thread that took a message, when it is no longer full.
    """

    def __init__(self, high_water_bytes: int, link: LoopLink, on_room: Callable[[], None]) -> None:
        # A condition would wake a thread that then waits for the lock of the one that has woken it; and again.
        self._lock = threading.Lock()
        self._waiting: deque[Waker] = deque()
        self._spare: Waker | None = None
        self._messages: deque[tuple[T, int]] = deque()
        self._high_water_bytes = high_water_bytes
        self._held_bytes = 0
        self._is_full = False
        self._reason: Exception | None = None
        self._link = link
        self._on_room = on_room

    @property
    def held_bytes(self) -> int:
        """Bytes that wait to be taken. Any thread."""
        return self._held_bytes

    @property
    def is_full(self) -> bool:
        """Whether the loop should wait for ``on_room`` before it puts more. Any thread."""
        return self._is_full

    # ---- Loop side ----------------------------------------------------------------------------------------------

    def put(self, message: T, size_bytes: int) -> bool:
        """Put a message in; return False if that was the last one for now. Never blocks. Loop side."""
        waiting: Waker | None = None
        with self._lock:
            if self._reason is None:
                cost_bytes = size_bytes + MESSAGE_OVERHEAD_BYTES
                self._messages.append((message, cost_bytes))
                self._held_bytes += cost_bytes
                if self._held_bytes > self._high_water_bytes:  # only `take` says otherwise, and then tells the loop
                    self._is_full = True
                if self._waiting:
                    waiting = self._waiting.popleft()
            has_room = not self._is_full
        if waiting is not None:
            waiting.release()
        return has_room

    def close(self, reason: Exception) -> None:
        """Say that no message will come any more: `take` raises ``reason`` after what is there. Loop side, once."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
            self._spare = None
            while self._waiting:
                self._waiting.popleft().release()

    # ---- Thread side --------------------------------------------------------------------------------------------

    def take(self, timeout_s: float | None) -> T | None:
        """Return the next message, waiting for it; None when the time is up. Thread side.

        What ``on_room`` raises (a loop that has ended) is not raised here: the message is there.

        Raises:
            Exception: the reason, once all that came before it has been taken; or that the loop has ended.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            with self._lock:
                if self._messages:
                    message, cost_bytes = self._messages.popleft()
                    self._held_bytes -= cost_bytes
                    # Half empty, so that a fast sender and a slow reader do not wake each other for every message.
                    has_room = self._is_full and self._held_bytes <= self._high_water_bytes // 2
                    if has_room:
                        self._is_full = False
                    break
                if self._reason is not None:
                    raise self._reason
                if timeout_s is not None and timeout_s <= 0:
                    return None
                waiting, self._spare = self._spare or new_waker(), None
                self._waiting.append(waiting)
            is_woken = self._wait(waiting, deadline_s)
            with self._lock:
                if self._reason is None:
                    self._spare = waiting
            del waiting  # the traceback of what is raised would keep it, and its descriptor
            if not is_woken:
                return None
        if has_room:
            with suppress(Exception):  # the next call finds out why nothing more will come
                self._on_room()
        return message

    def _wait(self, waiting: Waker, deadline_s: float | None) -> bool:
        """Wait to be woken; return False when the time is up, and nobody has done so meanwhile."""
        try:
            if wait_for_waker(waiting, self._link, deadline_s):
                return True
        except BaseException:
            if not self._withdraw(waiting):
                waiting.acquire()
                self._wake_another()  # what it was woken for is for somebody else
            raise
        if self._withdraw(waiting):
            return False
        waiting.acquire()  # somebody is just about to wake it
        return True

    def _withdraw(self, waiting: Waker) -> bool:
        """Wait no more; return False if it has been woken."""
        with self._lock:
            try:
                self._waiting.remove(waiting)
            except ValueError:
                return False
            return True

    def _wake_another(self) -> None:
        with self._lock:
            if self._messages and self._waiting:
                self._waiting.popleft().release()
