"""`Inflow` made wrong, in one place each."""

from __future__ import annotations

from bridge._runtime.inflow import Inflow


class FeedsSilently(Inflow):
    """Wakes nobody for a piece."""

    __slots__ = ()

    def feed(self, piece: bytes) -> None:
        with self._lock:
            self._pieces.append(piece)
            self._held_bytes += len(piece)
            self._has_asked = False


class ClosesSilently(Inflow):
    """Wakes nobody when no piece will come."""

    __slots__ = ()

    def close(self, reason: Exception) -> None:
        with self._lock:
            self._reason = reason


class WakesOne(Inflow):
    """Wakes one reader where several wait for the end."""

    __slots__ = ()

    def end(self) -> None:
        with self._lock:
            self._is_ended = True
            self._condition.notify()


class AsksUnlocked(Inflow):
    """Looks whether it has asked, and notes it in a second section."""

    __slots__ = ()

    def feed(self, piece: bytes) -> None:
        with self._lock:
            self._pieces.append(piece)
            self._held_bytes += len(piece)
            self._condition.notify_all()
        self._has_asked = False  # the reader may have asked in between: what it asked for is forgotten
