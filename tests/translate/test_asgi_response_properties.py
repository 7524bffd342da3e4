"""Whatever an application sends, in whatever order: what goes out is legal, or it gets a documented error.

`Replay` gives the messages to an `ASGIResponse` as an exchange does, keeps what goes out, and looks at it after each.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApplicationError
from bridge.translate import ASGIResponse, code_from_status
from bridge.translate.asgi_response import SendPhase
from tests.strategies import PROPERTY, hostile_header_lists, hostile_texts
from tests.translate.test_asgi_response import state_of

NEW, STARTED, BODY, FINISHED, COMPLETE = SendPhase
START, CONTENT, PATHSEND = "http.response.start", "http.response.body", "http.response.pathsend"
HINT, TRAILERS = "http.response.early_hint", "http.response.trailers"
FORBIDDEN = {"connection", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "status"}

JUNK = st.sampled_from([None, True, -1, 0, 1.5, "text", b"octets", [], ["x"], {}, (), object(), 10**30])
STATUSES = st.one_of(st.sampled_from([200, 200, 200, 404, 204, 205, 304, 599, 199, 1000, "200"]), JUNK)
LENGTHS = st.integers(0, 6).map(lambda number: [(b"content-length", b"%d" % number)])
HEADERS = st.one_of(
    st.just([(b"x-a", b"1")]),
    LENGTHS,
    LENGTHS.map(lambda pairs: [(b"Connection", b"close"), *pairs, *pairs]),
    hostile_header_lists(),
    JUNK,
)
OCTETS = st.one_of(st.binary(max_size=4), st.binary(max_size=4), st.binary(max_size=4).map(bytearray), JUNK)
FLAGS = st.sampled_from([True, False, None, 1, ""])


def messages_of(kind: str, **keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return messages of a kind in which any key may be missing."""
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=keys)


LIKELY_START = st.builds(
    lambda headers, status, has_trailers: {
        "type": START,
        "status": status,
        "headers": headers,
        "trailers": has_trailers,
    },
    LENGTHS | st.just([]),
    st.sampled_from([200, 200, 200, 204, 205, 304]),
    st.booleans(),
)
LIKELY_CONTENT = st.builds(
    lambda body, more: {"type": CONTENT, "body": body, "more_body": more}, st.binary(max_size=3), st.booleans()
)
MESSAGES = st.one_of(
    LIKELY_CONTENT,
    LIKELY_CONTENT,
    LIKELY_START,
    messages_of(START, status=STATUSES, headers=HEADERS, trailers=FLAGS),
    messages_of(CONTENT, body=OCTETS, more_body=FLAGS),
    messages_of(TRAILERS, headers=HEADERS, more_trailers=FLAGS),
    messages_of(HINT, links=st.one_of(st.lists(st.binary(max_size=4), max_size=2), JUNK)),
    messages_of(PATHSEND, path=st.one_of(st.just("/file"), hostile_texts(), JUNK), size=st.integers(0, 6)),
    st.sampled_from([{}, {"type": None}, {"type": 5}, {"type": "http.response.push"}, {"type": "websocket.accept"}]),
)
SEQUENCES = st.one_of(
    st.lists(MESSAGES, max_size=8),
    st.builds(lambda start, rest: [start, *rest], LIKELY_START, st.lists(MESSAGES, max_size=8)),
)


