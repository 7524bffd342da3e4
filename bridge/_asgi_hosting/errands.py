"""What the application asks of the server's objects, done by the request thread, which alone may touch them.

An errand is put into the outbox like a block, so it is done in its place; the loop waits until it is done.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from bridge._asgi_hosting.offers import EARLY_HINTS_KEY, TRAILERS_KEY

if TYPE_CHECKING:
    from bridge._asgi_hosting.servant import Servant


class Errand:
    """One errand. Made on the loop, run once by the servant; what that leaves in it, the loop reads after ``done``.

    Attributes:
        error: what it raised; the loop raises that out of ``send``.
        done: tells the exchange that it has been run; posted by the servant.
    """

    error: Exception | None = None
    done: Callable[[], None]

    def run(self, servant: Servant) -> None:
        """Do it. Request thread."""
        raise NotImplementedError


class HintErrand(Errand):
    """Send an interim response with links (A-035)."""

    def __init__(self, links: list[tuple[str, str]]) -> None:
        self._links = links

    def run(self, servant: Servant) -> None:
        servant.environ[EARLY_HINTS_KEY](self._links)


class TrailersErrand(Errand):
    """Leave trailers with the server, which sends them at the end (A-036)."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def run(self, servant: Servant) -> None:
        # The server keeps one list, the application may send several: all that came so far.
        servant.trailers = sent = [*servant.trailers, *self._fields]
        servant.environ[TRAILERS_KEY](list(sent))


class FileErrand(Errand):
    """Open the file that is the whole content; the servant gives it to the server (A-039)."""

    def __init__(self, path: str) -> None:
        self._path = path

    def run(self, servant: Servant) -> None:
        # Not open(): that would wait for a writer at the other end of a pipe.
        descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            servant.response.file_content(_size_of_file(descriptor, self._path))
            file: BinaryIO = os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
        servant.file = file


def _size_of_file(descriptor: int, path: str) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path!r} is no regular file")
    return status.st_size
