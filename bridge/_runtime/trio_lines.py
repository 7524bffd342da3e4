"""`Line` on trio: a task that reads, and one that writes while there is something to be written."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge._runtime.lines import LineOwner

logger = logging.getLogger("bridge.lines")

_PIECE_BYTES = 64 * 1024


class TrioLine:
    """`Line` for trio: one task reads, and one writes while there is something to be written.

    What the reading task takes from the system it hands on without a pause in between: octets are in one place or in
    the other.

    What the owner raises in one of these tasks would end the whole trio run: it cuts the connection instead, as asyncio
    does.
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
                    self._guarded(self._owner.octets_came, octets)
                elif not octets:
                    self._tell_end()

    def _tell_end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            if self._owner is not None:
                self._guarded(self._owner.line_ended)

    def _tell_room(self) -> None:
        if self._owner is not None:
            self._guarded(self._owner.line_has_room)

    def _guarded(self, tell: Callable[..., None], *arguments: bytes) -> None:
        """Tell the owner something."""
        try:
            tell(*arguments)
        except Exception:
            logger.exception("%s could not take what came; its connection is cut", repr(self._owner))
            self._lose()
            self.abort()

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
            self._tell_room()

    def _lose(self) -> None:
        """Nothing can be sent any more."""
        self._has_been_lost = True
        self._unsent.clear()
        was_congested, self._is_congested = self._is_congested, False
        self._tell_end()
        if was_congested:
            self._tell_room()

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
