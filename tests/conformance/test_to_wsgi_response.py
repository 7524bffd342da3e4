"""How an ASGI response reaches the WSGI server: when it starts, its headers, its blocks, and when it ends."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, ClientDisconnected, Limits
from tests.conformance.driver import logged
from tests.gateway import QUICK, Gateway, answering, environ_for, hosted, run
from tests.meeting import TIMEOUT_S, Flag, Helper, Hold, until

on_each_loop = pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])
on_each_bodiless = pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 205), ("GET", 304)]
)

PATIENT = Limits(shutdown_s=2.0, cancel_s=1.0, response_wait_s=0.2)
"""Limits under which an application may go on for a fifth of a second after nobody listens."""


def start(status: Any = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(octets: Any = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


def streaming(*blocks: bytes) -> Any:
    """Return an application that sends these blocks, and then the end as an empty one."""

    async def app(scope, receive, send):
        await send(start())
        for block in blocks:
            await send(body(block, more=True))
        await send(body())

    return app


# ---- The start --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-071", "A-081")
@on_each_loop
def test_an_error_after_a_bare_start_is_still_an_error_before_start_response(event_loop):
    async def app(scope, receive, send):
        await send(start())
        raise LookupError("after the start")

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter)
        with pytest.raises(LookupError, match="after the start"):
            gateway.call()

    assert gateway.starts == []


@pytest.mark.requirement("A-071", "A-003")
@on_each_loop
@pytest.mark.parametrize("first", [body(b"x"), body(b"x", more=True), body(b"", more=True), body()])
def test_the_server_hears_of_the_start_with_the_first_body_message(first, event_loop):
    hold = Hold("between start and body")

    async def app(scope, receive, send):
        await send(start(201))
        await hold.stop_here_on_loop()
        await send(first)
        if first["more_body"]:
            await send(body())

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter)
        request = Helper(gateway.run)
        hold.reached.wait()
        assert gateway.starts == []
        assert not request.is_done
        hold.release()
        request.join()

    assert gateway.status == "201 Created"


@pytest.mark.requirement("A-072")
@pytest.mark.parametrize(
    ("status", "line"),
    [
        pytest.param(200, "200 OK", id="registered"),
        pytest.param(418, "418 I'm a Teapot", id="registered as a joke"),
        pytest.param(299, "299 .+", id="no reason is registered, success"),
        pytest.param(399, "399 .+", id="no reason is registered, redirection"),
        pytest.param(499, "499 .+", id="no reason is registered, client"),
        pytest.param(599, "599 .+", id="no reason is registered, server"),
        pytest.param(999, "999 .+", id="no such class"),
    ],
)
def test_the_status_line_has_a_reason(status, line):
    with hosted(answering(status=status)) as adapter:
        assert re.fullmatch(line, run(adapter).status)


@pytest.mark.requirement("A-073", "A-074")
@on_each_loop
@pytest.mark.parametrize("blocks", [(), (b"one",), (b"one", b"two")])
def test_the_fields_are_those_of_the_application_in_its_order_and_no_other(blocks, event_loop):
    headers = (
        (b"set-cookie", b"b=2"),
        (b"x-octets", b"\xe9\xff"),
        (b"set-cookie", b"a=1"),
        (b"x-a", b""),
        (b"set-cookie", b"b=2"),
    )

    async def app(scope, receive, send):
        await send(start(200, *headers))
        for block in blocks:
            await send(body(block, more=True))
        await send(body(b"end"))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter)

    assert gateway.headers == [(name.decode(), value.decode("latin-1")) for name, value in headers]


# ---- Responses without content ------------------------------------------------------------------------------------


@pytest.mark.requirement("A-075", "A-076")
@on_each_loop
@on_each_bodiless
@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"bc"], [b"a", b"", b"bc", b""]], ids=["1", "2", "4"])
def test_content_is_swallowed_where_none_may_be(pieces, method, status, event_loop, caplog):
    has_ended = Flag("the application has sent all")

    async def app(scope, receive, send):
        await send(start(status, (b"x-a", b"1")))
        for number, piece in enumerate(pieces, start=1):
            await send(body(piece, more=number < len(pieces)))
        has_ended.set()

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter, environ_for(method))
        has_ended.wait()

    assert gateway.headers == [("x-a", "1")]
    assert gateway.body == b""
    assert logged(caplog, logging.WARNING) + logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("A-075", "A-076")
@pytest.mark.parametrize(
    ("method", "status", "is_kept"),
    [("HEAD", 200, True), ("GET", 304, True), ("GET", 204, False), ("HEAD", 204, False)],
)
def test_the_content_length_stays_but_for_204(method, status, is_kept):
    async def app(scope, receive, send):
        await send(start(status, (b"Content-Length", b"3"), (b"x-a", b"1")))
        await send(body(b"abc"))

    with hosted(app, lifespan="off") as adapter:
        headers = run(adapter, environ_for(method)).headers

    assert headers == [*([("Content-Length", "3")] if is_kept else []), ("x-a", "1")]


@pytest.mark.requirement("A-075", "A-094")
@on_each_loop
def test_an_endless_stream_under_head_is_answered_at_once_and_ends_within_its_limit(event_loop, caplog):
    outcomes: list[BaseException] = []

    async def app(scope, receive, send):
        await send(start())
        try:
            while True:
                await send(body(b"tick", more=True))
        except OSError as error:
            outcomes.append(error)
            raise

    with hosted(app, lifespan="off", event_loop=event_loop, limits=PATIENT) as adapter:
        gateway = run(adapter, environ_for("HEAD"))
        until(lambda: outcomes, "the end of the stream")
        until(lambda: adapter.statistics().background == 0, "the end of the application")
        failed = adapter.statistics().failed_in_background

    assert (gateway.status, gateway.body) == ("200 OK", b"")
    assert [type(outcome) for outcome in outcomes] == [ClientDisconnected]
    assert failed == 0
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("A-053", "A-075", "A-076")
@on_each_loop
@on_each_bodiless
@pytest.mark.parametrize("request_body", [None, b"unread"], ids=["no request body", "a request body"])
def test_whoever_listens_after_a_response_without_content_is_told_within_the_limit(
    request_body, method, status, event_loop
):
    has_begun = Flag("the response was handed over")
    heard: list[str] = []

    async def app(scope, receive, send):
        if request_body is None:
            await receive()  # the empty body
        await send(start(status))
        await send(body(b"", more=True))
        await has_begun.wait_on_loop()
        with anyio.move_on_after(TIMEOUT_S):
            heard.append((await receive())["type"])
        with suppress(ClientDisconnected):
            await send(body())

    with hosted(app, lifespan="off", event_loop=event_loop, limits=PATIENT) as adapter:
        run(adapter, environ_for(method, body=request_body))
        has_begun.set()
        until(lambda: adapter.statistics().background == 0, "the end of the application")

    assert heard == ["http.disconnect"]


@pytest.mark.requirement("A-075", "A-085", "A-086")
@on_each_loop
@on_each_bodiless
def test_an_error_after_a_response_without_content_was_handed_over_is_logged(method, status, event_loop, caplog):
    hold = Hold("after the first body message")

    async def app(scope, receive, send):
        await send(start(status))
        await send(body(b"", more=True))
        await hold.stop_here_on_loop()
        raise LookupError("nobody would know")

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter, environ_for(method))
        hold.release()
        until(lambda: adapter.statistics().background == 0, "the end of the application")
        failed = adapter.statistics().failed_in_background

    assert gateway.body == b""
    (record,) = logged(caplog, logging.ERROR)
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "nobody would know"
    assert failed == 1


# ---- Blocks -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-077")
@on_each_loop
def test_an_event_is_with_the_client_before_the_next_one_exists(event_loop):
    may_make_next = [Flag(f"event {number} was read") for number in range(3)]
    made = 0

    async def app(scope, receive, send):
        nonlocal made
        await send(start(200, (b"content-type", b"text/event-stream")))
        for number, flag in enumerate(may_make_next):
            made += 1
            await send(body(b"data: %d\n\n" % number, more=True))
            await flag.wait_on_loop()
        await send(body())

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        first = gateway.step()
        steps = []
        for number in range(2):
            assert made == number + 1
            # The step asks for the next event, which is made only after this one was read.
            step = Helper(gateway.step)
            may_make_next[number].set()
            steps.append(step.join())
        may_make_next[2].set()
        assert gateway.step() is None
        gateway.close()

    assert [first, *steps] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


@pytest.mark.requirement("A-077", "A-078")
@on_each_loop
@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"a", b"b", b"c"], [b"a", b"b", b"c"], id="none is merged"),
        pytest.param([b"", b"a"], [b"", b"a"], id="empty first: flushes the headers"),
        pytest.param([b"a", b"", b"b"], [b"a", b"", b"b"], id="empty in between"),
        pytest.param([b"a", b""], [b"a"], id="empty at the end adds nothing"),
        pytest.param([b"", b""], [b""], id="empty twice"),
        pytest.param([b"", b"", b""], [b"", b""], id="empty thrice"),
    ],
)
def test_each_body_message_is_a_block_of_its_own(pieces, expected, event_loop):
    async def app(scope, receive, send):
        await send(start())
        for number, piece in enumerate(pieces, start=1):
            await send(body(piece, more=number < len(pieces)))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        assert run(adapter).blocks == expected


@pytest.mark.requirement("A-079")
@on_each_loop
@pytest.mark.parametrize("pieces", [[b"all"], [b"a", b"ll"], [b"all", b""]])
def test_the_blocks_end_with_the_response_while_the_application_goes_on(pieces, event_loop):
    hold = Hold("work after the response")

    async def app(scope, receive, send):
        await send(start())
        for number, piece in enumerate(pieces, start=1):
            await send(body(piece, more=number < len(pieces)))
        await hold.stop_here_on_loop()

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter)
        hold.reached.wait()
        during = adapter.statistics()
        hold.release()
        until(lambda: adapter.statistics().background == 0, "the end of the application")

    assert gateway.body == b"all"
    assert (during.requests, during.background) == (0, 1)


@pytest.mark.requirement("A-080", "A-006")
@on_each_loop
@pytest.mark.parametrize("octets", [b"", b"x", bytes(300_000)], ids=["empty", "short", "long"])
def test_a_response_in_one_piece_is_a_list_of_one_item(octets, event_loop):
    with hosted(answering(octets), event_loop=event_loop) as adapter:
        result = run(adapter).result

    assert isinstance(result, list)
    assert result == [octets]


@pytest.mark.requirement("A-080", "A-006")
@on_each_loop
@pytest.mark.parametrize("blocks", [(b"",), (b"one",), (b"one", b"two")])
def test_a_stream_has_no_length_that_a_server_could_take_for_that_of_the_content(blocks, event_loop):
    with hosted(streaming(*blocks), lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        with pytest.raises(TypeError):
            len(gateway.result)
        gateway.drain()
        gateway.close()

    assert gateway.blocks == list(blocks)


@pytest.mark.requirement("A-079", "A-080")
def test_a_response_that_is_over_stays_over():
    with hosted(streaming(b"one"), lifespan="off", limits=QUICK) as adapter:
        gateway = Gateway(adapter).call()

        assert [gateway.step() for _ in range(4)] == [b"one", None, None, None]
        gateway.close()
        assert gateway.step() is None


@pytest.mark.requirement("A-083")
@on_each_loop
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_bare_start_is_no_response_even_where_no_content_may_be(method, event_loop):
    async def app(scope, receive, send):
        await send(start(204))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        with pytest.raises(ApplicationError, match=r"after http\.response\.start"):
            run(adapter, environ_for(method))
