"""The worker's side of one request: call the application, iterate, ``close()``.

All of it runs on one worker thread and in one copy of the ASGI task's context. How the response gets to the loop is in
`handing_over`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar
from typing import Any, cast

from bridge._runtime.body import BodyStream, FileSource, Source
from bridge._wsgi_hosting.files import FileWrapper
from bridge._wsgi_hosting.handing_over import HandingOver
from bridge._wsgi_hosting.hosting import log_lines, logger
from bridge._wsgi_hosting.loop_side import LoopSide
from bridge._wsgi_hosting.offers import Offers
from bridge.errors import ApplicationError, ApplicationTypeError, ClientDisconnected
from bridge.translate.environ import environ_from_scope
from bridge.translate.headers import BodyFraming
from bridge.translate.response import COMPLETE, ResponseState
from bridge.types import Environ, ExcInfo

current_call: ContextVar[WSGICall | None] = ContextVar("bridge_current_call", default=None)
"""The request whose application runs in this context."""

_NO_CONTEXT = Context()


class WSGICall(HandingOver):
    """One call of the application: a job for a worker.

    Args:
        exchange: the loop's side.
        headers: the request's header pairs.
        framing: what they say about the body.
        source: the request body; None for one that nobody has asked for, which the exchange opens.
        length_bytes: its length, if it has been received completely.
        context: a copy of the ASGI task's context; everything runs in it.
    """

    is_reported = False  # as one that keeps its worker for too long

    def __init__(
        self,
        exchange: LoopSide,
        headers: list[tuple[bytes, bytes]],
        framing: BodyFraming,
        source: Source | None,
        length_bytes: int | None,
        context: Context,
    ) -> None:
        self.context = context
        self._exchange = exchange
        self._headers = headers
        self._framing = framing
        self._source = source
        self._length_bytes = length_bytes
        self._outflow = exchange.outflow
        hosting = exchange.hosting
        self._state = ResponseState(exchange.scope["method"], hosting.drops_hop_by_hop, hosting.strict)

    def __repr__(self) -> str:
        return repr(self._exchange)

    @property
    def owner(self) -> object:
        """Whose job this is, where several adapters share workers."""
        return self._exchange.hosting

    @property
    def exchange(self) -> LoopSide:
        """The loop's side of this request."""
        return self._exchange

    # ---- The course of a call -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Call the application and hand its response over; every outcome goes through ``finish``. Worker."""
        error: BaseException | None = None
        exchange, outflow = self._exchange, self._outflow
        record = exchange.record
        try:
            if outflow.reason is None or exchange.is_gone:
                self._answer()
        except BaseException as raised:  # noqa: BLE001 - all of it belongs to this request, not to the thread
            error = self._outcome_of(raised)
        if self._state.warnings:
            log_lines(self._state.warnings, self._description())
        if record is not None:
            record.app_ended()
        self.context = _NO_CONTEXT  # it holds this call: a cycle would leave each request to the garbage collector
        outflow.finish(error, self._last_items)
        del error
        if isinstance(self._source, FileSource):
            self._source.close()  # here: giving back the pages of a large file takes time the loop does not have

    def _answer(self) -> None:
        current_call.set(self)
        environ = self._environ()
        exchange = self._exchange
        if exchange.record is not None:
            exchange.record.app_called()
        app_iter: Any = exchange.hosting.app(environ, self._start_response)
        if type(app_iter) is list or type(app_iter) is tuple:  # they have no close(), and all blocks are there
            self._send_whole(cast("Sequence[bytes]", app_iter))
            return
        try:
            if isinstance(app_iter, FileWrapper):
                self._send_file(app_iter)
            else:
                self._send_blocks(app_iter)
        finally:
            self._close(app_iter)

    def _outcome_of(self, error: BaseException) -> BaseException | None:
        """Turn what the application raised into what the ASGI task raises: nothing, the same, or a stand-in."""
        if isinstance(error, ClientDisconnected) and self._outflow.reason is not None:
            return None  # it stopped because it was told to
        if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
            return error
        # Raised from a task these would stop the event loop, look like a cancellation, or be lost (W-135, W-136).
        stand_in = ApplicationError(
            f"the application raised {type(error).__name__}({', '.join(map(repr, error.args))}), which must not leave "
            "a request",
            rule='ASGI 3.0, "Error Handling"',
        )
        stand_in.__cause__ = error
        return stand_in

    def _close(self, app_iter: object) -> None:
        """Call ``close()`` of the returned object, once (W-113 to W-117)."""
        close = getattr(app_iter, "close", None)
        if close is None:
            return
        try:
            close()
        except BaseException:  # noqa: BLE001 - the response, or the first error, matters more; it is not lost
            logger.exception("%s: close() of the application's iterable failed", self._description())

    # ---- environ ------------------------------------------------------------------------------------------------

    def _environ(self) -> Environ:
        exchange = self._exchange
        scope, hosting = exchange.scope, exchange.hosting
        environ = environ_from_scope(
            scope,
            headers=self._headers,
            framing=self._framing,
            options=hosting.environ_options,
            base=hosting.base_environ,
        )
        if hosting.sets_content_length and self._length_bytes and "CONTENT_LENGTH" not in environ:
            environ["CONTENT_LENGTH"] = str(self._length_bytes)
        environ["wsgi.input"] = BodyStream(self._source, exchange)
        if hosting.errors is not None:
            hosting.add_errors(environ)
        environ["bridge.scope"] = scope
        environ["bridge.client_disconnected"] = exchange.client_disconnected
        state = scope.get("state")
        if state is not None:
            environ["bridge.state"] = state
        extensions = scope.get("extensions")
        if extensions:
            self._offers = offers = Offers(self._outflow)
            offers.add_to(environ, extensions)
        return environ

    # ---- Callables for the application --------------------------------------------------------------------------

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """``start_response`` of PEP 3333."""
        try:
            self._state.start(status, headers, exc_info)
        finally:
            exc_info = None  # no cycle through this frame (W-092)
        return self._write

    def _write(self, data: bytes) -> None:
        """``write`` of PEP 3333: returns when the bytes are handed over, raises when nobody takes them."""
        state = self._state
        if not isinstance(data, bytes):
            raise ApplicationTypeError(
                f"write() got a {type(data).__name__}; it takes bytes",
                rule='PEP 3333, "The write() Callable"',
            )
        self._wrote = True
        allowed = state.data(data)
        if state.phase is COMPLETE:
            if not self._is_ended:
                self._end(allowed)
        else:
            state.release_headers()
            self._put(allowed)
        if state.is_overrun:
            raise ApplicationError(
                f"write() got more than the Content-Length of {state.content_length} allows; the rest was cut",
                rule='PEP 3333, "Handling the Content-Length Header"',
            )
