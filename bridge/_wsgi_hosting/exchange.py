"""The loop's side of one request.

The path of an ordinary request: collect the body, hand one `WSGICall` to a worker, wait, send what came back. Only
when something more is wanted (a streamed response whose client may leave, a body fetched on demand, a coroutine called
from the application) a task group is opened for `Helpers`; ordinary requests never pay for it.

Who touches what: everything here runs on the loop, except the methods under the heading "Worker threads".
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import anyio

from bridge._runtime.body import FileSource, LazySource, MemorySource, Source
from bridge._runtime.inflow import Inflow
from bridge._runtime.loops import LoopGoneError, LoopPort
from bridge._runtime.outflow import Outflow
from bridge._runtime.waiting import wait_through_cancellation
from bridge._wsgi_hosting.call import WSGICall
from bridge._wsgi_hosting.helpers import Helpers, request_is_over
from bridge._wsgi_hosting.hosting import Hosting, describe, logger
from bridge._wsgi_hosting.sending import is_complete, is_whole, send_items, send_whole
from bridge._wsgi_hosting.watching import watch
from bridge.errors import BodyTooLarge, ClientDisconnected, ClientTimeout, RequestCancelled, RequestRefused
from bridge.observing import Record
from bridge.translate import messages
from bridge.translate.headers import NO_BODY_FIELDS, BodyFraming, framing_from_headers
from bridge.types import Receive, Scope, Send

_OVERLOADED = "The server is busy; try again soon."

_opening = threading.Lock()


class Exchange:
    """One request and its response."""

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
    _spooled: FileSource | None = None
    _sending: anyio.CancelScope | None = None

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
        if helpers is None or self._spooled is not None:
            return self.outflow.held_bytes
        inflow = helpers.receiver.inflow
        return self.outflow.held_bytes + (helpers.receiver.received_bytes if inflow is None else inflow.held_bytes)

    # ---- The course of a request --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer the request.

        Raises:
            Exception: the application's own error, if it failed; what ``send`` or ``receive`` raise, but for the
                client's disconnect, which ends quietly.
        """
        hosting = self.hosting
        hosting.live.add(self)
        try:
            headers: list[tuple[bytes, bytes]] = list(self.scope.get("headers") or ())
            framing = framing_from_headers(headers)
            source = self._body_without_waiting(framing)
            length_bytes = None
            if source is None:
                source, length_bytes = await self._receive_body()
            self._call = call = WSGICall(self, headers, framing, source, length_bytes, copy_context())
            if not self.port.is_watched:
                watch(hosting, self.port)
            if self.record is not None:
                self.record.handed_over()
            is_saturated = hosting.pool.is_saturated()
            try:
                is_taken = hosting.pool.submit(call)
            except RuntimeError:  # the system has no thread left
                self._close_body()
                raise
            if is_taken:
                await self._respond(is_saturated)
            else:
                self._close_body()
                await self._refuse(RequestRefused(503, _OVERLOADED))
        except RequestRefused as refusal:
            if self.is_started:
                raise
            await self._refuse(refusal)
        except Exception:
            if self.is_started or self.is_gone or not hosting.responds_to_errors:
                raise
            self.has_failed = True
            logger.exception("%s: the application failed", repr(self))
            await self._answer_plainly(500, "Internal Server Error")
        finally:
            # Cut the references that lead back here: no garbage to collect.
            hosting.live.discard(self)
            self.is_over = True
            self.outflow.detach()
            self._call = None
            if self._helpers is not None:
                hosting.fast_uploads.discard(self)
                self._helpers.let_go()
                self._helpers = self._sending = None

    def _body_without_waiting(self, framing: BodyFraming) -> Source | None:
        """Return a source that needs no receiving now, or None for a body that is to be collected first."""
        if framing is not NO_BODY_FIELDS:
            self._framing = framing
        if framing.is_silent:
            if self.is_http_1:
                # HTTP/1 without either field has no body (RFC 9112 section 6.3): not even asked, unless the app reads.
                return LazySource(self._open_inflow)
        elif framing.content_length == 0 and self.is_http_1:
            return MemorySource(b"")
        elif (limit := self.hosting.limits.body_max_bytes) is not None and (framing.content_length or 0) > limit:
            raise BodyTooLarge(limit)
        elif framing.expects_continue:
            return LazySource(self._open_inflow)
        return None

    async def _receive_body(self) -> tuple[Source, int | None]:
        """Collect the body; return the source, and the length if it is known to be complete."""
        helpers = self.helpers()
        try:
            collected = await helpers.receiver.collect(self.hosting, self.port)
        except BaseException as error:
            self._note_cancellation(error)
            raise
        if isinstance(collected, list):
            if helpers.receiver.ahead_bytes:
                self.hosting.fast_uploads.add(self)
            inflow = helpers.open_inflow()
            for piece in collected:
                inflow.feed(piece)
            return inflow, None
        if isinstance(collected.source, FileSource):
            self._spooled = collected.source
        if collected.is_cut:  # the application is called all the same: it sees the cut in read() (W-078)
            self.client_has_gone(helpers.receiver.cut())
        return collected.source, None if collected.is_cut else collected.length_bytes

    async def _respond(self, is_saturated: bool) -> None:
        """Send what the worker hands over, until it is done."""
        outflow, signal = self.outflow, self._signal
        try:
            if is_saturated:
                await self._wait_for_worker()
            while True:
                await signal.wait()
                items, is_finished = outflow.take()
                if is_whole(items):
                    await send_whole(self, items[0], items[1])
                    items = []
                elif items and (is_finished or is_complete(items)):
                    await send_items(self, items)
                    items = []
                if is_finished:
                    break
                if items or (self._helpers is not None and self._helpers.want_start()):
                    await self._respond_with_helpers(items)
                    break
        except BaseException as error:
            await self._abandon(error)
            raise
        failure = outflow.take_error() or self.failure
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # no cycle through this frame

    async def _wait_for_worker(self) -> None:
        """Wait for a first sign of the worker, up to ``queue_wait_s``; all workers are busy."""
        with anyio.move_on_after(self.hosting.limits.queue_wait_s) as limit:
            await self._signal.wait()
        self._signal.set()  # whatever ended the wait, the next one is for a look at what is there
        call = self._call
        if limit.cancelled_caught and call is not None and self.hosting.pool.discard(call):
            self.outflow.finish()
            self._close_body()
            raise RequestRefused(503, _OVERLOADED)

    async def _respond_with_helpers(self, items: list[Any]) -> None:
        """Go on with a task group beside: for the receiver and for coroutines called from the application."""
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            try:
                await self._pump(group, items)
            except Exception as error:  # noqa: BLE001 - raised below, outside the group, as itself
                failure = error
            self.helpers().stop(group)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def _pump(self, group: Any, items: list[Any]) -> None:
        """Send items as they come, until the worker has finished; helpers are started as they are wanted."""
        helpers = self.helpers()
        is_finished = False
        with anyio.CancelScope() as self._sending:
            while True:
                # Before a block is sent, which may take for ever: its client's disconnect has to be seen.
                self.is_started = self.is_started or (bool(items) and type(items[-1]) is bytes)
                helpers.start(group)
                if items:
                    await send_items(self, items)
                if is_finished:
                    return
                await self._signal.wait()
                items, is_finished = self.outflow.take()
        # The client is gone and sending was given up; the worker has been told and is waited for.
        while not self.outflow.take()[1]:
            helpers.start(group)
            await self._signal.wait()

    async def _refuse(self, refusal: RequestRefused) -> None:
        """Answer without the application (W-138)."""
        self.hosting.refused += 1
        self.is_refused = True
        extra: list[tuple[bytes, bytes]] = []
        if refusal.status == 503:  # noqa: PLR2004
            extra.append((b"retry-after", b"%d" % self.hosting.limits.retry_after_s))
        logger.warning("%s refused: %s", repr(self), str(refusal))
        await self._answer_plainly(refusal.status, refusal.reason, *extra)

    async def _answer_plainly(self, status: int, sentence: str, *extra: tuple[bytes, bytes]) -> None:
        self.is_started = True
        is_head = self.scope["method"] == "HEAD"
        for message in messages.plain_response(status, sentence, *extra, is_head=is_head):
            try:
                await self.send(message)
            except OSError:
                return  # the client did not wait for the answer
        self.is_ended = True

    def wake(self) -> None:
        """Let the course of the request have a look at what is there."""
        self._signal.set()

    # ---- Endings ------------------------------------------------------------------------------------------------

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

    async def _abandon(self, error: BaseException) -> None:
        """End the request from this side (cancelled, or ``send`` failed) and wait for the worker, for a while."""
        self._note_cancellation(error)
        call = self._call
        if call is not None and self.hosting.pool.discard(call):
            self._close_body()
            return
        if isinstance(error, Exception):
            self._close(ClientDisconnected(f"sending the response failed: {error!r}"))
        else:
            self._close(RequestCancelled("the server cancelled the request"))
        try:
            if isinstance(error, Exception):
                while not self.outflow.take()[1]:
                    await self._signal.wait()
        finally:  # cancelled, before or while waiting
            await self._wait_for_cancelled_call(call)
        late = self.outflow.take_error()
        if late is not None:
            logger.error("%s: the application failed while its request was being ended", repr(self), exc_info=late)

    def _note_cancellation(self, error: BaseException) -> None:
        """Log that the server has cancelled, unless the client had left before: one record for a request."""
        if not isinstance(error, Exception) and not self.is_gone:
            logger.info("%s: aborted: the server cancelled the request", repr(self))

    async def _wait_for_cancelled_call(self, call: WSGICall | None) -> None:
        limit_s = self.hosting.limits.cancel_s
        if not await wait_through_cancellation(self._signal, lambda: self.outflow.take()[1], limit_s):
            stack = "" if call is None else self.hosting.pool.stack_of(call)
            logger.error(
                "%s: given up; the application still runs %.1f s after its request was ended:\n%s",
                repr(self),
                limit_s,
                stack,
            )

    def _close_body(self) -> None:
        """Give back the spooled body of a request that no worker has taken (the worker does it otherwise)."""
        if self._spooled is not None:
            self._spooled.close()

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

    def _open_inflow(self) -> Inflow:
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

    def give_up(self, reason: ClientTimeout) -> None:
        """End a response whose client takes no byte. Worker.

        Raises:
            RequestCancelled: the loop has ended.
        """
        self.outflow.close(reason)
        self.post(lambda: None if self.is_ended else self.client_has_gone(reason))
