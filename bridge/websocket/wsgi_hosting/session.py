r"""The loop's side of one WebSocket of a WSGI application.

    server --receive()--> _listen --> mailbox  --> wsgi.websocket   \
                                  `-> wire     --> werkzeug.socket   > the application, on a thread of its own
    server <--send()----- _pump  <--- outflow  <-- wsgi.websocket   /  (and its WSGI response, if it answers so)
                                 `--- sayings  <-- werkzeug.socket

`_pump` alone calls ``send``, so events are in order; `_listen` alone calls ``receive``, from the accept until either
end closes. Everything runs on the loop, except the methods under the heading "Threads".
"""

from __future__ import annotations

import base64
import os
import threading
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from contextvars import copy_context
from enum import Enum
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup

from bridge._runtime.loops import LoopGoneError, LoopPort
from bridge._runtime.mailbox import Mailbox
from bridge._runtime.outflow import Outflow
from bridge._runtime.waiting import wait_through_cancellation
from bridge._wsgi_hosting.async_calls import AsyncCall
from bridge._wsgi_hosting.call import Mark
from bridge._wsgi_hosting.hosting import Hosting, describe, logger
from bridge._wsgi_hosting.sending import send_items
from bridge.errors import (
    ApplicationError,
    ClientDisconnected,
    ClientTimeout,
    RequestCancelled,
    RequestRefused,
    ServerError,
)
from bridge.observing import Record
from bridge.translate import messages
from bridge.translate.closing import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NO_STATUS, NORMAL
from bridge.types import Message, Receive, Scope, Send
from bridge.websocket.frames import Closed, Received
from bridge.websocket.wsgi_hosting.call import WebSocketCall, wire_pair
from bridge.websocket.wsgi_hosting.native import Outgoing
from bridge.websocket.wsgi_hosting.wire import Accepted, Answered, Broken, Saying, Wire

_FULL = "The server has too many WebSocket connections; try again soon."
_SERVER_ERROR = 500
_KEY = b"sec-websocket-key"
_RESPONSE_RULES = "PEP 3333"
_SAYING_OVERHEAD_BYTES = 64


class Phase(Enum):
    """How far the connection is, as seen from the application."""

    NEW = "not accepted"
    OPEN = "open"
    DENIED = "refused by the application"
    CLOSED = "closed by the application"
    GONE = "left by the client"


