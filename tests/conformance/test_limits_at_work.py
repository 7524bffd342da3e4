"""What happens at each limit: 503, 408, 413, and clients that take nothing."""

from __future__ import annotations

import logging
import threading

import anyio
import pytest

from bridge import BodyTooLarge, ClientDisconnected, Limits, WSGIToASGI
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    answering,
    block,
    body_events,
    hosted,
    logged,
    make_scope,
    on_both_loops,
    on_each_backend,
    run,
    serve,
    until,
)


class Gate:
    """A WSGI application that stops in ``/held`` requests until it is opened."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.opened = threading.Event()

    def __call__(self, environ, start_response):
        self.entered.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/held":
            block(self.opened)
        start_response("200 OK", list(TEXT))
        return [b"done"]


def held() -> Driver:
    return Driver(make_scope(path="/held"))


def is_complete_refusal(driver: Driver, status: int) -> bool:
    return (
        driver.error is None
        and driver.is_complete
        and driver.status == status
        and driver.header(b"content-length") == b"%d" % len(driver.body)
        and (driver.header(b"content-type") or b"").startswith(b"text/plain")
    )


# ---- 503 --------------------------------------------------------------------------------------------------------


@on_each_backend
@pytest.mark.requirement("W-145", "W-138")
@pytest.mark.parametrize("queue", [0, 2])
def test_beyond_the_queue_requests_are_answered_503_with_retry_after(queue, backend):
    gate = Gate()
    running, waiting = held(), [Driver() for _ in range(queue)]
    refused = [Driver() for _ in range(3)]
    with hosted(gate, limits=Limits(workers=1, queue=queue, retry_after_s=7)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(running.call, adapter)
                await until(lambda: gate.entered)
                for driver in waiting:
                    tasks.start_soon(driver.call, adapter)
                await until(lambda: adapter.statistics().waiting == queue)
                for driver in refused:
                    await driver.call(adapter)
                gate.opened.set()

        run(main, backend)
        assert adapter.statistics().refused == 3

    assert [is_complete_refusal(driver, 503) for driver in refused] == [True] * 3
    assert [driver.header(b"retry-after") for driver in refused] == [b"7"] * 3
    assert [driver.body for driver in [running, *waiting]] == [b"done"] * (queue + 1)
    assert len(gate.entered) == queue + 1


@on_each_backend
@pytest.mark.requirement("W-145", "W-138")
def test_a_request_that_gets_no_worker_in_time_is_answered_503(backend, caplog):
    gate = Gate()
    running, late = held(), Driver(make_scope(path="/late"))
    with hosted(gate, limits=Limits(workers=1, queue_wait_s=0.3)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(running.call, adapter)
                await until(lambda: gate.entered)
                await late.call(adapter)
                gate.opened.set()

        run(main, backend)

    assert is_complete_refusal(late, 503)
    assert late.header(b"retry-after") == b"1"
    assert running.body == b"done"
    assert gate.entered == ["/held"]
    assert logged(caplog, logging.ERROR) == []


@on_both_loops
@pytest.mark.requirement("W-145")
def test_a_long_request_is_not_refused_once_it_has_a_worker(backend):
    """The waiting time is over when the worker comes, however long the application then takes."""
    gates = {"/first": threading.Event(), "/second": threading.Event()}
    entered: list[str] = []

    def app(environ, start_response):
        entered.append(environ["PATH_INFO"])
        block(gates[environ["PATH_INFO"]])
        start_response("200 OK", list(TEXT))
        return [b"done"]

    first, second = (Driver(make_scope(path=path)) for path in gates)
    queue_wait_s = 1.0
    with hosted(app, limits=Limits(workers=1, queue_wait_s=queue_wait_s)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(first.call, adapter)
                await until(lambda: entered == ["/first"])
                tasks.start_soon(second.call, adapter)
                await until(lambda: adapter.statistics().waiting == 1)
                gates["/first"].set()
                await until(lambda: entered == ["/first", "/second"])
                await anyio.sleep(queue_wait_s * 1.2)
                gates["/second"].set()

        run(main, backend)

    assert [first.body, second.body] == [b"done"] * 2


@on_both_loops
def test_without_a_waiting_limit_a_request_waits(backend):
    gate = Gate()
    running, waiting = held(), Driver()
    with hosted(gate, limits=Limits(workers=1, queue_wait_s=None)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(running.call, adapter)
                await until(lambda: gate.entered)
                tasks.start_soon(waiting.call, adapter)
                await until(lambda: adapter.statistics().waiting == 1)
                gate.opened.set()

        run(main, backend)

    assert waiting.body == b"done"


# ---- 408 and 413 ------------------------------------------------------------------------------------------------


def uploading(*pieces: bytes, length: int | None = None, is_whole: bool = False, expects: bool = False) -> Driver:
    headers = [(b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)]
    if expects:
        headers.append((b"expect", b"100-continue"))
    events = body_events(*pieces)
    if events and not is_whole:
        events[-1]["more_body"] = True
    return Driver(make_scope("POST", headers=headers), events=events)


def echo_length(environ, start_response):
    octets = environ["wsgi.input"].read()
    start_response("200 OK", list(TEXT))
    return [b"%d" % len(octets)]


@on_each_backend
@pytest.mark.requirement("W-138")
@pytest.mark.parametrize("pieces", [(), (b"a",), (b"x" * 5000,)], ids=["nothing", "a bit", "spooled"])
def test_a_body_that_does_not_come_is_answered_408_and_no_worker_was_taken(pieces, backend):
    called = []

    def app(environ, start_response):
        called.append(True)
        return echo_length(environ, start_response)

    driver = uploading(*pieces, length=100_000)
    serve(
        app, driver=driver, backend=backend, large_body="spool", limits=Limits(body_wait_s=0.05, body_memory_bytes=1000)
    )

    assert is_complete_refusal(driver, 408)
    assert called == []


@on_each_backend
@pytest.mark.requirement("W-138")
@pytest.mark.parametrize("large_body", ["spool", "stream"])
@pytest.mark.parametrize("length", [1001, None], ids=["announced", "found out"])
def test_a_body_beyond_the_maximum_is_answered_413(length, large_body, backend):
    called = []

    def app(environ, start_response):
        called.append(True)
        return echo_length(environ, start_response)

    driver = uploading(b"x" * 500, b"x" * 501, length=length, is_whole=True)
    serve(app, driver=driver, backend=backend, limits=Limits(body_max_bytes=1000), large_body=large_body)

    assert is_complete_refusal(driver, 413)
    assert called == []
    assert driver.receive_calls == (0 if length else 2)


@on_both_loops
@pytest.mark.parametrize("large_body", ["spool", "stream"])
@pytest.mark.parametrize("length", [1000, None], ids=["announced", "found out"])
def test_a_body_of_exactly_the_maximum_is_served(length, large_body, backend):
    driver = uploading(b"x" * 500, b"x" * 500, length=length, is_whole=True)

    serve(
        echo_length,
        driver=driver,
        backend=backend,
        limits=Limits(body_max_bytes=1000, body_memory_bytes=100),
        large_body=large_body,
    )

    assert driver.body == b"1000"


@on_both_loops
@pytest.mark.requirement("W-138")
def test_an_announced_body_beyond_the_maximum_is_refused_before_the_client_sends_it(backend):
    """With Expect: 100-continue the client learns of the refusal without having sent a single octet."""
    driver = uploading(b"x" * 2000, length=2000, is_whole=True, expects=True)

    serve(echo_length, driver=driver, backend=backend, limits=Limits(body_max_bytes=1000))

    assert is_complete_refusal(driver, 413)
    assert driver.receive_calls == 0


@on_both_loops
def test_while_streaming_a_body_beyond_the_maximum_is_never_taken_for_whole(backend):
    raised = []

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except BodyTooLarge as error:
            raised.append(error)
            raise
        raise AssertionError("the body looked whole")

    driver = uploading(*[b"x" * 300] * 5, is_whole=True)
    serve(
        app,
        driver=driver,
        backend=backend,
        limits=Limits(body_max_bytes=1000, body_memory_bytes=100),
        large_body="stream",
    )

    assert len(raised) == 1
    assert is_complete_refusal(driver, 413)


@on_both_loops
def test_while_streaming_a_body_that_does_not_come_raises_an_os_error_in_read(backend):
    raised = []

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            raised.append(error)
        start_response("408 Request Timeout", list(TEXT))
        return [b"too late"]

    driver = uploading(b"a bit", expects=True)
    serve(app, driver=driver, backend=backend, limits=Limits(body_wait_s=0.05))

    assert [isinstance(error, TimeoutError) for error in raised] == [True]
    assert driver.error is None
    assert driver.status == 408


# ---- Slow readers -----------------------------------------------------------------------------------------------


@on_each_backend
def test_a_client_that_takes_nothing_for_too_long_counts_as_gone(backend, caplog):
    def endless():
        while True:
            yield b"x" * 100

    returned = ClosingBlocks(endless())
    driver = Driver(hold_at={1})

    serve(
        answering(lambda: returned),
        driver=driver,
        backend=backend,
        limits=Limits(response_memory_bytes=1000, response_wait_s=0.05),
    )

    assert driver.error is None
    assert len(returned.closed_in) == 1
    assert not driver.is_complete
    assert logged(caplog, logging.ERROR) == []


@on_both_loops
def test_write_raises_when_the_client_takes_nothing_for_too_long(backend):
    raised = []

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        try:
            while True:
                write(b"x" * 100)
        except ClientDisconnected as error:
            raised.append(error)
            raise

    driver = Driver(hold_at={1})
    serve(app, driver=driver, backend=backend, limits=Limits(response_memory_bytes=1000, response_wait_s=0.05))

    assert [isinstance(error, TimeoutError) for error in raised] == [True]
    assert driver.error is None


@on_both_loops
def test_a_slow_client_that_takes_something_is_not_given_up(backend):
    """The time starts anew with each event that goes out: five times a half of it is no reason to give up."""
    driver = Driver(hold_at={1, 2, 3, 4, 5})
    blocks = [b"%d" % number * 2000 for number in range(8)]
    with hosted(
        answering(lambda: iter(blocks)),
        limits=Limits(response_memory_bytes=1000, response_spool_bytes=0, response_wait_s=1.0),
    ) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                for number in range(1, 6):
                    await until(lambda: driver.attempts == number + 1)
                    await anyio.sleep(0.3)
                    driver.release(number)

        run(main, backend)

    assert driver.error is None
    assert driver.body == b"".join(blocks)


# ---- The numbers themselves -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("workers", 0, ValueError),
        ("workers", 2.5, TypeError),
        ("workers", None, TypeError),
        ("workers", True, TypeError),
        ("queue", -1, ValueError),
        ("queue_wait_s", "30", TypeError),
        ("body_wait_s", float("nan"), ValueError),
        ("response_memory_bytes", 0, ValueError),
        ("shutdown_s", None, TypeError),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(name, value, error):
    with pytest.raises(error, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["queue_wait_s", "body_max_bytes", "body_wait_s", "response_wait_s"])
def test_a_limit_can_be_switched_off_where_its_type_says_so(name):
    assert getattr(Limits(**{name: None}), name) is None


@pytest.mark.parametrize(
    ("option", "value"),
    [("large_body", "memory"), ("hop_by_hop", "pass"), ("on_error", "ignore")],
)
def test_an_unknown_choice_is_refused_by_name(option, value):
    with pytest.raises(TypeError, match=option):
        WSGIToASGI(answering([]), **{option: value})


@pytest.mark.parametrize("app", [None, "app", 5])
def test_something_that_is_no_callable_is_refused_at_once(app):
    with pytest.raises(TypeError, match="callable"):
        WSGIToASGI(app)
