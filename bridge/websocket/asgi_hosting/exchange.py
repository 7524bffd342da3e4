"""One WebSocket of an ASGI application on the loop.

Until the application has answered the handshake this is an ordinary exchange with a servant: a refusal or a denial is
an ordinary response. An accept makes the servant take the connection over (`TakeOver`, an errand like any other); from
then on there is a `Session`, and the servant is gone (or copies octets, where the server does TLS).
"""

from __future__ import annotations

import socket
from contextvars import Context
from typing import TYPE_CHECKING, cast

import anyio
from websockets.extensions import Extension

from bridge._asgi_hosting.errands import Errand
from bridge._asgi_hosting.exchange import Exchange
from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.hosting import logger
from bridge._asgi_hosting.outcomes import comes_from_disconnect
from bridge._asgi_hosting.phases import SERVING
from bridge._runtime.bells import Bell
from bridge._runtime.gates import Gate
from bridge.errors import ApplicationError, ClientDisconnected, RequestRefused
from bridge.translate import messages
from bridge.translate.asgi_websocket import Accept, ASGIWebSocket, Close, Data, Denial
from bridge.translate.closing import ABNORMAL, INTERNAL_ERROR, NORMAL
from bridge.translate.websocket_handshake import Handshake, switching_head
from bridge.types import Message, Scope
from bridge.websocket.asgi_hosting.compression import agree_on_compression
from bridge.websocket.asgi_hosting.handshaken import Handshaken, refusal_from
from bridge.websocket.asgi_hosting.pulse import keep_pulse
from bridge.websocket.asgi_hosting.session import Session
from bridge.websocket.frames import FrameEnd

if TYPE_CHECKING:
    from bridge._asgi_hosting.servant import Servant
    from bridge.websocket.asgi_hosting.servant import WebSocketServant

_FULL = "The server has too many WebSocket connections; try again soon."
_GRACE_S = 3.0
"""What an application gets at shutdown, once it has been told that its connection is over."""


class TakeOver(Errand):
    """Take the connection over from the server.

    The loop may lose interest while the request thread takes it. Whoever takes the socket out of the list, which only
    one of them can, uses it or closes it: closed twice, its number might be somebody else's by then.
    """

    _is_unwanted = False

    def __init__(self) -> None:
        self._taken: list[socket.socket] = []

    def run(self, servant: Servant) -> None:
        """Take it; the loop gets it by `take`. Request thread."""
        if self._is_unwanted:
            raise ClientDisconnected("the application was cancelled while it accepted")
        self._taken.append(cast("WebSocketServant", servant).take_over())
        if self._is_unwanted:  # since then
            self._close()

    def take(self) -> socket.socket | None:
        """Return the connection, once. Any thread."""
        try:
            return self._taken.pop()
        except IndexError:
            return None

    def forget(self) -> None:
        """Nobody waits for it any more. Loop."""
        self._is_unwanted = True
        self._close()

    def _close(self) -> None:
        own = self.take()
        if own is not None:
            own.close()


