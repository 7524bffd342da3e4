"""Octets as a file: one raw stream inside `io.BufferedReader`, so that reading is the standard library's work.

A `Source` knows only ``readinto``. Where the octets come from (memory, a temporary file, a loop that is asked piece by
piece) is the source's matter; that a cut body raises is too.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Protocol, SupportsIndex


class Source(Protocol):
    """Where octets come from."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` with at least one octet, waiting if it must; return how many, 0 at the end."""
        ...


class MemorySource:
    """Octets in memory, and the error that follows them if they are not all."""

    __slots__ = ("_error", "_octets", "_position")

    def __init__(self, octets: bytes, error: Exception | None = None) -> None:
        self._octets = octets
        self._position = 0
        self._error = error

    def readinto(self, buffer: memoryview) -> int:
        start = self._position
        count = min(len(buffer), len(self._octets) - start)
        if count:
            buffer[:count] = memoryview(self._octets)[start : start + count]
            self._position = start + count
        elif self._error is not None and len(buffer):
            raise self._error
        return count


class FileSource:
    """Octets in an unbuffered file, from its beginning, and the error that follows if they are not all.

    ``close`` may come from another thread than the reader's.
    """

    __slots__ = ("_error", "_file", "_lock")

    def __init__(self, file: io.FileIO, error: Exception | None = None) -> None:
        file.seek(0)
        self._file: io.FileIO | None = file
        self._error = error
        self._lock = threading.Lock()

    def readinto(self, buffer: memoryview) -> int:
        with self._lock:
            if self._file is None:
                raise ValueError("the request body was read after the request had ended")
            count = self._file.readinto(buffer)
        if not count and self._error is not None and len(buffer):
            raise self._error
        return count

    def close(self) -> None:
        """Give the file back; later reads raise ``ValueError``."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


class LazySource:
    """A source that is made when somebody reads: most requests without a body are never asked for one."""

    __slots__ = ("_make", "_source")

    def __init__(self, make: Callable[[], Source]) -> None:
        self._make = make
        self._source: Source | None = None

    def readinto(self, buffer: memoryview) -> int:
        if self._source is None:
            self._source = self._make()
        return self._source.readinto(buffer)


class _RawBody(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        return self._source.readinto(memoryview(buffer).cast("B"))  # type: ignore[arg-type]


class BodyStream(io.BufferedReader):
    """A request body to read from: not seekable, thread-safe, equal to `io.BytesIO` in all its reading methods.

    Reading is serialised by `io.BufferedReader`'s own lock, so several threads get disjoint octets.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(_RawBody(source))

    def read(self, size: SupportsIndex | None = -1, /) -> bytes:
        """Return ``size`` octets (fewer only at the end), or all that are left for None or a negative size."""
        if size is None or int(size) < 0:
            return super().read(-1)
        return super().read(size)

    def readline(self, size: SupportsIndex | None = -1, /) -> bytes:
        r"""Return octets up to and including the next ``\n``, at most ``size`` of them if that is not negative."""
        if size is None or int(size) < 0:
            return super().readline(-1)
        return super().readline(size)

    def readlines(self, hint: SupportsIndex | None = -1, /) -> list[bytes]:
        """Return the lines that are left, stopping once their total length reaches ``hint`` if that is positive."""
        return super().readlines(-1 if hint is None else int(hint))
