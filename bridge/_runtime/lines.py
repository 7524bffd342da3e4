"""`Line`: a stream socket on the running loop, by callbacks.

What comes is handed on at once, in the callback of the loop, without a task in between (trio has no callbacks: there it
is a task); what is written goes out at once where the socket takes it. One line has one piece in each turn of the loop:
a client that sends as fast as it can leaves the others theirs. All of it is on the loop's thread.

What differs between asyncio (and uvloop) and trio is in `asyncio_lines` and `trio_lines`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from importlib import import_module
from typing import Protocol

from bridge._runtime.asyncio_lines import AsyncioLine
from bridge._runtime.trio_lines import TrioLine

_PIECE_BYTES = 64 * 1024
"""How much of one line is handed on in one turn of the loop: thousands of small frames. uvloop would read 8 MiB."""


class LineOwner(Protocol):
    """What a line tells. Loop thread."""

    def octets_came(self, octets: bytes) -> None:
        """Octets have come; never empty. If it raises, that is logged and the connection is cut."""
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
        return TrioLine(import_module("trio"), own, owner, high_water_bytes, piece_bytes)
    loop = asyncio.get_running_loop()
    line = AsyncioLine(owner, high_water_bytes, piece_bytes)
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
