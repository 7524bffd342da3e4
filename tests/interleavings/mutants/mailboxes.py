"""`Mailbox` made wrong, in one place each."""

from __future__ import annotations

from typing import Any

from bridge._runtime.links import wait_for_waker
from bridge._runtime.mailbox import MESSAGE_OVERHEAD_BYTES, Mailbox


class ForgetsItsTurn(Mailbox[str]):
    """A thread whose time is up leaves, although it has been woken for a message meanwhile."""

    def _wait(self, waiting: Any, deadline_s: float | None) -> bool:
        if wait_for_waker(waiting, self._link, deadline_s):
            return True
        self._withdraw(waiting)
        return False


class ClosesForOne(Mailbox[str]):
    """Wakes one thread when no message will come, where several wait."""

    def close(self, reason: Exception) -> None:
        with self._lock:
            self._reason = reason
            if self._waiting:
                self._waiting.popleft().release()


class LooksOutside(Mailbox[str]):
    """Looks who waits before the message is there."""

    def put(self, message: str, size_bytes: int) -> bool:
        with self._lock:
            waiting = self._waiting.popleft() if self._waiting else None
        with self._lock:
            self._messages.append((message, size_bytes + MESSAGE_OVERHEAD_BYTES))
            self._held_bytes += size_bytes + MESSAGE_OVERHEAD_BYTES
        if waiting is not None:
            waiting.release()
        return True


class NotesLate(Mailbox[str]):
    """Notes that it is full when the message may have been taken already."""

    def put(self, message: str, size_bytes: int) -> bool:
        high_water_bytes, self._high_water_bytes = self._high_water_bytes, 1_000_000
        super().put(message, size_bytes)
        self._high_water_bytes = high_water_bytes
        self._is_full = is_full = size_bytes > high_water_bytes
        return not is_full
