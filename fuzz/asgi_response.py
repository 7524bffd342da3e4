"""Target: `ASGIResponse`, fed with whatever an ASGI application may send, against a model of the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.errors import ApplicationError
from bridge.translate import ASGIResponse
from bridge.translate.asgi_response import SendPhase
from fuzz.http_rules import HOP_BY_HOP, Refusal, is_length, is_sendable, is_token, lowered, trimmed
from fuzz.reading import Reader, expect, expect_equal

_OFFERS: dict[str, Any] = {"http.response.early_hint": {}, "http.response.pathsend": {}, "http.response.trailers": {}}
_STATUSES: tuple[Any, ...] = (200, 204, 205, 304, 404, 599, 999, 199, 103, 1000, -1, True, "200", None, 2.0)
_NO_CONTENT = (204, 205, 304)
_FINAL, _LAST = 200, 999
_NEVER_IN_TRAILERS = frozenset(
    {
        *["authorization", "cache-control", "content-encoding", "content-length", "content-range", "content-type"],
        *["host", "set-cookie"],
    }
)
_LEFT_OUT = HOP_BY_HOP | {b"status"}


def checked_pairs(pairs: list[tuple[Any, Any]]) -> tuple[list[tuple[str, str]], int | None]:
    """Return the pairs that may go out, and the length.

    Raises:
        Refusal: one of them cannot be sent.
    """
    fields: list[tuple[str, str]] = []
    length: bytes | None = None
    for name, value in pairs:
        if type(name) is not bytes or type(value) is not bytes:
            raise Refusal("no bytes")
        if not is_token(name) or not is_sendable(value):
            raise Refusal("no token, or a control character")
        content = trimmed(value)
        if lowered(name) == b"content-length":
            if not is_length(content) or (length is not None and length != content):
                raise Refusal("Content-Length")
            if length is not None:
                continue
            length = content
        if lowered(name) not in _LEFT_OUT:
            fields.append((name.decode("latin-1"), content.decode("latin-1")))
    return fields, None if length is None else int(length)


class Model:
    """What the rules say of one response.

    Args:
        method: the request's.
        offers: the extensions that are offered.
    """

    def __init__(self, method: str, offers: dict[str, Any]) -> None:
        self.is_head = method == "HEAD"
        self.offers = offers
        self.status = 0
        self.fields: list[tuple[str, str]] = []
        self.length: int | None = None
        self.sent = 0
        self.has_trailers = self.has_body = self.is_content_over = self.is_complete = False

    @property
    def carries_content(self) -> bool:
        """Whether any octet of content may go out."""
        return not self.is_head and self.status not in _NO_CONTENT

    def start(self, message: dict[str, Any]) -> None:
        """``http.response.start``."""
        status = message.get("status")
        if self.status or type(status) is not int or not _FINAL <= status <= _LAST:
            raise Refusal("started twice, or no status")
        fields, length = checked_pairs(message.get("headers", []))
        if status == 204 or (status == 205 and length):  # noqa: PLR2004
            fields, length = [field for field in fields if field[0].lower() != "content-length"], None
        self.status, self.fields, self.length = status, fields, length
        self.has_trailers = bool(message.get("trailers"))

    def body(self, message: dict[str, Any]) -> bytes:
        """``http.response.body``."""
        block, is_last = message.get("body", b""), not message.get("more_body")
        if not self.status or self.is_content_over or not isinstance(block, bytes | bytearray | memoryview):
            raise Refusal("too early, too late, or no bytes")
        octets = bytes(block) if self.carries_content else b""
        sent = self.sent + len(octets)
        if self.carries_content and self.length is not None:
            is_short = is_last and sent < self.length
            if sent > self.length or is_short:
                raise Refusal("not as long as announced")
        self.sent, self.has_body = sent, True
        self._end_content(is_last=is_last)
        return octets

    def file(self, message: dict[str, Any]) -> str:
        """``http.response.pathsend`` of a file of the announced length."""
        path = message.get("path")
        is_in_time = self.status and not self.has_body and not self.is_content_over
        if "http.response.pathsend" not in self.offers or not is_in_time or type(path) is not str:
            raise Refusal("not offered, not now, or no path")
        if not (path.startswith(("/", "\\\\")) or path[1:3] in (":\\", ":/")):
            raise Refusal("relative")
        size = message["size"]
        if self.carries_content and self.length is not None and self.length != size:
            raise Refusal("not as long as announced")
        self._end_content(is_last=True)
        return path

    def _end_content(self, *, is_last: bool) -> None:
        self.is_content_over = is_last
        self.is_complete = is_last and not self.has_trailers

    def trailers(self, message: dict[str, Any]) -> list[tuple[str, str]]:
        """``http.response.trailers``."""
        if not self.has_trailers or not self.is_content_over or self.is_complete:
            raise Refusal("not announced, or not now")
        fields, _ = checked_pairs(message.get("headers", []))
        self.is_complete = not message.get("more_trailers")
        return [field for field in fields if field[0].lower() not in _NEVER_IN_TRAILERS]

    def hint(self, message: dict[str, Any]) -> list[tuple[str, str]] | None:
        """``http.response.early_hint``."""
        if "http.response.early_hint" not in self.offers or self.is_complete:
            raise Refusal("not offered, or too late")
        fields, _ = checked_pairs([(b"Link", link) for link in message["links"]])
        return None if self.has_body or self.is_content_over else fields


def _send_file(response: ASGIResponse, message: dict[str, Any]) -> str:
    path = response.pathsend(message)
    response.file_content(message["size"])
    return path


def check(data: bytes) -> None:
    """Hold one input against the model."""
    reader = Reader(data)
    method, offers = reader.choice(("GET", "HEAD", "POST")), reader.choice((_OFFERS, {}))
    response, model = ASGIResponse(method, offers), Model(method, offers)
    while reader.has_more:
        _compare(*_next_act(reader, response, model))
        expect_equal(response.phase is SendPhase.COMPLETE, model.is_complete, "is it complete")
        if not model.status:
            expect_equal(response.phase, SendPhase.NEW, "the phase")
            continue
        expect(response.status[:4] == f"{model.status} ", f"a wrong status line: {response.status!r}")
        expect(len(response.status) > len("200 "), f"no reason: {response.status!r}")
        expect_equal(response.headers, model.fields, "the headers")
        expect_equal(response.content_length, model.length, "the length")
        expect_equal(response.carries_content, model.carries_content, "does it carry content")


def _next_act(reader: Reader, response: ASGIResponse, model: Model) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Read a message; return how the response takes it, and how the model does."""
    act = reader.choice(("start", "body", "last body", "trailers", "hint", "file", "odd body", "odd start"))
    message: dict[str, Any]
    if act == "start":
        pairs = [(reader.octets(), reader.octets()) for _ in range(reader.choice(range(4)))]
        message = {"status": reader.choice(_STATUSES), "trailers": reader.choice((False, True)), "headers": pairs}
        return lambda: response.start(message), lambda: model.start(message)
    if act == "odd start":
        message = {"status": 200, "headers": [reader.choice([(b"a", "b"), ("a", b"b"), (b"a", None), (b":a", b"b")])]}
        return lambda: response.start(message), lambda: model.start(message)
    if act in ("body", "last body", "odd body"):
        octets = reader.octets()
        odd = reader.choice((bytearray(octets), memoryview(octets), None, "text", 5)) if act == "odd body" else octets
        message = {"body": odd, "more_body": act == "body"}
        return lambda: response.body(message), lambda: model.body(message)
    if act == "trailers":
        pairs = [(reader.octets(), reader.octets()) for _ in range(reader.choice(range(3)))]
        message = {"headers": pairs, "more_trailers": reader.choice((False, True))}
        return lambda: response.trailers(message), lambda: model.trailers(message)
    if act == "hint":
        message = {"links": [reader.octets() for _ in range(reader.choice(range(3)))]}
        return lambda: response.early_hint(message), lambda: model.hint(message)
    message = {"path": reader.text(), "size": len(reader.octets())}
    return lambda: _send_file(response, message), lambda: model.file(message)


def _compare(perform: Callable[[], Any], perform_in_model: Callable[[], Any]) -> None:
    expected: Any
    try:
        expected = perform_in_model()
    except Refusal as error:
        expected = error
    try:
        given = perform()
    except ApplicationError as error:
        expect(error.rule, "an error without a rule")
        expect(isinstance(expected, Refusal), f"refused without a reason: {error}")
        return
    expect(not isinstance(expected, Refusal), f"not refused: {expected}")
    expect_equal(given, expected, "what goes out")
