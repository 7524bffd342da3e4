"""What a worker does with a response that its client takes more slowly than it is made.

A slow client must not hold a worker that somebody else waits for. So as soon as requests wait for workers, what is
unsent goes into a temporary file, and what follows behind it, until the loop has caught up; then the way through memory
is taken again. While nobody waits, the application is held back, and the disk is left alone. Of a regular file the
descriptor is handed over in any case, since nothing is copied.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn

from bridge._runtime.spooled import Backlog, RestOfFile, Spooled, can_spool
from bridge._wsgi_hosting.files import regular_file
from bridge._wsgi_hosting.loop_side import LoopSide
from bridge.errors import ClientTimeout

PATIENCE_S = 0.02
"""A client that takes half of what may be in memory within this time is not slow."""


class SlowClient:
    """The slow client of one response. Worker."""

    __slots__ = ("_backlog", "_exchange", "_is_taking")

    def __init__(self, exchange: LoopSide) -> None:
        self._exchange = exchange
        self._backlog: Backlog | None = None
        self._is_taking = False

    def take(self, octets: bytes) -> bool:
        """Append octets to the file; return False if they are to go through memory.

        Raises:
            ClientDisconnected: the client has left.
        """
        if self._is_taking and self._backlog is not None:
            if (reason := self._exchange.outflow.reason) is not None:
                raise reason
            self._is_taking = self._backlog.write(octets)
        return self._is_taking

    def hold_back(self) -> None:
        """Wait until the application may go on, or see to it that it may.

        Raises:
            ClientDisconnected: the client has left, or has taken nothing for ``Limits.response_wait_s``.
        """
        if self._wait() or self._begin_file():
            return
        hosting = self._exchange.hosting
        if not self._exchange.outflow.wait_for_room(hosting.limits.response_wait_s, hosting.pool):
            self.give_up()

    def hold_back_file(self, filelike: Any, left_bytes: int | None, ending: tuple[Any, ...]) -> bool:
        """Let the loop send the rest of a regular file, and then the end of the response; or do as `hold_back`.

        Args:
            filelike: the file, read up to what was put last.
            left_bytes: how much of what was not read yet belongs to the response; None for all of it.
            ending: the items that end the response.

        Returns:
            Whether the loop does it all.

        Raises:
            ClientDisconnected: as `hold_back`.
        """
        if self._hand_over_file(filelike, left_bytes, ending):
            return True
        self.hold_back()
        return False

    def _wait(self) -> bool:
        """Wait until the client has taken enough; return False if the worker is wanted elsewhere before.

        Raises:
            ClientDisconnected: the client has left, or has taken nothing for ``Limits.response_wait_s``.
        """
        hosting = self._exchange.hosting
        is_wanted = False

        def look() -> bool:
            nonlocal is_wanted
            is_wanted = hosting.pool.is_wanted()
            return is_wanted

        has_room = self._exchange.outflow.wait_for_room(hosting.limits.response_wait_s, is_needed=look)
        if not has_room and not is_wanted:
            self.give_up()
        return has_room

    def give_up(self) -> NoReturn:
        """Take the client for gone.

        Raises:
            ClientTimeout: always.
        """
        limit_s = self._exchange.hosting.limits.response_wait_s
        reason = ClientTimeout(f"the client took no byte of the response for {limit_s} s")
        self._exchange.give_up(reason)
        raise reason

    def _begin_file(self) -> bool:
        """Let what is unsent, and what follows, go through a file; return False if there can be none.

        If the file of this response is full, it is waited for; the loop bounds that, as it sees the client move.

        Raises:
            ClientDisconnected: the client has left.
        """
        exchange = self._exchange
        outflow, hosting = exchange.outflow, exchange.hosting
        if not can_spool or not exchange.may_spool or not hosting.limits.response_spool_bytes:
            return False
        if self._backlog is not None and not self._backlog.is_closed:
            return outflow.wait_for_room(None, hosting.pool)
        backlog: Backlog | None = None
        with suppress(OSError):  # no descriptor is left, or no disk
            backlog = Backlog(hosting.limits.response_spool_bytes, hosting.disk)
        if backlog is None:
            return False
        blocks = outflow.withdraw()
        octets = b"".join(blocks)
        if not backlog.write(octets):
            backlog.close()
            outflow.put(tuple(blocks), len(octets))
            return False
        self._hand_over(backlog)
        self._backlog, self._is_taking = backlog, True
        return True

    def _hand_over_file(self, filelike: Any, left_bytes: int | None, ending: tuple[Any, ...]) -> bool:
        file = regular_file(filelike)
        if not can_spool or not self._exchange.may_spool or file is None:
            return False
        outflow = self._exchange.outflow
        blocks = outflow.withdraw()  # they are in the file, too
        unsent_bytes = sum(map(len, blocks))
        try:
            rest = RestOfFile(
                file.descriptor,
                file.offset_bytes - unsent_bytes,
                (file.left_bytes if left_bytes is None else left_bytes) + unsent_bytes,
            )
        except OSError:  # no descriptor is left
            outflow.put(tuple(blocks), unsent_bytes)
            return False
        self._hand_over(rest, *ending)
        return True

    def _hand_over(self, spooled: Spooled, *ending: Any) -> None:
        self._exchange.spooled += (spooled,)
        try:
            self._exchange.outflow.put((spooled, *ending), 0)
        except BaseException:
            spooled.close()  # the loop has looked for files to close before this one was there
            raise
        self._exchange.watch_client()
