"""One request on the loop: the application's task, and what it and the servant have to say to each other.

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

A request is over (for its servant) when the response is complete, failed, or its client is gone;
the application's task goes on for as long as it likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

import anyio

from bridge._asgi_hosting.answering import Answering
from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.hosting import logger
from bridge._asgi_hosting.outcomes import comes_from_disconnect
from bridge._asgi_hosting.phases import SERVING
from bridge._asgi_hosting.receiving import Receiving
from bridge._runtime.descriptor_gates import NO_GATE
from bridge._runtime.gates import Gate, pass_on_signal
from bridge._runtime.spawning import Work, where
from bridge.errors import ApplicationError, RequestRefused
from bridge.translate import messages
from bridge.types import Message, Scope


class Exchange(Answering):
    """One request on the loop. Made by the request thread; everything else here is on the loop.

    Attributes:
        has_begun: the loop has taken the request up. Set once, by the loop.
        is_abandoned: set by the servant when it leaves before the end; it posts that afterwards.
        is_upgraded: the connection speaks another protocol now.
        wants_body: the servant is to read.
    """

    has_begun = False
    is_abandoned = False
    is_upgraded = False
    wants_body = False
    _work: Work | None = None

    def __init__(self, host: Host, scope: Scope, gate: Gate, context: Context, has_body: bool) -> None:
        super().__init__(host, scope, gate)
        self.scope = scope
        # Read now: the scope is the application's from here on.
        self._target = (scope["method"], scope["path"])
        self._context: Context | None = context
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
        context, self._context = self._context, None  # what the application leaves in it may lead back here
        if context is None:
            return  # it has begun
        live = self._host.live
        live.add(self)
        try:
            work = self._host.portal.spawn(self._run, context)
            if self in live:  # else it has ended in its first step
                self._work = work
        except BaseException as error:  # noqa: BLE001 - the servant must not wait for ever
            live.discard(self)
            self._fail(error)
            pass_on_signal(error)

    async def _run(self) -> None:
        host = self._host
        try:
            if host.phase is not SERVING:
                try:
                    await host.serving()
                except RequestRefused as refused:
                    host.live.discard(self)
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
            host.live.discard(self)  # first: the server may count as soon as the servant has heard of it
            self._app_raised(error)
            pass_on_signal(error)
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        finally:
            host.live.discard(self)
            if host.phase is not SERVING:
                host.ended()
            if self._work is not None:
                self._work = None
            if self._is_gone:
                self._gate = NO_GATE  # whoever keeps the error keeps this object, but not the gate's descriptors
            if self._receiving is not None or self._turns is not None:
                self._receiving = self._turns = None  # all is over, and they hold each other

    def forget_gate(self) -> None:
        """Nobody waits at the gate any more. Request thread."""
        self._gate = NO_GATE

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

    # ---- What the servant posts -------------------------------------------------------------------------------

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
