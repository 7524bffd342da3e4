"""`Allowance`: how much many users of one resource (memory, disk) may take together."""

from __future__ import annotations

import threading


class Allowance:
    """A number of bytes that is shared. Any thread.

    Args:
        limit_bytes: what may be taken together, or None for as much as anybody wants.
    """

    __slots__ = ("_limit_bytes", "_lock", "_taken_bytes")

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._lock = threading.Lock()  # `+=` is more than one step

    @property
    def taken_bytes(self) -> int:
        """What is taken now."""
        return self._taken_bytes

    def take(self, size_bytes: int) -> bool:
        """Take that much, or nothing if it is more than is left; return whether it was taken."""
        with self._lock:
            if self._limit_bytes is not None and self._taken_bytes + size_bytes > self._limit_bytes:
                return False
            self._taken_bytes += size_bytes
            return True

    def give(self, size_bytes: int) -> None:
        """Give back."""
        with self._lock:
            self._taken_bytes -= size_bytes


class Share:
    """What one user has taken of an allowance. One thread at a time."""

    __slots__ = ("_allowance", "_taken_bytes")

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._taken_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Take that much more; return whether it was there."""
        if not self._allowance.take(size_bytes):
            return False
        self._taken_bytes += size_bytes
        return True

    def give_back(self) -> None:
        """Give all of it back. May be called again."""
        taken_bytes, self._taken_bytes = self._taken_bytes, 0
        if taken_bytes:
            self._allowance.give(taken_bytes)