class Session:
    """One WebSocket connection.

    Attributes:
        scope: the scope with a request method, for what is common with HTTP; ``original_scope`` is the server's.
        close_code: how the connection has been closed, by either end; None while it is not.
        wire_was_taken_over: the call has ended, and something else goes on with the application's end of the wire.
    """

    record: Record | None = None  # WebSockets are not observed
    is_started = False
    is_start_sent = False
    is_ended = False
    close_code: int | None = None
    close_reason = ""
    _path: Literal["native", "wire"] | None = None
    _group: TaskGroup | None = None
    _sending: anyio.CancelScope | None = None
    _listening: anyio.CancelScope | None = None
    _failure: Exception | None = None
    _is_leaving = False
    wire_was_taken_over = False
    _response_status = 0

    def __init__(self, hosting: Hosting, scope: Scope, receive: Receive, send: Send, port: LoopPort) -> None:
        self.hosting = hosting
        self.original_scope = scope
        self.scope: Scope = {**scope, "method": "GET"}
        self.port = port
        self.phase = Phase.NEW
        self._receive = receive
        self._send = send
        self._signal = port.new_signal()
        self._room = port.new_signal()
        limit_bytes = hosting.limits.websocket_queue_bytes
        self.outflow: Outflow[Any] = Outflow(limit_bytes, self)
        self.mailbox: Mailbox[str | bytes] = Mailbox(limit_bytes, self, self._post_room)
        self._sayings: deque[Saying] = deque()
        self._sayings_bytes = 0
        self._calls: set[AsyncCall[Any]] = set()
        self._claiming = threading.Lock()
        self._wire: Wire | None = None
        self._call: WebSocketCall | None = None

    def __repr__(self) -> str:
        return f"<WebSocket {describe('GET', self.scope.get('path') or '')} ({self.phase.value})>"

    @property
    def is_gone(self) -> bool:
        """Whether the client has left, or everything is given up."""
        return self.phase is Phase.GONE

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
            await self._answer_plainly(_SERVER_ERROR, "Internal Server Error")
        finally:
            hosting.websockets.discard(self)
            self.mailbox.close(_is_over())
            self.outflow.close(_is_over())
            self.outflow.detach()
            self._call = None
            if self._wire is not None:
                self._wire.let_go()

    async def _start(self) -> WebSocketCall | None:
        """Open the wire and give the call to a thread; None if there is none left."""
        near, far = wire_pair()
        key = _key_from(self.original_scope)
        wire = Wire(self, key)
        await wire.open(far, self.hosting.limits.websocket_queue_bytes)
        self._wire = wire
        self._call = call = WebSocketCall(self, near, key, copy_context())
        return call if self.hosting.websocket_pool.submit(call) else None

    async def _respond(self, call: WebSocketCall) -> None:
        """Send what the application hands over, until both sides are done."""
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                try:
                    await self._pump()
                    await self._conclude()
                except Exception as error:  # noqa: BLE001 - raised below, outside the group, as itself
                    failure = error
                    self._give_all_up(ClientDisconnected(f"the connection has failed: {error!r}"))
                    await self._until_finished()
                self._group = None
                group.cancel_scope.cancel()
        except BaseException:  # cancelled by the server
            if not self.is_gone:
                logger.info("%s: aborted: the server cancelled the connection", repr(self))
            await self._abandon(call)
            raise
        failure = failure or self._failure
        self._failure = None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def _pump(self) -> None:
        """Forward what comes from threads and from the wire, until the application is done."""
        while True:
            await self._signal.wait()
            items, is_finished = self.outflow.take()
            with anyio.CancelScope() as self._sending:
                await self._forward(items)
                await self._forward_sayings()
            self._sending = None
            if self._is_leaving:
                self._is_leaving = False
                await self._go_away()
            if is_finished and self._wire_is_over():
                return

    def _wire_is_over(self) -> bool:
        """Tell whether nothing more comes from the wire, now that the call has ended.

        The call hangs up before it ends; only a wire that has been taken over (as `bridge.to_wsgi` does) goes on.
        """
        wire = self._wire
        if wire is None or wire.has_ended or self._path == "native":
            return True
        if self.phase in (Phase.GONE, Phase.CLOSED, Phase.DENIED):
            return True
        return not self.wire_was_taken_over and not wire.has_written()

    async def _until_finished(self) -> None:
        while not self.outflow.take()[1]:
            await self._signal.wait()

    async def _forward(self, items: list[Any]) -> None:
        """Send what the native object or the WSGI response has handed over."""
        response: list[Any] = []
        for item in items:
            if isinstance(item, Outgoing):
                await self._forward_event(item.message)
                self.outflow.sent(1, item.size_bytes)
            else:
                response.append(item)
        if response:
            await self._forward_response(response)

    async def _forward_event(self, message: Message) -> None:
        kind = message["type"]
        if kind == messages.WEBSOCKET_ACCEPT:
            await self._accept(message)
        elif kind == messages.WEBSOCKET_CLOSE:
            await self._close(message["code"], message["reason"])
        elif self.phase is Phase.OPEN:
            await self._send_quietly(message)

    async def _forward_response(self, items: list[Any]) -> None:
        """Make a denial of the WSGI response, unless the application has used the connection: then it is nothing."""
        if self.phase is Phase.NEW and self._path is None and not (self._wire and self._wire.has_written()):
            self.phase = Phase.DENIED
            if messages.DENIAL_RESPONSE not in (self.scope.get("extensions") or {}):
                await self._send_quietly(messages.websocket_close())
                self.is_ended = True
        if self.phase is Phase.DENIED and not self.is_ended:
            await send_items(self, items)
            return
        for item in items:
            if isinstance(item, bytes):
                self.outflow.sent(1, len(item))
            elif not isinstance(item, Mark):
                self._response_status = item.get("status", self._response_status)
                self.outflow.sent(1, 0)

    def send(self, message: Message) -> Awaitable[None]:
        """Send an event of the WSGI response, as one of the denial."""
        return self._send(messages.denial_from_response(message))

    async def _forward_sayings(self) -> None:
        """Send what the application has said over the wire."""
        while self._sayings:
            saying = self._sayings.popleft()
            if isinstance(saying, Received):
                if self.phase is Phase.OPEN:
                    await self._send_quietly(messages.websocket_send(saying.data))
                self._sayings_bytes -= len(saying.data) + _SAYING_OVERHEAD_BYTES
                if self._wire is not None and self._sayings_bytes <= self.hosting.limits.websocket_queue_bytes // 2:
                    self._wire.resume()
            elif isinstance(saying, Accepted):
                await self._accept(messages.websocket_accept(saying.subprotocol, saying.headers))
            elif isinstance(saying, Closed):
                await self._wire_closed(saying)
            elif isinstance(saying, Answered):
                await self._deny(saying)
            else:
                raise saying.error

    async def _wire_closed(self, closed: Closed) -> None:
        if closed.code == ABNORMAL:
            return  # hung up without a word: what the call ends with decides
        await self._close(NORMAL if closed.code == NO_STATUS else closed.code, closed.reason)

    async def _deny(self, answer: Answered) -> None:
        """The application has written an HTTP response to its socket."""
        if self.phase is not Phase.NEW:
            return
        self.phase = Phase.DENIED
        self.is_ended = True
        if messages.DENIAL_RESPONSE not in (self.scope.get("extensions") or {}):
            await self._send_quietly(messages.websocket_close())
            return
        start = messages.response_start(answer.status, answer.headers)
        await self._send_quietly(messages.denial_from_response(start))
        body = messages.response_body(answer.body, more_body=False)
        await self._send_quietly(messages.denial_from_response(body))

    async def _accept(self, message: Message) -> None:
        if self.phase is not Phase.NEW:
            return
        await self._send_quietly(message)
        if self.phase is Phase.NEW:
            self.phase = Phase.OPEN
            if self._group is not None:
                self._group.start_soon(self._listen)

    async def _close(self, code: int, reason: str) -> None:
        """Close from the application's side, or refuse the handshake."""
        if self.phase not in (Phase.NEW, Phase.OPEN):
            return
        was_open = self.phase is Phase.OPEN
        self.phase = Phase.CLOSED
        self.close_code, self.close_reason = code, reason
        self.mailbox.close(_is_over())
        if self._listening is not None:
            # granian sends no close while somebody waits in receive().
            self._listening.cancel()
            while self._listening is not None:
                await self._signal.wait()
            self._signal.set()
        await self._send_quietly(messages.websocket_close(code, reason) if was_open else messages.websocket_close())

    async def _conclude(self) -> None:
        """The application is done: close what it has left open, and tell of its error."""
        error: Any = self.outflow.take_error()
        if self.wire_was_taken_over and isinstance(error, ConnectionError):
            error = None  # how code for WSGI servers ends a call whose socket it goes on with
        if self._path is not None and isinstance(error, ApplicationError) and error.rule.startswith(_RESPONSE_RULES):
            error = None  # once it has used the connection, whatever it returns is no response
        if self.phase is Phase.NEW or (self.phase is Phase.DENIED and error is not None):
            if error is not None:
                raise error
            if self._path is None:
                return
        if error is not None:
            logger.error("%s: the application failed", repr(self), exc_info=error)
        elif self.phase is Phase.OPEN and self._response_status >= _SERVER_ERROR:
            logger.error("%s: the application answered %d", repr(self), self._response_status)
        if self.phase in (Phase.OPEN, Phase.NEW):
            has_failed = error is not None or self._response_status >= _SERVER_ERROR
            await self._close(INTERNAL_ERROR if has_failed else NORMAL, "")

    # ---- From the client ------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Give the client's messages to the application, as it takes them."""
        try:
            with anyio.CancelScope() as self._listening:
                while True:
                    message = await self._receive()
                    if message["type"] == messages.WEBSOCKET_DISCONNECT:
                        code, reason = message.get("code"), message.get("reason")
                        self._client_left(NO_STATUS if code is None else int(code), reason or "")
                        return
                    if message["type"] != messages.WEBSOCKET_RECEIVE:
                        raise ServerError(  # noqa: TRY301
                            f"the server gave {message['type']!r} to a WebSocket", rule="ASGI WebSocket 2.5"
                        )
                    await self._deliver(message)
        except Exception as error:  # noqa: BLE001 - raised by the course of the connection
            self._failure = error
            self._client_left(ABNORMAL, "")
        finally:
            self._listening = None
            self._signal.set()

    async def _deliver(self, message: Message) -> None:
        text = message.get("text")
        data: str | bytes = bytes(message.get("bytes") or b"") if text is None else text
        if self._path == "wire" and self._wire is not None:
            has_room = self._wire.send(data)
            while not has_room:
                await self._room.wait()
                has_room = True
        elif not self.mailbox.put(data, len(data)):
            while self.mailbox.is_full:
                await self._room.wait()

    def _client_left(self, code: int, reason: str) -> None:
        """The client has closed, or is lost: blocked calls end, what is sent from now on is lost."""
        if self.phase in (Phase.CLOSED, Phase.GONE):
            return
        self.close_code, self.close_reason = code, reason
        self._give_all_up(ClientDisconnected(f"the client has closed the WebSocket (code {code})"))
        if self._wire is not None and self._path == "wire":
            self._wire.close(code, reason)

    def _give_all_up(self, reason: ClientDisconnected) -> None:
        if self.close_code is None:
            self.close_code = ABNORMAL
        self.phase = Phase.GONE
        self._sayings.clear()
        self._sayings_bytes = 0
        self.outflow.close(reason)
        self.mailbox.close(reason)
        for call in tuple(self._calls):
            call.cancel(reason)
        if self._wire is not None and not self._wire.has_ended:
            self._wire.resume()
        if self._sending is not None:
            self._sending.cancel()
        self._signal.set()

    def client_has_gone(self, reason: ClientDisconnected, cause: BaseException | None = None) -> None:
        """A denial could not be sent."""
        reason.__cause__ = cause
        self._give_all_up(reason)

    async def _send_quietly(self, message: Message) -> None:
        """Send an event; that the client has left is no error."""
        try:
            await self._send(message)
        except OSError as error:
            logger.debug("%s: send() raised %s; taken as the client's disconnect", repr(self), repr(error))
            if self.phase is not Phase.CLOSED:
                self._client_left(ABNORMAL, "")
        except Exception:
            if not self.is_gone:
                raise

    # ---- Endings --------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Close with 1001, because the server is shutting down."""
        self._is_leaving = True
        self._signal.set()

    async def _go_away(self) -> None:
        if self.phase is Phase.OPEN:
            await self._close(GOING_AWAY, "")
            self.outflow.close(ClientDisconnected("the server is shutting down"))
            if self._wire is not None and self._path == "wire":
                self._wire.close(GOING_AWAY, "")

    async def _abandon(self, call: WebSocketCall) -> None:
        """The server has cancelled the connection: tell the application, and wait for it, for a while."""
        if self.hosting.websocket_pool.discard(call):
            return
        self._give_all_up(RequestCancelled("the server cancelled the connection"))
        if self._wire is not None:
            self._wire.let_go()
        limit_s = self.hosting.limits.cancel_s
        if not await wait_through_cancellation(self._signal, lambda: self.outflow.take()[1], limit_s):
            logger.error(
                "%s: given up; the application still runs %.1f s after its connection was ended:\n%s",
                repr(self),
                limit_s,
                self.hosting.websocket_pool.stack_of(call),
            )

    async def _refuse(self, refusal: RequestRefused) -> None:
        self.hosting.refused += 1
        logger.warning("%s refused: %s", repr(self), str(refusal))
        await self._answer_plainly(refusal.status, refusal.reason)

    async def _answer_plainly(self, status: int, sentence: str) -> None:
        self.phase = Phase.DENIED
        extra = [(b"retry-after", b"%d" % self.hosting.limits.retry_after_s)] if status == 503 else []  # noqa: PLR2004
        if messages.DENIAL_RESPONSE in (self.scope.get("extensions") or {}):
            for message in messages.plain_response(status, sentence, *extra):
                await self._send_quietly(messages.denial_from_response(message))
        else:
            await self._send_quietly(messages.websocket_close())

    # ---- The wire (its owner) -------------------------------------------------------------------------------------

    def wire_said(self, saying: Saying) -> None:
        """The application has said something over the wire."""
        if isinstance(saying, Accepted | Answered | Broken):
            try:
                self.claim("wire")
            except ApplicationError:
                return  # the native object was first
        elif self._path != "wire":
            return
        self._sayings.append(saying)
        if isinstance(saying, Received):
            self._sayings_bytes += len(saying.data) + _SAYING_OVERHEAD_BYTES
            if self._sayings_bytes > self.hosting.limits.websocket_queue_bytes and self._wire is not None:
                self._wire.pause()
        self._signal.set()

    def wire_ended(self) -> None:
        """The application has hung up."""
        if self._path == "native" and self._wire is not None:
            self._wire.let_go()
        self._signal.set()

    def wire_has_room(self) -> None:
        """The application has read what was sent."""
        self._room.set()

    # ---- Threads --------------------------------------------------------------------------------------------------

    def claim(self, path: Literal["native", "wire"]) -> None:
        """Say which of the two ways is used. Any thread.

        Raises:
            ApplicationError: it is the other one.
        """
        with self._claiming:
            if self._path not in (None, path):
                raise ApplicationError(
                    "the connection is used both as wsgi.websocket and as werkzeug.socket", rule="wsgi.websocket"
                )
            self._path = path

    def drop_wire(self) -> None:
        """The application speaks without it: give its descriptors back. The application's thread."""
        if self._call is not None:
            self._call.drop_wire()

    def client_disconnected(self) -> bool:
        """Tell whether the connection is over: ``environ["bridge.client_disconnected"]``. Any thread."""
        return self.close_code is not None

    def give_up(self, reason: ClientTimeout) -> None:
        """The client takes no byte. Any thread."""
        self.outflow.close(reason)
        with suppress(LoopGoneError):
            self.port.post(lambda: self._client_left(ABNORMAL, ""))

    def notify(self) -> None:
        """Wake the loop's side. Any thread."""
        try:
            self.port.post(self._signal.set)
        except LoopGoneError:
            self.outflow.close(self.loop_is_gone())

    notify_soon = notify

    def _post_room(self) -> None:
        self.port.post(self._room.set)

    def is_loop_running(self) -> bool:
        """Tell whether the loop still runs. Any thread."""
        return self.port.is_running()

    def loop_is_gone(self) -> RequestCancelled:
        """Make the error for a thread whose loop has ended. Any thread."""
        return RequestCancelled("the event loop of this connection has ended")

    def helpers(self) -> Session:
        """Return what runs coroutines: the session itself. Any thread."""
        return self

    def begin_async_call(self, call: AsyncCall[Any]) -> None:
        """Start a coroutine function on the loop. Any thread.

        Raises:
            RequestCancelled: the loop has ended.
        """
        try:
            self.port.post(lambda: self._start_call(call))
        except LoopGoneError:
            raise self.loop_is_gone() from None

    def _start_call(self, call: AsyncCall[Any]) -> None:
        if self._group is None or self.is_gone:
            call.cancel(_is_over())
            return
        self._calls.add(call)
        call.context.run(self._group.start_soon, self._run_call, call)

    async def _run_call(self, call: AsyncCall[Any]) -> None:
        try:
            await call.run()
        finally:
            self._calls.discard(call)


def _is_over() -> ClientDisconnected:
    return ClientDisconnected("the WebSocket is closed")


def _key_from(scope: Scope) -> str:
    """Return the client's key, or one made up: HTTP/2 and test clients have none."""
    for name, value in scope.get("headers") or ():
        if name.lower() == _KEY:
            return bytes(value).decode("latin-1")
    return base64.b64encode(os.urandom(16)).decode("ascii")
