"""The worker's side of one request: call the application, iterate, ``close()``.

All of it runs on one worker thread and in one copy of the ASGI task's context. The loop gets messages, blocks and two
marks through the exchange's outflow; what may go out when is decided by `bridge.translate.response`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import Context, ContextVar
from enum import Enum
from typing import Any, cast

from bridge._runtime.body import BodyStream, FileSource, Source
from bridge._wsgi_hosting.error_stream import ErrorStream
from bridge._wsgi_hosting.files import FileWrapper, message_for_file
from bridge._wsgi_hosting.hosting import describe, log_lines, logger
from bridge._wsgi_hosting.loop_side import LoopSide
from bridge._wsgi_hosting.offers import Offers
from bridge._wsgi_hosting.slow_clients import PATIENCE_S, SlowClient
from bridge.errors import ApplicationError, ApplicationTypeError, ClientDisconnected
from bridge.translate import messages
from bridge.translate.environ import environ_from_scope
from bridge.translate.headers import BodyFraming
from bridge.translate.response import COMPLETE, HELD, ResponseState
from bridge.types import Environ, ExcInfo


class Mark(Enum):
    """What the outflow carries besides messages (dicts) and blocks (bytes)."""

    END = "the content is complete: send the last body event"
    SENT_WHOLE = "the message before this one was the whole content"


END = Mark.END
SENT_WHOLE = Mark.SENT_WHOLE

current_call: ContextVar[WSGICall | None] = ContextVar("bridge_current_call", default=None)
"""The request whose application runs in this context."""

_NO_CONTEXT = Context()


class WSGICall:
    """One call of the application: a job for a worker.

    Args:
        exchange: the loop's side.
        headers: the request's header pairs.
        framing: what they say about the body.
        source: the request body.
        length_bytes: its length, if it has been received completely.
        context: a copy of the ASGI task's context; everything runs in it.
    """

    # Defaults on the class: making this object is on the path of every request.
    _is_started = False
    _is_ended = False
    _wrote = False
    is_reported = False  # as one that keeps its worker for too long
    _offers: Offers | None = None  # what only some servers have, and few applications use
    _last_items: tuple[Any, ...] = ()
    _slow_client: SlowClient | None = None
    _filelike: Any = None  # of which the content is read here

    def __init__(
        self,
        exchange: LoopSide,
        headers: Iterable[tuple[bytes, bytes]],
        framing: BodyFraming,
        source: Source,
        length_bytes: int | None,
        context: Context,
    ) -> None:
        hosting = exchange.hosting
        self.context = context
        self._exchange = exchange
        self._headers = headers
        self._framing = framing
        self._source = source
        self._length_bytes = length_bytes
        self._outflow = exchange.outflow
        self._state = ResponseState(
            exchange.scope["method"], drop_hop_by_hop=hosting.drops_hop_by_hop, strict=hosting.strict
        )

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
        record = self._exchange.record
        try:
            if self._outflow.reason is None or self._exchange.is_gone:
                self._answer()
        except BaseException as raised:  # noqa: BLE001 - all of it belongs to this request, not to the thread
            error = self._outcome_of(raised)
        if self._state.warnings:
            log_lines(self._state.warnings, self._description())
        if record is not None:
            record.app_ended()
        self.context = _NO_CONTEXT  # it holds this call: a cycle would leave each request to the garbage collector
        self._outflow.finish(error, self._last_items)
        del error
        if isinstance(self._source, FileSource):
            self._source.close()  # here: giving back the pages of a large file takes time the loop does not have

    def _answer(self) -> None:
        current_call.set(self)
        environ = self._environ()
        if self._exchange.record is not None:
            self._exchange.record.app_called()
        app_iter: Any = self._exchange.hosting.app(environ, self._start_response)
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

    def _description(self) -> str:
        scope = self._exchange.scope
        return describe(scope["method"], scope.get("path") or "")

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
        environ["wsgi.input"] = BodyStream(self._source)
        environ["wsgi.errors"] = ErrorStream(hosting.errors)
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

    # ---- Handing over -------------------------------------------------------------------------------------------

    def _send_whole(self, blocks: Sequence[bytes]) -> None:
        """Hand over a response whose blocks are all there: start, content and end in one go."""
        state = self._state
        if len(blocks) == 1 and not self._wrote:
            content = state.only_block(blocks[0])
        else:
            parts: list[bytes] = []
            for block in blocks:
                parts.append(state.data(block))
                if state.is_overrun:
                    break
            content = b"".join(parts)
        try:
            state.end()
        except ApplicationError:
            if content:  # less than Content-Length: what there is goes out, and no end (W-120)
                self._put(content)
            raise
        if not self._is_ended:
            self._last_items = self._ending(content)

    def _send_blocks(self, app_iter: Iterable[bytes]) -> None:
        """Iterate, handing each block over before the next is asked for (W-108)."""
        state, outflow = self._state, self._outflow
        if isinstance(app_iter, str | bytes | bytearray) or not _is_iterable(app_iter):
            raise ApplicationTypeError(
                f"the application returned {type(app_iter).__name__}; it must return an iterable of bytes objects, "
                "for example a list with one of them",
                rule='PEP 3333, "Specification Details"',
            )
        for block in app_iter:
            if outflow.reason is not None:
                raise outflow.reason
            if state.phase is HELD and state.content_length is None and block:
                self._infer_length(app_iter, block)
            content = state.data(block)
            if state.phase is COMPLETE:
                if not self._is_ended:
                    self._end(content)
                if state.is_overrun or not state.carries_content:
                    return
            elif content:
                self._put(content)
        self._finish_content(app_iter)

    def _finish_content(self, app_iter: Iterable[bytes]) -> None:
        if self._is_ended:
            return
        if self._state.phase is HELD:
            self._infer_length(app_iter, b"")
        self._state.end()
        self._end(b"")

    def _infer_length(self, app_iter: object, block: bytes) -> None:
        """Set Content-Length if this block is all (W-121); an untrue or failing ``len()`` is not trusted with more."""
        if self._wrote or not isinstance(block, bytes) or not hasattr(type(app_iter), "__len__"):
            return
        try:
            is_only = len(app_iter) == 1  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - len() is optional (W-122)
            logger.debug("%s: len() of the application's iterable failed", self._description(), exc_info=True)
            return
        if is_only:
            self._state.infer_length(len(block))

    def _start_message(self) -> tuple[Any, ...]:
        self._is_started = True
        state, offers = self._state, self._offers
        has_trailers = False
        if offers is not None:
            offers.is_closed = True
            has_trailers = offers.trailers is not None
        return (messages.response_start(state.status, state.headers, trailers=has_trailers),)

    def _put(self, content: bytes) -> None:
        """Hand a block over (and the headers before the first); hold the application back while too much is unsent."""
        if self._slow_client is not None and self._slow_client.take(content):
            return
        items: tuple[Any, ...] = (content,) if content else ()
        if not self._is_started:
            items = self._start_message() + items
        self._outflow.put(items, len(content))
        if self._outflow.is_full and not self._outflow.has_room_within(PATIENCE_S):
            if self._slow_client is None:
                self._slow_client = SlowClient(self._exchange)
            if self._filelike is None:
                self._slow_client.hold_back()
            else:
                self._is_ended = self._slow_client.hold_back_file(
                    self._filelike, self._state.left_bytes, self._rest_of_ending()
                )

    def _end(self, content: bytes) -> None:
        """Hand over the last content and the end of the response, before ``close()`` is called (W-116)."""
        if content and self._slow_client is not None and self._slow_client.take(content):
            content = b""
        self._outflow.put(self._ending(content), len(content))

    def _ending(self, content: bytes) -> tuple[Any, ...]:
        """Return the items that end the response: the start, if it is not out yet, content, END, trailers."""
        self._is_ended = True
        head = () if self._is_started else self._start_message()
        return (*head, content, *self._rest_of_ending())

    def _rest_of_ending(self) -> tuple[Any, ...]:
        """Return what follows the last content."""
        offers = self._offers
        if offers is not None and offers.trailers is not None:
            return (END, offers.trailers_message(offers.trailers))
        return (END,)

    # ---- Files --------------------------------------------------------------------------------------------------

    def _send_file(self, wrapper: FileWrapper) -> None:
        """Hand a wrapped file over: to the server itself where it offers that, else in blocks (W-126 to W-131)."""
        state = self._state
        if state.phase is not HELD or not state.carries_content:
            if state.phase is HELD:  # HEAD, 204, 304: nothing is read
                state.end()
                self._end(b"")
            else:
                self._send_blocks(wrapper)
            return
        has_trailers = self._offers is not None and self._offers.trailers is not None
        if not has_trailers and not self._is_started:
            extensions: Any = self._exchange.scope.get("extensions") or ()
            message = message_for_file(
                wrapper.filelike, state.content_length, extensions, pathsend=self._exchange.hosting.pathsend
            )
            if message is not None:
                self._delegate(message)
                return
        self._filelike = wrapper.filelike
        for block in wrapper.blocks(state.content_length):
            content = state.data(block)
            if state.phase is COMPLETE:
                self._end(content)
                return
            self._put(content)
            if self._is_ended:  # the loop sends the rest
                return
        self._finish_content(wrapper)

    def _delegate(self, message: Any) -> None:
        """Let the server send a file; it stays open until the server is done with the event."""
        self._is_ended = True
        self._outflow.put((*self._start_message(), message, SENT_WHOLE), 0)
        hosting = self._exchange.hosting
        if not self._outflow.wait_until_sent(hosting.limits.response_wait_s, hosting.pool):
            SlowClient(self._exchange).give_up()


def _is_iterable(candidate: object) -> bool:
    return hasattr(candidate, "__iter__") or hasattr(candidate, "__getitem__")
