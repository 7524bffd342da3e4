"""`Line` on asyncio and uvloop: a protocol and its transport."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge._runtime.lines import LineOwner

logger = logging.getLogger("bridge.lines")


class AsyncioLine(asyncio.Protocol):
    """`Line` for asyncio and uvloop: its protocol, and the owner's handle of the transport."""

    _transport: Any = None
    _is_congested = False
    _has_ended = False
    _is_paused = False
    _is_reading = True
    _is_going_on = False
    _is_end_due = False  # to be told when all that has come was handed on
    _is_ending_writing = False
    _is_lost = False
    _unread = b""  # what has come, and was not handed on yet

    def __init__(self, owner: LineOwner, high_water_bytes: int, piece_bytes: int) -> None:
        self._owner: LineOwner | None = owner
        self._high_water_bytes = high_water_bytes
        self._piece_bytes = piece_bytes
        self._early: list[bytes] | None = []  # what came before the owner had got the line; None since

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=self._high_water_bytes)

    def begin(self) -> None:
        """Hand on what comes, and what has come before (uvloop reads at once, before `open_line` has returned)."""
        early, self._early = self._early or (), None
        for octets in early:
            if self._unread:
                self._unread += octets
            elif self._owner is not None:
                self._hand_on(octets)
        if self._has_ended:
            self._has_ended = False
            self._tell_end()

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(bytes(data))
        elif self._unread:
            self._unread += data
        elif self._owner is not None:
            octets = bytes(data)
            if len(octets) <= self._piece_bytes:
                self._owner.octets_came(octets)
            else:
                self._hand_on(octets)

    def _hand_on(self, octets: bytes) -> None:
        """Hand a piece on; what is left comes in a later turn, or when it is wanted."""
        if self._owner is not None:
            self._unread = octets[self._piece_bytes :]
            self._guarded(self._owner, octets[: self._piece_bytes])
            if self._is_end_due and not self._unread:
                self._tell_end()
            self._look()

    def _look(self) -> None:
        """Read if, and only if, what comes can be handed on; see to it that what is left will be."""
        if self._owner is None or self._transport.is_closing():
            return
        if self._unread and not self._is_paused and not self._is_going_on:
            self._is_going_on = True
            asyncio.get_running_loop().call_soon(self._go_on)
        wants = not self._is_paused and not self._unread
        if wants != self._is_reading:
            self._is_reading = wants
            if wants:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _go_on(self) -> None:
        self._is_going_on = False
        if self._unread and not self._is_paused:
            octets, self._unread = self._unread, b""
            self._hand_on(octets)

    def _guarded(self, owner: LineOwner, octets: bytes) -> None:
        """Hand octets on where the loop would not cut the connection, as it does when `data_received` raises."""
        try:
            owner.octets_came(octets)
        except Exception:
            logger.exception("%s could not take what came; its connection is cut", repr(owner))
            self._unread = b""
            if not self._is_lost:
                self._transport.abort()  # the owner is told by `connection_lost`

    def eof_received(self) -> bool:
        self._tell_end()
        return True  # what is still to be written may go out; the owner ends the line

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._is_lost = True
        self._tell_end()
        owner = self._owner
        if self._early is None:  # else it is still to be told
            self._owner = None
        if self._is_congested and owner is not None:
            self._is_congested = False
            owner.line_has_room()

    def pause_writing(self) -> None:
        self._is_congested = True

    def resume_writing(self) -> None:
        self._is_congested = False
        if self._owner is not None:
            self._owner.line_has_room()

    def _tell_end(self) -> None:
        if self._unread and not self._is_lost and self._owner is not None:
            self._is_end_due = True
        elif not self._has_ended:
            self._has_ended = True
            # What a lost line has brought and nobody wanted is lost, as in the system's buffers.
            while self._unread and self._owner is not None and not (self._is_lost and self._is_paused):
                octets, self._unread = self._unread[: self._piece_bytes], self._unread[self._piece_bytes :]
                self._guarded(self._owner, octets)
            self._unread = b""
            if self._owner is not None and self._early is None:
                self._owner.line_ended()

    # What the owner calls

    @property
    def held_bytes(self) -> int:
        return 0 if self._transport is None or self._is_lost else int(self._transport.get_write_buffer_size())

    def write(self, octets: bytes) -> bool:
        transport = self._transport
        if not transport.is_closing() and not self._is_ending_writing:
            transport.write(octets)
        # Lost, perhaps just now: who writes on and on has to wait until that is told, or it would never be.
        is_lost_untold = transport.is_closing() and not self._has_ended and self._owner is not None
        return not self._is_congested and not is_lost_untold

    def pause(self) -> None:
        self._is_paused = True
        self._look()

    def resume(self) -> None:
        self._is_paused = False
        self._look()

    def end_writing(self) -> None:
        if not self._is_ending_writing and not self._transport.is_closing():
            self._is_ending_writing = True
            with suppress(OSError, RuntimeError):  # the other end is gone
                self._transport.write_eof()

    def end(self) -> None:
        self._owner = None
        if not self._is_lost:
            self._transport.close()

    def abort(self) -> None:
        self._owner = None
        if not self._is_lost:
            self._transport.abort()
