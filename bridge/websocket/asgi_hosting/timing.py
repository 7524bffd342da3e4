"""What the clock asks of an open WebSocket: pings that are answered, and a close that does not last for ever.

The time for a close begins when the closing frame has been handed to the system, with all that was sent before it: a
large last message may be read slowly. Until then the client has to take something within each such time; from then on
nothing that it does prolongs its stay.

No clock is read here, and nothing sent: times in seconds of `time.monotonic`, and counts of bytes, come from outside.
Loop thread.
"""

from __future__ import annotations

from bridge.limits import Limits


class Pings:
    """When to send a ping, and whether its answer is overdue."""

    _pinged_s: float | None = None
    _pinged_bytes = 0
    _looked_bytes = 0
    _was_late = False

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._ping_s = limits.websocket_ping_s
        self._pong_s = limits.websocket_pong_s
        self._next_s = now_s + (limits.websocket_ping_s or 0)

    def answered(self) -> None:
        """An answer has come, or may lie there unread."""
        self._pinged_s = None

    def is_overdue(self, now_s: float, taken_bytes: int, *, is_excused: bool) -> bool:
        """Tell whether the client is silent: seen twice, for a loop that was busy may have looked before it has read.

        Args:
            now_s: the time.
            taken_bytes: what the client has taken so far.
            is_excused: nothing is read at the moment, so an answer would not be seen.
        """
        if self._ping_s is None:
            return False
        if self._looked_bytes != taken_bytes < self._pinged_bytes:
            self._pinged_s = now_s  # slow, but not silent: the ping itself is not out yet
        self._looked_bytes = taken_bytes
        is_late = self._pinged_s is not None and now_s - self._pinged_s >= self._pong_s
        was_late, self._was_late = self._was_late, is_late and not is_excused
        return was_late and self._was_late

    def is_due(self, now_s: float) -> bool:
        """Tell whether it is time for the next ping; if so, the time for the one after it begins."""
        if self._ping_s is None or now_s < self._next_s:
            return False
        self._next_s = now_s + self._ping_s
        return True

    def sent(self, now_s: float, written_bytes: int, *, is_excused: bool) -> None:
        """A ping was sent, as the last of so many bytes."""
        if self._pinged_s is None and not is_excused:
            self._pinged_s = now_s
            self._pinged_bytes = written_bytes


class Farewell:
    """How long a connection that is being closed may still last."""

    _deadline_s: float | None = None
    _closing_bytes: int = 0
    """What the client had taken when its time began, or was last prolonged."""
    _farewell_bytes: int = 0
    """What had been written with our closing frame."""
    _is_out = False
    """All of that has been handed to the system: the time is running."""

    def __init__(self, limits: Limits) -> None:
        self._close_s = limits.websocket_close_s

    @property
    def has_begun(self) -> bool:
        """Whether the connection is being closed."""
        return self._deadline_s is not None

    def begin(self, now_s: float, written_bytes: int, taken_bytes: int) -> None:
        """Begin; once more for an answer to the client's own close, which goes out behind what was written before."""
        self._farewell_bytes = written_bytes
        if self._deadline_s is None:
            self._deadline_s = now_s + self._close_s
            self._closing_bytes = taken_bytes
            self._is_out = taken_bytes == written_bytes

    def is_over(self, now_s: float, taken_bytes: int) -> bool:
        """Tell whether the client has had its time; one that is slow, and takes what was sent before, has more."""
        if not self._is_out and taken_bytes != self._closing_bytes:
            self._closing_bytes = taken_bytes
            self._is_out = taken_bytes >= self._farewell_bytes
            self._deadline_s = now_s + self._close_s
            return False
        return self._deadline_s is not None and now_s >= self._deadline_s
