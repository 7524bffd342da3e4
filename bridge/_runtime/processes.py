"""What belongs to one process, and must not be used by another one that was forked from it.

Threads do not survive a fork, and locks may be held by threads that are not there. So nothing here relies on fork hooks
(uWSGI forks in C and runs none) and nothing inherited is ever acquired: a value is found by the id of the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """One value for each process, made at first use in it.

    What a fork inherits is kept, unused: to collect it could close what parent and child share (an epoll descriptor
    that a child closes its way out of stops waking the parent).

    Args:
        make: makes the value; it must start nothing, because two threads may race and one value is dropped then.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        # No lock: a fork could find it held. One operation on one key, or on the list, at a time; each is atomic.
        self._values: dict[int, T] = {}
        self._inherited: list[T] = []

    def get(self) -> T:
        """Return this process' value. Any thread; takes no lock."""
        value = self._values.get(os.getpid())
        return self._renew() if value is None else value

    def peek(self) -> T | None:
        """Return this process' value if it has been made. Any thread; takes no lock."""
        return self._values.get(os.getpid())

    def _renew(self) -> T:
        pid = os.getpid()
        value = self._values.setdefault(pid, self._make())  # atomic: all threads get the same one
        for other in list(self._values):  # a list, which is made at one go: another thread may be here too
            if other != pid and (old := self._values.pop(other, None)) is not None:
                self._inherited.append(old)
        return value
