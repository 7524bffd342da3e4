"""What an ASGI application may send, through a live adapter: order, types, defaults, concurrency, backpressure.

The tables of single fields are in `tests/translate`; here each rule is seen from both ends, as an error out of ``send``
in the application and as what the WSGI server gets.
"""

from __future__ import annotations

import array
import copy
import enum
import logging
import threading
import tracemalloc
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import ApplicationError, ASGIToWSGI
from tests.conformance.driver import logged
from tests.gateway import Gateway, environ_for, hosted, run
from tests.meeting import TIMEOUT_S, Flag, post_here

on_each_loop = pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])

BODY_TYPE = "http.response.body"
START_TYPE = "http.response.start"


def start(status: Any = 200, headers: Any = (), **more: Any) -> dict[str, Any]:
    return {"type": START_TYPE, "status": status, "headers": headers, **more}


def body(octets: Any = b"", more: bool = False) -> dict[str, Any]:
    return {"type": BODY_TYPE, "body": octets, "more_body": more}


def serve(app: Any, method: str = "GET", **options: Any) -> Gateway:
    """Make one request of an application without a lifespan."""
    with hosted(app, lifespan="off", **options) as adapter:
        return run(adapter, environ_for(method))


def refusal_of(wrong: Any, *before: dict[str, Any]) -> ApplicationError:
    """Send what is wrong after what is right, return the error; the response can be finished as if nothing had been."""
    errors: list[ApplicationError] = []

    async def app(scope, receive, send):
        for message in before:
            await send(message)
        with pytest.raises(ApplicationError) as caught:
            await send(wrong)
        errors.append(caught.value)
        if not before:
            await send(start(201))
        await send(body(b"fine"))

    gateway = serve(app)

    assert gateway.status == ("200 OK" if before else "201 Created")
    assert gateway.body.endswith(b"fine")
    return errors[0]


# ---- Order and types --------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-058")
@pytest.mark.parametrize(
    ("before", "wrong", "expected"),
    [
        pytest.param([], body(), START_TYPE, id="a body first"),
        pytest.param([start()], start(), BODY_TYPE, id="a second start"),
        pytest.param([start(), body(b"a", more=True)], start(), BODY_TYPE, id="a start in the content"),
        pytest.param([], {"type": "http.response.bogus"}, START_TYPE, id="unknown"),
        pytest.param([start()], {"type": "http.response.bogus"}, BODY_TYPE, id="unknown after the start"),
        pytest.param([], {"type": "http.request"}, START_TYPE, id="an event of the other side"),
        pytest.param([], {"type": "websocket.accept"}, START_TYPE, id="another protocol"),
        pytest.param([], {"type": "http.response.push", "path": "/"}, START_TYPE, id="push"),
        pytest.param([], {"type": "http.response.debug", "info": {}}, START_TYPE, id="debug"),
        pytest.param([start()], {"type": "http.response.trailers"}, BODY_TYPE, id="trailers not announced"),
        pytest.param([start()], {"type": "http.response.pathsend", "path": "/x"}, BODY_TYPE, id="pathsend not offered"),
        pytest.param([], {"type": "http.response.early_hint", "links": []}, START_TYPE, id="hint not offered"),
        pytest.param([start()], {"type": "http.response.zerocopysend", "file": 0}, BODY_TYPE, id="zerocopysend"),
    ],
)
def test_a_message_that_may_not_come_now_raises_and_names_both_types(before, wrong, expected):
    error = refusal_of(wrong, *before)

    assert repr(wrong["type"]) in str(error)
    assert repr(expected) in str(error)


