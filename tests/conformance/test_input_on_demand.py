"""When ``receive`` is called, and that nobody waits in ``wsgi.input`` for ever (W-075, W-079, W-080, W-082)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import Limits, WSGIToASGI
from bridge.errors import ClientDisconnected, RequestCancelled
from tests.backends import Backend
from tests.conformance.deliveries import (
    CHUNKED_STREAM,
    DELIVERIES,
    EXPECT,
    EXPECT_CHUNKED,
    STREAM,
    UNFRAMED,
    Reader,
    on_each_delivery,
    on_each_fetched_while_read,
)
from tests.driving import Driver, fetch
from tests.fakes import RecordingSend, ScriptedReceive, body_events, make_scope
from tests.meeting import TIMEOUT_S, Helper, Hold, until

PIECE = b"x" * 65536

on_each_that_is_not_asked_first = pytest.mark.parametrize(
    "delivery", [STREAM, EXPECT, EXPECT_CHUNKED, UNFRAMED], ids=lambda delivery: delivery.name
)


@pytest.mark.requirement("W-075", "W-082")
@on_each_that_is_not_asked_first
def test_a_body_nobody_reads_is_not_asked_for(delivery, backend):
    app = Reader(lambda stream: None)

    record = delivery.driver(app, b"0123456789", backend=backend).run().checked()

    assert record.receive.calls == []


@pytest.mark.requirement("W-075", "W-141")
@pytest.mark.parametrize("delivery", [EXPECT, EXPECT_CHUNKED], ids=lambda delivery: delivery.name)
def test_the_client_is_not_told_to_continue_before_the_response_has_begun(delivery, backend):
    """A streaming response is watched for the disconnect, by ``receive``; with Expect not before its start is out."""

    def app(environ, start_response):
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        yield b"a"
        hold.stop_here()
        yield b"b"

    hold = Hold()
    send = RecordingSend()
    start = send.hold_at(0)
    with delivery.driver(app, b"0123456789", send=send, backend=backend) as driver:
        start.reached.wait()
        hold.reached.wait()
        driver.settle()
        assert driver.receive.calls == []
        start.release()
        hold.release()

    record = driver.record.checked()
    assert (record.status, record.body) == (403, b"ab")
    assert all(call.began_s >= send.calls[0].ended_s for call in record.receive.calls)


@pytest.mark.requirement("W-075")
@on_each_fetched_while_read
def test_at_most_one_piece_is_fetched_ahead_of_need(delivery, backend):
    """A large upload read in steps: the adapter holds a piece or two of it, however large it is."""
    count = 256
    ahead: list[int] = []
    held: list[int] = []

    def pieces() -> Iterator[dict[str, Any]]:
        for number in range(count):
            yield {"type": "http.request", "body": PIECE, "more_body": number < count - 1}

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        read = 0
        while block := stream.read(len(PIECE)):
            assert block == PIECE
            read += 1
            ahead.append(len(driver.receive.delivered) - read)
            held.append(adapter.statistics().bytes_held)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % read]

    adapter = delivery.host(app)
    driver = Driver(adapter, delivery.scope(count * len(PIECE)), pieces(), backend=backend)
    record = driver.run().checked()

    assert record.body == b"%d" % count
    assert max(ahead) <= 1
    assert max(held) <= 2 * len(PIECE)


@pytest.mark.requirement("W-075", "W-141")
@pytest.mark.parametrize("delivery", [STREAM, CHUNKED_STREAM, UNFRAMED], ids=lambda delivery: delivery.name)
def test_watching_for_the_disconnect_of_a_streamed_response_fetches_no_further_ahead(delivery, backend):
    ahead: list[int] = []
    body: list[bytes] = []

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"begun"
        driver.settle()
        for number in range(1, 11):
            body.append(environ["wsgi.input"].read(10))
            driver.settle()
            ahead.append(len(driver.receive.delivered) - number)
        yield b"done"

    pieces = [bytes([65 + number]) * 10 for number in range(10)]
    driver = delivery.driver(app, pieces, backend=backend)
    with driver:
        pass

    assert driver.record.checked().body == b"begundone"
    assert body == pieces
    assert max(ahead) <= 1


@pytest.mark.requirement("W-141")
@on_each_fetched_while_read
def test_a_watched_request_gets_every_octet_of_its_body(delivery, backend, maybe_lint):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"begun "
        while block := environ["wsgi.input"].read(7):
            yield block

    pieces = [b"%04d" % number for number in range(100)]

    record = delivery.driver(maybe_lint(app), pieces, backend=backend).run().checked()

    assert record.body == b"begun " + b"".join(pieces)


# ---- A blocked read is woken ------------------------------------------------------------------------------------


class BlockedReader(Reader):
    """Reads until it must wait; what ends the wait is kept."""

    def __init__(self) -> None:
        super().__init__(self._read_on)
        self.pieces: list[bytes] = []
        self.is_waiting = threading.Event()

    def _read_on(self, stream: Any) -> None:
        self.pieces.append(stream.read(5))
        self.is_waiting.set()
        self.pieces.append(stream.read(5))


def blocked(delivery: Any, backend: Backend) -> tuple[Driver, BlockedReader]:
    app = BlockedReader()
    events = body_events(b"01234", is_complete=False)  # then nothing more comes
    return delivery.driver(app, b"0123456789", events, backend=backend), app


def wait_until_blocked(driver: Driver, app: BlockedReader) -> None:
    assert app.is_waiting.wait(TIMEOUT_S)
    until(lambda: len(driver.receive.calls) == 2 and driver.receive.is_pending, "the next piece is asked for")
    driver.settle()


@pytest.mark.requirement("W-079")
@on_each_fetched_while_read
def test_a_blocked_read_is_woken_when_the_client_leaves(delivery, backend):
    driver, app = blocked(delivery, backend)
    with driver:
        wait_until_blocked(driver, app)
        driver.disconnect()

    assert app.pieces == [b"01234"]
    assert isinstance(app.error, ClientDisconnected)
    assert driver.record.exception is None


@pytest.mark.requirement("W-079")
@on_each_fetched_while_read
def test_a_blocked_read_is_woken_when_the_task_is_cancelled(delivery, backend):
    driver, app = blocked(delivery, backend)
    with driver:
        wait_until_blocked(driver, app)
        driver.cancel()

    assert app.pieces == [b"01234"]
    assert isinstance(app.error, RequestCancelled)
    assert driver.record.exception is not None
    assert not isinstance(driver.record.exception, Exception)  # the cancellation goes on its way


@pytest.mark.requirement("W-079")
@on_each_fetched_while_read
def test_a_blocked_read_is_woken_when_the_loop_stops(delivery):
    app = BlockedReader()
    receive = ScriptedReceive(body_events(b"01234", is_complete=False))
    adapter = delivery.host(app)
    loop = asyncio.new_event_loop()
    task = loop.create_task(adapter(delivery.scope(10), receive, RecordingSend()))

    async def until_blocked() -> None:
        while not (app.is_waiting.is_set() and len(receive.calls) == 2):
            await asyncio.sleep(0.001)

    loop.run_until_complete(asyncio.wait_for(until_blocked(), TIMEOUT_S))
    until(lambda: app.error is not None, "the read was woken although no loop runs")
    loop.run_until_complete(asyncio.wait_for(task, TIMEOUT_S))  # it goes on: the request ends in an orderly way
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()

    assert isinstance(app.error, RequestCancelled)
    assert app.pieces == [b"01234"]


@pytest.mark.requirement("W-079")
@on_each_fetched_while_read
def test_a_blocked_read_gives_up_when_no_octet_comes_for_too_long(delivery):
    app = BlockedReader()
    limits = Limits(body_wait_s=0.1, body_memory_bytes=4, worker_idle_s=0.05)
    events = body_events(b"01234", is_complete=False)

    record = fetch(delivery.host(app, limits=limits), delivery.scope(10), events)

    assert isinstance(app.error, TimeoutError)
    assert isinstance(app.error, OSError)
    assert app.pieces == [b"01234"]
    assert record.body == b"ok"


# ---- After the request ------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-080")
@on_each_delivery
def test_a_read_after_the_request_never_hangs(delivery, backend):
    kept: list[Any] = []
    app = Reader(kept.append)
    delivery.driver(app, b"0123456789", backend=backend).run().checked()
    (stream,) = kept

    def read_late() -> object:
        try:
            return stream.read()
        except (OSError, ValueError):
            return b""

    # A body that was received whole may still be there; what was never received is not made up.
    assert Helper(read_late).join(TIMEOUT_S) in (b"", b"0123456789")


@pytest.mark.requirement("W-080")
@on_each_fetched_while_read
def test_a_read_that_waits_when_the_request_ends_is_woken(delivery, backend):
    reading: list[Helper] = []
    late = threading.Event()

    def read(stream):
        def read_on() -> bytes:
            stream.read(5)
            late.set()
            return stream.read(5)

        reading.append(Helper(read_on, "late reader"))
        assert late.wait(TIMEOUT_S)

    events = body_events(b"01234", is_complete=False)
    delivery.driver(Reader(read), b"0123456789", events, backend=backend).run().checked()

    with pytest.raises((OSError, ValueError)):
        reading[0].join(TIMEOUT_S)


@pytest.mark.requirement("W-082")
@pytest.mark.parametrize("delivery", DELIVERIES, ids=lambda delivery: delivery.name)
def test_an_unread_body_leaves_no_call_of_receive_behind(delivery, backend):
    """The driver fails if a call is pending at the end, the loop if a task is."""
    app = Reader(lambda stream: None)
    pieces = [b"01234", b"56789"]

    record = delivery.driver(app, pieces, backend=backend).run().checked()

    assert len(record.receive.calls) <= len(pieces)


@pytest.mark.requirement("W-082")
def test_a_request_that_certainly_has_no_body_is_not_asked_for_one(backend, maybe_lint):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read(1)]

    scope = make_scope(method="POST", headers=[(b"content-length", b"0")])

    record = fetch(WSGIToASGI(maybe_lint(app), limits=Limits(worker_idle_s=0.05)), scope, [], backend=backend)

    assert record.body == b""
    assert record.receive.calls == []
