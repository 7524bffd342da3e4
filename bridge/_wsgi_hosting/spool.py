"""A large request body on its way into a temporary file.

The file is made and written on the spool threads, never on the loop: a disk that stalls must not stall everybody. One
write is under way at a time, while the next pieces are being received.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import suppress

from bridge._runtime.allowance import Share
from bridge._runtime.loops import LoopPort
from bridge._runtime.waiting import ThreadCall, run_in_worker, start_in_worker
from bridge._runtime.workers import WorkerPool
from bridge.errors import RequestRefused

_NO_ROOM = "The server has no room for this request body now; try again later."
_PIECES_PER_WRITE = 512  # POSIX promises 16; the systems of today take 1024


class Spool:
    """One temporary file being written. Loop; by one task.

    Args:
        pool: the spool threads.
        port: this loop.
        disk: this request's share of what all files may take; it is given back by whoever has made it.
    """

    def __init__(self, pool: WorkerPool, port: LoopPort, disk: Share) -> None:
        self._disk = disk
        self._pool = pool
        self._port = port
        self._file: io.FileIO | None = None
        self._writing: ThreadCall[None] | None = None

    async def write(self, pieces: list[bytes]) -> None:
        """Append pieces; returns when the write before this one is done. The list is consumed.

        Raises:
            RequestRefused: the adapter's files take as much as they may, the disk is full or fails, or no descriptor
                or thread is left (503).
        """
        if not self._disk.take(sum(map(len, pieces))):
            raise RequestRefused(503, _NO_ROOM)
        if self._file is None:
            try:
                self._file = await run_in_worker(self._pool, self._port, _new_file)
            except (OSError, RuntimeError) as error:
                raise RequestRefused(503, _NO_ROOM) from error
        await self._wait()
        try:
            self._writing = start_in_worker(self._pool, self._port, _write_all, self._file, pieces)
        except RuntimeError as error:
            raise RequestRefused(503, _NO_ROOM) from error

    async def file(self) -> io.FileIO:
        """Return the file once all is written; it belongs to the caller now.

        Raises:
            RequestRefused: the disk is full, or fails (503).
        """
        await self._wait()
        file, self._file = self._file, None
        if file is None:
            raise ValueError("nothing was spooled")
        return file

    async def discard(self) -> None:
        """Give the file back, after the write that is under way."""
        try:
            with suppress(RequestRefused):  # the body is not wanted any more
                await self._wait()
        finally:  # cancelled: `ThreadCall.wait` has waited for the write all the same
            if self._file is not None:
                self._file.close()
                self._file = None

    async def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            try:
                await writing.wait()
            except OSError as error:  # nobody's mistake, and not worth a traceback for each request
                raise RequestRefused(503, _NO_ROOM) from error


def _new_file() -> io.FileIO:
    """Make a temporary file that no name leads to. Spool thread."""
    return tempfile.TemporaryFile(buffering=0)


def _write_all(file: io.FileIO, pieces: list[bytes]) -> None:
    """Append all pieces to the file. Spool thread."""
    descriptor = file.fileno()
    start = 0
    while start < len(pieces):
        written_bytes = _write_some(descriptor, pieces[start : start + _PIECES_PER_WRITE])
        while start < len(pieces) and written_bytes >= len(pieces[start]):
            written_bytes -= len(pieces[start])
            start += 1
        if written_bytes:
            pieces[start] = pieces[start][written_bytes:]
    pieces.clear()


def _write_some(descriptor: int, pieces: list[bytes]) -> int:
    if hasattr(os, "writev"):  # without copying the pieces together
        return os.writev(descriptor, pieces)
    return os.write(descriptor, b"".join(pieces))
