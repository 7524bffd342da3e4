"""Where the threads of an application meet the loop's side of their WebSocket: what they share, and what they may call.

Everything here may be called by any thread, except for what says "loop".
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from anyio.abc import TaskGroup

from bridge._runtime.body import MemorySource, Source
from bridge._runtime.loops import LoopGoneError, LoopPort
from bridge._runtime.mailbox import Mailbox
from bridge._runtime.outflow import Outflow
from bridge._runtime.spooled import Spooled
from bridge._wsgi_hosting.async_calls import AsyncCall
from bridge._wsgi_hosting.hosting import Hosting
from bridge.errors import ApplicationError, ClientDisconnected, ClientTimeout, RequestCancelled
from bridge.observing import Record
from bridge.types import Scope
from bridge.websocket.wsgi_hosting.phases import Phase

if TYPE_CHECKING:
    from bridge.websocket.wsgi_hosting.call import WebSocketCall

Path: TypeAlias = Literal["native", "wire"]


class Contact:
    """What a session shares with the application's threads.

    Outflow and mailbox have locks of their own, and so has ``path``, which is set once. Everything else is written by
    the loop alone, one variable in one step, and threads only look at it; ``wire_was_taken_over`` is written by the
    thread of the call, before its outflow says that it has ended, and looked at after that.

    Attributes:
        scope: the scope with a request method, for what is common with HTTP; ``original_scope`` is the server's.
        outflow: what goes to the loop: events of the native object, and the WSGI response.
        mailbox: what the client has sent, for the native object.
        close_code: how the connection has been closed, by either end; None while it is not.
        wire_was_taken_over: the call has ended, and something else goes on with the application's end of the wire.
        phase: how far it is; the loop changes it.
        path: which of the two ways the application uses; None while it has used neither.
    """

    is_started = False
    phase = Phase.NEW
    record: Record | None = None  # WebSockets are not observed
    may_spool = False  # each has a thread of its own, which keeps nobody else waiting
    spooled: tuple[Spooled, ...] = ()
    close_code: int | None = None
    close_reason = ""
    wire_was_taken_over = False
    path: Path | None = None
    call: WebSocketCall | None = None
    group: TaskGroup | None = None

    def __init__(self, hosting: Hosting, scope: Scope, port: LoopPort) -> None:
        self.hosting = hosting
        self.original_scope = scope
        self.scope: Scope = {**scope, "method": "GET"}
        self.port = port
        self.signal = port.new_signal()
        self.room = port.new_signal()
        limit_bytes = hosting.limits.websocket_queue_bytes
        self.outflow: Outflow[Any] = Outflow(limit_bytes, self)
        self.mailbox: Mailbox[str | bytes] = Mailbox(limit_bytes, self, lambda: port.post(self.room.set))
        self._calls: dict[AsyncCall[Any], Coroutine[Any, Any, None]] = {}
        self._claiming = threading.Lock()

    @property
    def is_gone(self) -> bool:
        """Whether the client has left, or everything is given up."""
        return self.phase is Phase.GONE

    def watch_client(self) -> None:
        """Do nothing: nothing of a WebSocket waits in a file."""

    def claim(self, path: Path) -> None:
        """Say which of the two ways is used.

        Raises:
            ApplicationError: it is the other one.
        """
        with self._claiming:
            if self.path not in (None, path):
                raise ApplicationError(
                    "the connection is used both as wsgi.websocket and as werkzeug.socket", rule="wsgi.websocket"
                )
            self.path = path

    def drop_wire(self) -> None:
        """The application speaks without it: give its descriptors back."""
        call = self.call  # the loop may forget it meanwhile
        if call is not None:
            call.drop_wire()

    def client_disconnected(self) -> bool:
        """Tell whether the connection is over: ``environ["bridge.client_disconnected"]``."""
        return self.close_code is not None

    def open_body(self) -> Source:
        """Return nothing to read: a handshake has no body."""
        return MemorySource(b"")

    def give_up(self, reason: ClientTimeout) -> None:
        """The client takes no byte."""
        self.outflow.close(reason)
        with suppress(LoopGoneError):
            self.port.post(self.client_is_lost)

    def client_is_lost(self) -> None:
        """Take note that the client is lost. Loop."""
        raise NotImplementedError

    # ---- The links of outflow and mailbox -------------------------------------------------------------------------

    def notify(self) -> None:
        """Wake the loop's side."""
        try:
            self.port.post(self.signal.set)
        except LoopGoneError:
            self.outflow.close(self.loop_is_gone())

    notify_soon = notify_shortly = notify

    def is_loop_running(self) -> bool:
        """Tell whether the loop still runs."""
        return self.port.is_running()

    def loop_is_gone(self) -> RequestCancelled:
        """Make the error for a thread whose loop has ended."""
        return RequestCancelled("the event loop of this connection has ended")

    # ---- Coroutines for the application (`bridge.call_async`) ------------------------------------------------------

    def helpers(self) -> Contact:
        """Return what runs coroutines."""
        return self

    def begin_async_call(self, call: AsyncCall[Any]) -> None:
        """Start a coroutine function on the loop.

        Raises:
            RequestCancelled: the loop has ended.
        """
        try:
            self.port.post(lambda: self._start_call(call))
        except LoopGoneError:
            raise self.loop_is_gone() from None

    def _start_call(self, call: AsyncCall[Any]) -> None:
        if self.group is None or self.outflow.reason is not None:
            call.cancel(is_over())
            return
        self._calls[call] = running = self._run_call(call)
        call.context.run(self.group.start_soon, lambda: running)

    async def _run_call(self, call: AsyncCall[Any]) -> None:
        try:
            await call.run()
        finally:
            self._calls.pop(call, None)

    def cancel_calls(self, reason: ClientDisconnected) -> None:
        """Cancel all coroutines. Loop."""
        for call in tuple(self._calls):
            call.cancel(reason)

    def forget_calls(self) -> None:
        """Let go of what was cancelled before it began, and tell who waits for it. Loop, after the group has ended."""
        self.cancel_calls(is_over())
        while self._calls:
            self._calls.popitem()[1].close()


def is_over() -> ClientDisconnected:
    """Make the error for whoever uses a connection after its end."""
    return ClientDisconnected("the WebSocket is closed")
