"""The fakes themselves: a rule they do not enforce is a rule no test holds."""

from __future__ import annotations

import threading

import anyio
import pytest

from tests.backends import ASYNCIO
from tests.driving import Driver, drive, fetch
from tests.fakes import DISCONNECT, LEFT_OUT, RecordingSend, ScriptedReceive, Unchecked, body_events, make_scope
from tests.meeting import Hold
from tests.message_rules import ASGIViolationError, ResponseOrder

START = {"type": "http.response.start", "status": 200, "headers": []}
MORE = {"type": "http.response.body", "body": b"a", "more_body": True}
LAST = {"type": "http.response.body", "body": b"b", "more_body": False}
HINT = {"type": "http.response.early_hint", "links": [b"</a>"]}
ANNOUNCED = START | {"trailers": True}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"a", b"b")]}
PATHSEND = {"type": "http.response.pathsend", "path": __file__}
ALL = {"http.response.trailers", "http.response.early_hint", "http.response.pathsend", "http.response.zerocopysend"}


def with_header(name, value):
    return START | {"headers": [(name, value)]}


async def answer(scope, receive, send):
    """The smallest ASGI application: reads the body and echoes it."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    await send(START)
    await send(LAST | {"body": body})


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([START, LAST], id="start-and-end"),
        pytest.param([START, MORE, MORE, LAST], id="stream"),
        pytest.param([START | {"headers": [[b"a", b"b"]]}, {"type": "http.response.body"}], id="lists-and-defaults"),
        pytest.param([HINT, HINT, START, LAST], id="hints-first"),
        pytest.param([ANNOUNCED, LAST, TRAILERS | {"more_trailers": True}, TRAILERS], id="trailers-in-two"),
        pytest.param([START, PATHSEND], id="pathsend"),
        pytest.param([START, {"type": "http.response.zerocopysend", "file": 0}], id="zerocopysend"),
    ],
)
def test_a_legal_response_passes_and_is_over(messages):
    order = ResponseOrder(dict.fromkeys(ALL))

    for message in messages:
        assert not order.is_over
        order.check(message)

    assert order.is_over


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([MORE], id="body-first"),
        pytest.param([START, START], id="start-twice"),
        pytest.param([START, LAST, LAST], id="body-after-the-end"),
        pytest.param([START, LAST, HINT], id="hint-after-the-end"),
        pytest.param([START, HINT], id="hint-after-start"),
        pytest.param([HINT | {"links": []}], id="hint-without-link"),
        pytest.param([HINT | {"links": ["</a>"]}], id="hint-str"),
        pytest.param([START, TRAILERS], id="trailers-not-announced"),
        pytest.param([ANNOUNCED, TRAILERS], id="trailers-before-the-end"),
        pytest.param([ANNOUNCED, LAST, MORE], id="body-instead-of-trailers"),
        pytest.param([ANNOUNCED, LAST, TRAILERS, TRAILERS], id="trailers-after-the-end"),
        pytest.param([PATHSEND], id="pathsend-first"),
        pytest.param([START, MORE, PATHSEND], id="pathsend-after-body"),
        pytest.param([START, PATHSEND, LAST], id="body-after-pathsend"),
        pytest.param([START, PATHSEND | {"path": "conftest.py"}], id="pathsend-relative"),
        pytest.param([START, PATHSEND | {"path": "/no/such/file"}], id="pathsend-no-file"),
        pytest.param([{"type": "http.response.push"}], id="unknown"),
        pytest.param([{"type": "websocket.send"}], id="other-protocol"),
        pytest.param([{}], id="no-type"),
        pytest.param(["http.response.start"], id="no-dict"),
        pytest.param([{"type": "http.response.start", "headers": []}], id="no-status"),
        pytest.param([START | {"status": "200"}], id="status-str"),
        pytest.param([START | {"status": True}], id="status-bool"),
        pytest.param([START | {"status": 103}], id="status-interim"),
        pytest.param([START | {"reason": "OK"}], id="unknown-key"),
        pytest.param([with_header("a", b"b")], id="name-str"),
        pytest.param([with_header(b"a", "b")], id="value-str"),
        pytest.param([with_header(b"A", b"b")], id="name-upper-case"),
        pytest.param([with_header(b":status", b"200")], id="name-pseudo"),
        pytest.param([with_header(b"a", b"b\r\nc: d")], id="value-line-break"),
        pytest.param([with_header(b"a", b" b")], id="value-not-trimmed"),
        pytest.param([START | {"headers": [(b"a", b"b", b"c")]}], id="header-of-three"),
        pytest.param([START, MORE | {"body": bytearray(b"a")}], id="body-bytearray"),
        pytest.param([START, MORE | {"body": "a"}], id="body-str"),
        pytest.param([START, MORE | {"more_body": 1}], id="more-body-int"),
    ],
)
def test_an_illegal_response_is_refused_at_its_last_message(messages):
    order = ResponseOrder(dict.fromkeys(ALL))
    for message in messages[:-1]:
        order.check(message)

    with pytest.raises(ASGIViolationError):
        order.check(messages[-1])


@pytest.mark.parametrize("messages", [[HINT], [ANNOUNCED], [START, PATHSEND]], ids=["hint", "trailers", "pathsend"])
def test_an_extension_that_was_not_offered_is_refused(messages):
    order = ResponseOrder({})
    for message in messages[:-1]:
        order.check(message)

    with pytest.raises(ASGIViolationError, match="not offered"):
        order.check(messages[-1])


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.body"},
        {"type": "websocket.receive"},
        {"type": "http.request", "body": "text"},
        {"type": "http.request", "body": bytearray()},
        {"type": "http.request", "more_body": 1},
        {"type": "http.request", "trailers": []},
        {"type": "http.disconnect", "body": b""},
        {},
    ],
    ids=repr,
)
def test_receive_refuses_to_send_what_asgi_does_not_define(message):
    async def app(scope, receive, send):
        await receive()

    with pytest.raises(ASGIViolationError):
        drive(app, events=[message])


def test_receive_sends_an_unchecked_message_and_raises_an_exception_of_its_script():
    got = []

    async def app(scope, receive, send):
        got.append(await receive())
        await receive()

    record = drive(app, events=[Unchecked({"type": "odd"}), OSError("gone")])

    assert got == [{"type": "odd"}]
    assert isinstance(record.exception, OSError)


def test_a_request_runs_through_and_is_recorded(backend):
    record = fetch(answer, events=body_events(b"ab", b"", b"c"), backend=backend)

    assert (record.status, record.headers, record.body) == (200, [], b"abc")
    assert record.types == ["start", "body"]
    assert [call.message for call in record.receive.calls] == body_events(b"ab", b"", b"c")
    assert {call.thread_id for call in (*record.receive.calls, *record.send.calls)} == {threading.get_ident()}
    assert record.result is None


def test_a_broken_rule_fails_the_run_even_if_the_application_swallows_it(backend):
    async def app(scope, receive, send):
        try:
            await send(LAST)
        except AssertionError:
            pass

    with pytest.raises(ASGIViolationError):
        drive(app, backend=backend)


@pytest.mark.parametrize("side", ["receive", "send"])
def test_two_calls_at_once_are_a_broken_rule(backend, side):
    async def app(scope, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(receive) if side == "receive" else group.start_soon(send, START)
            await anyio.sleep(0)
            await anyio.wait_all_tasks_blocked() if side == "receive" else None
            try:
                await (receive() if side == "receive" else send(START))
            except ASGIViolationError:
                group.cancel_scope.cancel()

    send = RecordingSend()
    send.hold_at(0)

    with pytest.raises(ASGIViolationError, match="while another call was waiting"):
        drive(app, events=[], send=send, backend=backend)


def test_receive_stops_at_a_hold_until_it_is_released(backend):
    hold = Hold()

    with Driver(answer, events=[hold, *body_events(b"x")], backend=backend) as driver:
        hold.reached.wait()
        driver.settle()
        assert driver.receive.is_pending
        assert driver.receive.delivered == []
        hold.release()

    assert driver.record.checked().body == b"x"


def test_send_stops_at_a_hold_and_has_not_taken_the_message(backend):
    send = RecordingSend()
    hold = send.hold_at(1)

    with Driver(answer, send=send, backend=backend) as driver:
        hold.reached.wait()
        assert driver.record.types == ["start"]
        hold.release()

    assert driver.record.types == ["start", "body"]


def test_send_raises_at_the_message_it_was_told(backend):
    send = RecordingSend()
    error = OSError("the client left")
    send.raise_at(1, error)

    record = drive(answer, send=send, backend=backend)

    assert record.exception is error
    assert record.types == ["start"]
    assert not record.is_complete


def test_a_deaf_send_drops_everything_after_the_disconnect(backend):
    async def app(scope, receive, send):
        await send(START)
        assert await receive() == DISCONNECT
        await send(LAST)

    record = drive(app, events=[DISCONNECT], backend=backend, is_deaf_after_disconnect=True)

    assert record.exception is None
    assert record.types == ["start"]
    assert record.send.dropped == [LAST]


def test_after_its_script_receive_waits_for_the_client_to_leave(backend):
    async def app(scope, receive, send):
        await receive()
        await receive()
        await receive()

    with Driver(app, events=body_events(b""), backend=backend) as driver:
        driver.settle()
        assert len(driver.receive.calls) == 2
        driver.disconnect()

    assert driver.receive.delivered == [*body_events(b""), DISCONNECT, DISCONNECT]


def test_a_cancelled_application_is_recorded_as_such(backend):
    async def app(scope, receive, send):
        await anyio.sleep_forever()

    with Driver(app, backend=backend) as driver:
        driver.settle()
        driver.cancel()

    assert driver.record.exception is not None
    assert not isinstance(driver.record.exception, Exception)


def test_what_the_application_raises_is_recorded_and_raised_where_a_whole_answer_is_wanted():
    error = RuntimeError("broken")

    async def app(scope, receive, send):
        raise error

    assert drive(app).exception is error
    with pytest.raises(RuntimeError, match="broken"):
        fetch(app)


def test_an_incomplete_answer_is_not_taken_for_a_whole_one():
    async def app(scope, receive, send):
        await send(START)

    with pytest.raises(AssertionError, match="not complete"):
        fetch(app)


def test_a_request_that_does_not_end_fails_in_bounded_time(backend):
    async def app(scope, receive, send):
        await anyio.sleep_forever()

    with pytest.raises(TimeoutError):
        drive(app, backend=backend, timeout_s=0.05)


def test_an_application_that_leaves_a_task_behind_fails():
    async def app(scope, receive, send):
        import asyncio

        scope["task"] = asyncio.ensure_future(asyncio.sleep(60))
        await answer(scope, receive, send)

    with pytest.raises(AssertionError, match="tasks were left"):
        Driver(app, backend=ASYNCIO).run()


def test_the_server_reads_a_sent_file_at_the_time_of_the_message(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def app(scope, receive, send):
        await send(START)
        with path.open("rb") as file:
            part = {"file": file.fileno(), "offset": 2, "count": 3, "more_body": False}
            await send({"type": "http.response.zerocopysend", **part})

    record = fetch(app, make_scope(extensions={"http.response.zerocopysend": {}}))

    assert record.body == b"234"


def test_a_scope_has_what_is_asked_for():
    scope = make_scope(path="/é", client=LEFT_OUT, http_version="2")

    assert scope["raw_path"] == "/é".encode()
    assert "client" not in scope
    assert scope["http_version"] == "2"


def test_a_scripts_messages_are_made_when_they_are_asked_for():
    made = []

    def script():
        for number in range(3):
            made.append(number)
            yield body_events(b"x")[0]

    async def app(scope, receive, send):
        assert made == []
        await receive()
        assert made == [0]

    receive = ScriptedReceive(script())
    ASYNCIO.run(app, {}, receive, None)

    assert len(receive.delivered) == 1