@pytest.mark.requirement("A-059")
@pytest.mark.parametrize(
    ("before", "wrong", "named"),
    [
        pytest.param([], {}, "type", id="no type"),
        pytest.param([], None, "type", id="no message"),
        pytest.param([], [START_TYPE], "type", id="a list"),
        pytest.param([], {"type": 5}, "int", id="type of int"),
        pytest.param([], {"type": [START_TYPE]}, "list", id="type that cannot be hashed"),
        pytest.param([], {"type": START_TYPE}, "status", id="no status"),
        pytest.param([], start("200"), "str", id="status of str"),
        pytest.param([], start(200.0), "float", id="status of float"),
        pytest.param([], start(None), "NoneType", id="status None"),
        pytest.param([], start(headers=5), "int", id="headers of int"),
        pytest.param([], start(headers=None), "NoneType", id="headers None"),
        pytest.param([], start(headers=[("x-a", b"1")]), "'x-a'", id="name of str"),
        pytest.param([], start(headers=[(b"x-a", "1")]), "b'x-a'", id="value of str"),
        pytest.param([], start(headers=[(b"x-a", None)]), "b'x-a'", id="value None"),
        pytest.param([], start(headers=[(b"x-a",)]), "pair", id="a single"),
        pytest.param([], start(headers=[(b"x-a", b"1", b"2")]), "pair", id="a triple"),
        pytest.param([], start(headers=[b"xa"]), "pair", id="two octets are no pair"),
        pytest.param([], start(headers=["xa"]), "pair", id="two characters are no pair"),
        pytest.param([], start(headers={b"x-a": b"1"}), "pair", id="a mapping"),
        pytest.param([start()], body("text"), "str", id="body of str"),
        pytest.param([start()], body(None), "NoneType", id="body None"),
        pytest.param([start()], body(7), "int", id="body of int"),
        pytest.param([start()], body([b"a"]), "list", id="body of list"),
    ],
)
def test_a_message_of_a_wrong_shape_raises_a_clear_error(before, wrong, named):
    error = refusal_of(wrong, *before)

    assert isinstance(error, TypeError | ValueError)
    assert named in str(error)


class Teapot(enum.IntEnum):
    SHORT = 418


@pytest.mark.requirement("A-061")
@pytest.mark.parametrize(
    ("status", "line"),
    [
        pytest.param(200, "200 ", id="lowest"),
        pytest.param(999, "999 ", id="highest"),
        pytest.param(HTTPStatus.OK, "200 OK", id="HTTPStatus"),
        pytest.param(Teapot.SHORT, "418 ", id="another IntEnum"),
    ],
)
def test_a_final_status_is_passed_on(status, line):
    async def app(scope, receive, send):
        await send(start(status))
        await send(body(b"x"))

    assert serve(app).status.startswith(line)


@pytest.mark.requirement("A-061")
@pytest.mark.parametrize("status", [True, False, 0, -200, 99, 100, 103, 199, 1000])
def test_a_status_that_is_not_final_is_refused(status):
    error = refusal_of(start(status))

    assert isinstance(error, TypeError if isinstance(status, bool) else ValueError)


@pytest.mark.requirement("A-059", "A-060")
@on_each_loop
def test_minimal_messages_make_an_empty_response(event_loop):
    async def app(scope, receive, send):
        await send({"type": START_TYPE, "status": 200, "extra": object()})
        await send({"type": BODY_TYPE, "extra": object()})

    gateway = serve(app, event_loop=event_loop)

    assert (gateway.status, gateway.headers, gateway.body) == ("200 OK", [], b"")


class CountedPairs:
    """An iterable of iterables that counts how often it is read."""

    def __init__(self) -> None:
        self.readings = 0

    def __iter__(self) -> Iterator[Any]:
        self.readings += 1
        yield [b"x-a", b"1"]
        yield (item for item in (b"x-b", b"2"))
        yield {b"x-c": 0, b"3": 0}.keys()


@pytest.mark.requirement("A-060")
def test_headers_may_be_any_iterable_of_pairs_and_are_read_once():
    pairs = CountedPairs()

    async def app(scope, receive, send):
        await send(start(headers=pairs))
        await send(body(b"x"))

    assert serve(app).headers == [("x-a", "1"), ("x-b", "2"), ("x-c", "3")]
    assert pairs.readings == 1


