"""What only some senders need: an order among several, and a bound for content that nobody gets. Loop thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from bridge._runtime.loops import Signal
from bridge.limits import Limits

_MESSAGE_BYTES = 256
"""What a message without much content counts for, where content is swallowed: a bound on their number."""


class Turns:
    """The order of callers that are in ``send()`` at once; made when a second one comes (A-068)."""

    def __init__(self, new_signal: Callable[[], Signal]) -> None:
        self._new_signal = new_signal
        self._waiting: deque[Signal] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, is_blocked: Callable[[], bool], is_over: Callable[[], bool]) -> None:
        """Wait until it is this caller's turn and nothing blocks it, or all is over."""
        turn = self._new_signal()
        self._waiting.append(turn)
        try:
            while (is_blocked() or self._waiting[0] is not turn) and not is_over():
                await turn.wait()
        finally:
            self._waiting.remove(turn)
            self.wake_first()

    def wake_first(self) -> None:
        """Let the first one look again."""
        if self._waiting:
            self._waiting[0].set()

    def wake_all(self) -> None:
        """Let all look again: it may be over."""
        for turn in self._waiting:
            turn.set()


class Swallowing:
    """Content of a response that carries none (HEAD, 204, 304).

    The application may go on, but not for ever: an endless stream would never learn that nobody listens.
    """

    def __init__(self) -> None:
        self._since_s = time.monotonic()
        self._swallowed_bytes = 0

    def swallow(self, size_bytes: int, limits: Limits) -> bool:
        """Take a message; return whether that was enough: the client counts as gone."""
        self._swallowed_bytes += max(size_bytes, _MESSAGE_BYTES)
        is_late = limits.response_wait_s is not None and time.monotonic() - self._since_s > limits.response_wait_s
        return is_late or self._swallowed_bytes > limits.response_memory_bytes
