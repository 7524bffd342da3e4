"""One application in one process: its lifespan on the portal's loop, its requests, its end.

Everything here is on the loop, but for what says "any thread". The phases of a host are its life:

    NEW --> STARTING --> SERVING --> CLOSING --> CLOSED
                  `----> FAILED ------------------^

Requests that come before SERVING wait for it, on the loop, so twenty first requests make one startup and need no lock.

What threads share: ``_lock`` guards the way to a portal (``portal`` and ``_changed`` are there before ``_has_entered``
says so), a close without one, and the count of refusals. All else is changed by the loop alone, but for ``stuck``, to
which request threads add themselves: sets and flags change in one atomic step each. Who looks through one of the sets
in another thread makes a list of it first, which is one step too (to make a tuple takes many).
"""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from bridge._asgi_hosting.closing import drain, see_off
from bridge._asgi_hosting.entering import enter, refusal, refuse_eventlet, usable_loop_kind
from bridge._asgi_hosting.hosting import Hosting, logger
from bridge._asgi_hosting.lifespan import Lifespan
from bridge._asgi_hosting.phases import CLOSED, HostPhase
from bridge._runtime.bells import Bell
from bridge._runtime.gates import Gate, native_lock
from bridge._runtime.loops import LoopGoneError
from bridge._runtime.portal import Portal
from bridge._runtime.spawning import Work
from bridge.errors import EventLoopError, LifespanError, RequestRefused

if TYPE_CHECKING:
    from bridge._asgi_hosting.exchange import Exchange

_MARGIN_S = 5.0
"""What a thread waits beyond the limits of the loop, which may be busy."""


