"""`Inflow`: octets from a loop to threads, on demand. What holds for both channels is in `links`."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress

from bridge._runtime.links import NO_LINK, PATIENCE_S, InflowLink, Place, wait

_SMALL_PIECE_BYTES = 512
"""Smaller pieces are joined: an octet by itself takes forty times its size of memory, which nobody counts."""


class Inflow:
    """Octets from a loop to threads, asked for while no more than ``low_water_bytes`` are there.

    With 0, the default, the loop side is at most one piece ahead of the reader.

    Args:
        timeout_s: how long a thread waits without an octet.
        link: the owner; its ``ask`` is called by the thread side, at most once until enough came.
        low_water_bytes: how many octets are still there when more is asked for.
        place: where the threads work that wait here.
    """

    __slots__ = (
        "_condition",
        "_has_asked",
        "_held_bytes",
        "_is_ended",
        "_link",
        "_lock",
        "_low_water_bytes",
        "_patience_s",
        "_pieces",
        "_place",
        "_position",
        "_reason",
        "_timeout_s",
    )

    def __init__(
        self, timeout_s: float | None, link: InflowLink, low_water_bytes: int = 0, place: Place | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._place = place
        self._patience_s = PATIENCE_S
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
                if not asks and not self._wait():
                    raise self._link.body_is_late()
                count = 0
            if asks:
                self._link.ask()
        if asks:
            with suppress(Exception):  # the octets are there; the next read finds out why no more will come
                self._link.ask()
        return count

    def _wait(self) -> bool:
        """Wait with the lock held. The patience is for all waits together: a client may send many small pieces."""
        began_s = time.monotonic()
        in_time = wait(
            self._condition, self._link, self._has_news, self._timeout_s, self._place, patience_s=self._patience_s
        )
        self._patience_s = max(0.0, self._patience_s - (time.monotonic() - began_s))
        return in_time

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
            pieces = self._pieces
            # The first one may be half read already.
            if len(pieces) > 1 and len(pieces[-1]) + len(piece) <= _SMALL_PIECE_BYTES:
                pieces[-1] += piece
            else:
                pieces.append(piece)
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
        self._link = NO_LINK

    @property
    def held_bytes(self) -> int:
        """Octets that wait to be read. Any thread."""
        return self._held_bytes
