"""A small channel that is right, and some that are wrong in one place each."""

from __future__ import annotations

import threading
from collections import deque


class Counter:
    """Counts, without a lock."""

    def __init__(self) -> None:
        self.value = 0

    def increase(self) -> None:
        self.value += 1


class Sound:
    """Items for one taker, who is woken once for as many as are there."""

    takers = 1

    def __init__(self) -> None:
        self._items: deque[int] = deque()
        self._bell = threading.Semaphore(0)
        self._is_notified = False

    def put(self, item: int) -> None:
        self._items.append(item)
        if not self._is_notified:
            self._is_notified = True
            self._bell.release()

    def take(self) -> list[int]:
        self._bell.acquire()
        self._is_notified = False
        return [self._items.popleft() for _ in range(len(self._items))]


class LosesWakeUps(Sound):
    """Looks first whether somebody must be woken."""

    def put(self, item: int) -> None:
        is_first, self._is_notified = not self._is_notified, True
        self._items.append(item)
        if is_first:
            self._bell.release()


class ClearsLate(Sound):
    """Takes first, and says afterwards that it wants to be woken again."""

    def take(self) -> list[int]:
        self._bell.acquire()
        items = [self._items.popleft() for _ in range(len(self._items))]
        self._is_notified = False
        return items


class DeliversTwice(Sound):
    """For two takers, who do not look and take in one step."""

    takers = 2

    def put(self, item: int) -> None:
        self._items.append(item)
        self._bell.release()

    def take(self) -> list[int]:
        self._bell.acquire()
        item = self._items[0]
        self._items.popleft()
        return [item]


class NotifiesOne(Sound):
    """For two takers; it has room for one item, and who waits for room and who waits for an item wait alike."""

    takers = 2

    def __init__(self) -> None:
        super().__init__()
        self._condition = threading.Condition(threading.Lock())

    def put(self, item: int) -> None:
        with self._condition:
            while self._items:
                self._condition.wait()
            self._items.append(item)
            self._condition.notify()

    def take(self) -> list[int]:
        with self._condition:
            while not self._items:
                self._condition.wait()
            self._condition.notify()
            return [self._items.popleft()]