@pytest.mark.requirement("A-062")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(b"x-a", b"1\r\nx-b: 2", id="CR LF in a value"),
        pytest.param(b"x-a", b"1\nx-b: 2", id="LF in a value"),
        pytest.param(b"x-a", b"1\rx-b: 2", id="CR in a value"),
        pytest.param(b"x-a", b"1\n", id="LF at the end"),
        pytest.param(b"x-a", b"a\x00b", id="NUL in a value"),
        pytest.param(b"x-a\r\nx-b", b"1", id="CR LF in a name"),
        pytest.param(b"x-a\n", b"1", id="LF after a name"),
        pytest.param(b"x a", b"1", id="space in a name"),
        pytest.param(b"x-a:", b"1", id="colon in a name"),
        pytest.param(b":status", b"200", id="pseudo field"),
        pytest.param(b"", b"1", id="empty name"),
        pytest.param(b"x-\xe9", b"1", id="name beyond ASCII"),
        pytest.param(b"content-type", b"text/html\r\nx-b: 2", id="known name"),
    ],
)
def test_a_header_that_could_split_the_response_is_refused(name, value):
    assert isinstance(refusal_of(start(headers=[(b"x-fine", b"1"), (name, value)])), ValueError)


@pytest.mark.requirement("A-062", "A-063")
def test_names_are_passed_on_as_given_and_values_without_outer_space():
    async def app(scope, receive, send):
        await send(start(headers=[(b"X-A", b" \tinner space \t"), (b"ETag", b""), (b"Content-TYPE", b"a")]))
        await send(body(b"x"))

    assert serve(app).headers == [("X-A", "inner space"), ("ETag", ""), ("Content-TYPE", "a")]


@pytest.mark.requirement("A-063")
def test_the_messages_of_the_application_are_neither_kept_nor_changed():
    async def app(scope, receive, send):
        message = start(headers=[[b"Connection", b"close"], [b"x-a", b" 1 "]])
        snapshot = copy.deepcopy(message)
        await send(message)
        assert message == snapshot
        message["headers"][1][1] = b"changed"
        message["headers"].append((b"x-b", b"2"))
        message["status"] = 500
        await send(body(b"x"))  # only now does the server hear of the status

    gateway = serve(app)

    assert (gateway.status, gateway.headers) == ("200 OK", [("x-a", "1")])


@pytest.mark.requirement("A-064")
@on_each_loop
@pytest.mark.parametrize("view", [pytest.param(lambda buffer: buffer, id="bytearray"), memoryview])
def test_a_buffer_may_be_used_again_after_send(view, event_loop):
    async def app(scope, receive, send):
        await send(start())
        buffer = bytearray(b"one")
        await send(body(view(buffer), more=True))
        buffer[:] = b"two"
        await send(body(view(buffer)))
        buffer[:] = b"bad"

    assert serve(app, event_loop=event_loop).blocks == [b"one", b"two"]


@pytest.mark.requirement("A-064")
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(memoryview(b"abcdef")[::2], b"ace", id="with gaps"),
        pytest.param(memoryview(array.array("H", [0x4141, 0x4242])), b"AABB", id="of two-octet items"),
        pytest.param(type("Octets", (bytes,), {})(b"sub"), b"sub", id="a subclass of bytes"),
    ],
)
def test_unusual_buffers_are_sent_as_their_octets(octets, expected):
    async def app(scope, receive, send):
        await send(start())
        await send(body(octets))

    assert serve(app).blocks == [expected]


@pytest.mark.requirement("A-065")
@pytest.mark.parametrize(
    "name",
    b"transfer-encoding Transfer-Encoding connection keep-alive proxy-authenticate proxy-authorization "
    b"proxy-connection te trailer upgrade UPGRADE".split(),
)
def test_fields_of_the_connection_are_left_out_without_a_word(name, caplog):
    async def app(scope, receive, send):
        await send(start(headers=[(b"x-a", b"1"), (name, b"chunked"), (b"x-b", b"2")]))
        await send(body(b"x"))

    gateway = serve(app)

    assert gateway.headers == [("x-a", "1"), ("x-b", "2")]
    assert gateway.body == b"x"
    assert logged(caplog, logging.WARNING) == []