class WebSocketExchange(Exchange):
    """One connection: first as an exchange, then as a session."""

    _session: Session | None = None
    _has_connected = False
    _is_app_over = False

    def __init__(
        self,
        host: Host,
        scope: Scope,
        gate: Gate,
        context: Context,
        handshake: Handshake,
        handshaken: Handshaken | None = None,
    ) -> None:
        super().__init__(host, {**scope, "method": "GET"}, gate, context, has_body=False)
        self.scope = scope
        self._handshake = handshake
        self._handshaken = handshaken
        self._table = ASGIWebSocket(handshake.subprotocols, offers_denial=handshaken is None)
        self._answered = Bell(host.portal.port.new_signal)

    # ---- The application's task -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the application's task, unless there are too many connections; posted by the servant."""
        host = self._host
        if len(host.websockets) >= host.limits.websockets:
            self.has_begun = self.is_refused = True
            self._fail(RequestRefused(503, _FULL))
            return
        host.websockets.add(self)
        super().begin()
        if self not in host.live:
            self._app_is_over()

    async def _run(self) -> None:
        try:
            await super()._run()
        finally:
            self._app_is_over()

    def _app_is_over(self) -> None:
        self._is_app_over = True
        self._settle()

    def _connection_is_closed(self) -> None:
        grace_s = self._host.limits.disconnect_grace_s
        if grace_s is not None and not self._is_app_over:
            self._host.cancel_later(self, grace_s)
        self._settle()

    def _settle(self) -> None:
        """Forget the connection when both are over, application and connection."""
        if self._is_app_over and (self._session is None or self._session.is_closed):
            self._host.websockets.discard(self)
            if self._host.phase is not SERVING:
                self._host.ended()

    def _app_returned(self) -> None:
        if self._session is not None:
            self._session.close(NORMAL, "")
        elif not self.is_answered and not self._is_gone:
            if self.response.phase.name == "NEW":
                raise ApplicationError(
                    "the application returned without having answered the handshake; websocket.accept or "
                    "websocket.close is expected",
                    rule='ASGI WebSocket, "Websocket Connection Scope"',
                )
            super()._app_returned()

    def _app_raised(self, error: BaseException) -> None:
        session = self._session
        if session is None:
            self._app_is_over()  # first: the server may count as soon as the servant has heard of it
            super()._app_raised(error)
            return
        was_open = session.close_code is None
        session.close(INTERNAL_ERROR, "")
        if isinstance(error, anyio.get_cancelled_exc_class()):
            return  # at shutdown, which says so, or after the grace of a client that has left
        if was_open or not comes_from_disconnect(error):
            self._host.failed_in_background += 1
            logger.error("%s: the application failed with its WebSocket open", repr(self), exc_info=error)

    # ---- What the servant posts -----------------------------------------------------------------------------------

    def servant_has_gone(self) -> None:
        """The client has left before the handshake was answered, or the servant was made to leave."""
        super().servant_has_gone()
        self._answered.ring()

    def _wake_all(self) -> None:
        super()._wake_all()
        self._answered.ring()

    # ---- receive() and send() -------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Return ``websocket.connect`` first, then what the client sends, then ``websocket.disconnect``."""
        if not self._has_connected:
            self._has_connected = True
            return {"type": messages.WEBSOCKET_CONNECT}
        while self._session is None:
            if self.is_output_over:  # refused, denied, failed, or left by the client
                return messages.websocket_disconnect(ABNORMAL, "")
            await self._answered.wait()
        return await self._session.receive()

    async def send(self, message: Message) -> None:
        """Take a message.

        Raises:
            ApplicationError: the message may not come now, or cannot be sent.
            ClientDisconnected: the connection is over (an ``OSError``).
        """
        session = self._session
        if self._is_gone or (session is not None and session.has_ended):
            raise ClientDisconnected("the WebSocket is closed; nobody takes the message")
        step = self._table.take(message)
        if isinstance(step, Data):
            await (session or await self._opened()).send(step.data)
        elif isinstance(step, Close):
            (session or await self._opened()).close(step.code, step.reason)
        elif isinstance(step, Accept):
            await self._accept(step)
        elif isinstance(step, Denial):
            await super().send(step.message)
        elif self._handshaken is not None:
            refusal = refusal_from(message)
            await self._accept(Accept(None, []))
            (await self._opened()).close(*refusal)
        else:
            await super().send(messages.response_start(403, [(b"content-length", b"0")]))
            await super().send(messages.response_body(b"", more_body=False))

    async def _opened(self) -> Session:
        """Return the session; another coroutine may be in the middle of the accept.

        Raises:
            ClientDisconnected: the accept has come to nothing.
        """
        while self._session is None:
            if self._is_gone:
                raise ClientDisconnected("the connection was lost in the handshake")
            await self._answered.wait()
        return self._session

    async def _accept(self, accept: Accept) -> None:
        limits = self._host.limits
        if self._handshaken is None:
            head, extensions = self._head_for(accept)
        else:
            self._handshaken.accepted(accept, of=repr(self))
            limits = self._handshaken.limits(limits)
            head, extensions = b"", []
        frames = FrameEnd("server", max_message_bytes=limits.websocket_message_bytes, extensions=extensions)
        errand = TakeOver()
        try:
            await self._run_errand(errand)
            own = errand.take()
            if own is None:
                raise ClientDisconnected("the connection could not be taken over")  # noqa: TRY301
            session = Session(frames, limits, self._host.portal.port.new_signal, self._connection_is_closed)
            await session.open(own, head)
        except BaseException as error:  # a client that is gone, or a cancellation
            lost = ClientDisconnected(f"the connection was lost in the handshake: {error!r}")
            self._fail(lost)
            if isinstance(error, Exception):
                raise lost from error
            raise
        finally:
            errand.forget()
        self._session = session
        self.is_upgraded = self.is_answered = self.is_output_over = True
        self._gate.open()
        self._answered.ring()
        keep_pulse(self._host)
        if self._host.phase is not SERVING:
            self.leave()

    def _head_for(self, accept: Accept) -> tuple[bytes, list[Extension]]:
        """Return the 101 response, and what it agrees on."""
        extension, extensions_field = None, None
        if self._host.hosting.compresses_websockets:
            extension, extensions_field = agree_on_compression(self._handshake.offered_extensions)
        head = switching_head(
            self._handshake, subprotocol=accept.subprotocol, headers=accept.headers, extensions=extensions_field
        )
        return head, [] if extension is None else [extension]

    # ---- For the host ---------------------------------------------------------------------------------------------

    def look(self, now_s: float) -> None:
        """Do what the time asks for."""
        if self._session is not None:
            self._session.look(now_s)

    def leave(self) -> None:
        """Close because the process ends; an application that goes on is cancelled soon."""
        if self._session is not None:
            self._session.leave()
            self._host.cancel_later(self, _GRACE_S)

    def abort(self) -> None:
        """Cut the connection."""
        if self._session is not None:
            self._session.abort()
