"""The loop's side of one request.

The path of an ordinary request: collect the body, hand one `WSGICall` to a worker, wait, send what came back. Only
when something more is wanted (a streamed response whose client may leave, a body fetched on demand, a coroutine called
from the application) a task group is opened for `Helpers`; ordinary requests never pay for it.

Everything here runs on the loop; what worker threads use of a request is in `contact`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import copy_context
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from bridge._runtime.body import FileSource, MemorySource, Source
from bridge._runtime.waiting import start_in_worker, wait_through_cancellation
from bridge._wsgi_hosting.call import WSGICall
from bridge._wsgi_hosting.contact import Contact
from bridge._wsgi_hosting.hosting import logger
from bridge._wsgi_hosting.refusing import answer_plainly, refuse
from bridge._wsgi_hosting.sending import (
    TAKE_UP_TO_BYTES,
    has_content,
    is_complete,
    is_spooled,
    is_whole,
    send_items,
    sending_failed,
)
from bridge._wsgi_hosting.watching import watch
from bridge.errors import BodyTooLarge, ClientDisconnected, RequestCancelled, RequestRefused
from bridge.translate import messages
from bridge.translate.headers import NO_BODY_FIELDS, BodyFraming, framing_from_headers

_OVERLOADED = "The server is busy; try again soon."
_NO_THREAD = "The server has no thread left; try again soon."

_HTTP_1 = ("1.1", "1.0")

# One worker in so many may be held by the body of a request with `Expect: 100-continue`.
_CONTINUE_SHARE = 4

# So often is more sent without a wait in between: a server that takes all at once must not keep others off the loop.
_TURNS_IN_A_ROW = 4


class Exchange(Contact):
    """One request and its response. Loop, but for what it inherits."""

    _spooled_body: FileSource | None = None

    # ---- The course of a request --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer the request.

        Raises:
            Exception: the application's own error, if it failed; what ``send`` or ``receive`` raise, but for the
                client's disconnect, which ends quietly.
        """
        hosting, scope = self.hosting, self.scope
        hosting.live.add(self)
        try:
            given: Iterable[tuple[bytes, bytes]] = scope.get("headers") or ()
            headers = given if isinstance(given, list) else list(given)
            framing = framing_from_headers(headers)
            source = length_bytes = None
            # HTTP/1 without a field that speaks of a body has none (RFC 9112 section 6.3): nobody is asked for it,
            # unless the application reads.
            if framing is not NO_BODY_FIELDS or scope.get("http_version") not in _HTTP_1:
                source, length_bytes = await self._body(framing)
            is_saturated = self._hand_over(WSGICall(self, headers, framing, source, length_bytes, copy_context()))
            try:
                if is_saturated:
                    await self._wait_for_worker()
                await self._signal.wait()
                items = self.outflow.all_at_once()
                if is_whole(items):  # nearly every response
                    self.is_started = self.is_ended = True
                    try:
                        await self.send(items[0])
                        await self.send(messages.response_body(items[1], more_body=False))
                    except OSError as error:
                        sending_failed(self, error)
                else:
                    await self._respond()
            except BaseException as error:
                await self._abandon(error)
                raise
            failure = self.outflow.take_error() or self.failure
            if failure is not None:
                try:
                    raise failure
                finally:
                    del failure  # no cycle through this frame
        except RequestRefused as refusal:
            if self.is_started:
                raise
            await refuse(self, refusal)
        except Exception:
            if self.is_started or self.is_gone or not hosting.responds_to_errors:
                raise
            self.has_failed = True
            logger.exception("%s: the application failed", repr(self))
            await answer_plainly(self, 500, "Internal Server Error")
        finally:
            hosting.live.discard(self)
            self._let_go()

    def _let_go(self) -> None:
        """Give back what the request has taken, and cut the references that lead back here: no garbage to collect."""
        self.is_over = True
        self.outflow.detach()
        self._call = None
        if self.spooled:
            self._close_spooled()
        if self._framing is not NO_BODY_FIELDS:
            self.hosting.asked_to_continue.discard(self)
        if self._helpers is not None:
            self.hosting.fast_uploads.discard(self)
            self._helpers.let_go()
            self._helpers = self._sending = None

    def _hand_over(self, call: WSGICall) -> bool:
        """Hand the call to the workers; return whether it has to wait for another request to end.

        Raises:
            RequestRefused: too many wait, or there is no thread.
        """
        hosting = self.hosting
        self._call = call
        if not self.port.is_watched:
            watch(hosting, self.port)
        if self.record is not None:
            self.record.handed_over()
        pool = hosting.pool
        is_saturated = pool.is_saturated()
        try:
            is_taken = pool.submit_here(call)
        except RuntimeError as error:
            self._close_body()
            raise RequestRefused(503, _NO_THREAD) from error
        if not is_taken:
            self._close_body()
            raise RequestRefused(503, _OVERLOADED)
        return is_saturated

    async def _body(self, framing: BodyFraming) -> tuple[Source | None, int | None]:
        """Return the body, and its length if it is known to be complete; None for one that comes when it is read."""
        if framing is not NO_BODY_FIELDS:
            self._framing = framing
        if framing.is_silent:
            if self.is_http_1:
                return None, None
        elif framing.content_length == 0 and self.is_http_1:
            return MemorySource(b""), None
        elif (limit := self.hosting.limits.body_max_bytes) is not None and (framing.content_length or 0) > limit:
            raise BodyTooLarge(limit)
        elif framing.expects_continue and self._may_wait_for_continue():
            return None, None
        return await self._receive_body()

    def _may_wait_for_continue(self) -> bool:
        """Tell whether the body may come when the application reads, which holds a worker for as long as it takes.

        The rest is collected like other bodies: forty clients that trickle must not stop everybody else.
        """
        waiting = self.hosting.asked_to_continue
        if len(waiting) >= max(1, self.hosting.pool.workers // _CONTINUE_SHARE):
            return False
        waiting.add(self)
        return True

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
            self._spooled_body = collected.source
            self.has_spooled_body = True
        if collected.is_cut:  # the application is called all the same: it sees the cut in read() (W-078)
            self.client_has_gone(helpers.receiver.cut())
        return collected.source, None if collected.is_cut else collected.length_bytes

    async def _respond(self) -> None:
        """Send what the worker hands over, until it is done."""
        outflow, signal = self.outflow, self._signal
        while True:
            items, is_finished = outflow.take() if outflow.is_finished else outflow.take_some(TAKE_UP_TO_BYTES)
            if items and (is_finished or is_complete(items)) and not is_spooled(items):
                await send_items(self, items)
                items = []
            if is_finished and not items:
                return
            if items or (self._helpers is not None and self._helpers.want_start()):
                await self._respond_with_helpers(items, is_finished)
                return
            if not outflow.has_items:
                await signal.wait()

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

    async def _respond_with_helpers(self, items: list[Any], is_finished: bool) -> None:
        """Go on with a task group beside: for the receiver and for coroutines called from the application."""
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            try:
                await self._pump(group, items, is_finished)
            except Exception as error:  # noqa: BLE001 - raised below, outside the group, as itself
                failure = error
            self.helpers().stop(group)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def _pump(self, group: Any, items: list[Any], is_finished: bool) -> None:
        """Send items as they come, until the worker has finished; helpers are started as they are wanted."""
        helpers, outflow = self.helpers(), self.outflow
        turns = 0
        with anyio.CancelScope() as self._sending:
            while True:
                # Before a block is sent, which may take for ever: its client's disconnect has to be seen.
                self.is_started = self.is_started or has_content(items)
                helpers.start(group)
                if items:
                    await send_items(self, items)
                if is_finished:
                    return
                if not outflow.has_items:
                    await self._signal.wait()
                elif not (turns := (turns + 1) % _TURNS_IN_A_ROW):
                    await checkpoint()
                # Not all at once: what is not taken yet can go to a file if this client is slow.
                items, is_finished = outflow.take_some(TAKE_UP_TO_BYTES)
        # The client is gone and sending was given up; the worker has been told and is waited for.
        while not self.outflow.take()[1]:
            helpers.start(group)
            await self._signal.wait()

    # ---- Endings ------------------------------------------------------------------------------------------------

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

    def _close_spooled(self) -> None:
        """Give back the files of a response that was not sent to its end; on a thread, as it may take the disk long."""
        for spooled in self.spooled:
            if not spooled.is_closed:
                try:
                    start_in_worker(self.hosting.spool_pool, self.port, spooled.close)
                except RuntimeError:  # no thread is left
                    spooled.close()

    def _close_body(self) -> None:
        """Give back the spooled body of a request that no worker has taken (the worker does it otherwise)."""
        if self._spooled_body is not None:
            self._spooled_body.close()
