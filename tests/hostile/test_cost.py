"""Giant and repeated fields: the work grows as their size does, and no faster.

What is counted is the work and not the time: lines of Python that run, and octets that are copied or looked at by what
is written in C, as far as it can be seen from the memory it takes.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from bridge.errors import BadRequest
from bridge.translate import (
    ResponseState,
    environ_from_scope,
    fields_from_headers,
    framing_from_headers,
    native_fields_from_pairs,
    scope_from_environ,
)
from bridge.translate.websocket_handshake import handshake_from_environ

FEW, MANY = 200, 2000
# Ten times as much to do is ten times the work, but for what each call costs anyhow; a square would be a hundred times.
MOST = 12.0
MOST_MEMORY = 30.0
"""Tables grow by leaps, of two or four times."""
Pairs = list[tuple[bytes, bytes]]


def lines_run(work: Callable[[], object]) -> int:
    """Count the lines of Python that run."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def memory_taken(work: Callable[[], object]) -> int:
    """Return the most memory that is taken at a time: an intermediate result that is too large shows in it."""
    tracemalloc.start()
    try:
        result = work()
        _, peak = tracemalloc.get_traced_memory()
        del result
        return peak
    finally:
        tracemalloc.stop()


def environ_of(headers: Pairs) -> dict[str, Any]:
    return environ_from_scope({"type": "http", "method": "GET", "path": "/", "headers": headers, "server": ("h", 80)})


def numbered(count: int) -> Pairs:
    return [(b"x-%d" % number, b"v") for number in range(count)]


def native(pairs: Pairs) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in pairs]


def variables(count: int) -> dict[str, str]:
    return {f"HTTP_X_{number}": "v" for number in range(count)} | {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}


def handshake(subprotocols: str) -> dict[str, str]:
    return {
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
        "HTTP_SEC_WEBSOCKET_PROTOCOL": subprotocols,
    }


def deep_path(segment: str, raw_segment: bytes, count: int) -> dict[str, Any]:
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": segment * count}
    return scope | {"raw_path": raw_segment * count, "root_path": segment * (count // 2)}


def restarted(pairs: list[tuple[str, str]]) -> ResponseState:
    state = ResponseState("GET")
    for _ in range(3):
        state.start("200 OK", pairs, (None, None, None))
    return state


WORK: dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "many names": (numbered, environ_of),
    "one name many times": (lambda count: [(b"x-a", b"v")] * count, environ_of),
    "many cookies": (lambda count: [(b"cookie", b"a=1")] * count, environ_of),
    "many dropped names": (lambda count: [(b"x_a", b"v")] * count, environ_of),
    "many equal lengths": (lambda count: [(b"content-length", b"5")] * count, framing_from_headers),
    "a long list of lengths": (lambda count: [(b"content-length", b"5," * count + b"5")], framing_from_headers),
    "many codings": (lambda count: [(b"transfer-encoding", b"chunked")] * count, environ_of),
    "many variables": (variables, scope_from_environ),
    "many subprotocols": (lambda count: handshake(",".join(map(str, range(count)))), handshake_from_environ),
    "many empty subprotocols": (lambda count: handshake("," * count), handshake_from_environ),
    "a deep path": (lambda count: deep_path("/a", b"/a", count), environ_from_scope),
    "a deep path that is no UTF-8": (lambda count: deep_path("/\ufffd", b"/%FF", count), environ_from_scope),
    "an escaped path": (
        lambda count: {"REQUEST_METHOD": "GET", "PATH_INFO": "/A" * count, "REQUEST_URI": "/%41" * count},
        scope_from_environ,
    ),
    "many response fields of a WSGI application": (lambda count: native(numbered(count)), fields_from_headers),
    "many equal lengths of a WSGI application": (
        lambda count: [*native(numbered(count)), *[("Content-Length", "5")] * count],
        fields_from_headers,
    ),
    "many dropped fields of a WSGI application": (
        lambda count: [("Connection", "x")] * count,
        lambda pairs: fields_from_headers(pairs, drop_hop_by_hop=True),
    ),
    "many responses of a WSGI application": (lambda count: native(numbered(count)), restarted),
    "many response fields of an ASGI application": (numbered, native_fields_from_pairs),
    "many equal lengths of an ASGI application": (
        lambda count: [*numbered(count), *[(b"content-length", b"5")] * count],
        native_fields_from_pairs,
    ),
}
"""What is made ready, and what is done with it: only the second is counted."""


@pytest.mark.requirement("W-049")
@pytest.mark.parametrize("name", WORK)
def test_ten_times_as_much_is_ten_times_the_work(name: str) -> None:
    prepare, work = WORK[name]
    few, many = prepare(FEW), prepare(MANY)
    work(few)  # what is done once per process is done

    assert lines_run(lambda: work(many)) <= MOST * lines_run(lambda: work(few))
    assert memory_taken(lambda: work(many)) <= MOST_MEMORY * max(memory_taken(lambda: work(few)), 10_000)


@pytest.mark.requirement("W-049")
@pytest.mark.parametrize("size", [100, 10_000, 1_000_000])
def test_one_giant_field_is_one_step_however_large_it_is(size: int) -> None:
    value, name = b"v" * size, b"x-" + b"n" * size

    assert lines_run(lambda: environ_of([(b"x-a", value), (name, b"1")])) == lines_run(
        lambda: environ_of([(b"x-a", b"v"), (b"x-n", b"1")])
    )


@pytest.mark.requirement("W-046", "W-138")
def test_a_bad_octet_at_the_end_of_a_giant_field_is_seen() -> None:
    with pytest.raises(BadRequest):
        environ_of([(b"x-a", b"v" * 1_000_000 + b"\0")])


def test_work_that_grows_as_the_square_would_be_noticed() -> None:
    def compare_all(count: int) -> None:
        for first in range(count):
            for second in range(count):
                assert first + second >= 0

    assert lines_run(lambda: compare_all(MANY // 10)) > MOST * lines_run(lambda: compare_all(FEW // 10))


def test_the_message_about_a_giant_value_is_short() -> None:
    with pytest.raises(BadRequest) as refused:
        environ_of([(b"content-length", b"9" * 1_000_000)])

    assert len(str(refused.value)) < 200
