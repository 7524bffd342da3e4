"""`Line`: a stream socket on the running loop, by callbacks.

What comes is handed on at once, in the callback of the loop, without a task in between; what is written goes out at
once where the socket takes it. The difference between asyncio (and uvloop) and trio is here and nowhere else. All of it
is on the loop's thread.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol

_PIECE_BYTES = 64 * 1024


class LineOwner(Protocol):
    """What a line tells. Loop thread."""

    def octets_came(self, octets: bytes) -> None:
        """Octets have come; never empty. It must not raise."""
        ...

    def line_ended(self) -> None:
        """Nothing more will come: the other end has closed or is lost. Once; not after `Line.abort`."""
        ...

    def line_has_room(self) -> None:
        """What was written is (nearly) all out, after `Line.write` had said that it is not."""
        ...


class Line(Protocol):
    """A stream socket. Loop thread."""

    @property
    def held_bytes(self) -> int:
        """Bytes written that the system has not taken yet."""
        ...

    def write(self, octets: bytes) -> bool:
        """Send, in order; return False if more is unsent than should be. Never waits, never raises.

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
    _is_silent = False

    def __init__(self, owner: LineOwner, high_water_bytes: int) -> None:
        self._owner: LineOwner | None = owner
        self._high_water_bytes = high_water_bytes

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=self._high_water_bytes)

    def data_received(self, data: bytes) -> None:
        if self._owner is not None and not self._is_silent:
            self._owner.octets_came(bytes(data))

    def eof_received(self) -> bool:
        self._tell_end()
        return True  # what is still to be written may go out; the owner ends the line

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._tell_end()
        owner, self._owner = self._owner, None
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
        if not self._has_ended:
            self._has_ended = True
            if self._owner is not None and not self._is_silent:
                self._owner.line_ended()

    # What the owner calls

    @property
    def held_bytes(self) -> int:
        return 0 if self._transport is None else int(self._transport.get_write_buffer_size())

    def write(self, octets: bytes) -> bool:
        if not self._transport.is_closing():
            self._transport.write(octets)
        return not self._is_congested

    def pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def end_writing(self) -> None:
        if not self._transport.is_closing():
            with suppress(OSError, RuntimeError):  # the other end is gone; said twice
                self._transport.write_eof()

    def end(self) -> None:
        self._is_silent = True
        self._transport.close()

    def abort(self) -> None:
        self._is_silent = True
        self._transport.abort()


class _TrioLine:
    """`Line` for trio: one task reads, and one writes while there is something to be written."""

    def __init__(self, trio: Any, own: socket.socket, owner: LineOwner, high_water_bytes: int) -> None:
        self._trio = trio
        self._socket = trio.socket.from_stdlib_socket(own)
        self._owner: LineOwner | None = owner
        self._high_water_bytes = high_water_bytes
        self._unsent = bytearray()
        self._is_congested = False
        self._is_writing = False
        self._is_closing = False
        self._is_ending_writing = False
        self._has_ended = False
        self._may_read = trio.Event()
        self._may_read.set()
        self._reading = trio.CancelScope()
        self._writing = trio.CancelScope()
        trio.lowlevel.spawn_system_task(self._read)

    @property
    def held_bytes(self) -> int:
        return len(self._unsent)

    async def _read(self) -> None:
        with self._reading:
            while not self._has_ended:
                await self._may_read.wait()
                try:
                    octets = await self._socket.recv(_PIECE_BYTES)
                except OSError:
                    octets = b""
                await self._may_read.wait()  # paused in the meantime
                if self._owner is None:
                    return
                if octets:
                    self._owner.octets_came(octets)
                else:
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
                    sent = await self._socket.send(memoryview(bytes(self._unsent[:_PIECE_BYTES])))
                    del self._unsent[:sent]
                    if self._is_congested and len(self._unsent) <= self._high_water_bytes // 4:
                        self._is_congested = False
                        if self._owner is not None:
                            self._owner.line_has_room()
        except OSError:
            self._unsent.clear()
            self._is_congested = False
            self._tell_end()
            if self._owner is not None:
                self._owner.line_has_room()
        finally:
            self._is_writing = False
            if self._is_closing:
                self._close()
            elif self._is_ending_writing:
                self._shut()

    def write(self, octets: bytes) -> bool:
        if self._is_closing or self._is_ending_writing:
            return True
        if not self._unsent:
            with suppress(OSError):  # the task finds out, and says so
                octets = octets[self._send_now(octets) :]
        if octets:
            self._unsent += octets
            self._is_congested = self._is_congested or len(self._unsent) > self._high_water_bytes
            if not self._is_writing:
                self._is_writing = True
                self._writing = self._trio.CancelScope()
                self._trio.lowlevel.spawn_system_task(self._write)
        return not self._is_congested

    def _send_now(self, octets: bytes) -> int:
        own = socket.socket(fileno=self._socket.fileno())
        try:
            own.settimeout(0)
            return own.send(octets)
        except BlockingIOError:
            return 0
        finally:
            own.detach()

    def pause(self) -> None:
        if self._may_read.is_set():
            self._may_read = self._trio.Event()

    def resume(self) -> None:
        self._may_read.set()

    def end_writing(self) -> None:
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
        self._socket.close()


async def open_line(own: socket.socket, owner: LineOwner, high_water_bytes: int) -> Line:
    """Put a connected stream socket on the running loop; from now on it belongs to the line. Loop.

    Args:
        own: the socket; it is made non-blocking, and closed by the line.
        owner: is told what happens.
        high_water_bytes: `Line.write` returns False while more than this is unsent.

    Raises:
        OSError: the socket is not connected, or closed; it has been closed.
    """
    own.settimeout(0)
    trio_module = sys.modules.get("trio")
    if trio_module is not None and trio_module.lowlevel.in_trio_run():
        return _TrioLine(import_module("trio"), own, owner, high_water_bytes)
    loop = asyncio.get_running_loop()
    line = _AsyncioLine(owner, high_water_bytes)
    try:
        if own.family == getattr(socket, "AF_UNIX", None):
            await loop.create_unix_connection(lambda: line, sock=own)
        else:
            await loop.create_connection(lambda: line, sock=own)
    except BaseException:
        own.close()
        raise
    return line
