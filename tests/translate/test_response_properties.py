"""Whatever an application does, in whatever order: what goes out is legal, or it gets a documented error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApplicationError
from bridge.translate.response import Phase, ResponseState
from tests.strategies import PROPERTY


class ViewError(Exception):
    """What the application hands over in ``exc_info``."""


STATUSES = [
    "200 OK",
    "200",
    "204 No Content",
    "205 Reset",
    "304 Not Modified",
    "500 Oops",
    "100 No",
    "2000 OK",
    "",
    b"200 OK",
]
HEADER_LISTS = [
    *[
        [],
        [("X-A", "1")],
        [("Content-Length", "0")],
        [("Content-Length", "3")],
        [("Content-Length", "7"), ("X-B", "2")],
    ],
    *[
        [("Content-Length", "3"), ("Content-Length", "4")],
        [("Connection", "close")],
        [("X-A", "a\r\nb")],
        None,
        [("X", 1)],
    ],
]
ACTS = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(STATUSES), st.sampled_from(HEADER_LISTS)),
    st.tuples(st.just("start"), st.just("200 OK"), st.sampled_from(HEADER_LISTS[:5])),
    st.tuples(st.just("restart"), st.sampled_from(STATUSES), st.sampled_from(HEADER_LISTS), st.booleans()),
    st.tuples(st.just("data"), st.sampled_from([b"", b"a", b"bcd", b"efghijk", "text", None])),
    st.tuples(st.just("data"), st.binary(max_size=4)),
    st.tuples(st.just("release_headers")),
    st.tuples(st.just("infer_length"), st.integers(0, 5)),
    st.tuples(st.just("end")),
)


def perform(state: ResponseState, act: tuple[Any, ...], error: ViewError) -> bytes:
    """Let the application do one thing; return what may go out by it."""
    match act:
        case ("start", status, headers):
            state.start(status, headers)
        case ("restart", status, headers, has_error):
            state.start(status, headers, (ViewError, error, None) if has_error else (None, None, None))
        case ("data", block):
            return state.data(block)
        case ("release_headers",):
            state.release_headers()
        case ("infer_length", length):
            state.infer_length(length)
        case ("end",):
            state.end()
    return b""


@pytest.mark.requirement(
    "W-088", "W-089", "W-090", "W-091", "W-101", "W-109", "W-112", "W-119", "W-120", "W-122", "W-123", "W-124", "W-125"
)
@given(method=st.sampled_from(["GET", "HEAD", "POST"]), drop=st.booleans(), acts=st.lists(ACTS, max_size=10))
@PROPERTY
def test_any_sequence_of_acts_gives_a_legal_response_or_a_documented_error(method, drop, acts):
    state = ResponseState(method, drop_hop_by_hop=drop)
    error = ViewError()
    sent = b""
    produced = b""
    released: tuple[int, list[tuple[bytes, bytes]]] | None = None
    for act in acts:
        before = state.phase
        try:
            content = perform(state, act, error)
        except ApplicationError as refusal:
            assert refusal.rule
            content = b""
        except ViewError as raised:
            assert raised is error
            assert act[0] == "restart"
            assert before in (Phase.BODY, Phase.COMPLETE)
            content = b""
        else:
            if act[0] == "data":
                assert before not in (Phase.NEW, Phase.REFUSED)
                produced += act[1]
            if act[0] == "end":
                assert state.phase is Phase.COMPLETE
                if state.content_length is not None and state.carries_content:
                    assert len(sent) == state.content_length
        sent += content

        if released is not None:  # what has gone out cannot be taken back
            assert state.phase in (Phase.BODY, Phase.COMPLETE)
            assert (state.status, state.headers) == released
        elif state.phase in (Phase.BODY, Phase.COMPLETE):
            released = state.status, list(state.headers)
        assert_legal(state, method, sent, produced)


def assert_legal(state: ResponseState, method: str, sent: bytes, produced: bytes) -> None:
    assert produced.startswith(sent)
    if state.phase in (Phase.NEW, Phase.REFUSED, Phase.HELD):
        assert sent == b""
    if state.phase in (Phase.NEW, Phase.REFUSED):
        return
    lengths = [int(value) for name, value in state.headers if name == b"content-length"]
    assert lengths == ([] if state.content_length is None else [state.content_length])
    assert 200 <= state.status <= 999
    assert b"connection" not in dict(state.headers)
    if method == "HEAD" or state.status in (204, 205, 304):
        assert sent == b""
    elif lengths:
        assert len(sent) <= lengths[0]
        assert state.is_overrun == (len(produced) > lengths[0])
    if state.status == 204:
        assert lengths == []
    if state.status in (205, 304):
        assert lengths in ([], [0])


@given(
    method=st.sampled_from(["GET", "HEAD"]),
    status=st.sampled_from(["200 OK", "204 No Content", "304 Not Modified"]),
    length=st.none() | st.integers(0, 6),
    block=st.binary(max_size=5),
)
@PROPERTY
def test_the_short_way_for_an_only_block_is_the_long_way(method, status, length, block):
    def outcome(take):
        state = ResponseState(method)
        state.start(status, [] if length is None else [("Content-Length", str(length))])
        try:
            sent = take(state)
            state.end()
        except ApplicationError as error:
            return str(error)
        return sent, state.phase, state.headers, state.content_length, state.is_overrun

    def the_long_way(state):
        state.infer_length(len(block))
        return state.data(block)

    assert outcome(lambda state: state.only_block(block)) == outcome(the_long_way)