class OpenWebSocket(Protocol):
    """A WebSocket connection. Loop."""

    def look(self, now_s: float) -> None:
        """Do what the time asks for; called now and then, with `time.monotonic`."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


class Host:
    """One application in one process. Making one starts nothing.

    Attributes:
        portal: where the application runs, once the host has entered it.
        live: requests whose application has not returned; some have their response and go on in the background.
        state: the namespace of the lifespan, None where there is no lifespan.
        websockets: connections whose application runs, or which are not closed yet.
        has_pulse: somebody calls their `OpenWebSocket.look`.
    """

    portal: Portal

    def __init__(self, hosting: Hosting) -> None:
        self.hosting = hosting
        self.limits = hosting.limits
        self.phase = HostPhase.NEW
        self.failure: LifespanError | None = None
        self.live: set[Exchange] = set()
        self.websockets: set[OpenWebSocket] = set()
        self.has_pulse = False
        self.state: dict[str, Any] | None = None
        self.refused = 0
        self.stuck: set[object] = set()
        self.failed_in_background = 0
        self._lifespan: Lifespan | None = None
        self._has_entered = False
        self._lock = native_lock()
        self._candidate: Portal | None = None
        self._gates: list[Gate] = []
        self._changed: Bell
        """Rings when the phase changes, and when the last running request has ended."""
        self._watch: Work

    def __repr__(self) -> str:
        return f"<Host of {self.hosting.app!r}: {self.phase.value}, {len(self.live)} requests>"

    # ---- Any thread but the loop's ----------------------------------------------------------------------------

    def entered_portal(self) -> Portal:
        """Return the running portal, entering it at the first call.

        Raises:
            RequestRefused: the host has been shut down.
            EventLoopError: no loop can be had, or this was called on the loop, which would wait for itself.
        """
        portal = self.portal if self._has_entered else self._enter_portal()
        if self.phase is CLOSED:
            raise refusal()
        if portal.thread_id == threading.get_ident():
            raise EventLoopError(
                "this WSGI application was called on the event loop that it needs to run; call it in another thread"
            )
        return portal

    def _enter_portal(self) -> Portal:
        refuse_eventlet()
        while True:
            with self._lock:
                if self._has_entered:  # another thread was quicker
                    return self.portal
                if self.phase is not HostPhase.NEW:  # closed before anybody came
                    raise refusal()
                portal = self._candidate
                if portal is None or portal.is_over:
                    portal = self._candidate = self.hosting.find_portal(usable_loop_kind(self.hosting.loop_kind))
            if not enter(portal, self):  # its last tenant has just left: another one
                continue
            with self._lock:
                is_closed = self._is_closed()
                if not is_closed and not self._has_entered:
                    self.portal = portal
                    self._changed = Bell(portal.port.new_signal)
                    self._has_entered = True
            if is_closed:
                portal.leave(self)
                raise refusal()
            return self.portal

    def _is_closed(self) -> bool:
        return self.phase is HostPhase.CLOSED

    def count_refusal(self) -> None:
        """Count a request that was answered by the adapter itself."""
        with self._lock:  # to add one is to read and to write
            self.refused += 1

    def start(self) -> None:
        """Run the lifespan startup if that has not been done; wait for it.

        Raises:
            LifespanError: it failed, or took too long.
            EventLoopError: no loop can be had.
        """
        try:
            portal = self.entered_portal()
        except RequestRefused:
            raise LifespanError("startup", f"the application is {self.phase.value}") from None
        limit_s = self.limits.startup_s
        gate = portal.new_gate()

        def begin() -> None:
            self._gates.append(gate)
            self._begin_startup()
            if self.phase not in (HostPhase.NEW, HostPhase.STARTING):
                self._wake()

        try:
            portal.port.post(begin)
        except LoopGoneError:
            raise LifespanError("startup", f"the application is {self.phase.value}") from None
        self._wait(gate, portal, None if limit_s is None else limit_s + self.limits.loop_wait_s, "startup")
        if self.failure is not None:
            raise LifespanError(self.failure.phase, str(self.failure)) from self.failure
        if self.phase is not HostPhase.SERVING:
            raise LifespanError("startup", f"the application is {self.phase.value}")

    def close(self) -> None:
        """Refuse new requests, wait for running ones, run the lifespan shutdown, leave the portal; bounded.

        A second call waits for the first. Failures are logged. Not on the loop.
        """
        with self._lock:
            if not self._has_entered or not self.portal.is_running:
                self.phase = HostPhase.CLOSED
                return
        portal = self.portal
        if portal.thread_id == threading.get_ident():
            raise EventLoopError("shutdown() was called on the event loop that it needs; call it in another thread")
        gate = portal.new_gate()

        def begin() -> None:
            self._gates.append(gate)
            self.begin_closing()
            if self.phase is HostPhase.CLOSED:
                self._wake()

        try:
            portal.port.post(begin)
        except LoopGoneError:
            return
        limits = self.limits
        try:
            self._wait(gate, portal, 2 * (limits.shutdown_s + limits.cancel_s) + _MARGIN_S, "shutdown")
        except LifespanError as error:
            if self.phase is not HostPhase.CLOSED:  # else another thread has seen to it
                logger.error("%s", error)
        portal.leave(self)
        if portal.is_over:
            portal.wait_for_end()

    def _wait(self, gate: Gate, portal: Portal, limit_s: float | None, phase: str) -> None:
        deadline_s = None if limit_s is None else time.monotonic() + limit_s
        while not gate.wait(0.25):
            if not portal.is_running:
                raise LifespanError(phase, "the event loop has ended")
            if deadline_s is not None and time.monotonic() > deadline_s:
                raise LifespanError(
                    phase, f"the event loop has not finished the {phase} in time; it is here:\n{portal.where()}"
                )

    def begin_closing_soon(self) -> None:
        """Begin to close without waiting. Any thread."""
        if self._has_entered and self.portal.is_running:
            with suppress(LoopGoneError):
                self.portal.port.post(self.begin_closing)

    # ---- Loop -------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """The phase has changed: tell all who wait."""
        self._changed.ring()
        gates, self._gates = self._gates, []
        for gate in gates:
            gate.open()

    def _begin_startup(self) -> None:
        if self.phase is not HostPhase.NEW:
            return
        if self.hosting.lifespan == "off":
            self.phase = HostPhase.SERVING
            self._wake()
            return
        self.phase = HostPhase.STARTING
        self._lifespan = Lifespan(self.hosting.app, self.portal.port)
        # A fresh context: what the first request's thread has set is not for the life of the application.
        self._lifespan.work = self.portal.spawn(self._lifespan.run, Context())
        self._watch = self.portal.spawn(partial(self._watch_startup, self._lifespan), Context())

    async def _watch_startup(self, lifespan: Lifespan) -> None:
        try:
            await lifespan.started(self.limits.startup_s, is_required=self.hosting.lifespan == "on")
        except LifespanError as error:
            self.failure = error
            logger.error("%s; no request is served", error)
        if self.phase is not HostPhase.STARTING:
            return
        if lifespan.is_supported:
            self.state = lifespan.state
        self.phase = HostPhase.SERVING if self.failure is None else HostPhase.FAILED
        self._wake()

    async def serving(self) -> None:
        """Wait until requests are served.

        Raises:
            LifespanError: the startup failed.
            RequestRefused: the host is shutting down.
        """
        self._begin_startup()
        while self.phase in (HostPhase.NEW, HostPhase.STARTING):
            await self._changed.wait()
        if self.failure is not None:
            raise LifespanError(self.failure.phase, str(self.failure)) from self.failure
        if self.phase is not HostPhase.SERVING:
            raise refusal()

    def ended(self) -> None:
        """The application has returned from a request, which is no longer live."""
        if self.phase is HostPhase.CLOSING:
            self._changed.ring()

    def cancel_later(self, exchange: Exchange, delay_s: float) -> None:
        """Cancel a request whose client has left, if it still runs then."""
        seen = weakref.ref(exchange)  # not kept for the grace alone

        async def wait_and_cancel() -> None:
            await anyio.sleep(delay_s)
            exchange = seen()
            if exchange is not None and exchange in self.live:
                logger.warning("%s goes on %.1f s after its client has left: cancelled", repr(exchange), delay_s)
                exchange.cancel()

        self.portal.spawn(wait_and_cancel, Context())

    def begin_closing(self) -> None:
        """Begin to close, once."""
        if self.phase in (HostPhase.CLOSING, HostPhase.CLOSED):
            return
        self.phase = HostPhase.CLOSING
        self._changed.ring()
        for exchange in tuple(self.live):
            exchange.leave()
        self._watch = self.portal.spawn(self._close, Context())

    async def _close(self) -> None:
        try:
            await drain(self, self._changed)
            await see_off(self, self._changed)
            if self._lifespan is not None:
                await self._lifespan.stop(self.limits.shutdown_s, self.limits.cancel_s)
        finally:
            self.phase = HostPhase.CLOSED
            self._wake()
            self.portal.leave(self)
