"""`Line`: a stream socket on the running loop, by callbacks.

What comes is handed on at once, in the callback of the loop, without a task in between (trio has no callbacks: there it
is a task); what is written goes out at once where the socket takes it. One line has one piece in each turn of the loop:
a client that sends as fast as it can leaves the others theirs. The difference between asyncio (and uvloop) and trio is
here and nowhere else. All of it is on the loop's thread.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

_PIECE_BYTES = 64 * 1024
"""How much of one line is handed on in one turn of the loop: thousands of small frames. uvloop would read 8 MiB."""


class LineOwner(Protocol):
    """What a line tells. Loop thread."""

    def octets_came(self, octets: bytes) -> None:
        """Octets have come; never empty. It must not raise."""
        ...

    def line_ended(self) -> None:
        """Nothing more will come: the other end has closed or is lost. Once; not after `Line.end`
        or `Line.abort`.
        """
        ...

    def line_has_room(self) -> None:
        """What was written is (nearly) all out, or lost, after `Line.write` had said that it is not."""
        ...


class Line(Protocol):
    """A stream socket. Loop thread."""

    @property
    def held_bytes(self) -> int:
        """Bytes written that the system has not taken yet."""
        ...

    def write(self, octets: bytes) -> bool:
        """Send, in order; return False if the owner should wait for `LineOwner.line_has_room`, or for the end that is
        about to be told. Never waits, never raises.

        What is written to a line that has ended is lost.
        """
        ...

    def pause(self) -> None:
        """Hand nothing on until `resume`."""
        ...

    def resume(self) -> None:
        """Hand on what comes, again."""
        ...

    def end_writing(self) -> None:
        """Tell the other end, when all that was written is out, that nothing more will be; it may go on sending."""
        ...

    def end(self) -> None:
        """Close when all that was written is out; nothing is handed on any more, the owner is not told."""
        ...

    def abort(self) -> None:
        """Close at once; what is not out is lost."""
        ...


class _AsyncioLine(asyncio.Protocol):
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
            self.data_received(octets)
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
            self._owner.octets_came(octets[: self._piece_bytes])
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
                self._owner.octets_came(octets)
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


class _TrioLine:
    """`Line` for trio: one task reads, and one writes while there is something to be written.

    What the reading task takes from the system it hands on without a pause in between: octets are in one place or in
    the other.
    """

    def __init__(
        self, trio: Any, own: socket.socket, owner: LineOwner, high_water_bytes: int, piece_bytes: int
    ) -> None:
        self._trio = trio
        self._socket = own
        self._owner: LineOwner | None = owner
        self._high_water_bytes = high_water_bytes
        self._piece_bytes = piece_bytes
        self._unsent = bytearray()
        self._is_congested = False
        self._is_writing = False
        self._is_closing = False
        self._is_ending_writing = False
        self._has_ended = False
        self._has_been_lost = False
        self._may_read = trio.Event()
        self._may_read.set()
        self._reading = trio.CancelScope()
        self._writing = trio.CancelScope()
        trio.lowlevel.spawn_system_task(self._read)

    @property
    def held_bytes(self) -> int:
        return 0 if self._has_been_lost else len(self._unsent)

    async def _read(self) -> None:
        with self._reading, suppress(self._trio.ClosedResourceError):
            while not self._has_ended and not self._is_closing:
                await self._trio.lowlevel.wait_readable(self._socket)
                if not self._may_read.is_set():
                    await self._may_read.wait()
                    continue
                try:
                    octets = self._socket.recv(self._piece_bytes)
                except BlockingIOError:
                    continue
                except OSError:
                    octets = b""
                if octets and self._owner is not None:
                    self._owner.octets_came(octets)
                elif not octets:
                    self._tell_end()

    def _tell_end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            if self._owner is not None:
                self._owner.line_ended()

    async def _write(self) -> None:
        try:
            with self._writing:
                while self._unsent:
                    await self._trio.lowlevel.wait_writable(self._socket)
                    self._send_now()
        except self._trio.ClosedResourceError:  # by us
            pass
        except OSError:
            self._lose()
        finally:
            self._is_writing = False
            if self._is_closing:
                self._close()
            elif self._is_ending_writing:
                self._shut()

    def _send_now(self) -> None:
        """Send what the system takes; OSError if the other end is gone."""
        with suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent[:_PIECE_BYTES])]
        if self._is_congested and len(self._unsent) <= self._high_water_bytes // 4:
            self._is_congested = False
            if self._owner is not None:
                self._owner.line_has_room()

    def _lose(self) -> None:
        """Nothing can be sent any more."""
        self._has_been_lost = True
        self._unsent.clear()
        was_congested, self._is_congested = self._is_congested, False
        self._tell_end()
        if was_congested and self._owner is not None:
            self._owner.line_has_room()

    def write(self, octets: bytes) -> bool:
        if self._is_closing or self._is_ending_writing or self._has_been_lost:
            return self._has_ended or not self._has_been_lost
        was_empty = not self._unsent
        self._unsent += octets
        if was_empty:
            try:
                self._send_now()
            except OSError:
                self._has_been_lost = True  # told by the task, not from within a call of the owner
        if self._unsent:
            self._is_congested = self._is_congested or len(self._unsent) > self._high_water_bytes
            if not self._is_writing:
                self._is_writing = True
                self._writing = self._trio.CancelScope()
                self._trio.lowlevel.spawn_system_task(self._write)
        return not self._is_congested and (self._has_ended or not self._has_been_lost)

    def pause(self) -> None:
        if self._may_read.is_set():
            self._may_read = self._trio.Event()

    def resume(self) -> None:
        self._may_read.set()

    def end_writing(self) -> None:
        if not self._is_ending_writing:
            self._is_ending_writing = True
            if not self._is_writing:
                self._shut()

    def _shut(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def end(self) -> None:
        self._owner = None
        self._is_closing = True
        if not self._is_writing:
            self._close()

    def abort(self) -> None:
        self._owner = None
        self._is_closing = True
        self._close()

    def _close(self) -> None:
        self._unsent.clear()
        self._reading.cancel()
        self._writing.cancel()
        if self._socket.fileno() >= 0:
            self._trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def open_line(
    own: socket.socket, owner: LineOwner, high_water_bytes: int, piece_bytes: int = _PIECE_BYTES
) -> Line:
    """Put a connected stream socket on the running loop; from now on it belongs to the line. Loop.

    Args:
        own: the socket; it is made non-blocking, and closed by the line.
        owner: is told what happens.
        high_water_bytes: `Line.write` returns False while more than this is unsent.
        piece_bytes: how much is handed on at most before others have their turn, and `Line.pause` takes effect.

    Raises:
        OSError: the socket is not connected, or closed; it has been closed.
    """
    own.settimeout(0)
    trio_module = sys.modules.get("trio")
    if trio_module is not None and trio_module.lowlevel.in_trio_run():
        return _TrioLine(import_module("trio"), own, owner, high_water_bytes, piece_bytes)
    loop = asyncio.get_running_loop()
    line = _AsyncioLine(owner, high_water_bytes, piece_bytes)
    try:
        if own.family == getattr(socket, "AF_UNIX", None):
            await loop.create_unix_connection(lambda: line, sock=own)
        else:
            await loop.create_connection(lambda: line, sock=own)
    except BaseException:
        own.close()
        raise
    loop.call_soon(line.begin)
    return line
