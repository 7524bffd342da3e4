"""Bodies that are cut, late or too large: never taken for whole ones, and answered where the adapter answers
(W-078, 408, 413).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from bridge import BodyTooLarge, ClientDisconnected, Limits, WSGIToASGI
from bridge._wsgi_hosting import spool
from tests.conformance.deliveries import (
    CHUNKED,
    CHUNKED_SPOOL,
    CHUNKED_STREAM,
    EXPECT,
    EXPECT_CHUNKED,
    HTTP2,
    HTTP2_SPOOL,
    MEMORY,
    SPOOL,
    STREAM,
    UNFRAMED,
    Delivery,
    Reader,
    on_each_delivery,
    on_each_with_length,
)
from tests.driving import Driver, drive
from tests.fakes import DISCONNECT, RecordingSend, body_events
from tests.meeting import Hold, until

COLLECTED = (MEMORY, SPOOL, CHUNKED, CHUNKED_SPOOL, HTTP2, HTTP2_SPOOL)
FETCHED = (STREAM, CHUNKED_STREAM, EXPECT, EXPECT_CHUNKED, UNFRAMED)

HALF = [*body_events(b"01", b"234", is_complete=False), DISCONNECT]


def on_each(*deliveries: Delivery) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("delivery", deliveries, ids=lambda delivery: delivery.name)


# ---- Cut ----------------------------------------------------------------------------------------------------------


class OctetReader:
    """Reads octet by octet until something is raised, then tries everything else."""

    def __init__(self) -> None:
        self.octets = b""
        self.errors: list[BaseException] = []

    def __call__(self, stream: Any) -> None:
        try:
            while octet := stream.read(1):
                self.octets += octet
        except OSError as error:
            self.errors.append(error)
        for again in (
            lambda: stream.read(-1),
            lambda: stream.read(1),
            stream.readline,
            stream.readlines,
            lambda: next(iter(stream)),
        ):
            try:
                again()
            except OSError as error:
                self.errors.append(error)


@pytest.mark.requirement("W-078")
@on_each_delivery
def test_octets_before_the_cut_are_delivered_and_then_every_read_raises(delivery, backend, maybe_lint):
    read = OctetReader()
    app = Reader(read)

    record = delivery.driver(maybe_lint(app), b"0123456789", HALF, backend=backend).run()

    assert app.error is None
    assert read.octets == b"01234"
    assert len(read.errors) == 6
    assert all(isinstance(error, ClientDisconnected) for error in read.errors)
    assert record.exception is None  # nobody is there to be told


@pytest.mark.requirement("W-078")
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda stream: stream.read(-1), id="read-all"),
        pytest.param(lambda stream: stream.readlines(), id="readlines"),
        pytest.param(list, id="iterate"),
    ],
)
@on_each_delivery
def test_a_cut_body_read_in_one_go_raises(delivery, read, maybe_lint):
    app = Reader(read)

    delivery.driver(maybe_lint(app), b"0123456789", HALF).run()

    assert isinstance(app.error, ClientDisconnected)
    assert app.result is None


@pytest.mark.requirement("W-078")
@on_each_delivery
def test_an_application_that_lets_the_error_rise_ends_quietly(delivery, backend, caplog):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read()]

    record = delivery.driver(app, b"0123456789", HALF, backend=backend).run()

    assert record.exception is None
    assert record.body == b""
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []


@pytest.mark.requirement("W-078")
@on_each_with_length
def test_a_body_that_ends_short_of_its_length_is_at_its_end_there_with_a_warning(delivery, caplog):
    app = Reader(lambda stream: [stream.read(), stream.read()])

    delivery.driver(app, b"0123456789", body_events(b"01", b"234")).run().checked()

    assert app.error is None
    assert app.result == [b"01234", b""]
    assert ["5 of 10" in entry.getMessage() for entry in caplog.records] == [True]


@pytest.mark.requirement("W-078")
@on_each_delivery
def test_a_receive_that_fails_like_a_broken_connection_is_a_cut(delivery):
    app = Reader()
    events = [*body_events(b"01234", is_complete=False), ConnectionResetError("by peer")]

    record = delivery.driver(app, b"0123456789", events).run()

    assert app.result is None
    if app.calls:
        assert isinstance(app.error, OSError)
    assert not record.messages or record.status == 200


# ---- Late ---------------------------------------------------------------------------------------------------------


@on_each(*COLLECTED)
@pytest.mark.parametrize("first", [b"", b"01234567"], ids=["no-octet", "some-octets"])
def test_a_body_that_does_not_arrive_in_time_is_answered_408_and_the_application_not_called(delivery, backend, first):
    app = Reader()
    limits = Limits(body_wait_s=0.1, body_memory_bytes=delivery.limits.body_memory_bytes, worker_idle_s=0.05)
    events = body_events(first, is_complete=False) if first else []

    driver = Driver(delivery.host(app, limits=limits), delivery.scope(10), events, backend=backend)
    record = driver.run().checked()

    assert record.status == 408
    assert record.header(b"content-length") == b"%d" % len(record.body)
    assert app.calls == 0


def test_octets_that_come_slowly_but_steadily_are_not_late(backend):
    """Two pieces, each after more than half of the time: together they take longer than one may."""
    app = Reader()
    pieces = iter(body_events(b"01234", b"56789"))

    async def slow_receive() -> Any:
        await anyio.sleep(0.8)
        return next(pieces)

    send = RecordingSend()
    adapter = MEMORY.host(app, limits=Limits(body_wait_s=1.5, worker_idle_s=0.05))
    backend.run(adapter, MEMORY.scope(10), slow_receive, send)

    assert send.messages[0]["status"] == 200
    assert app.result == b"0123456789"


def test_a_late_body_leaves_no_file_behind_while_it_is_being_written(backend, monkeypatch):
    """The time runs out while the disk is slow: the write is waited for, and the file closed."""
    hold = Hold("writing")
    write_all = spool._write_all

    def slow_write(*args: Any) -> None:
        hold.stop_here()
        write_all(*args)

    monkeypatch.setattr(spool, "_write_all", slow_write)
    app = Reader()
    limits = Limits(body_wait_s=0.1, body_memory_bytes=4, worker_idle_s=0.05)
    adapter = SPOOL.host(app, limits=limits)
    events = body_events(b"01234", is_complete=False)

    with Driver(adapter, SPOOL.scope(10), events, backend=backend) as driver:
        hold.reached.wait()
        until(lambda: len(driver.receive.calls) == 2 and not driver.receive.is_pending, "the time is up")
        hold.release()

    assert driver.record.checked().status == 408
    assert app.calls == 0


# ---- Too large ------------------------------------------------------------------------------------------------------


def limited(delivery: Delivery, app: Callable[..., Any], max_bytes: int) -> WSGIToASGI:
    limits = Limits(body_max_bytes=max_bytes, body_memory_bytes=delivery.limits.body_memory_bytes, worker_idle_s=0.05)
    return delivery.host(app, limits=limits)


@on_each(MEMORY, SPOOL, STREAM, EXPECT)
def test_a_body_announced_too_large_is_answered_413_without_a_look_at_it(delivery, backend):
    app = Reader()

    driver = Driver(limited(delivery, app, 9), delivery.scope(10), body_events(b"0123456789"), backend=backend)
    record = driver.run().checked()

    assert record.status == 413
    assert record.header(b"content-length") == b"%d" % len(record.body)
    assert record.receive.calls == []
    assert app.calls == 0


@on_each(CHUNKED, CHUNKED_SPOOL, HTTP2, HTTP2_SPOOL)
def test_a_body_that_turns_out_too_large_is_answered_413_and_the_application_not_called(delivery, backend):
    app = Reader()
    events = body_events(b"01234", b"56789", b"never asked for")

    record = Driver(limited(delivery, app, 9), delivery.scope(0), events, backend=backend).run().checked()

    assert record.status == 413
    assert len(record.receive.calls) == 2
    assert app.calls == 0


@on_each(CHUNKED_STREAM, EXPECT_CHUNKED, UNFRAMED)
def test_a_body_that_turns_out_too_large_while_it_is_read_raises_and_is_answered_413(delivery, backend):
    read: list[Any] = []

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        try:
            read.append(stream.read(3))
            read.append(stream.read())
        except BodyTooLarge as error:
            read.append(error)
            raise
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"not reached"]

    events = body_events(b"01234", b"56789", b"never asked for")
    record = Driver(limited(delivery, app, 9), delivery.scope(0), events, backend=backend).run().checked()

    assert record.status == 413
    assert read[0] == b"012"
    assert isinstance(read[-1], BodyTooLarge)
    assert read[-1].limit_bytes == 9
    assert len(record.receive.calls) == 2


@on_each_delivery
def test_a_body_of_exactly_the_largest_size_is_delivered(delivery):
    app = Reader()

    Driver(limited(delivery, app, 10), delivery.scope(10), body_events(b"01234", b"56789")).run().checked()

    assert app.result == b"0123456789"


# ---- The spool ------------------------------------------------------------------------------------------------------


@on_each(SPOOL, CHUNKED_SPOOL, HTTP2_SPOOL)
def test_a_spooled_body_is_held_in_a_file_that_is_gone_after_the_request(delivery, backend):
    held: list[int] = []
    app = Reader(lambda stream: (held.append(adapter.statistics().bytes_held), stream.read())[1])
    adapter = delivery.host(app)
    pieces = [b"%05d" % number for number in range(3000)]

    Driver(adapter, delivery.scope(15_000), body_events(*pieces), backend=backend).run().checked()

    assert app.result == b"".join(pieces)
    assert held == [0]
    assert adapter.statistics().bytes_held == 0


@on_each(SPOOL, CHUNKED_SPOOL)
def test_a_body_that_the_disk_does_not_take_is_answered_503_and_never_looks_truncated(delivery, backend, monkeypatch):
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "_write_all", full)
    app = Reader()

    record = delivery.driver(app, [b"01234", b"5678", b"9"], backend=backend).run()

    assert record.checked().status == 503
    assert record.header(b"retry-after") == b"1"
    assert b"No space" not in record.body
    assert app.calls == 0


@on_each(*COLLECTED)
def test_a_request_cancelled_while_its_body_is_collected_leaves_nothing(delivery, backend):
    app = Reader()
    hold = Hold()
    events = [*body_events(b"01234", b"567", is_complete=False), hold]

    with delivery.driver(app, b"0123456789", events, backend=backend) as driver:
        hold.reached.wait()
        driver.cancel()

    assert app.calls == 0
    assert driver.record.messages == []
    assert not isinstance(driver.record.exception, Exception)
    assert driver.record.exception is not None


def test_a_disconnect_while_nothing_is_read_yet_reaches_the_application_that_reads_later():
    app = Reader()

    record = drive(EXPECT.host(app), EXPECT.scope(10), [DISCONNECT])

    assert isinstance(app.error, ClientDisconnected)
    assert record.exception is None
