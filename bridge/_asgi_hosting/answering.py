"""The application's ``send()``: from messages to what the servant does. Loop thread.

Backpressure: at most one block is in the outbox that the server has not asked for yet; ``send`` returns when the server
asks for the next one. How loop and servant share what is here stands in `bridge._asgi_hosting.exchange`.
"""

from __future__ import annotations

import anyio.lowlevel

from bridge._asgi_hosting.errands import Errand, FileErrand, HintErrand, TrailersErrand
from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.hosting import logger
from bridge._asgi_hosting.outcomes import failure_from
from bridge._asgi_hosting.receiving import Receiving
from bridge._asgi_hosting.sending import Swallowing, Turns
from bridge._runtime.gates import Gate
from bridge._runtime.loops import Signal
from bridge.errors import ClientDisconnected
from bridge.observing import Record
from bridge.translate import messages
from bridge.translate.asgi_response import COMPLETE, ASGIResponse
from bridge.translate.messages import RESPONSE_BODY, RESPONSE_START
from bridge.types import Message, Scope

_TURNS_FOR_LISTENERS = 8
"""Turns of the loop that a cancellation may need to come through layers of middleware; a guess, mostly one will do."""


class Answering:
    """One response on the loop, from the first message to its end, whichever that is.

    Attributes:
        response: the state of the response; the servant reads status and headers, once a block is in the outbox.
        outbox: blocks and errands, for the servant.
        is_answered: the response is complete; the application may go on in the background.
        is_output_over: nothing more will be put into the outbox, and nothing is to be received.
        failure: what the servant raises once the outbox is empty.
        is_refused: ``failure``, or the end of the servant, is the bridge's answer, not the application's error. Set by
            whichever side refuses, before it says that all is over.
        record: what is known of the request, if anybody wants to know.
    """

    # Defaults on the class: an ordinary request sets few of them.
    is_answered = False
    is_output_over = False
    failure: BaseException | None = None
    is_refused = False
    record: Record | None = None
    _is_gone = False
    _put = 0
    _asked = 0
    _taken: Signal | None = None
    _receiving: Receiving | None = None
    _had_listeners = False
    _turns: Turns | None = None
    _swallowing: Swallowing | None = None
    _has_warned = False

    def __init__(self, host: Host, scope: Scope, gate: Gate) -> None:
        self.outbox: list[bytes | Errand] = []  # seldom more than one: a deque would be larger, not quicker
        extensions = scope["extensions"]
        self._offers_trailers = messages.TRAILERS in extensions
        self.response = ASGIResponse(scope["method"], extensions)
        self._host = host
        self._gate = gate

    def new_signal(self) -> Signal:
        """Make what one coroutine waits for."""
        return self._host.portal.port.new_signal()

    def asked_for_more(self) -> None:
        """The server has taken what was put last, and asks for the next; posted by the servant."""
        self._asked += 1
        if self._taken is not None:
            self._taken.set()
        if self._turns is not None:
            self._turns.wake_first()

    # ---- The end ----------------------------------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        """The response will not be completed: the servant raises the error, here all is over."""
        self.failure = failure_from(error)
        self.is_output_over = True
        self._is_gone = True
        if self.record is not None and not self.is_refused:
            self.record.fail(answered=self._host.hosting.responds_to_errors)
        self._gate.open()
        self._wake_all()

    def _complete(self) -> None:
        """The response is complete; the servant has it or will find it in the outbox."""
        self.is_answered = True
        self.is_output_over = True
        if self.record is not None:
            self.record.finish("completed")
        self._gate.open()
        self._wake_all()

    def _wake_all(self) -> None:
        if self._receiving is not None:
            self._receiving.wake_all()
        if self._taken is not None:
            self._taken.set()
        if self._turns is not None:
            self._turns.wake_all()

    # ---- Messages ---------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Take a message; return when the server has taken the block and asks for the next (A-058 to A-070).

        Raises:
            ApplicationError: the message may not come now, or cannot be sent.
            ClientDisconnected: the client has left (an ``OSError``).
        """
        try:
            kind = message["type"]
        except (TypeError, KeyError):
            self.response.unknown(None)
        if self.is_answered:
            self._warn_of_surplus(kind)
            return
        if self._put != self._asked or self._turns:
            if self._turns is None:
                self._turns = Turns(self.new_signal)
            await self._turns.wait(self._is_outbox_full, self._is_over_for_senders)
            if self.is_answered:
                self._warn_of_surplus(kind)
                return
        if self._is_gone:
            await self._complain_of_client()
        if kind == RESPONSE_BODY:
            body = self.response.body(message)
            if self.response.phase is COMPLETE:
                if body:
                    self.outbox.append(body)
                self._complete()
            elif self.response.carries_content:
                self._put += 1
                self.outbox.append(body)
                self._gate.open()
                await self._until_asked(self._put)
            else:
                await self._swallow(message)
        elif kind == RESPONSE_START:
            self.response.start(message)
        else:
            await self._send_unusual(kind, message)

    async def _until_asked(self, number: int) -> None:
        """Wait until the server has asked for what comes after the item of that number."""
        taken = self._taken
        if taken is None:
            taken = self._taken = self.new_signal()
        while self._asked < number:
            if self._is_gone:
                await self._complain_of_client()
            await taken.wait()

    def _is_outbox_full(self) -> bool:
        return self._put != self._asked

    def _is_over_for_senders(self) -> bool:
        return self.is_answered or self._is_gone

    async def _complain_of_client(self) -> None:
        """Raise because the client has left; who waits in ``receive()`` hears of it first.

        Frameworks that listen there cancel their handler, which is a cleaner end for it than an error (Django gives
        its connections back only so).
        """
        if self._had_listeners:
            for _ in range(_TURNS_FOR_LISTENERS):
                await anyio.lowlevel.checkpoint()
        raise ClientDisconnected("the client has left; nobody takes the response any more")

    async def _swallow(self, message: Message) -> None:
        """Take content that nobody gets; the servant gets its end with the first message."""
        if self._swallowing is None:
            self._swallowing = Swallowing()
            self.is_output_over = True
            if self.record is not None:  # for the client it is over
                self.record.finish("completed")
            self._gate.open()
        self._wake_all()
        if self._swallowing.swallow(len(message.get("body", b"")), self._host.limits):
            self._is_gone = True
            await self._complain_of_client()
        await anyio.lowlevel.checkpoint()

    async def _send_unusual(self, kind: object, message: Message) -> None:
        response = self.response
        if kind == messages.PATHSEND:
            path = response.pathsend(message)
            await self._run_errand(FileErrand(path))
            if response.phase is COMPLETE:
                self._complete()
        elif kind == messages.EARLY_HINT:
            links = response.early_hint(message)
            if links:
                await self._run_errand(HintErrand(links))
        elif kind == messages.TRAILERS:
            fields = response.trailers(message)
            if fields and self._offers_trailers and response.carries_content:
                await self._run_errand(TrailersErrand(fields))
            if response.phase is COMPLETE:
                self._complete()
        else:
            response.unknown(kind)

    async def _run_errand(self, errand: Errand) -> None:
        """Let the servant do something; raise what it raised."""
        self._put += 1
        errand.done = self.asked_for_more
        self.outbox.append(errand)
        self._gate.open()
        await self._until_asked(self._put)
        if errand.error is not None:
            raise errand.error

    def _warn_of_surplus(self, kind: object) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: the application sent %r after its response was complete; it is ignored", repr(self), kind
            )
