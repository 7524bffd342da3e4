"""How a worker hands a response over: start, blocks and end, as they are made.

The loop gets messages, blocks and two marks through the exchange's outflow; what may go out when is decided by
`bridge.translate.response`. Worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from bridge._runtime.outflow import Outflow
from bridge._wsgi_hosting.files import FileWrapper, message_for_file
from bridge._wsgi_hosting.hosting import describe, logger
from bridge._wsgi_hosting.loop_side import LoopSide
from bridge._wsgi_hosting.offers import Offers
from bridge._wsgi_hosting.slow_clients import PATIENCE_S, SlowClient
from bridge.errors import ApplicationError, ApplicationTypeError
from bridge.translate import messages
from bridge.translate.response import COMPLETE, HELD, ResponseState


class Mark(Enum):
    """What the outflow carries besides messages (dicts) and blocks (bytes)."""

    END = "the content is complete: send the last body event"
    SENT_WHOLE = "the message before this one was the whole content"


END = Mark.END
SENT_WHOLE = Mark.SENT_WHOLE


class HandingOver:
    """The response of one request, on its way to the loop: what `call` adds to is made there, in one go."""

    # Defaults on the class: making this object is on the path of every request.
    _is_started = False
    _is_ended = False
    _wrote = False
    _offers: Offers | None = None  # what only some servers have, and few applications use
    _last_items: tuple[Any, ...] = ()  # what is handed over with the outcome
    _slow_client: SlowClient | None = None
    _filelike: Any = None  # of which the content is read here
    _exchange: LoopSide
    _outflow: Outflow[Any]
    _state: ResponseState

    def _description(self) -> str:
        scope = self._exchange.scope
        return describe(scope["method"], scope.get("path") or "")

    # ---- Handing over -------------------------------------------------------------------------------------------

    def _send_whole(self, blocks: Sequence[bytes]) -> None:
        """Hand over a response whose blocks are all there: start, content and end in one go."""
        state = self._state
        if len(blocks) == 1 and not self._wrote:
            content = state.only_block(blocks[0])
            if state.phase is COMPLETE and self._offers is None and not self._is_started:  # nearly every response
                self._is_ended = True
                self._last_items = (messages.response_start(state.status, state.headers), content, END)
                return
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
        self._outflow.put_last(self._ending(content), len(content))

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