@pytest.mark.requirement("A-066")
@pytest.mark.parametrize(
    "values",
    [[b"+1"], [b"-1"], [b"1.0"], [b"0x1"], [b"1_0"], [b"\xb2"], [b""], [b"1, 1"], [b"1", b"2"], [b"1", b"01"]],
    ids=lambda values: b" and ".join(values).decode("latin-1") or "empty",
)
def test_a_content_length_that_is_no_number_or_not_the_only_one_is_refused(values):
    assert isinstance(refusal_of(start(headers=[(b"content-length", value) for value in values])), ValueError)


@pytest.mark.requirement("A-066")
def test_equal_content_lengths_collapse():
    async def app(scope, receive, send):
        await send(start(headers=[(b"Content-Length", b"3"), (b"x-a", b"1"), (b"content-length", b" 3 ")]))
        await send(body(b"abc"))

    assert serve(app).headers == [("Content-Length", "3"), ("x-a", "1")]


# ---- Content-Length and completion --------------------------------------------------------------------------------


THREE = start(headers=[(b"content-length", b"3")])


@pytest.mark.requirement("A-070")
@on_each_loop
@pytest.mark.parametrize("swallows", [False, True], ids=["the error leaves the app", "the app swallows the error"])
@pytest.mark.parametrize(
    ("pieces", "delivered"),
    [
        pytest.param([b"12345"], [], id="too much at once"),
        pytest.param([b"12"], [], id="too little at once"),
        pytest.param([b""], [], id="nothing"),
        pytest.param([b"1", b"2345"], [b"1"], id="too much in the end"),
        pytest.param([b"1", b"2"], [b"1"], id="too little in the end"),
    ],
)
def test_content_of_another_length_raises_and_the_server_never_sees_a_clean_end(
    pieces, delivered, swallows, event_loop
):
    raised: list[BaseException] = []

    async def app(scope, receive, send):
        await send(THREE)
        for piece in pieces[:-1]:
            await send(body(piece, more=True))
        try:
            await send(body(pieces[-1]))
        except ApplicationError as error:
            raised.append(error)
            if not swallows:
                raise

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter)
        with pytest.raises(ApplicationError) as caught:
            gateway.run()

    assert len(raised) == 1
    assert "3" in str(raised[0])
    assert swallows or caught.value is raised[0]
    assert gateway.blocks == delivered
    assert bool(gateway.starts) == bool(delivered)


@pytest.mark.requirement("A-070", "A-075", "A-076")
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
@pytest.mark.parametrize("octets", [b"", b"12", b"12345"])
def test_a_response_without_content_may_announce_any_length(method, status, octets):
    async def app(scope, receive, send):
        await send({**THREE, "status": status})
        await send(body(octets))

    gateway = serve(app, method)

    assert gateway.headers == [("content-length", "3")]
    assert gateway.body == b""


@pytest.mark.requirement("A-069")
@on_each_loop
@pytest.mark.parametrize("pieces", [[b"all"], [b"a", b"ll"]], ids=["at once", "in pieces"])
def test_messages_after_the_end_are_ignored_with_one_warning(pieces, event_loop, caplog):
    has_sent = Flag("all was sent")

    async def app(scope, receive, send):
        await send(start())
        for number, piece in enumerate(pieces, start=1):
            await send(body(piece, more=number < len(pieces)))
        for surplus in (body(b"surplus"), start(500), body(b"surplus", more=True), {"type": "http.response.bogus"}):
            await send(surplus)
        has_sent.set()

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter)
        has_sent.wait()

    assert gateway.status == "200 OK"
    assert gateway.blocks == pieces
    (warning,) = logged(caplog, logging.WARNING)
    assert BODY_TYPE in warning.getMessage()
    assert logged(caplog, logging.ERROR) == []


# ---- Backpressure and concurrent senders --------------------------------------------------------------------------


def settle(adapter: ASGIToWSGI, post: Any) -> None:
    """Let the loop turn until all that was handed to it has happened; many more turns than any hand-over takes."""
    done = threading.Event()

    def turn(left: int) -> None:
        if left:
            post(lambda: turn(left - 1))
        else:
            done.set()

    post(lambda: turn(40))
    assert done.wait(TIMEOUT_S), f"the loop of {adapter!r} does not turn"


