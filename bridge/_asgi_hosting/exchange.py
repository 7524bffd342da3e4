"""One request on the loop: the application's task, its ``receive`` and its ``send``.

Theory of operation. The application runs as one task. What it sends is put into the *outbox*, and the servant (the
request thread) is let through its gate; what it wants to receive, the servant fetches. Loop and servant share these
variables and no lock:

====================  ==================  ========================================================================
``outbox``            appended by loop    blocks (bytes) and errands, taken by the servant in order
``is_output_over``    set by loop         nothing more will be put into the outbox, and nothing is to be received
``failure``           set by loop         to be raised by the servant once the outbox is empty
``wants_body``        set by loop         the servant clears it, reads, and posts `body_came`
====================  ==================  ========================================================================

The loop writes first and opens the gate second, the servant passes the gate first and looks second, so nothing is
overlooked. What the servant has to say it posts: `begin`, `asked_for_more`, `body_came`, `servant_has_gone`.
That needs no lock, with the GIL or without: each variable has one writer at a time, each step is atomic (a list appends
and pops so), and what belongs together is written in the order in which the other side relies on it, ``failure`` and
the outbox before ``is_output_over``.

Backpressure: at most one block is in the outbox that the server has not asked for yet; ``send`` returns when the server
asks for the next one. A request is over (for its servant) when the response is complete, failed, or its client is gone;
the application's task goes on for as long as it likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import anyio
import anyio.lowlevel

from bridge._asgi_hosting.errands import Errand, FileErrand, HintErrand, TrailersErrand
from bridge._asgi_hosting.host import SERVING, Host
from bridge._asgi_hosting.hosting import logger
from bridge._asgi_hosting.outcomes import comes_from_disconnect, failure_from
from bridge._asgi_hosting.receiving import Receiving
from bridge._asgi_hosting.sending import Swallowing, Turns
from bridge._runtime.gates import Gate, pass_on_signal
from bridge._runtime.loops import Signal
from bridge._runtime.spawning import Work, where
from bridge.errors import ApplicationError, ClientDisconnected, RequestRefused
from bridge.observing import Record
from bridge.translate import messages
from bridge.translate.asgi_response import COMPLETE, ASGIResponse
from bridge.translate.messages import RESPONSE_BODY, RESPONSE_START
from bridge.types import Message, Scope

_TURNS_FOR_LISTENERS = 8
"""Turns of the loop that a cancellation may need to come through layers of middleware; a guess, mostly one will do."""


class Exchange:
    """One request on the loop. Made by the request thread; everything else here is on the loop.

    Attributes:
        response: the state of the response; the servant reads status and headers, once a block is in the outbox.
        has_begun: the loop has taken the request up. Set once, by the loop.
        is_abandoned: set by the servant when it leaves before the end; it posts that afterwards.
        is_refused: ``failure``, or the end of the servant, is the bridge's answer, not the application's error. Set by
            whichever side refuses, before it says that all is over.
        is_answered: the response is complete; the application may go on in the background.
    """

    has_begun = False
    is_upgraded = False  # the connection speaks another protocol now
    is_answered = False
    is_refused = False
    is_output_over = False
    failure: BaseException | None = None
    wants_body = False
    _is_gone = False
    _work: Work | None = None
    _put = 0
    _asked = 0
    _taken: Signal | None = None
    _receiving: Receiving | None = None
    _turns: Turns | None = None
    _has_warned = False
    _swallowing: Swallowing | None = None
    _had_listeners = False
    is_abandoned = False
    record: Record | None = None

    def __init__(self, host: Host, scope: Scope, gate: Gate, context: Context, *, has_body: bool) -> None:
        self.outbox: list[bytes | Errand] = []  # seldom more than one: a deque would be larger, not quicker
        self.scope = scope
        # Read now: the scope is the application's from here on.
        self._target = (scope["method"], scope["path"])
        extensions = scope["extensions"]
        self._offers_trailers = messages.TRAILERS in extensions
        self.response = ASGIResponse(scope["method"], extensions)
        self._host = host
        self._gate = gate
        self._context = context
        self._has_body = has_body

    def __repr__(self) -> str:
        state = "answered" if self.is_answered else "abandoned by its client" if self._is_gone else "open"
        method, path = self._target
        return f"<Exchange {ascii(method)[1:-1]} {path!a}: {state}>"

    def where(self) -> str:
        """Return where the application waits, formatted like a traceback; where the loop is if it runs. Any thread.

        A look at what may move; for reports of what does not.
        """
        work = self._work
        return (where(work) if work is not None else "") or self._host.portal.where()

    # ---- The application's task -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the application's task; posted by the servant."""
        self.has_begun = True
        if self.is_abandoned:  # the loop was stuck for so long that nobody waits any more
            return
        self._host.live.add(self)
        context, self._context = self._context, Context()  # what the application leaves in it may lead back here
        try:
            work = self._host.portal.spawn(self._run, context)
            if self in self._host.live:  # else it has ended in its first step
                self._work = work
        except BaseException as error:  # noqa: BLE001 - the servant must not wait for ever
            self._host.live.discard(self)
            self._fail(error)
            pass_on_signal(error)

    async def _run(self) -> None:
        host = self._host
        try:
            if host.phase is not SERVING:
                try:
                    await host.serving()
                except RequestRefused as refused:
                    self.is_refused = True
                    self._fail(refused)
                    return
                if self._is_gone:  # nobody has waited for it
                    return
            if host.state is not None:
                self.scope["state"] = host.state.copy()
            app: Callable[..., Awaitable[Any]] = host.hosting.app  # what it returns is not in its type
            if self.record is None:
                returned = await app(self.scope, self.receive, self.send)
            else:
                self.record.app_called()
                receive, send = self.record.counted_receive(self.receive), self.record.counted_send(self.send)
                returned = await app(self.scope, receive, send)
            if returned is not None:
                logger.warning("%s: the application returned %s; None is expected", repr(self), type(returned).__name__)
            self._app_returned()
        except BaseException as error:
            self._app_raised(error)
            pass_on_signal(error)
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        finally:
            host.live.discard(self)
            if host.phase is not SERVING:
                host.ended()
            self._work = None
            self._receiving = self._turns = None  # all is over, and they hold each other

    def leave(self) -> None:
        """The host begins to close: requests are waited for, so there is nothing to do."""

    def cancel(self) -> None:
        """Cancel the application's task."""
        if self._work is not None:
            self._work.cancel()

    def _app_returned(self) -> None:
        """The application has returned; that is an error before its response is complete (A-083, A-084)."""
        if self.is_answered or self._is_gone:
            return
        response = self.response
        if response.is_whole:  # all that Content-Length announced has been sent
            self._complete()
            return
        raise ApplicationError(
            f"the application returned {response.phase.value}, without completing its response; the last "
            "http.response.body must have more_body false",
            rule='ASGI HTTP, "Response Body - send event"',
        )

    def _app_raised(self, error: BaseException) -> None:
        if not self.is_output_over:
            self._fail(error)
            return
        if self._is_gone and comes_from_disconnect(error):
            logger.debug("%s: the application ended with %s", repr(self), repr(error))
            return
        if isinstance(error, anyio.get_cancelled_exc_class()):
            return  # at shutdown, which says so, or after the grace of a client that has left
        self._host.failed_in_background += 1
        logger.error("%s: the application failed afterwards", repr(self), exc_info=error)

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

    # ---- What the servant posts -------------------------------------------------------------------------------

    def asked_for_more(self) -> None:
        """The server has taken what was put last, and asks for the next."""
        self._asked += 1
        if self._taken is not None:
            self._taken.set()
        if self._turns is not None:
            self._turns.wake_first()

    def body_came(self, piece: bytes, *, is_last: bool) -> None:
        """The servant has read a piece of the request body."""
        if self._receiving is not None:  # nobody else lets the servant read
            self._receiving.piece_came(messages.request(piece, more_body=not is_last), is_last=is_last)

    def servant_has_gone(self) -> None:
        """The client has left, or the servant was made to leave: nobody takes a response any more."""
        failure, self.failure = self.failure, None
        if failure is not None and not self.is_refused and not comes_from_disconnect(failure):
            # The servant has not come to raise it.
            self._host.failed_in_background += 1
            logger.error("%s: the application failed as its client left", repr(self), exc_info=failure)
        if self.is_answered or self._is_gone:
            return
        if not self.is_refused:  # else the request thread tells of it, as of a refusal
            logger.info("%s: aborted: the client left, or the request thread gave the request up", repr(self))
            if self.record is not None:
                self.record.finish("aborted")
        self._had_listeners = self._receiving is not None and self._receiving.has_callers
        self._is_gone = True
        self.is_output_over = True
        self.outbox = []  # not emptied: a thread may be taking from it while another one closes
        self._gate.open()  # close() may have come from another thread than the one that waits
        self._wake_all()
        grace_s = self._host.limits.disconnect_grace_s
        if grace_s is not None and self._work is not None:
            self._host.cancel_later(self, grace_s)

    # ---- receive() --------------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Return the next event: the body piece by piece, then ``http.disconnect`` once that is due (A-041 to A-057).

        Any number of callers may wait; each piece goes to one of them, in order, the disconnect to all. It is due also
        once the servant has gone with a response that carries no content.
        """
        if self.is_output_over:
            return messages.disconnect()
        receiving = self._receiving
        if receiving is None:
            receiving = self._receiving = Receiving(self, has_body=self._has_body)
        return await receiving.receive()

    def want_body(self) -> None:
        """Let the servant read a piece of the request body."""
        self.wants_body = True
        self._gate.open()

    def new_signal(self) -> Signal:
        """Make what one coroutine waits for."""
        return self._host.portal.port.new_signal()

    # ---- send() -----------------------------------------------------------------------------------------------

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
