r"""The loop's side of one WebSocket of a WSGI application: its course, from the handshake to the end.

    server --receive()--> Listener --> mailbox  --> wsgi.websocket   \
                                   `-> wire     --> werkzeug.socket   > the application, on a thread of its own
    server <--send()----- Speaker  <-- outflow  <-- wsgi.websocket   /  (and its WSGI response, if it answers so)
                                   `-- wire     <-- werkzeug.socket

The session's own coroutine alone calls ``send``, so events are in order; the listener alone calls ``receive``, from the
accept until either end closes. What the application's threads share with it is in `contact`, how it ends early in
`endings`. Everything here runs on the loop.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import copy_context
from typing import Any

import anyio

from bridge._runtime.loops import LoopPort
from bridge._runtime.waiting import wait_through_cancellation
from bridge._wsgi_hosting.hosting import Hosting, describe, logger
from bridge.errors import (
    ClientDisconnected,
    RequestCancelled,
    RequestRefused,
)
from bridge.translate import messages
from bridge.translate.closing import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NORMAL
from bridge.types import Message, Receive, Scope, Send
from bridge.websocket.wsgi_hosting.call import WebSocketCall, key_from_scope, wire_pair
from bridge.websocket.wsgi_hosting.contact import is_over
from bridge.websocket.wsgi_hosting.endings import NOTICE_S, Endings
from bridge.websocket.wsgi_hosting.listening import Listener
from bridge.websocket.wsgi_hosting.outcomes import is_no_failure
from bridge.websocket.wsgi_hosting.phases import Phase
from bridge.websocket.wsgi_hosting.speaking import Speaker
from bridge.websocket.wsgi_hosting.wire import Wire

_FULL = "The server has too many WebSocket connections; try again soon."
_SERVER_ERROR = 500
_MOMENTS_S = (0.001, 0.01, 0.1)
"""How long the thread of a connection that has just ended gets to come to rest, where it is the only one."""


class Session(Endings):
    """One WebSocket connection. Loop, but for what it inherits."""

    is_start_sent = False
    is_ended = False
    _is_forwarding = False

    def __init__(self, hosting: Hosting, scope: Scope, receive: Receive, send: Send, port: LoopPort) -> None:
        super().__init__(hosting, scope, port)
        self._receive = receive
        self._send = send
        self._speaker = Speaker(self)
        self._listener = Listener(self, receive)

    def __repr__(self) -> str:
        return f"<WebSocket {describe('GET', self.scope.get('path') or '')} ({self.phase.value})>"

    @property
    def offers_denial(self) -> bool:
        """Whether the server lets one answer the handshake with any response."""
        return messages.DENIAL_RESPONSE in (self.scope.get("extensions") or {})

    # ---- The course of a connection -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the connection.

        Raises:
            Exception: the application's error, if it failed before it accepted or answered; what ``send`` or
                ``receive`` raise, but for the client's disconnect, which ends quietly.
        """
        if (await self._receive())["type"] != messages.WEBSOCKET_CONNECT:
            return  # the client has left already
        hosting = self.hosting
        if len(hosting.websockets) >= hosting.limits.websockets:
            await self._refuse(RequestRefused(503, _FULL))
            return
        hosting.websockets.add(self)
        self._is_leaving = hosting.is_draining
        call: WebSocketCall | None = None
        try:
            call = await self._start()
            if call is None:
                await self._refuse(RequestRefused(503, _FULL))
            else:
                await self._respond(call)
        except RequestRefused as refusal:
            if self.phase is not Phase.NEW:
                raise
            await self._refuse(refusal)
        except Exception:
            if self.phase is not Phase.NEW or not hosting.responds_to_errors:
                raise
            logger.exception("%s: the application failed", repr(self))
            await self._speaker.answer_plainly(_SERVER_ERROR, "Internal Server Error")
        finally:
            hosting.websockets.discard(self)
            self.forget_calls()
            self.mailbox.close(is_over())
            self.outflow.close(is_over())
            self.outflow.detach()
            self.call = None
            if self.wire is not None:
                self.wire.let_go()

    async def _start(self) -> WebSocketCall | None:
        """Open the wire and give the call to a thread; None if there is none left."""
        try:
            near, far = wire_pair()
        except OSError as error:  # no descriptor is left: there is no room, and that is not worth a traceback
            raise RequestRefused(503, _FULL) from error
        key = key_from_scope(self.original_scope)
        wire = Wire(self._speaker, key, self.scope.get("subprotocols") or ())
        await wire.open(far, self.hosting.limits.websocket_queue_bytes)
        self.wire = wire
        self.call = call = WebSocketCall(self, near, key, copy_context())
        submit = self.hosting.websocket_pool.submit
        for moment_s in _MOMENTS_S:
            if submit(call):
                return call
            await anyio.sleep(moment_s)
        return call if submit(call) else None

    async def _respond(self, call: WebSocketCall) -> None:
        """Send what the application hands over, until both sides are done."""
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as group:
                self.group = group
                try:
                    await self._pump()
                    await self._conclude()
                except Exception as error:  # noqa: BLE001 - raised below, outside the group, as itself
                    failure = error
                    self._stop_application(ClientDisconnected(f"the connection has failed: {error!r}"))
                    if self.wire is not None:
                        self.wire.let_go()
                    await self._until_finished()
                # Each is told to end, for itself: a group that is cancelled forgets tasks that have not begun.
                self.group = None
                self._listener.stop()
                self.cancel_calls(is_over())
        except BaseException:  # cancelled by the server
            if not self.is_gone:
                logger.info("%s: aborted: the server cancelled the connection", repr(self))
            await self._abandon(call)
            raise
        failure = failure or self._listener.take_failure()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def _pump(self) -> None:
        """Forward what comes from threads and from the wire, until the application is done."""
        is_over = False
        while not is_over:
            self._is_forwarding = False
            # One scope for many messages: to make one costs more than to send a message.
            with anyio.CancelScope() as self._sending:
                is_over = await self._pump_on(self._sending)
            if self._sending.cancelled_caught and self._is_forwarding and not self.is_gone:
                logger.info("%s: aborted: the client took nothing of what was sent", repr(self))
                self.client_is_lost()
            self._sending = None
            if self._is_leaving:
                await self._go_away()

    async def _pump_on(self, limit: anyio.CancelScope) -> bool:
        """Forward until the application is done, and say so; or until the server leaves.

        A cancellation ends it at any point: what was not forwarded by then is still there, or is lost with the client.
        """
        speaker = self._speaker
        while True:
            # Looked at before the first wait: one that was cancelled may have taken a wake-up with it.
            items, is_finished = self.outflow.take()
            self._is_forwarding = True
            if items:
                await speaker.forward(items)
            if speaker.has_sayings:
                await speaker.forward_sayings(limit)
            self._is_forwarding = False
            if self._is_leaving and self.phase is Phase.OPEN:
                return False
            if is_finished and self._wire_is_over():
                return True
            await self.signal.wait()

    def _wire_is_over(self) -> bool:
        """Tell whether nothing more comes from the wire, now that the call has ended.

        The call hangs up before it ends; only a wire that has been taken over (as `bridge.to_wsgi` does) goes on.
        """
        wire = self.wire
        if wire is None or wire.has_ended or self.path == "native":
            return True
        if self.phase in (Phase.GONE, Phase.CLOSED, Phase.DENIED):
            return True
        return not self.wire_was_taken_over and not wire.has_written()

    async def _until_finished(self) -> None:
        while not self.outflow.take()[1]:
            await self.signal.wait()

    def send(self, message: Message) -> Awaitable[None]:
        """Send an event of the WSGI response, as one of the denial."""
        return self._send(messages.denial_from_response(message))

    async def accept(self, message: Message) -> None:
        """Complete the handshake, and begin to listen."""
        if self.phase is not Phase.NEW:
            return
        await self.send_quietly(message)
        if self.phase is Phase.NEW:
            self.phase = Phase.OPEN
            self.listen()

    def listen(self) -> None:
        """Begin to listen to the client, if that has not been done."""
        if self.group is not None and not self._listener.is_running:
            self._listener.start(self.group)

    async def close(self, code: int, reason: str) -> None:
        """Close from the application's side, or refuse the handshake."""
        if self.phase not in (Phase.NEW, Phase.OPEN):
            return
        was_open = self.phase is Phase.OPEN
        self.phase = Phase.CLOSED
        self.close_reason, self.close_code = reason, code  # in this order: threads look for the code
        self.mailbox.close(is_over())
        if self._listener.is_running:
            self._listener.stop()  # granian sends no close while somebody waits in receive()
            while self._listener.is_running:
                await self.signal.wait()
            self.signal.set()
        await self.send_quietly(messages.websocket_close(code, reason) if was_open else messages.websocket_close())

    async def _conclude(self) -> None:
        """The application is done: close what it has left open, and tell of its error."""
        error: Any = self.outflow.take_error()
        if error is not None and is_no_failure(self, error):
            error = None
        if self.phase is Phase.NEW or (self.phase is Phase.DENIED and error is not None):
            if error is not None:
                raise error
            if self.path is None:
                return
        if error is not None:
            logger.error("%s: the application failed", repr(self), exc_info=error)
        elif self.phase is Phase.OPEN and self._speaker.response_status >= _SERVER_ERROR:
            logger.error("%s: the application answered %d", repr(self), self._speaker.response_status)
        if self.phase in (Phase.OPEN, Phase.NEW):
            has_failed = error is not None or self._speaker.response_status >= _SERVER_ERROR
            await self.close(INTERNAL_ERROR if has_failed else NORMAL, "")

    async def send_quietly(self, message: Message) -> None:
        """Send an event; that the client has left is no error."""
        try:
            await self._send(message)
        except OSError as error:
            logger.debug("%s: send() raised %s; taken as the client's disconnect", repr(self), repr(error))
            if self.phase is not Phase.CLOSED:
                self.client_left(ABNORMAL, "")
        except Exception as error:
            if self.phase is Phase.CLOSED and isinstance(error, RuntimeError):
                logger.debug("%s: send() raised %s; both ends have closed at once", repr(self), repr(error))
            elif not await self._learns_that_client_left():
                raise

    async def _learns_that_client_left(self) -> bool:
        """Tell whether the error of ``send`` meant that: daphne's is no ``OSError``, but ``receive`` says so too."""
        with anyio.move_on_after(NOTICE_S):
            while not self.is_gone and self._listener.is_running:
                await self.signal.wait()
        self.signal.set()
        return self.is_gone

    # ---- The server's end -----------------------------------------------------------------------------------------

    async def _go_away(self) -> None:
        if self.phase is Phase.OPEN:
            if self.wire is not None and self.path == "wire":
                self.wire.close(GOING_AWAY, "")
            with anyio.move_on_after(NOTICE_S):  # granian, when it stops, may never say that it has taken the close
                await self.close(GOING_AWAY, "")
            self.outflow.close(ClientDisconnected("the server is shutting down"))

    async def _abandon(self, call: WebSocketCall) -> None:
        """The server has cancelled the connection: tell the application, and wait for it, for a while."""
        if self.hosting.websocket_pool.discard(call):
            return
        self._give_all_up(RequestCancelled("the server cancelled the connection"))
        if self.wire is not None:
            self.wire.let_go()
        limit_s = self.hosting.limits.cancel_s
        if not await wait_through_cancellation(self.signal, lambda: self.outflow.take()[1], limit_s):
            logger.error(
                "%s: given up; the application still runs %.1f s after its connection was ended:\n%s",
                repr(self),
                limit_s,
                self.hosting.websocket_pool.stack_of(call),
            )

    async def _refuse(self, refusal: RequestRefused) -> None:
        self.hosting.count_refusal()
        logger.warning("%s refused: %s", repr(self), str(refusal))
        await self._speaker.answer_plainly(refusal.status, refusal.reason)