class Replay:
    """A response and all that has gone out of it."""

    def __init__(self, method: str, extensions: dict[str, Any]) -> None:
        self.method = method
        self.extensions = extensions
        self.response = ASGIResponse(method, extensions)
        self.sent = b""
        self.produced = b""
        self.file_bytes: int | None = None

    def send(self, message: dict[str, Any]) -> None:
        response, kind = self.response, message.get("type")
        if kind == START:
            response.start(message)
        elif kind == CONTENT:
            self.sent += self._octets(response.body(message))
            self.produced += bytes(message.get("body", b""))
        elif kind == PATHSEND:
            assert response.pathsend(message)
            assert PATHSEND in self.extensions
            response.file_content(message.get("size", 0))
            self.file_bytes = message.get("size", 0)
        elif kind == HINT:
            fields = response.early_hint(message)
            assert HINT in self.extensions
            assert (fields is None) == (response.phase not in (NEW, STARTED))
            self._check_fields(fields or [])
            assert {name for name, _ in fields or []} <= {"Link"}
        elif kind == TRAILERS:
            fields = response.trailers(message)
            self._check_fields(fields)
            assert "content-length" not in {name.lower() for name, _ in fields}
        else:
            response.unknown(kind)

    def _octets(self, content: object) -> bytes:
        assert type(content) is bytes
        return content

    def _check_fields(self, fields: list[tuple[str, str]]) -> None:
        assert type(fields) is list
        for name, value in fields:
            assert (type(name), type(value)) == (str, str)
            assert name.isascii()
            assert name
            assert name.lower() not in FORBIDDEN
            assert not set(name) & set(": \t\r\n\0")
            assert not set(value.encode("latin-1")) & set(b"\r\n\0\x7f")

    def check(self) -> None:
        """Nothing that has gone out so far breaks a rule."""
        response = self.response
        assert self.produced.startswith(self.sent)
        if response.phase is NEW:
            assert self.sent == b""
            return
        code = code_from_status(response.status, strict=True)
        self._check_fields(response.headers)
        lengths = [int(value) for name, value in response.headers if name.lower() == "content-length"]
        assert lengths == ([] if response.content_length is None else [response.content_length])
        assert response.carries_content == (self.method != "HEAD" and code not in (204, 205, 304))
        if not response.carries_content:
            assert self.sent == b""
        elif lengths:
            assert len(self.sent) <= lengths[0]
            if response.phase in (FINISHED, COMPLETE):
                assert lengths == [len(self.sent) if self.file_bytes is None else self.file_bytes]
            assert response.is_whole == (
                response.phase is BODY and (len(self.sent) == lengths[0] or not response.carries_content)
            )
        else:
            assert self.sent == (b"" if self.file_bytes is not None else self.produced)
        if code == 204:
            assert lengths == []
        if code == 205 and self.method != "HEAD":
            assert lengths in ([], [0])


@pytest.mark.requirement(
    "A-035", "A-036", "A-037", "A-039", "A-058", "A-059", "A-060", "A-061", "A-062", "A-065", "A-066", "A-070", "A-076"
)
@pytest.mark.requirement("A-072", "A-075", "A-084")
@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    extensions=st.sampled_from([{}, {HINT: {}, PATHSEND: {}}, {HINT: {}, PATHSEND: {}, TRAILERS: {}}]),
    messages=SEQUENCES,
)
@PROPERTY
def test_any_sequence_of_messages_gives_a_legal_response_or_a_documented_error(method, extensions, messages):
    replay = Replay(method, extensions)
    released: tuple[Any, ...] | None = None
    for message in messages:
        before = state_of(replay.response)
        try:
            replay.send(message)
        except ApplicationError as error:
            assert error.rule
            assert state_of(replay.response) == before
        replay.check()

        if released is not None:  # what has gone out cannot be taken back
            assert (replay.response.status, replay.response.headers) == released
        elif replay.response.phase not in (NEW, STARTED):
            released = replay.response.status, list(replay.response.headers)


@pytest.mark.requirement("A-070", "A-075", "A-076")
@given(
    length=st.integers(0, 12),
    pieces=st.lists(st.binary(max_size=4), min_size=1, max_size=5),
    method=st.sampled_from(["GET", "HEAD"]),
)
@PROPERTY
def test_a_response_completes_if_and_only_if_it_keeps_its_word(length, pieces, method):
    response = ASGIResponse(method, {})
    response.start({"status": 200, "headers": [(b"content-length", b"%d" % length)]})
    sent = b""

    try:
        for number, piece in enumerate(pieces, 1):
            sent += response.body({"body": piece, "more_body": number < len(pieces)})
    except ApplicationError:
        assert method == "GET"
        assert len(b"".join(pieces)) != length
        assert response.phase is not COMPLETE
        assert len(sent) <= length
    else:
        assert response.phase is COMPLETE
        assert sent == (b"" if method == "HEAD" else b"".join(pieces))
        assert method == "HEAD" or len(sent) == length


@pytest.mark.requirement("A-058", "A-060", "A-073")
@given(
    pieces=st.lists(st.binary(max_size=4), min_size=1, max_size=5),
    pairs=st.lists(st.sampled_from([(b"x-a", b"1"), (b"Set-Cookie", b"a=1"), (b"date", b"\xe9")])),
)
@PROPERTY
def test_a_response_without_a_length_goes_out_as_it_came_in(pieces, pairs):
    response = ASGIResponse("GET", {})
    response.start({"status": 200, "headers": pairs})

    blocks = [
        response.body({"body": piece, "more_body": number < len(pieces)}) for number, piece in enumerate(pieces, 1)
    ]

    assert blocks == pieces
    assert [(name.encode(), value.encode("latin-1")) for name, value in response.headers] == pairs
    assert response.phase is COMPLETE
