"""Octets as a file: one raw stream inside `io.BufferedReader`, so that reading is the standard library's work.

A `Source` knows only ``readinto``. Where the octets come from (memory, a temporary file, a loop that is asked piece by
piece) is the source's matter; that a cut body raises is too.

Threads of one application may share a body. `io.BufferedReader` has a lock of its own, in every build of Python, and so
a source is read by one thread at a time; `io.BytesIO` has the GIL, and is used only where there is one.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_opening = threading.Lock()
"""Held while a reader is made, which takes a microsecond and waits for nothing but a file's own lock."""
_HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


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

    def reader(self) -> io.BytesIO | None:
        """Return the octets as a file, if they are all there is to read, and it serves several threads."""
        return io.BytesIO(self._octets) if _HAS_GIL and self._error is None else None

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

    __slots__ = ("_error", "_file", "_lock", "_reader")

    def __init__(self, file: io.FileIO, error: Exception | None = None) -> None:
        file.seek(0)
        self._file: io.FileIO | None = file
        self._reader: io.BufferedReader | None = None
        self._error = error
        self._lock = threading.Lock()

    def reader(self) -> io.BufferedReader | None:
        """Return the octets as a file, if they are all there is to read; it ends with `close`, too."""
        with self._lock:
            if self._file is not None and self._error is None and self._reader is None:
                # Kept here: a reader that is collected closes its file, with a warning that it was not closed.
                self._reader = io.BufferedReader(self._file)
            return self._reader

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
                (self._reader or self._file).close()  # the reader waits for a thread that is reading just now
                self._file = self._reader = None


class Opener(Protocol):
    """Who has a body that nobody has asked for yet."""

    def open_body(self) -> Source:
        """Return where its octets come from. Any thread."""
        ...


class LazySource:
    """A source that is made when somebody reads: most requests without a body are never asked for one.

    It is made once: whoever reads a source holds the lock of the reader around it.
    """

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


class BodyStream:
    """A request body to read from: not seekable, thread-safe, equal to `io.BytesIO` in all its reading methods.

    The reader behind it is made at the first use, since most bodies are never looked at, and never changed again.
    Reading is serialised by the reader itself, so several threads get disjoint octets.

    Args:
        source: where the octets come from; None if that is known only when somebody reads.
        opener: whoever knows it then.
    """

    __slots__ = ("_opener", "_reader", "_source")

    def __init__(self, source: Source | None, opener: Opener | None = None) -> None:
        self._source = source
        self._opener = opener
        self._reader: io.BufferedReader | io.BytesIO | None = None

    def _open(self) -> io.BufferedReader | io.BytesIO:
        reader = self._reader
        if reader is None:
            with _opening:  # two threads of the application must not make two readers
                reader = self._reader
                if reader is None:
                    source = self._source
                    if source is None:
                        source = MemorySource(b"") if self._opener is None else LazySource(self._opener.open_body)
                    # Octets that are all there are read without a Python function for each piece.
                    reader = source.reader() if isinstance(source, MemorySource | FileSource) else None
                    if reader is None:
                        reader = io.BufferedReader(cast("Any", _RawBody(source)))
                    self._reader = reader
        return reader

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` octets (fewer only at the end), or all that are left for None or a negative size."""
        return self._open().read(-1 if size is None or size < 0 else size)

    def read1(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` octets with at most one wait."""
        return self._open().read1(size)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer (less only at the end); return how many octets."""
        return self._open().readinto(buffer)

    def readinto1(self, buffer: Buffer, /) -> int:
        """Fill a buffer with at most one wait; return how many octets."""
        return self._open().readinto1(buffer)

    def peek(self, size: int = 0, /) -> bytes:
        """Return octets without moving on."""
        reader = self._open()
        if isinstance(reader, io.BytesIO):
            return bytes(reader.getbuffer()[reader.tell() :])
        return reader.peek(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        r"""Return octets up to and including the next ``\n``, at most ``size`` of them if that is not negative."""
        return self._open().readline(-1 if size is None or size < 0 else size)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return the lines that are left, stopping once their total length reaches ``hint`` if that is positive."""
        reader = self._open()
        if hint is None or hint <= 0:
            return reader.readlines()
        # Not the reader's own: io.BufferedReader reads on when the total is exactly the hint, io.BytesIO does not.
        lines: list[bytes] = []
        total_bytes = 0
        while total_bytes < hint and (line := reader.readline()):
            lines.append(line)
            total_bytes += len(line)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._open())

    def __next__(self) -> bytes:
        return next(self._open())

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def isatty(self) -> bool:
        """Return False."""
        return False

    def flush(self) -> None:
        """Do nothing: there is nothing to write."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._reader is not None and self._reader.closed

    def close(self) -> None:
        """Let further reads raise ``ValueError``; the request itself goes on."""
        self._open().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
