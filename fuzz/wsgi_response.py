"""Target: `ResponseState`, fed with whatever a WSGI application may do, against a model of the rules.

The model is slow and has no table: each act asks what has happened so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.errors import ApplicationError
from bridge.translate import ResponseState
from bridge.translate.response import Phase
from fuzz.http_rules import HOP_BY_HOP, Refusal, is_length, is_sendable, is_token, lowered, trimmed
from fuzz.reading import Reader, expect, expect_equal

_NOT_BYTES: tuple[Any, ...] = (None, "text", bytearray(b"x"), 5)
_STATUSES = ("200 OK", "204 No Content", "205 Reset", "304 Not Modified", "404 Not Found", "299 Odd", "200")
_NO_CONTENT = (204, 205, 304)
_FINAL, _LAST = 200, 999


class AppError(Exception):
    """What the application hands over in ``exc_info``."""


def status_code(status: str) -> int:
    """Return the code of a status line.

    Raises:
        Refusal: it is none (RFC 9112 section 4), or an interim one.
    """
    code, reason = status[:3], status[3:]
    if len(code) != 3 or any(digit not in "0123456789" for digit in code):  # noqa: PLR2004
        raise Refusal("no three digits")
    if reason not in ("", " "):
        text = reason[1:]
        is_clean = all(" " <= character <= "~" or "\xa0" <= character <= "\xff" for character in text)
        if reason[0] != " " or not is_clean or text[0] == " " or text[-1] == " ":
            raise Refusal("no reason")
    if not _FINAL <= int(code) <= _LAST:
        raise Refusal("no final status")
    return int(code)


def _octets(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise Refusal("beyond latin-1") from None


def checked_pairs(
    headers: list[tuple[str, str]], *, drops_hop_by_hop: bool
) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """Return the pairs that may go out, and the length.

    Raises:
        Refusal: one of them cannot be sent.
    """
    pairs: list[tuple[bytes, bytes]] = []
    lengths: list[bytes] = []
    for name, value in headers:
        octets = lowered(_octets(name))
        if not is_token(octets):
            raise Refusal("no token")
        if octets in HOP_BY_HOP:
            if not drops_hop_by_hop:
                raise Refusal("hop-by-hop")
            continue  # whatever its value is
        content = trimmed(_octets(value))
        if not is_sendable(content):
            raise Refusal("a control character")
        if octets == b"content-length":
            if not is_length(content) or (lengths and lengths[0] != content):
                raise Refusal("Content-Length")
            lengths.append(content)
            if len(lengths) > 1:
                continue
        pairs.append((octets, content))
    return pairs, int(lengths[0]) if lengths else None


class Model:
    """What the rules say of one response.

    Args:
        method: the request's.
        drops_hop_by_hop: hop-by-hop fields are left out instead of refused.
    """

    def __init__(self, method: str, *, drops_hop_by_hop: bool) -> None:
        self.is_head = method == "HEAD"
        self.drops_hop_by_hop = drops_hop_by_hop
        self.has_called = self.is_valid = self.is_out = self.is_complete = self.is_overrun = False
        self.status = 0
        self.pairs: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.sent = 0

    @property
    def carries_content(self) -> bool:
        """Whether any octet of content may go out."""
        return not self.is_head and self.status not in _NO_CONTENT

    def start(self, status: str, headers: list[tuple[str, str]]) -> None:
        """``start_response`` without exc_info."""
        if self.has_called:
            raise Refusal("start_response() twice")
        self._begin(status, headers)

    def restart(self, status: str, headers: list[tuple[str, str]], error: AppError | None) -> None:
        """``start_response`` with exc_info."""
        if self.is_out:
            raise error or Refusal("headers are out")
        self._begin(status, headers)

    def _begin(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.has_called, self.is_valid = True, False
        code = status_code(status)
        pairs, length = checked_pairs(headers, drops_hop_by_hop=self.drops_hop_by_hop)
        if code == 204 or (code in _NO_CONTENT and length):  # noqa: PLR2004
            pairs, length = [pair for pair in pairs if pair[0] != b"content-length"], None
        self.status, self.pairs, self.length, self.is_valid = code, pairs, length, True

    def data(self, block: Any) -> bytes:
        """Produce a block."""
        if type(block) is not bytes or not self.is_valid:
            raise Refusal("no bytes, or too early")
        if not block:
            return b""
        if self.is_complete and self.length is None and self.carries_content:
            raise Refusal("after the end")
        self.is_out = True
        if not self.carries_content:
            self.is_complete = True
            return b""
        if self.length is None:
            self.sent += len(block)
            return block
        room = self.length - self.sent
        self.is_overrun = self.is_overrun or len(block) > room
        self.sent += len(block[:room])
        self.is_complete = self.is_complete or self.sent == self.length
        return block[:room]

    def release(self) -> None:
        """``write(b"")``."""
        if not self.is_valid:
            raise Refusal("too early")
        self.is_out = True

    def infer(self, length: int) -> None:
        """All blocks are known; there is one, of this length."""
        if not self.is_valid or self.is_out or self.length is not None or self.status in _NO_CONTENT:
            return
        if length or not self.is_head:
            self.length = length
            self.pairs = [*self.pairs, (b"content-length", str(length).encode("ascii"))]

    def end(self) -> None:
        """All has been produced."""
        if not self.is_valid or (self.carries_content and self.length is not None and self.sent < self.length):
            raise Refusal("too early or too short")
        self.is_out = self.is_complete = True


def check(data: bytes) -> None:
    """Hold one input against the model."""
    reader = Reader(data)
    method, drops = reader.choice(("GET", "HEAD", "POST")), reader.choice((False, True))
    state, model = ResponseState(method, drop_hop_by_hop=drops), Model(method, drops_hop_by_hop=drops)
    released: tuple[Any, ...] | None = None
    while reader.has_more:
        _compare(*_next_act(reader, state, model))
        expect_equal(state.phase is Phase.COMPLETE, model.is_complete, "is it complete")
        expect_equal(state.phase in (Phase.BODY, Phase.COMPLETE), model.is_out, "are the headers out")
        if model.is_valid:
            now = (state.status, list(state.headers), state.content_length)
            expect_equal(now, (model.status, model.pairs, model.length), "the head")
            expect_equal(state.carries_content, model.carries_content, "does it carry content")
            expect_equal(state.is_overrun, model.is_overrun, "is it overrun")
            expect(released is None or released == now, "the head was changed after it had gone out")
            released = now if model.is_out else None


def _next_act(reader: Reader, state: ResponseState, model: Model) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Read an act; return how the state performs it, and how the model does."""
    act = reader.choice(("start", "data", "end", "restart", "known start", "release", "infer", "no bytes"))
    if act in ("start", "restart", "known start"):
        status = reader.choice(_STATUSES) if act == "known start" else reader.text()
        headers = [(reader.text(), reader.text()) for _ in range(reader.choice(range(4)))]
        if act != "restart":
            return lambda: state.start(status, headers), lambda: model.start(status, headers)
        error = reader.choice((AppError(), None))
        exc_info = (None, None, None) if error is None else (AppError, error, None)
        return lambda: state.start(status, headers, exc_info), lambda: model.restart(status, headers, error)
    if act in ("data", "no bytes"):
        block = reader.octets() if act == "data" else reader.choice(_NOT_BYTES)
        return lambda: state.data(block), lambda: model.data(block)
    if act == "infer":
        length = len(reader.octets())
        return lambda: state.infer_length(length), lambda: model.infer(length)
    return (state.release_headers, model.release) if act == "release" else (state.end, model.end)


def _compare(perform: Callable[[], Any], perform_in_model: Callable[[], Any]) -> None:
    expected: Any
    try:
        expected = perform_in_model()
    except (Refusal, AppError) as error:
        expected = error
    given: Any
    try:
        given = perform()
    except ApplicationError as error:
        expect(error.rule, "an error without a rule")
        expect(isinstance(expected, Refusal), f"refused without a reason: {error}")
        return
    except AppError as error:
        given = error
    expect(not isinstance(expected, Refusal), f"not refused: {expected}")
    expect_equal(given, expected, "what goes out")
