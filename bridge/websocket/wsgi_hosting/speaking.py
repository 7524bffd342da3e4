"""From the application to the client: what comes from its threads and over the wire becomes ASGI events. Loop."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio

from bridge._runtime.mailbox import MESSAGE_OVERHEAD_BYTES
from bridge._wsgi_hosting.handing_over import Mark
from bridge._wsgi_hosting.sending import is_complete, send_items
from bridge.errors import ApplicationError, ClientDisconnected
from bridge.translate import messages
from bridge.translate.closing import ABNORMAL, NO_STATUS, NORMAL
from bridge.types import Message
from bridge.websocket.frames import Closed, Received, size_of
from bridge.websocket.wsgi_hosting.native import Outgoing
from bridge.websocket.wsgi_hosting.phases import Phase
from bridge.websocket.wsgi_hosting.wire import Accepted, Answered, Broken, Saying

if TYPE_CHECKING:
    from bridge.websocket.wsgi_hosting.session import Session

_FIRST = (Accepted, Answered, Broken)
_LONGER = 1.1
"""How much later a deadline may be than asked for."""
_UNAVAILABLE = 503


class Speaker:
    """Sends for one session; the owner of its wire.

    Attributes:
        response_status: of a WSGI response that was no answer, because the connection had been used.
    """

    response_status = 0

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sayings: deque[Saying] = deque()
        self._held_bytes = 0

    # ---- From threads ---------------------------------------------------------------------------------------------

    async def forward(self, items: list[Any]) -> None:
        """Send what the native object or the WSGI response has handed over."""
        session = self._session
        response: list[Any] = []
        for item in items:
            if not isinstance(item, Outgoing):
                response.append(item)
                continue
            message = item.message
            if message["type"] != messages.WEBSOCKET_SEND:
                await self._forward_event(message)
            elif session.phase is Phase.OPEN:
                await session.send_quietly(message)
            session.outflow.sent(1, item.size_bytes)
        if response:
            await self._forward_response(response)

    async def _forward_event(self, message: Message) -> None:
        session = self._session
        kind = message["type"]
        if kind == messages.WEBSOCKET_ACCEPT:
            await session.accept(message)
        else:
            await session.close(message["code"], message["reason"])

    async def _forward_response(self, items: list[Any]) -> None:
        """Make a denial of the WSGI response, unless the application has used the connection: then it is nothing."""
        session = self._session
        if session.phase is Phase.NEW and session.path is None and not (session.wire and session.wire.has_written()):
            session.phase = Phase.DENIED
            if not session.offers_denial:
                session.is_ended = True
                await session.send_quietly(messages.websocket_close())
                session.outflow.close(ClientDisconnected("the handshake is refused; nobody takes the response"))
        if session.phase is Phase.DENIED and not session.is_ended:
            if not is_complete(items):  # more will come: then the client may leave before the end
                session.listen()
            await send_items(session, items)
            return
        for item in items:
            if isinstance(item, bytes):
                session.outflow.sent(1, len(item))
            elif not isinstance(item, Mark):
                self.response_status = item.get("status", self.response_status)
                session.outflow.sent(1, 0)

    async def answer_plainly(self, status: int, sentence: str) -> None:
        """Answer the handshake by ourselves, or refuse it where the server lets one say no more."""
        session = self._session
        session.phase = Phase.DENIED
        if not session.offers_denial:
            await session.send_quietly(messages.websocket_close())
            return
        extra = [(b"retry-after", b"%d" % session.hosting.limits.retry_after_s)] if status == _UNAVAILABLE else []
        for message in messages.plain_response(status, sentence, *extra):
            await session.send_quietly(messages.denial_from_response(message))

    # ---- From the wire (its owner) --------------------------------------------------------------------------------

    def wire_said(self, saying: Saying) -> None:
        """The application has said something over the wire."""
        session = self._session
        if isinstance(saying, _FIRST):
            try:
                session.claim("wire")
            except ApplicationError:
                return  # the native object was first
        elif session.path != "wire":
            return
        self._sayings.append(saying)
        if isinstance(saying, Received):
            self._held_bytes += size_of(saying.data) + MESSAGE_OVERHEAD_BYTES
            if self._held_bytes > session.hosting.limits.websocket_queue_bytes and session.wire is not None:
                session.wire.pause()
        session.signal.set()

    def wire_ended(self) -> None:
        """The application has hung up."""
        session = self._session
        if session.path == "native" and session.wire is not None:
            session.wire.let_go()
        session.signal.set()

    def wire_has_room(self) -> None:
        """The application has read what was sent."""
        self._session.room.set()

    def forget(self) -> None:
        """Nobody takes what was said; what is said from now on is lost."""
        self._sayings.clear()
        self._held_bytes = 0

    async def forward_sayings(self, limit: anyio.CancelScope) -> None:
        """Send what the application has said over the wire.

        Args:
            limit: is given a deadline for each message: what holds the application back must not do so for ever.
        """
        limit_s = self._session.hosting.limits.response_wait_s
        while self._sayings:
            if limit_s is not None:
                now_s = anyio.current_time()
                # To move a deadline costs more than to send a message: it is moved now and then, and lies later.
                if not now_s + limit_s <= limit.deadline < math.inf:
                    limit.deadline = now_s + limit_s * _LONGER
            await self._forward_saying(self._sayings.popleft())

    @property
    def has_sayings(self) -> bool:
        """Whether the application has said something over the wire that was not forwarded."""
        return bool(self._sayings)

    async def _forward_saying(self, saying: Saying) -> None:
        session = self._session
        if isinstance(saying, Received):
            if session.phase is Phase.OPEN:
                await session.send_quietly(messages.websocket_send(saying.data))
            self._held_bytes = max(0, self._held_bytes - size_of(saying.data) - MESSAGE_OVERHEAD_BYTES)
            if session.wire is not None and self._held_bytes <= session.hosting.limits.websocket_queue_bytes // 2:
                session.wire.resume()
        elif isinstance(saying, Accepted):
            await session.accept(messages.websocket_accept(saying.subprotocol, saying.headers))
        elif isinstance(saying, Closed):
            if saying.code != ABNORMAL:  # hung up without a word: what the call ends with decides
                await session.close(NORMAL if saying.code == NO_STATUS else saying.code, saying.reason)
        elif isinstance(saying, Answered):
            await self._deny(saying)
        else:
            raise saying.error

    async def _deny(self, answer: Answered) -> None:
        """The application has written an HTTP response to its socket."""
        session = self._session
        if session.phase is not Phase.NEW:
            return
        session.phase = Phase.DENIED
        session.is_ended = True
        if not session.offers_denial:
            await session.send_quietly(messages.websocket_close())
            return
        start = messages.response_start(answer.status, answer.headers)
        await session.send_quietly(messages.denial_from_response(start))
        body = messages.response_body(answer.body, more_body=False)
        await session.send_quietly(messages.denial_from_response(body))
