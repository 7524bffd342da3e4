"""``wsgi.input`` as a file: the same octets in the same way, however the body reaches the adapter (W-066 to W-077)."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.deliveries import (
    EXPECT,
    HTTP2,
    MEMORY,
    SPOOL,
    STREAM,
    UNFRAMED,
    Reader,
    on_each_delivery,
    on_each_with_length,
    on_each_without_length,
    read_through,
)
from tests.driving import fetch
from tests.fakes import Unchecked, body_events
from tests.meeting import Helper

LINES = b"one\ntwo\r\nth\rree\n\nlast"


@pytest.mark.requirement("W-066")
@on_each_delivery
def test_all_methods_exist_and_return_bytes(delivery, maybe_lint):
    def read(stream):
        return [stream.read(3), stream.readline(), stream.readlines(1), next(iter(stream)), stream.read(-1)]

    app = Reader(read)
    delivery.driver(maybe_lint(app), LINES).run().checked()

    assert app.error is None
    assert app.result == [b"one", b"\n", [b"two\r\n"], b"th\rree\n", b"\nlast"]
    assert {type(part) for part in app.result} == {bytes, list}


@pytest.mark.requirement("W-066")
@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=lambda kind: kind.__name__)
@on_each_delivery
def test_octets_of_another_type_in_an_event_become_bytes(delivery, kind):
    events = [
        Unchecked({"type": "http.request", "body": kind(b"abcdef"), "more_body": True}),
        Unchecked({"type": "http.request", "body": kind(b"gh"), "more_body": False}),
    ]

    result, _ = read_through(delivery, lambda stream: [stream.read(2), stream.read()], b"abcdefgh", events)

    assert result == [b"ab", b"cdefgh"]
    assert {type(part) for part in result} == {bytes}


@pytest.mark.requirement("W-067")
@pytest.mark.parametrize("size", [(), (None,), (-1,), (-7,)], ids=repr)
@on_each_delivery
def test_reading_without_a_size_returns_the_rest(delivery, size):
    result, _ = read_through(delivery, lambda stream: [stream.read(2), stream.read(*size)], [b"abc", b"", b"defgh"])

    assert result == [b"ab", b"cdefgh"]


@pytest.mark.requirement("W-067", "W-069")
@pytest.mark.parametrize("delivery", [EXPECT, UNFRAMED, STREAM], ids=lambda delivery: delivery.name)
def test_reading_nothing_waits_for_nothing(delivery):
    seen: list[Any] = []

    def read(stream):
        seen.append([stream.read(0), stream.readline(0)])
        driver.settle()
        seen.append(len(driver.receive.calls))

    app = Reader(read)
    driver = delivery.driver(app, b"0123456789", [])  # receive() would wait for ever
    with driver:
        pass

    assert app.error is None
    assert seen == [[b"", b""], 0]


@pytest.mark.requirement("W-068")
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"0123456789"], id="one"),
        pytest.param([bytes([octet]) for octet in b"0123456789"], id="octets"),
        pytest.param([b"012", b"", b"", b"34567", b"89", b""], id="empty-ones"),
    ],
)
@on_each_delivery
def test_a_read_gathers_exactly_as_many_octets_as_asked_for(delivery, pieces):
    result, _ = read_through(delivery, lambda stream: [stream.read(4), stream.read(4), stream.read(4)], pieces)

    assert result == [b"0123", b"4567", b"89"]


@pytest.mark.requirement("W-069")
@on_each_delivery
def test_a_line_split_over_three_events_is_one_line(delivery):
    result, _ = read_through(
        delivery, lambda stream: [stream.readline(65536), stream.readline(65536)], [b"on", b"e li", b"ne\nnext"]
    )

    assert result == [b"one line\n", b"next"]


@pytest.mark.requirement("W-069")
@on_each_delivery
def test_a_line_ends_after_a_line_feed_only_or_at_the_size(delivery):
    def read(stream):
        return [
            stream.readline(2),
            stream.readline(2),
            stream.readline(None),
            stream.readline(-1),
            stream.readline(),
            stream.readline(100),
            stream.readline(),
        ]

    result, _ = read_through(delivery, read, LINES)

    assert result == [b"on", b"e\n", b"two\r\n", b"th\rree\n", b"\n", b"last", b""]


@pytest.mark.requirement("W-070")
@pytest.mark.parametrize(
    ("hint", "count"),
    [
        pytest.param((), 5, id="none-given"),
        pytest.param((None,), 5, id="None"),
        pytest.param((0,), 5, id="zero"),
        pytest.param((-1,), 5, id="negative"),
        pytest.param((1,), 1, id="less-than-a-line"),
        pytest.param((4,), 1, id="a-line"),
        pytest.param((5,), 2, id="more-than-a-line"),
        pytest.param((1000,), 5, id="more-than-all"),
    ],
)
@on_each_delivery
def test_readlines_stops_once_the_lines_have_as_many_octets_as_the_hint(delivery, hint, count):
    result, _ = read_through(delivery, lambda stream: [stream.readlines(*hint), stream.read()], LINES)

    lines = [b"one\n", b"two\r\n", b"th\rree\n", b"\n", b"last"]
    assert result == [lines[:count], b"".join(lines[count:])]


@pytest.mark.requirement("W-070", "W-071")
@on_each_without_length
def test_an_empty_body_has_no_lines(delivery):
    result, _ = read_through(delivery, lambda stream: [stream.readlines(), list(stream), stream.readline()], b"")

    assert result == [[], [], b""]


@pytest.mark.requirement("W-071")
@pytest.mark.parametrize("body", [b"a\nb\n", b"a\nb", b"\n", b"a"], ids=repr)
@on_each_delivery
def test_iteration_yields_lines_with_their_endings_and_nothing_after_them(delivery, body, maybe_lint):
    app = Reader(list)

    delivery.driver(maybe_lint(app), body).run().checked()

    assert app.error is None
    assert app.result == io.BytesIO(body).readlines()


CALLS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), st.integers(-1, 12)),
        st.tuples(st.just("next"), st.none()),
    ),
    max_size=12,
)
PIECES = st.lists(st.sampled_from([b"", b"a", b"bcd", b"\n", b"e\r\nf", b"ghijklmn\n"]), max_size=8)


@pytest.mark.requirement("W-068", "W-069", "W-070", "W-071", "W-072")
@on_each_delivery
@settings(max_examples=25, deadline=None)
@given(pieces=PIECES, calls=CALLS)
def test_all_methods_share_one_position(delivery, pieces, calls):
    oracle = io.BytesIO(b"".join(pieces))

    def make_calls(stream):
        return [next(stream, b"") if name == "next" else getattr(stream, name)(size) for name, size in calls]

    result, _ = read_through(delivery, make_calls, pieces)

    assert result == make_calls(oracle)


@pytest.mark.requirement("W-073")
@on_each_delivery
def test_after_the_end_every_call_is_empty_at_once_and_receive_is_left_alone(delivery):
    def read(stream):
        body = stream.read()
        after = [stream.read(), stream.read(5), stream.readline(), b"".join(stream.readlines()), b"".join(stream)]
        return body, after * 2, len(driver.receive.calls)

    app = Reader(read)
    driver = delivery.driver(app, [b"01234", b"56789"])  # a third receive() would wait for ever
    with driver:
        pass

    assert app.error is None
    assert app.result == (b"0123456789", [b""] * 10, 2)
    assert len(driver.receive.calls) == 2


@pytest.mark.requirement("W-074")
@on_each_without_length
def test_missing_keys_take_their_defaults_and_an_empty_piece_is_no_end(delivery):
    events = [
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"abcdef", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"g"},
    ]

    result, record = read_through(delivery, lambda stream: [stream.read(), stream.read()], b"", events)

    assert result == [b"abcdefg", b""]
    assert len(record.receive.calls) == 5


@pytest.mark.requirement("W-074")
@on_each_without_length
def test_an_event_without_any_key_is_an_empty_body(delivery):
    assert read_through(delivery, lambda stream: stream.read(), b"", [{"type": "http.request"}])[0] == b""


@pytest.mark.requirement("W-076")
@on_each_with_length
def test_octets_past_the_announced_length_are_never_delivered(delivery):
    app = Reader(lambda stream: [stream.read(6), stream.read(), stream.read()])
    events = [
        {"type": "http.request", "body": b"01234567", "more_body": True},
        {"type": "http.request", "body": b"89PAST", "more_body": True},
        {"type": "http.request", "body": b"FAR PAST", "more_body": False},
    ]

    record = delivery.driver(app, b"0123456789", events).run().checked()

    assert app.error is None
    assert app.result == [b"012345", b"6789", b""]
    assert len(record.receive.calls) == 2


@pytest.mark.requirement("W-077")
@on_each_without_length
def test_without_an_announced_length_the_body_ends_where_the_server_says(delivery):
    app = Reader(lambda stream: stream.read())

    delivery.driver(app, [b"first", b"second", b"third"]).run().checked()

    assert app.error is None
    assert app.result == b"firstsecondthird"
    assert "CONTENT_LENGTH" not in app.environ


@pytest.mark.requirement("W-077")
@pytest.mark.parametrize("delivery", [HTTP2], ids=lambda delivery: delivery.name)
@pytest.mark.parametrize(("body", "expected"), [(b"four", "4"), (b"", None)], ids=["body", "empty"])
def test_the_length_of_a_received_body_is_set_where_that_is_wanted(delivery, body, expected):
    app = Reader()

    fetch(delivery.host(app, set_content_length=True), delivery.scope(0), body_events(body))

    assert app.environ.get("CONTENT_LENGTH") == expected


@pytest.mark.requirement("W-083")
@on_each_delivery
def test_the_stream_works_below_the_standard_librarys_wrappers(delivery):
    text = "Zoë\nläßt grüßen\n€"

    def read(stream):
        assert stream.readable()
        assert not stream.seekable()
        assert not hasattr(stream, "seek")
        return io.TextIOWrapper(io.BufferedReader(stream), "utf-8").readlines()

    result, _ = read_through(delivery, read, text.encode())

    assert result == text.splitlines(keepends=True)


@pytest.mark.requirement("W-083")
@on_each_delivery
def test_a_text_wrapper_works_on_the_stream_itself(delivery):
    result, _ = read_through(delivery, lambda stream: io.TextIOWrapper(stream, "utf-8").read(), "Zoë €".encode())

    assert result == "Zoë €"


@pytest.mark.requirement("W-081")
@on_each_delivery
def test_two_threads_of_the_application_get_disjoint_octets_that_sum_to_the_body(delivery):
    counters = [number.to_bytes(4, "big") for number in range(2000)]
    body = b"".join(counters)

    def read_all(stream):
        return list(iter(lambda: stream.read(4), b""))

    def read(stream):
        together = threading.Barrier(2)
        helpers = [Helper(lambda: (together.wait(20), read_all(stream))[1], "reader") for _ in range(2)]
        return [helper.join() for helper in helpers]

    result, _ = read_through(delivery, read, [body[at : at + 333] for at in range(0, len(body), 333)])

    assert sorted(result[0] + result[1]) == counters


@pytest.mark.requirement("W-081")
@pytest.mark.parametrize("delivery", [MEMORY, SPOOL, STREAM, EXPECT, UNFRAMED], ids=lambda delivery: delivery.name)
def test_closing_the_stream_breaks_neither_this_request_nor_the_next(delivery):
    app = Reader(lambda stream: (stream.read(2), stream.close(), stream.close())[0])
    adapter = delivery.host(app)

    for _ in range(2):
        fetch(adapter, delivery.scope(10), body_events(b"0123456789"))
        assert app.error is None
        assert app.result == b"01"
