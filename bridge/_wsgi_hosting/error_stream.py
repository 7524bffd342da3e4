"""``wsgi.errors``: a text stream to wherever the deployer wants it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from typing import Protocol

# One for all: a begun line is put together from what several threads write. The garbage collector may flush another
# stream in the midst of that, in the same thread: therefore an RLock.
_joining = threading.RLock()


class TextSink(Protocol):
    """Where ``wsgi.errors`` goes: anything with ``write`` and ``flush``."""

    def write(self, text: str, /) -> object:
        """Take text."""
        ...

    def flush(self) -> object:
        """Hand on what was taken."""
        ...


class ErrorStream:
    """A ``wsgi.errors``: any text, from any thread; closing it does nothing.

    Without a sink it writes to what ``sys.stderr`` is at that moment. It remembers nothing, so all requests share one.

    Spec: PEP 3333 "Input and Error Streams"; W-084 to W-086.
    """

    __slots__ = ("_sink",)

    def __init__(self, sink: TextSink | None) -> None:
        self._sink = sink

    def write(self, text: str) -> int:
        """Take text, also what the stream below cannot encode (it is substituted). Any thread."""
        _check_text(text)
        stream = sys.stderr if self._sink is None else self._sink
        if stream is None:  # a process without standard streams
            return len(text)
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Take several texts. Any thread."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written. Any thread."""
        stream = sys.stderr if self._sink is None else self._sink
        if stream is not None:
            stream.flush()

    def close(self) -> None:
        """Do nothing: the stream below belongs to the process."""


class LoggedErrorStream:
    """The ``wsgi.errors`` of one request, whose lines become records of a logger.

    Each line becomes one, in however many parts it was written; what has no line end yet becomes one at ``flush()``
    and when the request ends.
    """

    __slots__ = ("_begun_line", "_logger")

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._begun_line = ""

    def write(self, text: str) -> int:
        """Take text. Any thread."""
        _check_text(text)
        with _joining:
            *lines, self._begun_line = (self._begun_line + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.error("%s", line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Take several texts. Any thread."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Make a record of what has no line end yet. Any thread."""
        with _joining:
            line, self._begun_line = self._begun_line, ""
        if line.strip():
            self._logger.error("%s", line)

    def close(self) -> None:
        """Do nothing: the logger belongs to the process."""

    def __del__(self) -> None:
        if self._begun_line:
            self.flush()


def _check_text(text: object) -> None:
    """Refuse what is no text.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(text, str):
        raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
