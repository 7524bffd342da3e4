"""One accepted WebSocket on the loop: frames on one side, the application's messages on the other.

There is no task here: octets become messages as the line hands them on, and what the application sends goes out at
once. While more has come than the application has taken (`Limits.websocket_queue_bytes`), nothing is read from the
connection; while more is unsent than that, ``send`` waits.

The ends of a connection, and what follows:

- the client closes: answered by the frames themselves; then the connection is closed;
- the application closes, or is done: the client's answer is awaited for ``Limits.websocket_close_s``;
- the client breaks a rule, or does not answer pings: it is told so, and has as long to go;
- the client is lost: the connection is closed.

In each case the application gets one ``websocket.disconnect``, after all messages that had come.

How long a close may last, and when to ping: `timing`. Loop thread.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable

import anyio
import anyio.lowlevel

from bridge._runtime.bells import Bell
from bridge._runtime.lines import Line, open_line
from bridge._runtime.loops import Signal
from bridge._runtime.mailbox import MESSAGE_OVERHEAD_BYTES
from bridge.errors import ClientDisconnected
from bridge.limits import Limits
from bridge.translate import messages
from bridge.translate.closing import ABNORMAL, GOING_AWAY
from bridge.types import Message
from bridge.websocket.asgi_hosting.timing import Farewell, Pings
from bridge.websocket.frames import Closed, Event, FrameEnd, Received, size_of

_PING_BYTES = 4
_SENDS_IN_A_ROW = 32
_PIECE_BYTES = 64 * 1024
_COMPRESSED_PIECE_BYTES = 4 * 1024
"""Where octets may be compressed, a thousand can come of one."""


class Session:
    """One open connection.

    Args:
        frames: the server's end, open.
        limits: of queues and times.
        new_signal: makes what a coroutine waits for.
        on_closed: called once, when the connection itself is closed.

    Attributes:
        close_code: how the connection was closed; None while it is open.
    """

    close_code: int | None = None
    close_reason = ""
    is_closed = False
    _line: Line
    _written_bytes = 0
    _answer_bytes = 0
    """Of answers to pings, written while the client takes nothing."""
    _is_paused = False
    _has_line_ended = False
    _is_congested = False
    _disconnect: Message | None = None
    _sent_in_a_row = 0

    def __init__(
        self, frames: FrameEnd, limits: Limits, new_signal: Callable[[], Signal], on_closed: Callable[[], None]
    ) -> None:
        self._frames = frames
        self._limits = limits
        self._on_closed = on_closed
        self._messages: deque[tuple[Message, int]] = deque()
        self._held_bytes = 0
        self._came = Bell(new_signal)
        self._has_room = Bell(new_signal)
        self._pings = Pings(limits, time.monotonic())
        self._farewell = Farewell(limits)

    async def open(self, own: socket.socket, head: bytes) -> None:
        """Take the socket, and send the head of the answer to the handshake.

        Raises:
            OSError: the connection is lost already.
        """
        piece_bytes = _COMPRESSED_PIECE_BYTES if self._frames.has_extensions else _PIECE_BYTES
        self._line = await open_line(own, self, self._limits.websocket_queue_bytes, piece_bytes)
        self._line.write(head)

    # ---- From the client (the owner of the line) ------------------------------------------------------------------

    def octets_came(self, octets: bytes) -> None:
        """Octets have come from the client."""
        self._take(self._frames.feed(octets))

    def line_ended(self) -> None:
        """The client is gone."""
        self._take(self._frames.feed_end())
        self._has_line_ended = True
        if not self._line.held_bytes:
            self._close_line()
        else:  # it may have stopped sending only; it has its time to take what is unsent
            self._line.end_writing()
            self._start_closing()

    def line_has_room(self) -> None:
        """What was written is mostly out."""
        self._is_congested = False
        self._answer_bytes = 0
        self._has_room.ring()
        self._resume()

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                if self._farewell.has_begun:
                    continue  # we have closed: nobody waits for it, and the client must be able to finish
                size_bytes = size_of(event.data) + MESSAGE_OVERHEAD_BYTES
                self._messages.append((messages.websocket_receive(event.data), size_bytes))
                self._held_bytes += size_bytes
            elif isinstance(event, Closed):
                self._ended(event.code, event.reason)
            else:
                self._pings.answered()
        if events:
            self._came.ring()
        answer_bytes = self._flush()
        if self._is_congested:
            self._answer_bytes += answer_bytes
        # Read no more for now if the application has not taken what is there, or the client not its answers.
        is_full = max(self._held_bytes, self._answer_bytes) > self._limits.websocket_queue_bytes
        if self._farewell.has_begun:
            if self._answer_bytes > self._limits.websocket_queue_bytes:  # it must be read now: for its closing frame
                self.abort()
        elif is_full and not self._is_paused:
            self._is_paused = True
            self._line.pause()

    def _resume(self) -> None:
        """Read on, if nothing speaks against it."""
        if (
            self._is_paused
            and self._answer_bytes <= self._limits.websocket_queue_bytes
            and self._held_bytes <= max(self._limits.websocket_queue_bytes // 2, MESSAGE_OVERHEAD_BYTES)
        ):
            self._is_paused = False
            self._pings.answered()  # an answer may have lain there unread
            self._line.resume()

    def _ended(self, code: int, reason: str) -> None:
        """Nothing more comes from the client. What we have closed ourselves, the application sees with our code."""
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
        self._tell_disconnect()

    def _tell_disconnect(self) -> None:
        if self._disconnect is None:
            code = ABNORMAL if self.close_code is None else self.close_code
            self._disconnect = messages.websocket_disconnect(code, self.close_reason)
            self._came.ring()
            self._has_room.ring()
            self._start_closing()

    def _flush(self) -> int:
        """Send what the frames have to say; return how many bytes that was."""
        octets, is_last = self._frames.octets_to_send()
        self._written_bytes += len(octets)
        if octets and not self._line.write(octets):
            self._is_congested = True
        if is_last:
            # Not closed yet: to close with octets unread would make the system take back the frame that says why.
            self._line.end_writing()
            self._start_closing()
        return len(octets)

    def _start_closing(self) -> None:
        """Wait for the client to go; not for ever, and whatever it still sends is not looked at."""
        self._farewell.begin(time.monotonic(), self._written_bytes, self._taken_bytes())
        if self._is_paused:
            self._is_paused = False
            self._line.resume()

    def _close_line(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._line.end()
            self._be_closed()

    def _be_closed(self) -> None:
        self._tell_disconnect()
        on_closed, self._on_closed = self._on_closed, _nothing  # it holds us, and all of the request
        on_closed()

    @property
    def has_ended(self) -> bool:
        """Whether a disconnect is due: nothing can be sent any more."""
        return self._disconnect is not None

    # ---- For the application --------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Return the next message, or the disconnect once there is none left."""
        while not self._messages:
            if self._disconnect is not None:
                return dict(self._disconnect)
            await self._came.wait()
        message, size_bytes = self._messages.popleft()
        self._held_bytes -= size_bytes
        self._resume()
        return message

    async def send(self, data: str | bytes) -> None:
        """Send a message; wait while too much is unsent.

        Raises:
            ClientDisconnected: the connection is over, or the client takes nothing.
            ApplicationValueError: text that cannot be UTF-8.
        """
        if not self._frames.send(data) or self._disconnect is not None:
            raise self.gone()
        self._flush()
        self._sent_in_a_row += 1
        if self._is_congested:
            await self._until_sent()
        elif self._sent_in_a_row >= _SENDS_IN_A_ROW:  # a client that reads fast is not alone on the loop
            await anyio.lowlevel.checkpoint()
        else:
            return
        self._sent_in_a_row = 0

    async def _until_sent(self) -> None:
        limit_s = self._limits.response_wait_s
        while self._is_congested and self._disconnect is None:
            before_bytes = self._taken_bytes()
            with anyio.move_on_after(limit_s):
                await self._has_room.wait()
                continue
            if self._taken_bytes() == before_bytes:
                self.abort()
                raise ClientDisconnected(f"the client took no byte for {limit_s} s")

    def _taken_bytes(self) -> int:
        """Count what the system has taken so far; what is unsent may grow all the while."""
        return self._written_bytes - self._line.held_bytes

    def gone(self) -> ClientDisconnected:
        """Make the error for an application that sends after the end."""
        return ClientDisconnected(f"the WebSocket is closed (code {self.close_code}); nobody takes the message")

    # ---- Endings --------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Close; the application sees the disconnect when the client has answered, or has had its time."""
        if self._frames.close(code, reason):
            self.close_code, self.close_reason = code, reason
            self._flush()
            self._start_closing()

    def leave(self) -> None:
        """Close with 1001 because the process ends; the application is told at once."""
        self.close(GOING_AWAY, "")
        self._tell_disconnect()

    def abort(self) -> None:
        """Cut the connection."""
        if not self.is_closed:
            self.is_closed = True
            self._line.abort()
            self._be_closed()

    def look(self, now_s: float) -> None:
        """Do what the time asks for."""
        if self.is_closed:
            return
        taken_bytes = self._taken_bytes()
        if self._farewell.has_begun:
            if self._has_line_ended and not self._line.held_bytes:
                self._close_line()
            elif self._farewell.is_over(now_s, taken_bytes):
                self.abort()
            return
        # While the application does not receive, an answer may lie there unread; not so while the client takes nothing.
        is_excused = self._is_paused and self._answer_bytes <= self._limits.websocket_queue_bytes
        if self._pings.is_overdue(now_s, taken_bytes, is_excused=is_excused):
            self._frames.fail("no answer to a ping")
            self._flush()
            self._ended(ABNORMAL, "no answer to a ping")
        elif self._pings.is_due(now_s) and self._frames.ping(os.urandom(_PING_BYTES)):
            self._flush()
            self._pings.sent(now_s, self._written_bytes, is_excused=is_excused)


def _nothing() -> None:
    """Do nothing."""