@pytest.mark.requirement("A-067")
@on_each_loop
def test_each_send_returns_exactly_when_the_server_asks_for_the_next_block(event_loop):
    posts: list[Any] = []
    completed = 0

    async def app(scope, receive, send):
        nonlocal completed
        posts.append(post_here())
        await send(start())
        for number in range(5):
            await send(body(b"%d" % number, more=number < 4))
            completed += 1

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        counts = []
        for _ in range(5):
            gateway.step()
            settle(adapter, posts[0])
            counts.append(completed)
        assert gateway.step() is None
        gateway.close()

    # One behind what the server has; the last is done when it is handed over, because nothing will be asked for.
    assert counts == [0, 1, 2, 3, 5]
    assert gateway.blocks == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.requirement("A-067")
@on_each_loop
def test_a_huge_stream_never_holds_more_than_a_few_blocks(event_loop):
    block_bytes, count = 256 * 1024, 200
    furthest_ahead = made = 0

    async def app(scope, receive, send):
        nonlocal made
        await send(start())
        for _ in range(count):
            made += 1
            await send(body(bytes(block_bytes), more=True))
        await send(body())

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        tracemalloc.start()
        try:
            taken = 0
            while gateway.step() is not None:
                taken += 1
                furthest_ahead = max(furthest_ahead, made - taken)
                gateway.blocks.clear()  # the server has sent it
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        gateway.close()

    assert taken == count
    assert furthest_ahead <= 1
    assert peak_bytes < 6 * block_bytes


@pytest.mark.requirement("A-068")
@on_each_loop
def test_blocks_of_concurrent_senders_arrive_whole_once_and_in_each_senders_order(event_loop):
    senders, rounds = 4, 50

    async def app(scope, receive, send):
        async def talk(tag: int) -> None:
            for number in range(rounds):
                await send(body(b"%d:%03d;" % (tag, number), more=True))

        await send(start())
        async with anyio.create_task_group() as group:
            for tag in range(senders):
                group.start_soon(talk, tag)
        await send(body())

    blocks = serve(app, event_loop=event_loop).blocks

    assert len(blocks) == senders * rounds
    for tag in range(senders):
        assert [block for block in blocks if block.startswith(b"%d:" % tag)] == [
            b"%d:%03d;" % (tag, number) for number in range(rounds)
        ]


@pytest.mark.requirement("A-068")
@on_each_loop
def test_a_cancelled_send_delivers_its_block_whole_or_not_at_all(event_loop):
    cancelled: list[bytes] = []
    is_ready = Flag("one send was cancelled while it waited for the server, one while it waited for its turn")

    async def app(scope, receive, send):
        async def say(octets: bytes, scope: anyio.CancelScope) -> None:
            with scope:
                await send(body(octets, more=True))
            if scope.cancelled_caught:
                cancelled.append(octets)

        await send(start())
        handed_over, waiting = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(say, b"handed over;", handed_over)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(say, b"not yet;", waiting)
            await anyio.wait_all_tasks_blocked()
            waiting.cancel()
            handed_over.cancel()
        is_ready.set()
        await send(body(b"then;", more=True))
        await send(body(b"end"))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        is_ready.wait()
        gateway.drain()
        gateway.close()

    assert sorted(cancelled) == [b"handed over;", b"not yet;"]
    assert gateway.blocks == [b"handed over;", b"then;", b"end"]


@pytest.mark.requirement("A-068", "A-069")
@on_each_loop
def test_a_send_that_waits_for_its_turn_while_another_ends_the_response_is_ignored(event_loop, caplog):
    has_ended = Flag("both sends have returned")

    async def app(scope, receive, send):
        await send(start())
        async with anyio.create_task_group() as group:
            group.start_soon(send, body(b"first;", True))
            await anyio.wait_all_tasks_blocked()
            group.start_soon(send, body(b"last"))
            await anyio.wait_all_tasks_blocked()
            group.start_soon(send, body(b"too late", True))
        has_ended.set()

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter)
        has_ended.wait()

    assert gateway.blocks == [b"first;", b"last"]
    assert len(logged(caplog, logging.WARNING)) == 1
