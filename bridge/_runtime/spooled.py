"""Octets on their way from a thread to a slow reader, by way of a file, so that the thread need not wait.

`Backlog` is a temporary file that one thread appends to while another side reads it; `RestOfFile` is what is left of a
file that is there already. Reading and writing block on the disk: both belong on threads, never on a loop.

A file is given back when `close` was called and nobody is using it: closing never waits for the disk, and never takes a
descriptor away from a thread that is reading.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import suppress
from typing import Protocol

from bridge._runtime.allowance import Allowance

PIECE_BYTES = 64 * 1024

can_spool = hasattr(os, "pread") and hasattr(os, "pwrite")
"""Whether a file can be read and written at once by two threads (POSIX)."""


class Spooled(Protocol):
    """Octets in a file, read in order."""

    @property
    def is_closed(self) -> bool:
        """Whether the file is given back, or will be by whoever is using it now."""
        ...

    def read(self) -> bytes:
        """Return the next octets; empty when there are none left, which is the end. Blocks; one thread at a time.

        Raises:
            OSError: the disk failed.
        """
        ...

    def close(self) -> None:
        """Give the file back. Any thread; may be called again."""
        ...


class _Descriptor:
    """A file descriptor that is closed when it is not wanted any more and nobody is using it."""

    __slots__ = ("_descriptor", "_is_unwanted", "_lock", "_users")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._users = 0
        self._is_unwanted = False
        self._lock = threading.Lock()  # guards all of it

    @property
    def is_unwanted(self) -> bool:
        """Whether `close` was called."""
        return self._is_unwanted

    def begin(self) -> int | None:
        """Return the descriptor, for use until `end`; None if it is closed."""
        with self._lock:
            if self._is_unwanted:
                return None
            self._users += 1
            return self._descriptor

    def end(self) -> None:
        """Say that the use is over."""
        with self._lock:
            self._users -= 1
            closes = self._is_unwanted and not self._users
        if closes:
            os.close(self._descriptor)

    def close(self) -> bool:
        """Close it now or after the last use; return whether this was the first call."""
        with self._lock:
            if self._is_unwanted:
                return False
            self._is_unwanted = True
            closes = not self._users
        if closes:
            os.close(self._descriptor)
        return True


class Backlog:
    """A temporary file that one thread appends to while it is being read, until the reader has caught up.

    Args:
        most_bytes: how large it may become.
        disk: the allowance that all such files share.

    Raises:
        OSError: no file can be made.
    """

    def __init__(self, most_bytes: int, disk: Allowance) -> None:
        with tempfile.TemporaryFile(buffering=0) as file:
            self._file = _Descriptor(os.dup(file.fileno()))
        self._most_bytes = most_bytes
        self._disk = disk
        self._lock = threading.Lock()  # guards the three below
        self._written_bytes = 0
        self._has_ended = False
        self._given_back = False
        self._read_bytes = 0  # the reader's own

    @property
    def is_closed(self) -> bool:
        return self._file.is_unwanted

    def write(self, octets: bytes) -> bool:
        """Append octets; return False if they were not taken: no room, or the reader has caught up. Blocks; one thread.

        Once it has returned False nothing more is to be written.
        """
        start = self._written_bytes
        if start + len(octets) > self._most_bytes or not self._disk.take(len(octets)):
            return False
        is_taken = False
        descriptor = self._file.begin()
        if descriptor is not None:
            try:
                with suppress(OSError):  # the disk is full: then there is no room
                    _write_all(descriptor, octets, start)
                    is_taken = True
            finally:
                self._file.end()
        with self._lock:
            if is_taken and not self._has_ended:
                self._written_bytes = start + len(octets)
                return True
        self._disk.give(len(octets))
        return False

    def read(self) -> bytes:
        descriptor = self._file.begin()
        if descriptor is None:
            return b""
        try:
            with self._lock:
                left_bytes = self._written_bytes - self._read_bytes
                if not left_bytes:
                    self._has_ended = True
            octets = os.pread(descriptor, min(PIECE_BYTES, left_bytes), self._read_bytes) if left_bytes else b""
        finally:
            self._file.end()
        if left_bytes and not octets:
            raise OSError("a temporary file has become shorter than what was written to it")
        self._read_bytes += len(octets)
        if not octets:
            self.close()
        return octets

    def close(self) -> None:
        with self._lock:
            self._has_ended = True
            size_bytes = 0 if self._given_back else self._written_bytes
            self._given_back = True
        self._file.close()
        self._disk.give(size_bytes)


class RestOfFile:
    """What is left of a regular file, which its owner may close or delete from now on.

    Args:
        descriptor: of the file; it is duplicated.
        offset_bytes: where the rest begins.
        left_bytes: how much of it is meant, or None for all there is when it is read.

    Raises:
        OSError: no descriptor is left.
    """

    def __init__(self, descriptor: int, offset_bytes: int, left_bytes: int | None) -> None:
        self._file = _Descriptor(os.dup(descriptor))
        self._offset_bytes = offset_bytes
        self._left_bytes = left_bytes

    @property
    def is_closed(self) -> bool:
        return self._file.is_unwanted

    def read(self) -> bytes:
        left_bytes = self._left_bytes
        size_bytes = PIECE_BYTES if left_bytes is None else min(PIECE_BYTES, left_bytes)
        descriptor = self._file.begin() if size_bytes else None
        if descriptor is None:
            return b""
        try:
            octets = os.pread(descriptor, size_bytes, self._offset_bytes)
        finally:
            self._file.end()
        if left_bytes is not None:
            if not octets:
                raise OSError(f"a file has become {left_bytes} bytes shorter while it was being sent")
            self._left_bytes = left_bytes - len(octets)
        self._offset_bytes += len(octets)
        return octets

    def close(self) -> None:
        self._file.close()


def _write_all(descriptor: int, octets: bytes, offset_bytes: int) -> None:
    rest = memoryview(octets)
    while rest:
        written_bytes = os.pwrite(descriptor, rest, offset_bytes)
        rest = rest[written_bytes:]
        offset_bytes += written_bytes
