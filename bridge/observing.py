"""What an adapter tells of each request when it is over, to whoever has asked for it with ``adapter.observe()``.

An adapter without observers keeps no records.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bridge.types import Message, Receive, Send

logger = logging.getLogger("bridge.observing")

Direction: TypeAlias = Literal["wsgi_to_asgi", "asgi_to_wsgi"]
Outcome: TypeAlias = Literal["completed", "refused", "aborted", "failed"]

_REQUEST = "http.request"
_START = "http.response.start"
_BODY = "http.response.body"
_PATHSEND = "http.response.pathsend"
_ZEROCOPYSEND = "http.response.zerocopysend"
_WITHOUT_CONTENT = (204, 304)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReport:
    """One request that is over.

    Attributes:
        direction: which adapter has served it.
        method: the request method.
        path: the decoded path; what is in it is the client's choice.
        outcome: ``"completed"``; ``"refused"`` by the adapter; ``"aborted"``: the client left, or the server
            cancelled; ``"failed"``: the application raised, or was given up.
        status: of the response, None if none has begun.
        queue_wait_s: from the hand-over until the application was called (by a worker, on the loop); None if it was
            not.
        app_time_s: from the call of the application to the end of its response; None if it was not called.
        request_bytes: of the request body, as far as it was received.
        response_bytes: of the response body, as far as it was handed to ``send``.
        is_streamed: the response was sent in more than one piece.
    """

    direction: Direction
    method: str
    path: str
    outcome: Outcome
    status: int | None
    queue_wait_s: float | None
    app_time_s: float | None
    request_bytes: int
    response_bytes: int
    is_streamed: bool


Observer: TypeAlias = Callable[[RequestReport], object]
"""Called once for each request, on the event loop's thread or on the request's: it must be quick and not wait."""


class Record:
    """What is known of one request so far. Any thread writes; the first `finish` makes the report.

    Times are set once each, and only the loop counts octets; a report made meanwhile has what was there by then.
    """

    _handed_over_s: float | None = None
    _called_s: float | None = None
    _ended_s: float | None = None
    _announced: int | None = None
    _status: int | None = None
    _request_bytes = 0
    _response_bytes = 0
    _pieces = 0

    def __init__(self, observers: tuple[Observer, ...], direction: Direction, method: str, path: str) -> None:
        self._observers = observers
        self._rights_to_report = [True]
        """To pop is atomic: one thread gets it. A lock for all records could be held by another one in a fork."""
        self._direction: Direction = direction
        self._method = method
        self._path = path

    def handed_over(self) -> None:
        """The request begins to wait for whoever calls the application."""
        self._handed_over_s = time.perf_counter()

    def app_called(self) -> None:
        """The application is being called."""
        self._called_s = time.perf_counter()

    def app_ended(self) -> None:
        """The application is done."""
        self._ended_s = time.perf_counter()

    def counted_receive(self, receive: Receive) -> Receive:
        """Return a ``receive`` that counts the octets of the request body."""

        async def call() -> Message:
            message = await receive()
            if _kind_of(message) == _REQUEST:
                self._request_bytes += _octets_in(message)
            return message

        return call

    def counted_send(self, send: Send) -> Send:
        """Return a ``send`` that takes note of the status and counts the octets of the response body.

        What is no message passes unnoticed: to judge it is the business of whoever gets it.
        """

        async def call(message: Message) -> None:
            kind = _kind_of(message)
            if kind == _START:
                self._announced = message.get("status")
            elif kind in (_BODY, _PATHSEND, _ZEROCOPYSEND):
                self._note_content(message)
            await send(message)  # last: with the end of the response the report is made

        return call

    def _note_content(self, message: Message) -> None:
        self._status = self._announced  # only now: until there is content, the start may be held back
        octets = _octets_in(message)
        if octets and self._method != "HEAD" and self._announced not in _WITHOUT_CONTENT:
            self._response_bytes += octets
            self._pieces += 1

    def fail(self, *, answered: bool) -> None:
        """Report that the application failed; ``answered``: with a 500 in its place, if nothing had begun."""
        self.finish("failed", 500 if answered and self._status is None else None)

    def finish(self, outcome: Outcome, status: int | None = None) -> None:
        """Report, unless that has been done."""
        try:
            self._rights_to_report.pop()
        except IndexError:
            return
        report = self._report(outcome, status)
        for observer in self._observers:
            try:
                observer(report)
            except Exception:  # the request must not suffer
                logger.exception("the observer %r failed", observer)

    def _report(self, outcome: Outcome, status: int | None) -> RequestReport:
        called_s, handed_over_s = self._called_s, self._handed_over_s
        ended_s = time.perf_counter() if self._ended_s is None else self._ended_s
        return RequestReport(
            direction=self._direction,
            method=self._method,
            path=self._path,
            outcome=outcome,
            status=self._status if status is None else status,
            queue_wait_s=None if called_s is None or handed_over_s is None else called_s - handed_over_s,
            app_time_s=None if called_s is None else ended_s - called_s,
            request_bytes=self._request_bytes,
            response_bytes=self._response_bytes,
            is_streamed=self._pieces > 1,
        )


def _kind_of(message: Message) -> object:
    return message.get("type") if isinstance(message, dict) else None


def _octets_in(message: Message) -> int:
    """Count the octets of a message, or of the file it names."""
    try:
        if message["type"] == _PATHSEND:
            return os.stat(message["path"]).st_size
        if message["type"] == _ZEROCOPYSEND:
            count = message.get("count")
            return count if count is not None else os.fstat(message["file"]).st_size - (message.get("offset") or 0)
    except (OSError, KeyError, TypeError):
        return 0
    body = message.get("body")
    return len(body) if isinstance(body, bytes | bytearray) else 0
