"""What the worker's side of a request asks of the loop's side: of an HTTP exchange, or of a WebSocket session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bridge._runtime.body import Source
from bridge._runtime.loops import LoopPort
from bridge._runtime.outflow import Outflow
from bridge._runtime.spooled import Spooled
from bridge.errors import ClientDisconnected, ClientTimeout
from bridge.observing import Record
from bridge.types import Send

if TYPE_CHECKING:
    from bridge._wsgi_hosting.async_calls import AsyncCall
    from bridge._wsgi_hosting.hosting import Hosting


class Coroutines(Protocol):
    """Runs coroutine functions for the application."""

    def begin_async_call(self, call: AsyncCall[Any]) -> None:
        """Start a coroutine function on the loop. Worker."""
        ...


class LoopSide(Protocol):
    """The loop's side.

    Attributes:
        is_started: the response has begun to go out.
        record: what is known of the request so far, if somebody wants to know.
        may_spool: whether octets that a slow client does not take may wait in a file.
        spooled: such files, which are closed at the end.
    """

    hosting: Hosting
    port: LoopPort
    outflow: Outflow[Any]
    is_started: bool
    record: Record | None
    may_spool: bool
    spooled: tuple[Spooled, ...]

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        ...

    @property
    def scope(self) -> Mapping[str, Any]:
        """The ASGI scope; that of a WebSocket with ``method`` ``GET``."""
        ...

    def client_disconnected(self) -> bool:
        """Tell whether the client has left. Any thread."""
        ...

    def open_body(self) -> Source:
        """Return the request's body on demand. Any thread."""
        ...

    def watch_client(self) -> None:
        """See to it that a client that takes nothing counts as gone, while no worker waits for it. Worker."""
        ...

    def give_up(self, reason: ClientTimeout) -> None:
        """End a response whose client takes no byte. Worker."""
        ...

    def helpers(self) -> Coroutines:
        """Return what runs coroutines. Any thread."""
        ...


class Sending(LoopSide, Protocol):
    """What sends a response. Loop."""

    is_start_sent: bool
    is_ended: bool

    @property
    def send(self) -> Send:
        """Send an event of the response."""
        ...

    def client_has_gone(self, reason: ClientDisconnected, cause: BaseException | None = None) -> None:
        """Take note that the client has left."""
        ...
