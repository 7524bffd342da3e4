"""The application's ``receive()``: the request body piece by piece, then the wait for ``http.disconnect``. Loop thread.

Made when the application first calls ``receive()``, which many never do. Any number of callers may wait: each piece
goes to the one that has waited longest, the disconnect to all. A piece is asked for only when somebody waits, and the
servant reads one at a time (A-048, A-054).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from bridge._runtime.loops import Signal
from bridge.translate import messages
from bridge.types import Message

if TYPE_CHECKING:
    from bridge._asgi_hosting.exchange import Exchange


class _Caller:
    """One waiting ``receive()``."""

    __slots__ = ("message", "signal")

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.message: Message | None = None


class Receiving:
    """The request body and who waits for it.

    Args:
        exchange: whose ``is_output_over`` says that a disconnect is due, and which lets the servant read.
        has_body: there is a body to read; else the first event is an empty one.
    """

    __slots__ = ("_callers", "_exchange", "_is_over", "_is_reading", "_pieces")

    def __init__(self, exchange: Exchange, *, has_body: bool) -> None:
        self._exchange = exchange
        self._callers: list[_Caller] = []
        self._pieces: deque[Message] = deque()
        self._is_reading = False
        self._is_over = not has_body
        """The last piece has come."""
        if not has_body:
            self._pieces.append(messages.request(b"", more_body=False))

    @property
    def has_callers(self) -> bool:
        """Whether somebody waits."""
        return bool(self._callers)

    def wake_all(self) -> None:
        """The request is over: a disconnect is due to all who wait."""
        for caller in self._callers:
            caller.signal.set()

    async def receive(self) -> Message:
        """Return the next event; one that is there is returned without a wait (A-057)."""
        if self._pieces:
            return self._pieces.popleft()
        caller = _Caller(self._exchange.new_signal())
        self._callers.append(caller)
        self._read_if_wanted()
        try:
            while caller.message is None and not self._exchange.is_output_over:
                await caller.signal.wait()
        except BaseException:
            self._callers.remove(caller)
            if caller.message is not None:  # cancelled with a piece in hand: the next caller's
                self._put_back(caller.message)
            raise
        self._callers.remove(caller)
        return messages.disconnect() if caller.message is None else caller.message

    def _read_if_wanted(self) -> None:
        """Let the servant read if somebody waits for a piece and there may be one."""
        if not self._is_reading and not self._is_over and any(caller.message is None for caller in self._callers):
            self._is_reading = True
            self._exchange.want_body()

    def piece_came(self, message: Message, *, is_last: bool) -> None:
        """Give a piece to who has waited longest, or keep it."""
        self._is_reading = False
        self._is_over = is_last
        for caller in self._callers:
            if caller.message is None:
                caller.message = message
                caller.signal.set()
                break
        else:
            self._pieces.append(message)
        self._read_if_wanted()

    def _put_back(self, message: Message) -> None:
        """Give a piece that was not taken to those who wait, in order: it comes before what they hold."""
        for caller in self._callers:
            held, caller.message = caller.message, message
            caller.signal.set()
            if held is None:
                return
            message = held
        self._pieces.appendleft(message)
