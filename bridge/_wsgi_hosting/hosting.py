"""What all requests of one adapter share."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from bridge._runtime.allowance import Allowance
from bridge._runtime.processes import PerProcess
from bridge._runtime.workers import WorkerPool
from bridge._wsgi_hosting.error_stream import ErrorStream, LoggedErrorStream, TextSink
from bridge._wsgi_hosting.files import FileWrapper
from bridge.limits import Limits
from bridge.observing import Observer
from bridge.translate.environ import EnvironOptions
from bridge.types import Environ, WSGIApp

if TYPE_CHECKING:
    from bridge._wsgi_hosting.exchange import Exchange

logger = logging.getLogger("bridge.wsgi_to_asgi")
# Requests are named by text, not by object: a log record that somebody keeps keeps no request alive.


_renewing: PerProcess[threading.Lock] = PerProcess(threading.Lock)


class OpenWebSocket(Protocol):
    """A WebSocket connection under way."""

    def leave(self) -> None:
        """Close it, because the server is shutting down. Loop."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Hosting:
    """The application, the deployer's choices, and the books. Everything but the books is constant."""

    app: WSGIApp
    limits: Limits
    environ_options: EnvironOptions
    large_body: Literal["auto", "spool", "stream"]
    sets_content_length: bool
    drops_hop_by_hop: bool
    strict: bool
    pathsend: bool
    responds_to_errors: bool
    errors: TextSink | logging.Logger | None
    pool: WorkerPool
    spool_pool: WorkerPool
    websocket_pool: WorkerPool
    """A thread for each WebSocket."""
    base_environ: Environ = field(init=False)

    # The books. The sets are changed by loop threads, one element at a time, and copied whole before they are walked
    # through: both are one step, also without the interpreter lock. Allowances and the count have locks.
    live: set[Exchange] = field(init=False)
    fast_uploads: set[Exchange] = field(init=False)
    """Requests whose large body is streamed because it came fast."""
    asked_to_continue: set[Exchange] = field(init=False)
    """Requests with ``Expect: 100-continue`` whose body is streamed."""
    disk: Allowance = field(init=False)
    """What temporary files may take."""
    memory: Allowance = field(init=False)
    """What bodies that are being collected may take."""
    websockets: set[OpenWebSocket] = field(init=False)
    is_draining: bool = field(default=False, init=False)
    refused: int = field(default=0, init=False)
    observers: list[Observer] = field(default_factory=list["Observer"], init=False)
    _counting: threading.Lock = field(init=False)
    _pid: int = field(init=False)

    def __post_init__(self) -> None:
        self._open_books()
        # Places for what `call` adds to every environ, so that the copy does not have to grow.
        added = ("wsgi.input", "bridge.scope", "bridge.client_disconnected")
        self.base_environ = {
            **self.environ_options.base(),
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.errors": None if isinstance(self.errors, logging.Logger) else ErrorStream(self.errors),
            **dict.fromkeys(added),
        }

    def add_errors(self, environ: Environ) -> None:
        """Put a stream of its own into an environ, where one cannot serve all."""
        if isinstance(self.errors, logging.Logger):
            environ["wsgi.errors"] = LoggedErrorStream(self.errors)

    def _open_books(self) -> None:
        self.live, self.fast_uploads, self.asked_to_continue = set(), set(), set()
        self.websockets = set()
        self.disk = Allowance(self.limits.spool_bytes)
        self.memory = Allowance(self.limits.body_memory_total_bytes)
        self._counting = threading.Lock()
        self._pid = os.getpid()

    def check_process(self) -> None:
        """Open new books in the child of a fork: the requests in the old ones, and whoever holds a lock, are not there.

        To be called for each loop that is new, and before all else; a loop does not survive a fork.
        """
        if self._pid != os.getpid():
            with _renewing.get():
                if self._pid != os.getpid():
                    self._open_books()
        for pool in (self.pool, self.spool_pool, self.websocket_pool):
            pool.check_process()

    def count_refusal(self) -> None:
        """Count a request that the bridge answers itself. Any loop: `+=` is more than one step."""
        with self._counting:
            self.refused += 1

    def streams_open(self) -> int:
        """Count the responses that are being streamed."""
        return sum(exchange.is_streaming for exchange in list(self.live))

    def bytes_held(self) -> int:
        """Count the bytes of request bodies in memory and of responses not yet sent."""
        return sum(exchange.held_bytes() for exchange in list(self.live))


def describe(method: str, path: str) -> str:
    """Name a request in a log line, without query (it may hold secrets) and without control characters."""
    return f"{ascii(method)[1:-1]} {path!a}"


def log_lines(lines: Iterable[str], request: str) -> None:
    """Log one warning per line, naming the request."""
    for line in lines:
        logger.warning("%s: %s", request, line)
