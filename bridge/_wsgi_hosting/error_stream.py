"""``wsgi.errors``: a text stream to wherever the deployer wants it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable

from bridge._wsgi_hosting.hosting import TextSink

# One for all: a begun line is put together from what several threads write. The garbage collector may flush another
# stream in the midst of that, in the same thread: therefore an RLock.
_joining = threading.RLock()


class ErrorStream:
    """The ``wsgi.errors`` of one request: any text, from any thread; closing it does nothing.

    Without a sink it writes to what ``sys.stderr`` is at that moment. With a logger each line becomes one record, in
    however many parts it was written; what has no line end yet becomes one at ``flush()`` and when the request ends.

    Spec: PEP 3333 "Input and Error Streams"; W-084 to W-086.
    """

    __slots__ = ("_begun_line", "_sink")

    def __init__(self, sink: TextSink | logging.Logger | None) -> None:
        self._sink = sink
        self._begun_line = ""

    def write(self, text: str) -> int:
        """Take text, also what the stream below cannot encode (it is substituted). Any thread."""
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        sink = self._sink
        if isinstance(sink, logging.Logger):
            with _joining:
                *lines, self._begun_line = (self._begun_line + text).split("\n")
            for line in lines:
                if line.strip():
                    sink.error("%s", line)
            return len(text)
        stream = sys.stderr if sink is None else sink
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
        sink = self._sink
        if isinstance(sink, logging.Logger):
            with _joining:
                line, self._begun_line = self._begun_line, ""
            if line.strip():
                sink.error("%s", line)
            return
        stream = sys.stderr if sink is None else sink
        if stream is not None:
            stream.flush()

    def close(self) -> None:
        """Do nothing: the stream below belongs to the process."""

    def __del__(self) -> None:
        if self._begun_line:
            self.flush()
