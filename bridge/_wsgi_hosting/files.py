"""``wsgi.file_wrapper``: a file as a response, and what the server can do with it by itself."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, Self

from bridge.translate import messages
from bridge.types import Message

# Reading a regular file in larger blocks than asked for is allowed (block_size is "a suggestion", PEP 3333) and
# saves switches; anything else may have its reasons.
_REGULAR_FILE_BLOCK_BYTES = 256 * 1024
_DEFAULT_BLOCK_BYTES = 8192
_FILE_TYPES = (io.BufferedReader, io.BufferedRandom, io.FileIO)


class FileLike(Protocol):
    """All that PEP 3333 lets a server ask of the wrapped object."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, empty at the end."""
        ...


class FileWrapper:
    """Wraps a file-like object for a response; nothing is read before the wrapper is iterated.

    Has a ``close`` method if and only if the file-like object has one.

    Args:
        filelike: an object with ``read(size)``; the current position is where the response begins.
        block_size: bytes per block, a suggestion.

    Spec: PEP 3333 "Optional Platform-Specific File Handling"; W-126 to W-131.
    """

    __slots__ = ("block_bytes", "filelike")

    def __new__(cls, filelike: Any, block_size: int = _DEFAULT_BLOCK_BYTES) -> FileWrapper:  # noqa: ARG004, PYI034
        kind: Any = _ClosingFileWrapper if hasattr(filelike, "close") else FileWrapper
        wrapper: FileWrapper = super().__new__(kind)
        return wrapper

    def __init__(self, filelike: FileLike, block_size: int = _DEFAULT_BLOCK_BYTES) -> None:
        self.filelike = filelike
        self.block_bytes = block_size

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        block = self.filelike.read(self.block_bytes)
        if not block:
            raise StopIteration
        return block

    def blocks(self, limit_bytes: int | None) -> Iterator[bytes]:
        """Read the file from where it is, to its end or to the limit, in blocks fit for sending. Worker."""
        block_bytes = self.block_bytes
        if regular_file(self.filelike) is not None:
            block_bytes = max(block_bytes, _REGULAR_FILE_BLOCK_BYTES)
        read = self.filelike.read
        left_bytes = limit_bytes
        while left_bytes is None or left_bytes > 0:
            block = read(block_bytes if left_bytes is None else min(block_bytes, left_bytes))
            if not block:
                return
            if left_bytes is not None:
                left_bytes -= len(block)
            yield block


class _ClosingFileWrapper(FileWrapper):
    __slots__ = ()

    def close(self) -> None:
        """Close the file; the method is looked up now, since frameworks replace it on the instance."""
        self.filelike.close()  # type: ignore[attr-defined]


class RegularFile(NamedTuple):
    """What is left of a regular file, as the operating system sees it."""

    descriptor: int
    offset_bytes: int
    left_bytes: int


def regular_file(filelike: object) -> RegularFile | None:
    """Return the descriptor and position of a regular file, or None for everything else. Worker."""
    # Exactly these types: other objects with a fileno() may decode or count what they read.
    file: Any = filelike if type(filelike) in _FILE_TYPES else getattr(filelike, "file", None)  # tempfile's wrapper
    if type(file) not in _FILE_TYPES:
        return None
    try:
        descriptor = file.fileno()
        status = os.fstat(descriptor)
        offset_bytes = file.tell()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return RegularFile(descriptor, offset_bytes, max(0, status.st_size - offset_bytes))


def whole_file_path(filelike: object, content_length: int | None) -> str | None:
    """Return the absolute path under which the server may open the whole file by itself, or None.

    The path must name the very file that is open, unread, and all of it must be the response: a deleted, renamed or
    temporary file, a range or a relative name is none of that (W-130).
    """
    file = regular_file(filelike)
    name = getattr(filelike, "name", None)
    if file is None or type(filelike) not in _FILE_TYPES or not isinstance(name, str) or not os.path.isabs(name):
        return None
    try:
        by_name, by_descriptor = os.stat(name), os.fstat(file.descriptor)
    except (OSError, ValueError):
        return None
    if not os.path.samestat(by_name, by_descriptor):
        return None
    if file.offset_bytes or (content_length is not None and content_length != by_descriptor.st_size):
        return None
    return name


def message_for_file(filelike: Any, content_length: int | None, extensions: Any, *, pathsend: bool) -> Message | None:
    """Return the event that lets the server send a file by itself, or None: it has to be read here (W-127 to W-131).

    Args:
        filelike: what the application has wrapped.
        content_length: what the response announces, or None.
        extensions: those of the server.
        pathsend: whether whole files may be opened by the server.
    """
    if pathsend and messages.PATHSEND in extensions:
        path = whole_file_path(filelike, content_length)
        if path is not None:
            return messages.pathsend(path)
    if messages.ZEROCOPYSEND in extensions:
        file = regular_file(filelike)
        if file is not None and (content_length is None or content_length <= file.left_bytes):
            count = file.left_bytes if content_length is None else content_length
            return messages.zerocopysend(file.descriptor, file.offset_bytes, count, more_body=False)
    return None
