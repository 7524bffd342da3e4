"""What threads may use of one request: its channel to the loop, its helpers, and the news that it has ended early.

`exchange` adds the course of the request, which belongs to the loop.

Shared variables: the flags are written by the loop and read by the worker, each a single value that is set once;
``spooled`` is written by the worker only; ``_helpers`` is made under a lock. The channel has a lock of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio

from bridge._runtime.inflow import Inflow
from bridge._runtime.loops import LoopGoneError, LoopPort
from bridge._runtime.outflow import Outflow
from bridge._runtime.spooled import Spooled
from bridge._wsgi_hosting.call import WSGICall
from bridge._wsgi_hosting.helpers import Helpers, request_is_over
from bridge._wsgi_hosting.hosting import Hosting, describe, logger
from bridge._wsgi_hosting.watching import watch_client
from bridge.errors import ClientDisconnected, ClientTimeout, RequestCancelled
from bridge.observing import Record
from bridge.translate.headers import NO_BODY_FIELDS
from bridge.types import Receive, Scope, Send

_opening = threading.Lock()


class Contact:
    """One request, as far as threads are concerned with it."""

    # Defaults on the class: making this object is on the path of every request.
    is_started = False  # the response has begun to go out
    is_start_sent = False  # send() has returned for its start
    is_ended = False  # its end has gone out
    is_gone = False  # the client has left
    is_over = False  # nothing of the request runs any more
    is_refused = False  # answered without the application
    has_failed = False  # the application's error was answered here
    record: Record | None = None
    failure: Exception | None = None  # what receive() raised in a helper
    _framing = NO_BODY_FIELDS
    _helpers: Helpers | None = None
    _call: WSGICall | None = None
    has_spooled_body = False
    may_spool = True
    spooled: tuple[Spooled, ...] = ()  # written by the worker, closed by the loop
    _sending: anyio.CancelScope | None = None
    _is_watching_client = False

    def __init__(self, hosting: Hosting, scope: Scope, receive: Receive, send: Send, port: LoopPort) -> None:
        self.hosting = hosting
        self.scope = scope
        self.send = send
        self.port = port
        self._receive = receive
        self._signal = port.new_signal()
        self.outflow: Outflow[Any] = Outflow(hosting.limits.response_memory_bytes, self)

    def __repr__(self) -> str:
        state = "ended" if self.is_ended else "gone" if self.is_gone else "streaming" if self.is_started else "waiting"
        return f"<{describe(self.scope['method'], self.scope.get('path') or '')} ({state})>"

    @property
    def is_streaming(self) -> bool:
        """Whether the response has begun and not ended."""
        return self.is_started and not self.is_ended

    @property
    def is_http_1(self) -> bool:
        """Whether the end of the request body can be told from its fields."""
        return (self.scope.get("http_version") or "1.1")[0] == "1"

    def held_bytes(self) -> int:
        """Count the bytes held in memory for this request. Any thread."""
        helpers = self._helpers
        if helpers is None or self.has_spooled_body:
            return self.outflow.held_bytes
        inflow = helpers.receiver.inflow
        return self.outflow.held_bytes + (helpers.receiver.collected_bytes if inflow is None else inflow.held_bytes)

    # ---- Loop ---------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let the course of the request have a look at what is there."""
        self._signal.set()

    def client_has_gone(self, reason: ClientDisconnected, cause: BaseException | None = None) -> None:
        """Let everybody know: the worker at its next step, a waiting worker now, coroutines by cancellation."""
        if cause is not None:
            reason.__cause__ = cause
        if not self.is_gone:
            logger.info("%s: aborted: %s", repr(self), str(reason))
        self.is_gone = True
        self._close(reason)
        if self._sending is not None:
            self._sending.cancel()

    def _close(self, reason: ClientDisconnected) -> None:
        self.outflow.close(reason)
        if self._helpers is not None:
            self._helpers.close(reason)

    # ---- Worker threads -----------------------------------------------------------------------------------------

    def post(self, callback: Callable[[], None]) -> None:
        """Run a callback on the loop. Any thread.

        Raises:
            RequestCancelled: the loop has ended.
        """
        try:
            self.port.post(callback)
        except LoopGoneError:
            error = self.loop_is_gone()
            self._close(error)
            raise error from None

    def notify(self) -> None:
        """Wake the loop's side (the outflow calls this). Worker."""
        try:
            self.port.post(self._signal.set)
        except LoopGoneError:
            self._close(self.loop_is_gone())  # the worker's next step raises it

    def notify_soon(self) -> None:
        """Wake the loop's side when the worker is done with this job (the outflow calls this). Worker."""
        self.port.add(self._signal.set)
        self.hosting.pool.deliver_soon(self.port)

    def notify_shortly(self) -> None:
        """Wake the loop's side as soon as the worker lets other threads run (the outflow calls this). Worker."""
        self.port.add(self._signal.set)
        self.hosting.pool.deliver_shortly(self.port)

    def is_loop_running(self) -> bool:
        """Tell whether the loop still runs. Any thread."""
        return self.port.is_running()

    def loop_is_gone(self) -> RequestCancelled:
        """Make the error for a worker whose loop has ended. Any thread."""
        return RequestCancelled("the event loop of this request has ended")

    def helpers(self) -> Helpers:
        """Return the helpers of this request, made at the first call: most requests need none. Any thread.

        Raises:
            RequestCancelled: the request is over.
        """
        with _opening:
            if self.is_over:
                raise request_is_over()
            if self._helpers is None:
                self._helpers = Helpers(self, self._receive, self._framing)
            return self._helpers

    def open_body(self) -> Inflow:
        """Return the request's body on demand. Any thread.

        Raises:
            RequestCancelled: the request is over.
        """
        return self.helpers().open_inflow()

    def client_disconnected(self) -> bool:
        """Tell whether the client has left: ``environ["bridge.client_disconnected"]``.

        The first call makes the loop look, and waits (up to a second) until it has; from then on the flag is kept up
        to date. Where the body has not been received yet it looks one piece ahead, no further. Any thread.
        """
        if not (self.is_gone or self.is_ended or self.is_over or self.outflow.is_finished):
            with suppress(RequestCancelled):  # the request ended just now
                self.helpers().look_for_disconnect()
        return self.is_gone or self.outflow.reason is not None

    def watch_client(self) -> None:
        """See to it that a client that takes nothing counts as gone, while no worker waits for it. Worker.

        Raises:
            RequestCancelled: the loop has ended.
        """
        if not self._is_watching_client:
            self._is_watching_client = True
            self.post(lambda: watch_client(self))

    def give_up(self, reason: ClientTimeout) -> None:
        """End a response whose client takes no byte. Worker.

        Raises:
            RequestCancelled: the loop has ended.
        """
        self.outflow.close(reason)
        self.post(lambda: None if self.is_ended else self.client_has_gone(reason))
