"""The loop's side of one request.

The path of an ordinary request: collect the body, hand one `WSGICall` to a worker, wait, send what came back. Only
when something more is wanted (a streamed response whose client may leave, a body fetched on demand, a coroutine called
from the application) a task group is opened for the helpers; ordinary requests never pay for it.

Who touches what: everything here runs on the loop, except the methods under the heading "Worker threads".
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio

from bridge._runtime.body import FileSource, LazySource, MemorySource, Source
from bridge._runtime.channel import Inflow, Outflow
from bridge._runtime.loops import LoopGoneError, LoopPort
from bridge._runtime.waiting import wait_through_cancellation
from bridge._wsgi_hosting.call import END, SENT_WHOLE, WSGICall
from bridge._wsgi_hosting.hosting import Hosting, describe, logger
from bridge._wsgi_hosting.request_body import RequestReceiver
from bridge.errors import ClientDisconnected, ClientTimeout, RequestCancelled, RequestRefused
from bridge.translate import messages
from bridge.translate.headers import NO_BODY_FIELDS, BodyFraming, framing_from_headers
from bridge.types import Message, Receive, Scope, Send

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from bridge._wsgi_hosting.async_calls import AsyncCall

# Small blocks that are there together go out as one event; joining larger ones costs more than it saves.
_JOIN_UP_TO_BYTES = 64 * 1024

# Turns of the loop that a helper needs to be started and to ask the server once.
_TURNS_FOR_A_LOOK = 6

# What nearly every response is: start, one block, END.
_WHOLE = 3
_LOOK_TIMEOUT_S = 1.0

_opening = threading.Lock()


class Exchange:
    """One request and its response."""

    # Defaults on the class: making this object is on the path of every request.
    is_started = False  # the response has begun to go out
    is_ended = False  # its end has gone out
    is_gone = False  # the client has left
    _is_start_sent = False
    _is_abandoned = False
    _is_over = False
    _expects_continue = False
    _wants_news = False
    _framing = NO_BODY_FIELDS
    _failure: Exception | None = None
    _receiver: RequestReceiver | None = None
    _call: WSGICall | None = None
    _large_source: FileSource | None = None
    _sending: anyio.CancelScope | None = None
    _new_async_calls: deque[AsyncCall[Any]] | None = None
    _async_calls: set[AsyncCall[Any]] | None = None

    def __init__(self, hosting: Hosting, scope: Scope, receive: Receive, send: Send, port: LoopPort) -> None:
        self.hosting = hosting
        self.scope = scope
        self.port = port
        self._receive = receive
        self._send = send
        self._signal = port.new_signal()
        self.outflow: Outflow[Any] = Outflow(hosting.limits.response_memory_bytes, self)

    def __repr__(self) -> str:
        state = "ended" if self.is_ended else "gone" if self.is_gone else "streaming" if self.is_started else "waiting"
        return f"<{describe(self.scope['method'], self.scope.get('path') or '')} ({state})>"

    @property
    def is_streaming(self) -> bool:
        """Whether the response has begun and not ended."""
        return self.is_started and not self.is_ended

    def held_bytes(self) -> int:
        """Count the bytes held in memory for this request. Any thread."""
        receiver = self._receiver
        inflow = None if receiver is None else receiver.inflow
        body = 0 if receiver is None or self._large_source is not None else receiver.received_bytes
        return self.outflow.held_bytes + (body if inflow is None else inflow.held_bytes)

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
            is_saturated = hosting.pool.is_saturated()
            if not hosting.pool.submit(call):
                self._close_body()
                raise _overloaded()
            await self._respond(is_saturated)
        except RequestRefused as refusal:
            if self.is_started:
                raise
            await self._refuse(refusal)
        except Exception:
            if self.is_started or self.is_gone or not hosting.responds_to_errors:
                raise
            logger.exception("%r: the application failed", self)
            await self._answer_plainly(500, "Internal Server Error")
        finally:
            # Give back what the request held, and cut the references that lead back here: no garbage to collect.
            hosting.live.discard(self)
            self.outflow.detach()
            self._is_over = True
            self._call = None
            if self._receiver is not None:
                self._let_go(self._receiver)

    def _let_go(self, receiver: RequestReceiver) -> None:
        if receiver.inflow is not None:
            receiver.inflow.close(_request_is_over())
            receiver.inflow.detach()
        self._receiver = None

    def _body_without_waiting(self, framing: BodyFraming) -> Source | None:
        """Return a source that needs no receiving now, or None for a body that is to be collected first."""
        self._framing = framing
        if framing.is_silent:
            if str(self.scope.get("http_version") or "1.1")[0] == "1":
                # HTTP/1 without either field has no body (RFC 9112 section 6.3): not even asked, unless the app reads.
                return LazySource(self._open_inflow)
        elif framing.content_length == 0:
            return MemorySource(b"")
        elif framing.expects_continue:
            self._expects_continue = True
            return self._open_inflow()
        return None

    async def _receive_body(self) -> tuple[Source, int | None]:
        """Collect the body; return the source, and the length if it is known to be complete."""
        receiver = self._open_receiver()
        collected = await receiver.collect(self.hosting, self.port)
        if isinstance(collected, list):
            inflow = self._open_inflow()
            for piece in collected:
                inflow.feed(piece)
            return inflow, None
        if isinstance(collected.source, FileSource):
            self._large_source = collected.source
        if collected.is_cut:
            self._client_has_gone(receiver.cut())
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
                if len(items) == _WHOLE and items[2] is END:
                    await self._send_whole(items[0], items[1])
                    items.clear()
                elif items and (is_finished or END in items or SENT_WHOLE in items):
                    await self._send_items(items)  # complete: nobody waits for it to go out
                    items.clear()
                if is_finished:
                    break
                if items or self._wants_helpers():
                    await self._respond_with_helpers(items)
                    break
        except BaseException as error:
            await self._abandon(error)
            raise
        failure = outflow.take_error() or self._failure
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def _wait_for_worker(self) -> None:
        """Wait for a first sign of the worker, up to ``queue_wait_s``; all workers are busy."""
        with anyio.move_on_after(self.hosting.limits.queue_wait_s) as limit:
            await self._signal.wait()
        self._signal.set()  # whatever ended the wait, the next one is for a look at what is there
        call = self._call
        if limit.cancelled_caught and call is not None and self.hosting.pool.discard(call):
            self.outflow.finish()
            self._close_body()
            raise _overloaded()

    async def _respond_with_helpers(self, items: list[Any]) -> None:
        """Go on with a task group beside: for the receiver and for coroutines called from the application."""
        failure: Exception | None = None
        async with anyio.create_task_group() as helpers:
            try:
                await self._pump(helpers, items)
            except Exception as error:  # noqa: BLE001 - raised below, outside the group, as itself
                failure = error
            helpers.cancel_scope.cancel()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure

    async def _pump(self, helpers: TaskGroup, items: list[Any]) -> None:
        is_finished = receiver_runs = False
        with anyio.CancelScope() as self._sending:
            while True:
                if items:
                    self.is_started = self.is_started or type(items[-1]) is bytes
                if self._new_async_calls:
                    self._start_async_calls(helpers)
                if self._wants_receiver() and not receiver_runs:
                    receiver_runs = True
                    helpers.start_soon(self._run_receiver)
                if items:
                    await self._send_items(items)
                if is_finished:
                    return
                await self._signal.wait()
                items, is_finished = self.outflow.take()
        # The client is gone and sending was given up; the worker has been told and is waited for.
        while not self.outflow.take()[1]:
            if self._new_async_calls:
                self._start_async_calls(helpers)
            await self._signal.wait()

    async def _refuse(self, refusal: RequestRefused) -> None:
        """Answer without the application (W-138)."""
        self.hosting.refused += 1
        extra: list[tuple[bytes, bytes]] = []
        if refusal.status == 503:  # noqa: PLR2004
            extra.append((b"retry-after", b"%d" % self.hosting.limits.retry_after_s))
        logger.warning("%r refused: %s", self, refusal)
        await self._answer_plainly(refusal.status, refusal.reason, *extra)

    async def _answer_plainly(self, status: int, sentence: str, *extra: tuple[bytes, bytes]) -> None:
        self.is_started = True
        for message in messages.plain_response(status, sentence, *extra):
            try:
                await self._send(message)
            except OSError:
                return  # the client did not wait for the answer
        self.is_ended = True

    # ---- Sending ------------------------------------------------------------------------------------------------

    async def _send_whole(self, start: Message, body: bytes) -> None:
        self.is_started = self.is_ended = True
        try:
            await self._send(start)
            await self._send(messages.response_body(body, more_body=False))
        except OSError as error:
            self._send_failed(error)

    async def _send_items(self, items: list[Any]) -> None:
        """Send what was handed over, small blocks joined; nothing once the client is gone."""
        blocks: list[bytes] = []
        size_bytes = 0
        for item in items:
            if type(item) is bytes:
                if blocks and size_bytes + len(item) > _JOIN_UP_TO_BYTES:
                    await self._send_blocks(blocks, size_bytes)
                    blocks, size_bytes = [], 0
                blocks.append(item)
                size_bytes += len(item)
            elif item is END:
                self.is_ended = True
                body = blocks[0] if len(blocks) == 1 else b"".join(blocks)
                blocks, size_bytes = [], 0
                await self._send_message(messages.response_body(body, more_body=False))
            else:
                if blocks:
                    await self._send_blocks(blocks, size_bytes)
                    blocks, size_bytes = [], 0
                await self._send_other(item)
            if self.is_gone:
                return
        if blocks:
            await self._send_blocks(blocks, size_bytes)

    async def _send_blocks(self, blocks: list[bytes], size_bytes: int) -> None:
        body = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        await self._send_message(messages.response_body(body, more_body=True))
        self.outflow.sent(len(blocks), size_bytes)

    async def _send_other(self, item: Any) -> None:
        if item is SENT_WHOLE:
            self.is_ended = True
        elif item["type"] == messages.EARLY_HINT:
            try:
                await self._send_message(item)
            except Exception as error:  # noqa: BLE001 - a hint is optional; the response must not suffer (GW-13)
                logger.debug("%r: the server refused an early hint: %r", self, error)
        else:
            self.is_started = True
            await self._send_message(item)
            self._is_start_sent = True
        self.outflow.sent(1, 0)

    async def _send_message(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError as error:
            self._send_failed(error)

    def _send_failed(self, error: OSError) -> None:
        """Take an ``OSError`` from ``send`` for the client's disconnect (ASGI HTTP 2.4; W-139)."""
        logger.debug("%r: send() raised %r; taken as the client's disconnect", self, error)
        if not self.is_gone:
            self._client_has_gone(ClientDisconnected("the client left"), error)

    # ---- Endings ------------------------------------------------------------------------------------------------

    def _client_has_gone(self, reason: ClientDisconnected, cause: BaseException | None = None) -> None:
        """Let everybody know: the worker at its next step, a waiting worker now, coroutines by cancellation."""
        if cause is not None:
            reason.__cause__ = cause
        self.is_gone = True
        self._close(reason)
        if self._sending is not None:
            self._sending.cancel()

    def _close(self, reason: ClientDisconnected) -> None:
        self.outflow.close(reason)
        receiver = self._receiver
        if receiver is not None and receiver.inflow is not None:
            receiver.inflow.close(reason)
        for call in tuple(self._async_calls or ()):
            call.cancel(reason)

    async def _abandon(self, error: BaseException) -> None:
        """End the request from this side (cancelled, or ``send`` failed) and wait for the worker, for a while."""
        call = self._call
        if call is not None and self.hosting.pool.discard(call):
            self._close_body()
            return
        if isinstance(error, Exception):
            reason = ClientDisconnected(f"sending the response failed: {error!r}")
        else:
            reason = RequestCancelled("the server cancelled the request")
        self._is_abandoned = True
        self._close(reason)
        try:
            if isinstance(error, Exception):
                while not self.outflow.take()[1]:
                    await self._signal.wait()
        finally:  # cancelled, before or while waiting
            await self._wait_for_worker_through_cancellation(call)
        late = self.outflow.take_error()
        if late is not None:
            logger.error("%r: the application failed while its request was being ended", self, exc_info=late)

    async def _wait_for_worker_through_cancellation(self, call: WSGICall | None) -> None:
        limit_s = self.hosting.limits.cancel_s
        if not await wait_through_cancellation(self._signal, lambda: self.outflow.take()[1], limit_s):
            stack = "" if call is None else self.hosting.pool.stack_of(call)
            logger.error(
                "%r: given up; the application still runs %.1f s after its request was ended:\n%s",
                self,
                limit_s,
                stack,
            )

    def _close_body(self) -> None:
        """Give back the spooled body of a request that no worker has taken (the worker does it otherwise)."""
        if self._large_source is not None:
            self._large_source.close()

    # ---- Helpers ------------------------------------------------------------------------------------------------

    def _wants_receiver(self) -> bool:
        if self.is_ended or self.is_gone:
            return False
        # A response that streams, or somebody who asked: the client's disconnect is news then.
        if self.is_started or self._wants_news or self._async_calls:
            receiver = self._open_receiver()
            if self._may_watch(receiver):
                receiver.want_news()
        return self._receiver is not None and self._receiver.has_work

    def _may_watch(self, receiver: RequestReceiver) -> bool:
        """Whether receive() may be called without making the server ask for a body nobody wants (W-141)."""
        return receiver.is_ended or self._is_start_sent or not self._expects_continue

    def _wants_helpers(self) -> bool:
        return bool(self._new_async_calls) or self._wants_receiver()

    async def _run_receiver(self) -> None:
        receiver = self._open_receiver()
        if not receiver.is_ended:
            self._open_inflow()
        try:
            await receiver.serve(self.port, self._on_gone)
        except Exception as error:  # noqa: BLE001 - one way out for all failures: the worker's result
            self._failure = error
            self._client_has_gone(ClientDisconnected(f"receive() failed: {error!r}"), error)

    def _on_gone(self, reason: ClientDisconnected) -> None:
        if not self.is_ended:  # after the end of a response servers report a disconnect, too
            self._client_has_gone(reason)

    def _start_async_calls(self, helpers: TaskGroup) -> None:
        if self._async_calls is None:
            self._async_calls = set()
        while self._new_async_calls:
            call = self._new_async_calls.popleft()
            if self.is_gone:
                call.cancel(ClientDisconnected("the client left"))
                continue
            self._async_calls.add(call)
            # Within the view's own context: the task copies it.
            call.context.run(helpers.start_soon, self._run_async_call, call)

    async def _run_async_call(self, call: AsyncCall[Any]) -> None:
        try:
            await call.run()
        finally:
            if self._async_calls is not None:
                self._async_calls.discard(call)

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

    def is_loop_running(self) -> bool:
        """Tell whether the loop still runs. Any thread."""
        return self.port.is_running()

    def loop_is_gone(self) -> RequestCancelled:
        """Make the error for a worker whose loop has ended. Any thread."""
        return RequestCancelled("the event loop of this request has ended")

    def body_is_late(self) -> ClientTimeout:
        """Make the error for a worker that has waited too long for the body. Any thread."""
        return ClientTimeout(f"no byte of the request body came for {self.hosting.limits.body_wait_s} s")

    def _open_inflow(self) -> Inflow:
        """Return the inflow of this request, made at the first call. Any thread."""
        receiver = self._open_receiver()
        with _opening:
            if receiver.inflow is None:
                receiver.inflow = Inflow(self.hosting.limits.body_wait_s, self)
        if receiver.is_ended:
            receiver.inflow.end()
        elif receiver.is_gone:
            receiver.inflow.close(receiver.cut())
        elif self.outflow.reason is not None or self.outflow.is_finished:
            receiver.inflow.close(self.outflow.reason or _request_is_over())
        return receiver.inflow

    def _open_receiver(self) -> RequestReceiver:
        """Return the receiver of this request, made at the first call: most requests need none. Any thread."""
        with _opening:
            if self._is_over:
                raise _request_is_over()
            if self._receiver is None:
                self._receiver = RequestReceiver(self._receive, self._framing, self.hosting.limits)
            return self._receiver

    def ask(self) -> None:
        """Ask for one more piece of the body (the inflow calls this). Worker."""
        self.post(self._want_piece)

    def _want_piece(self) -> None:
        if self._receiver is not None:
            self._receiver.want_piece()
        self._signal.set()

    def client_disconnected(self) -> bool:
        """Tell whether the client has left: ``environ["bridge.client_disconnected"]``.

        The first call makes the loop look, and waits (up to a second) until it has; from then on the flag is kept up
        to date. Without effect on a body that is still to be read. Any thread.
        """
        if self.is_gone or self.is_ended or self.outflow.is_finished or self._wants_news:
            return self.is_gone
        self._wants_news = True
        looked = threading.Event()

        def turn(left: int = _TURNS_FOR_A_LOOK) -> None:
            if not left:
                looked.set()
                return
            self._signal.set()
            self.port.post(lambda: turn(left - 1))

        with contextlib.suppress(RequestCancelled):
            self.post(turn)
            if not self.port.is_current():
                looked.wait(_LOOK_TIMEOUT_S)
        return self.is_gone or self.outflow.reason is not None

    def begin_async_call(self, call: AsyncCall[Any]) -> None:
        """Start a coroutine function on the loop. Worker.

        Raises:
            ClientDisconnected: the request is over.
        """
        self.post(lambda: self._add_async_call(call))

    def _add_async_call(self, call: AsyncCall[Any]) -> None:
        reason = self.outflow.reason
        if reason is not None or self.outflow.is_finished or self._is_abandoned:
            call.cancel(reason if isinstance(reason, ClientDisconnected) else _request_is_over())
            return
        if self._new_async_calls is None:
            self._new_async_calls = deque()
        self._new_async_calls.append(call)
        self._signal.set()

    def give_up(self, reason: ClientTimeout) -> None:
        """End a response whose client takes no byte. Worker."""
        logger.info("%r: %s", self, reason)
        with contextlib.suppress(RequestCancelled):
            self.post(lambda: self._on_gone(reason))


def _overloaded() -> RequestRefused:
    return RequestRefused(503, "The server is busy; try again soon.")


def _request_is_over() -> RequestCancelled:
    return RequestCancelled("the request is over")
