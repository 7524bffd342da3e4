"""What the server gets to iterate over. Each has ``close()``, which some servers call without looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge._asgi_hosting.servant import Servant


class WholeResponse(list[bytes]):
    """A complete response: a real list, so that servers can infer its length (A-006, A-080)."""

    __slots__ = ()

    def close(self) -> None:
        """Do nothing: the response has been complete before the server got it."""


class NoContent:
    """The content of a response that carries none: no length to infer, and one empty block, which sends the headers."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return iter((b"",))

    def close(self) -> None:
        """Do nothing."""


class Blocks:
    """A response under way: each step returns the next block as soon as there is one.

    The steps may be taken by different threads, one after the other; ``close()`` by any, and it does not wait (A-007).
    To be collected unclosed is to be closed (A-092).
    """

    __slots__ = ("_first", "_servant")

    def __init__(self, servant: Servant, first: bytes) -> None:
        self._servant = servant
        self._first: bytes | None = first

    def __iter__(self) -> Blocks:
        return self

    def __next__(self) -> bytes:
        first = self._first
        if first is not None:
            self._first = None
            return first
        block = self._servant.next_block()
        if block is None:
            raise StopIteration
        return block

    def close(self) -> None:
        """The server has done with the response: if it is not complete, the client is gone. Any thread."""
        self._servant.leave()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # Bound above: at the end of the interpreter modules are empty, and the loop is no more.
        if not is_finalizing():
            with suppress(AttributeError):  # interrupted while it was made
                self._servant.leave()
