"""Receiving a request: the body before or while the application runs, and the news that the client has left.

`RequestReceiver` is the only caller of ``receive()`` in a request, and calls it once at a time. It first collects
(before a worker is taken, so a slow client holds none); what is left is fetched on demand by its helper task, which
afterwards waits for ``http.disconnect``. It never asks before somebody wants something: ``Expect: 100-continue`` is
answered by servers at the first ``receive()``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import anyio

from bridge._runtime.allowance import Share
from bridge._runtime.body import FileSource, MemorySource
from bridge._runtime.inflow import Inflow
from bridge._runtime.loops import LoopPort, Signal
from bridge._wsgi_hosting.body_events import BodyEvents
from bridge._wsgi_hosting.hosting import Hosting
from bridge._wsgi_hosting.spool import Spool
from bridge.errors import BodyTooLarge, ClientDisconnected, RequestRefused
from bridge.limits import Limits
from bridge.translate.headers import BodyFraming
from bridge.types import Receive

# A body that comes at this rate is not worth the way over the disk (half of what a disk takes; a proxy on the same
# machine or network is faster). Whoever begins fast and goes on slowly holds a worker, so only one worker in four may
# be held like that.
_FAST_BYTES_PER_S = 16 * 1024 * 1024
_FAST_UPLOAD_SHARE = 4

# Where memory is short, larger bodies go to the disk. Smaller ones stay: a file costs a descriptor.
_SMALL_BODY_BYTES = 64 * 1024

# Smaller pieces are joined: an octet by itself takes forty times its size of memory, which nobody counts.
_SMALL_PIECE_BYTES = 512


class CollectedBody(NamedTuple):
    """A body that has been received before the application is called."""

    source: MemorySource | FileSource
    length_bytes: int
    is_cut: bool
    """The client left in the middle."""


class RequestReceiver(BodyEvents):
    """Receives one request: first collects, then fetches what is wanted. Loop thread only.

    Attributes:
        inflow: where pieces go that a worker asks for; None until it does.
        collected_bytes: what has been received before the application is called, and is in memory.
        ahead_bytes: how far to fetch ahead of the application; 0 is one piece.
    """

    __slots__ = (
        "_began_s",
        "_disk",
        "_is_receiving",
        "_is_stopped",
        "_is_wanted",
        "_may_watch",
        "_memory",
        "_wake",
        "ahead_bytes",
        "collected_bytes",
        "inflow",
    )

    def __init__(self, receive: Receive, framing: BodyFraming, limits: Limits, *, ends_by_length: bool) -> None:
        super().__init__(receive, framing, limits, ends_by_length=ends_by_length)
        self._disk: Share | None = None
        self._memory: Share | None = None
        self._began_s = 0.0
        self._is_wanted = False
        self._may_watch = False
        self._is_receiving = False
        self._is_stopped = False
        self._wake: Signal | None = None
        self.ahead_bytes = 0
        self.collected_bytes = 0
        self.inflow: Inflow | None = None

    # ---- Before the application is called -----------------------------------------------------------------------

    async def collect(self, hosting: Hosting, port: LoopPort) -> CollectedBody | list[bytes]:
        """Receive the body: all of it, or the first pieces of a large one that is to be streamed.

        Returns:
            The body, in memory or spooled; or a list of pieces when the rest is to be fetched on demand.

        Raises:
            RequestRefused: too large (413), or no octet came for too long (408).
            ServerError: an event that has no place here.
        """
        limits = self._limits
        if hosting.large_body == "stream" and (self.announced_bytes or 0) > limits.body_memory_bytes:
            return []
        self._began_s = time.monotonic()
        with anyio.CancelScope() as scope:
            if limits.body_wait_s is not None:
                scope.deadline = anyio.current_time() + limits.body_wait_s
            return await self._collect(hosting, port, scope)
        raise RequestRefused(408, "The request body did not arrive in time.")

    async def _collect(self, hosting: Hosting, port: LoopPort, scope: anyio.CancelScope) -> CollectedBody | list[bytes]:
        limits = self._limits
        wait_s = limits.body_wait_s
        step_s = 0.0 if wait_s is None else min(1.0, wait_s / 4)
        extend_at_s = time.monotonic() + step_s
        pieces: list[bytes] = []
        spool: Spool | None = None
        try:
            while not (self.is_ended or self.is_gone):
                piece = await self.next_piece()
                if not piece:
                    continue
                if pieces and len(pieces[-1]) + len(piece) <= _SMALL_PIECE_BYTES:
                    pieces[-1] += piece
                else:
                    pieces.append(piece)
                self.collected_bytes += len(piece)
                if wait_s is not None and (now_s := time.monotonic()) > extend_at_s:
                    # Not at each octet: moving a deadline costs more than receiving a piece.
                    extend_at_s = now_s + step_s
                    scope.deadline = anyio.current_time() + wait_s
                if self.is_ended:
                    break
                if self._is_too_much(len(piece), hosting):
                    if hosting.large_body == "stream":
                        return pieces
                    if spool is None and self._may_stream(hosting):
                        self.ahead_bytes = limits.body_memory_bytes
                        return pieces
                    if spool is None:
                        self._disk = Share(hosting.disk)
                        spool = Spool(hosting.spool_pool, port, self._disk)
                    await spool.write(pieces)
                    pieces, self.collected_bytes = [], 0
                    self._give_memory_back()
            error = self.cut() if self.is_gone and not self.is_ended else None
            if spool is None:
                octets = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                return CollectedBody(MemorySource(octets, error), len(octets), error is not None)
            await spool.write(pieces)
            self.collected_bytes = 0
            file, spool = await spool.file(), None
            return CollectedBody(FileSource(file, error), self.received_bytes, error is not None)
        finally:
            if spool is not None:
                await spool.discard()

    def _is_too_much(self, piece_bytes: int, hosting: Hosting) -> bool:
        """Tell whether what is there of an unfinished body has to leave memory: it, or all of them together."""
        if self._memory is None:
            self._memory = Share(hosting.memory)
        has_room = self._memory.take(piece_bytes)
        most_bytes = self._limits.body_memory_bytes
        return self.collected_bytes > (most_bytes if has_room else min(most_bytes, _SMALL_BODY_BYTES))

    def _give_memory_back(self) -> None:
        if self._memory is not None:
            self._memory.give_back()

    def give_back(self) -> None:
        """Give back what the body has taken of memory and disk; the request is over."""
        self._give_memory_back()
        if self._disk is not None:
            self._disk.give_back()

    def _may_stream(self, hosting: Hosting) -> bool:
        """Tell whether a large body that begins like this is streamed when the choice is left to the bridge."""
        if hosting.large_body != "auto" or (hosting.sets_content_length and self.announced_bytes is None):
            return False
        is_fast = time.monotonic() - self._began_s <= self.received_bytes / _FAST_BYTES_PER_S
        return is_fast and len(hosting.fast_uploads) < hosting.pool.workers // _FAST_UPLOAD_SHARE

    # ---- While the application runs: the helper task ------------------------------------------------------------

    def want_piece(self) -> None:
        """Ask for one more piece for the inflow. Takes effect in `serve`."""
        self._is_wanted = True
        if self._wake is not None:
            self._wake.set()

    def want_news(self) -> None:
        """Ask to be told when the client leaves. Takes effect in `serve`."""
        self._may_watch = True
        if self._wake is not None:
            self._wake.set()

    def stop(self) -> bool:
        """End `serve`; return False if it has to be cancelled because the server has not answered ``receive()``."""
        self._is_stopped = True
        if self._wake is not None:
            self._wake.set()
        return not self._is_receiving

    @property
    def has_work(self) -> bool:
        """Whether `serve` has something to do now."""
        if self.is_gone:
            return False
        if self.is_ended:
            return self._may_watch
        # One piece ahead of the application at the most, also when looking for the disconnect.
        # One that comes fast is fetched further ahead, as far as memory is meant for it.
        is_wanted = self._is_wanted or self._may_watch or self.ahead_bytes
        return bool(is_wanted) and (self.inflow is None or self.inflow.held_bytes < max(1, self.ahead_bytes))

    async def serve(self, port: LoopPort, on_gone: Callable[[ClientDisconnected], None]) -> None:
        """Fetch pieces as they are wanted and wait for the disconnect, until cancelled or the client is gone.

        Raises:
            Exception: what ``receive()`` raises, or a broken rule of the server's.
        """
        self._wake = port.new_signal()
        while not (self.is_gone or self._is_stopped):
            if not self.has_work:
                await self._wake.wait()
                continue
            was_done = self.is_server_done
            self._is_receiving = True
            try:
                piece = await self.next_piece()
            except BodyTooLarge as error:
                self._is_wanted = False
                self.is_ended = True
                if self.inflow is not None:
                    self.inflow.close(error)
                continue
            except OSError as error:
                self.is_gone = True
                on_gone(ClientDisconnected(f"receive() failed: {error}"))
                return
            finally:
                self._is_receiving = False
            if self.is_gone:
                on_gone(ClientDisconnected("the client left") if self.is_ended else self.cut())
                return
            if was_done:  # a body that goes on after its end: this server will not tell of a disconnect
                self._may_watch = False
            self._deliver(piece)

    def _deliver(self, piece: bytes) -> None:
        inflow = self.inflow
        if piece:
            self._is_wanted = False
            if inflow is not None:
                inflow.feed(piece)
        if self.is_ended and inflow is not None:
            inflow.end()
