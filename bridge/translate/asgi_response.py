"""What an ASGI application may send, in which order, and what of it goes to ``start_response`` and the server.

Theory of operation. `ASGIResponse` is fed with the application's messages, one method for each kind, and answers with
what goes out: a status line and header list for ``start_response``, and blocks. It performs no I/O. The order of things
is one table, `TRANSITIONS`; a message that is not in it is the application's error and raises, out of ``send``.

Beside the phase there is one number, how many octets ``Content-Length`` still allows, and one flag, whether the
response carries content at all (HEAD, 204, 205 and 304 do not).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NoReturn

from bridge.errors import ApplicationError, ApplicationTypeError
from bridge.translate import messages
from bridge.translate.asgi_fields import native_fields_from_pairs
from bridge.translate.asgi_values import (
    RULE_BODY,
    RULE_START,
    STATUS_MAX,
    STATUS_MIN,
    links_of,
    octets_of,
    path_of,
    status_code_of,
)
from bridge.translate.status import NO_CONTENT_CODES, status_from_code


class SendPhase(Enum):
    """How far the response is."""

    __hash__ = object.__hash__  # Enum hashes by name, in Python; each message looks into the table

    NEW = "before http.response.start"
    STARTED = "after http.response.start"
    BODY = "in the middle of the content"
    FINISHED = "after the content, before the trailers"
    COMPLETE = "complete"


NEW, STARTED, BODY, FINISHED, COMPLETE = SendPhase

TRANSITIONS: dict[tuple[SendPhase, str], SendPhase] = {
    (NEW, messages.EARLY_HINT): NEW,
    (NEW, messages.RESPONSE_START): STARTED,
    (STARTED, messages.EARLY_HINT): STARTED,
    (STARTED, messages.RESPONSE_BODY): BODY,
    (STARTED, messages.PATHSEND): BODY,
    (BODY, messages.RESPONSE_BODY): BODY,
    (BODY, messages.EARLY_HINT): BODY,  # accepted and ignored: the headers are out
    (FINISHED, messages.TRAILERS): FINISHED,
    (FINISHED, messages.EARLY_HINT): FINISHED,
}
"""Which message may come when, and the phase it leads to; the end of content or trailers may lead further on."""

_RULE_LENGTH = "RFC 9110, section 8.6"
_RULE_TRAILERS = 'ASGI Extensions, "HTTP Trailers"'
_RULES = {NEW: RULE_START, STARTED: RULE_BODY, BODY: RULE_BODY, FINISHED: _RULE_TRAILERS, COMPLETE: RULE_BODY}


class ASGIResponse:
    """One response, fed with messages.

    Args:
        method: the request's method, upper-case.
        extensions: the extensions that were offered to the application.

    Attributes:
        phase: how far it is.
        status: the status line for ``start_response``, from STARTED on.
        headers: pairs of ``str`` for ``start_response``, from STARTED on.
        content_length: the Content-Length of the response, if it has one.
        carries_content: False for HEAD, 204, 205 and 304.
    """

    # Defaults on the class: making this object is on the path of every request.
    phase = NEW
    status = ""
    headers: list[tuple[str, str]]
    content_length: int | None = None
    carries_content = True
    _allowed_bytes: int | None = None
    _has_trailers = False

    def __init__(self, method: str, extensions: Mapping[str, Any]) -> None:
        self._is_head = method == "HEAD"
        self._extensions = extensions

    @property
    def is_whole(self) -> bool:
        """Whether the client has all there can be: what Content-Length announced, or nothing by rule (A-084)."""
        return self.phase is BODY and (self._allowed_bytes == 0 or not self.carries_content)

    def _enter(self, kind: str) -> None:
        following = TRANSITIONS.get((self.phase, kind))
        if following is None:
            self._complain(kind)
        self.phase = following

    def _complain(self, kind: str) -> NoReturn:
        raise ApplicationError(
            f"the application sent {kind!r} {self.phase.value}; {self._expectation()}", rule=_RULES[self.phase]
        )

    def start(self, message: Mapping[str, Any]) -> None:
        """Take ``http.response.start``; nothing goes out by it (A-071).

        Raises:
            ApplicationError: it may not come now.
            ApplicationTypeError: no status, or a value of a wrong type.
            ApplicationValueError: a status or a header that cannot be sent.

        Spec: ASGI HTTP "Response Start - send event"; A-058 to A-066.
        """
        if self.phase is not NEW:  # as the table says, by a shorter way
            self._complain(messages.RESPONSE_START)
        code = message.get("status")
        if type(code) is not int or not STATUS_MIN <= code <= STATUS_MAX:
            code = status_code_of(message)
        has_trailers = bool(message.get("trailers"))
        fields, content_length = native_fields_from_pairs(message.get("headers", ()))
        if code in NO_CONTENT_CODES:
            self.carries_content = False
            # RFC 9110: MUST NOT with 204 (section 8.6); with 205 a client would wait for what is announced (15.3.6).
            if content_length is not None and (code == 204 or (code == 205 and content_length)):  # noqa: PLR2004
                fields = [field for field in fields if field[0].lower() != "content-length"]
                content_length = None
        elif self._is_head:
            self.carries_content = False
        self.status = status_from_code(code)
        self.headers = fields
        self.content_length = self._allowed_bytes = content_length
        self._has_trailers = has_trailers
        self.phase = STARTED

    def body(self, message: Mapping[str, Any]) -> bytes:
        """Take ``http.response.body``; return the content that goes out, which is empty where none may.

        When the phase becomes COMPLETE the response is over.

        Raises:
            ApplicationError: it may not come now, or it makes the content longer or shorter than Content-Length. The
                message is not taken then.
            ApplicationTypeError: ``body`` is no bytes.

        Spec: ASGI HTTP "Response Body - send event"; A-058 to A-064, A-070, A-075, A-076.
        """
        phase = self.phase
        if phase is not STARTED and phase is not BODY:
            self._complain(messages.RESPONSE_BODY)
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = octets_of(body)
        is_last = not message.get("more_body")
        if not self.carries_content:
            body = b""
        elif (allowed := self._allowed_bytes) is not None:
            left = allowed - len(body)
            if left < 0 or (is_last and left):
                self._complain_of_length(len(body), is_last=is_last)
            self._allowed_bytes = left
        if not is_last:
            self.phase = BODY
        elif self._has_trailers:
            self.phase = FINISHED
        else:
            self.phase = COMPLETE
        return body

    def _complain_of_length(self, length_bytes: int, *, is_last: bool) -> NoReturn:
        length = self.content_length or 0
        sent = length - (self._allowed_bytes or 0) + length_bytes
        what = "completed the response with" if is_last and sent < length else "sent"
        raise ApplicationError(
            f"the application announced {length} bytes of content and {what} {sent}; set the Content-Length to what is "
            "sent, or leave it out",
            rule=_RULE_LENGTH,
        )

    def pathsend(self, message: Mapping[str, Any]) -> str:
        """Take ``http.response.pathsend``; return the absolute path of the file that is the whole content.

        The caller looks at the file's size and calls `file_content`.

        Raises:
            ApplicationError: not offered, or it may not come now.
            ApplicationTypeError: the path is no ``str``.
            ApplicationValueError: the path is not absolute.

        Spec: ASGI Extensions "Path Send"; A-039.
        """
        self._check_offered(messages.PATHSEND)
        if self.phase is not STARTED:
            self._complain(messages.PATHSEND)
        return path_of(message)

    def file_content(self, length_bytes: int) -> None:
        """The whole content is a file of that size.

        Raises:
            ApplicationError: Content-Length says something else.
        """
        if self.carries_content and self._allowed_bytes is not None:
            if self._allowed_bytes != length_bytes:
                self._complain_of_length(length_bytes, is_last=True)
            self._allowed_bytes = 0
        self.phase = FINISHED if self._has_trailers else COMPLETE

    def trailers(self, message: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Take ``http.response.trailers``; return pairs of ``str`` for the server.

        Raises:
            ApplicationError: the start announced none, or the content is not over.
            ApplicationTypeError, ApplicationValueError: a field that cannot be sent.

        Spec: ASGI Extensions "HTTP Trailers"; A-036, A-037.
        """
        self._enter(messages.TRAILERS)
        fields, _ = native_fields_from_pairs(message.get("headers", ()))
        if not message.get("more_trailers"):
            self.phase = COMPLETE
        return [field for field in fields if field[0].lower() not in _FORBIDDEN_IN_TRAILERS]

    def early_hint(self, message: Mapping[str, Any]) -> list[tuple[str, str]] | None:
        """Take ``http.response.early_hint``; return ``Link`` pairs of ``str``, or None once the headers are out.

        Raises:
            ApplicationError: not offered, or the response is over.
            ApplicationTypeError, ApplicationValueError: a link that cannot be sent.

        Spec: ASGI Extensions "Early Hints"; RFC 8297 section 2; A-035.
        """
        self._check_offered(messages.EARLY_HINT)
        self._enter(messages.EARLY_HINT)
        fields, _ = native_fields_from_pairs([(b"Link", link) for link in links_of(message)])
        return fields if self.phase in (NEW, STARTED) else None

    def unknown(self, kind: object) -> NoReturn:
        """Refuse a message that is none of these.

        Raises:
            ApplicationError: always.
        """
        if kind is None:
            raise ApplicationTypeError("the application sent a message without a type", rule='ASGI 3.0, "Events"')
        if not isinstance(kind, str):
            raise ApplicationTypeError(
                f"the application sent a message whose type is of type {type(kind).__name__}", rule='ASGI 3.0, "Events"'
            )
        self._complain(kind)

    def _check_offered(self, kind: str) -> None:
        if kind not in self._extensions:
            raise ApplicationError(
                f"the application sent {kind!r}, which this server does not offer; look into scope['extensions'] "
                f"first ({self._expectation()})",
                rule='ASGI 3.0, "Extensions"',
            )

    def _expectation(self) -> str:
        kinds = [
            kind
            for phase, kind in TRANSITIONS
            if phase is self.phase and (kind in _NEED_NO_OFFER or kind in self._extensions)
        ]
        return f"{' or '.join(map(repr, kinds))} may be sent now" if kinds else "nothing may be sent any more"


_NEED_NO_OFFER = frozenset({messages.RESPONSE_START, messages.RESPONSE_BODY, messages.TRAILERS})
# RFC 9110 section 6.5.1: what is needed before the content cannot come after it.
_FORBIDDEN_IN_TRAILERS = frozenset(
    {
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "set-cookie",
    }
)
