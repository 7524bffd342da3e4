"""What an ASGI application may send, and when: the checks of a strict caller. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from bridge.doctor.probing import Seen, Violation, length_from

_START, _BODY = "http.response.start", "http.response.body"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_IN_VALUE = re.compile(rb"[\x00\r\n]")
_LIFESPAN = {
    "startup": ("lifespan.startup.complete", "lifespan.startup.failed"),
    "shutdown": ("lifespan.shutdown.complete", "lifespan.shutdown.failed"),
}


class NotLifespan(Violation):
    """It sends what has nothing to do with the lifespan: it does not look at the type of the scope."""


class HTTPRules:
    """One response. Each event is given to `feed`, which writes down what it says."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self.is_complete = False

    def feed(self, message: object) -> None:
        """Take an event.

        Raises:
            Violation: it is wrong, or has no place here. The first one is kept in `Seen.violation`, too.
        """
        try:
            self._feed(message)
        except Violation as broken:
            self._seen.violation = self._seen.violation or str(broken)
            raise

    def finish(self) -> None:
        """The application has returned: is the response whole?"""
        if self._seen.violation or self._seen.error is not None:
            return
        if self._seen.status is None:
            self._seen.violation = f"it returned without a response ({_START} was never sent)"
        elif not self.is_complete:
            self._seen.violation = f"it returned before its response was complete ({_BODY} with more_body false)"
        else:
            self._seen.check_length()

    def _feed(self, message: object) -> None:
        fields, kind = _typed(message)
        if kind not in (_START, _BODY):
            raise Violation(f"it sent {kind!r}, which this scope does not allow")
        if kind == _START:
            if self._seen.status is not None:
                raise Violation(f"it sent {_START} twice")
            self._start(fields)
            return
        if self._seen.status is None:
            raise Violation(f"it sent {_BODY} before {_START}")
        if self.is_complete:
            raise Violation(f"it sent {_BODY} after the end of the body")
        body, more_body = fields.get("body", b""), fields.get("more_body", False)
        if not isinstance(body, bytes):
            raise Violation(f"body is {_kind(body)}, not bytes")
        if not isinstance(more_body, bool):
            raise Violation(f"more_body is {_kind(more_body)}, not a bool")
        self._seen.body_bytes += len(body)
        self.is_complete = not more_body

    def _start(self, fields: Mapping[str, Any]) -> None:
        status = fields.get("status")
        if not isinstance(status, int) or isinstance(status, bool):
            raise Violation(f"status is {_kind(status)}, not an int")
        if not 200 <= status <= 999:  # noqa: PLR2004 - 1xx are no final responses
            raise Violation(f"status is {status}; a response has one of 200 to 999")
        headers: object = fields.get("headers", ())
        if isinstance(headers, str | bytes | dict) or not hasattr(headers, "__iter__"):
            raise Violation(f"headers are {_kind(cast('Any', headers))}, not an iterable of pairs")
        for pair in cast("Iterable[object]", headers):
            self._header(pair)
        self._seen.status = status

    def _header(self, pair: Any) -> None:
        if not isinstance(pair, list | tuple) or len(cast("list[object]", pair)) != 2:  # noqa: PLR2004
            raise Violation("a header is no pair of name and value")
        name, value = cast("tuple[object, object]", pair)
        if not isinstance(name, bytes):
            raise Violation(f"the header name {name!r} is {_kind(name)}, not bytes")
        if not isinstance(value, bytes):
            raise Violation(f"the value of the header {name!r} is {_kind(value)}, not bytes")
        if name != name.lower():  # a fault of Django and Sanic, which servers repair: nothing to fail a user for
            self._seen.note(f"the header name {name!r} is not lower-case, as ASGI wants it")
            name = name.lower()
        if not _TOKEN.fullmatch(name):
            raise Violation(f"the header name {name!r} has characters that HTTP does not allow")
        if _BAD_IN_VALUE.search(value):
            raise Violation(f"the value of the header {name!r} has a line break or a NUL")
        if name == b"content-type":
            self._seen.content_type = value.decode("latin-1")
        elif name == b"content-length":
            self._seen.declared = length_from(value.decode("latin-1"))


def lifespan_answer(message: object, phase: str) -> str | None:
    """Return None if the event says that a phase of the lifespan is complete, else the message of its failure.

    Raises:
        NotLifespan: it is an event of another kind of scope; servers go on without a lifespan.
        Violation: it is no answer.
    """
    fields, kind = _typed(message)
    if not kind.startswith("lifespan."):
        raise NotLifespan(f"it answered the {phase} with {kind!r}")
    complete, failed = _LIFESPAN[phase]
    if kind not in (complete, failed):
        raise Violation(f"it answered the {phase} with {kind!r}")
    if kind == complete:
        return None
    text = fields.get("message", "")
    if not isinstance(text, str):
        raise Violation(f"message is {_kind(text)}, not a str")
    return text or "it gave no reason"


def _typed(message: object) -> tuple[Mapping[str, Any], str]:
    if not isinstance(message, Mapping):
        raise Violation(f"it sent {_kind(message)}, not a dict")
    fields = cast("Mapping[str, Any]", message)
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise Violation("it sent an event without a type")
    return fields, kind


def _kind(value: object) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"
