"""The ``write`` callable: the old imperative way to produce content (W-102 to W-106)."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, ApplicationTypeError, Limits
from tests.conformance.driver import (
    TEXT,
    Driver,
    block,
    hosted,
    on_both_loops,
    on_each_backend,
    plain_and_linted,
    run,
    serve,
    until,
)


@pytest.mark.requirement("W-102")
@pytest.mark.parametrize("data", ["text", bytearray(b"x"), memoryview(b"x"), None, 5], ids=lambda v: type(v).__name__)
def test_write_takes_bytes_only(data):
    raised = []

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        try:
            write(data)
        except TypeError as error:
            raised.append(error)
            raise
        return []

    driver = serve(app)

    assert isinstance(raised[0], ApplicationTypeError)
    assert driver.error is raised[0]
    assert driver.sent == []


@pytest.mark.requirement("W-102")
@pytest.mark.parametrize("data", [b"", b"first"])
@on_each_backend
def test_the_first_write_sends_the_headers(data, backend):
    driver = Driver()
    seen = []

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        write(data)
        driver.block_until_sent(2 if data else 1)
        seen.append(driver.types[0])
        return []

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert seen == ["start"]
    assert driver.body == data
    assert driver.is_complete


@pytest.mark.requirement("W-102")
@plain_and_linted
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_written_data_precede_the_blocks_of_the_iterable(make, wrap):
    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        write(b"1")
        write(b"2")
        return make([b"3", b"4"])

    driver = serve(wrap(app))

    assert driver.error is None
    assert driver.body == b"1234"
    assert driver.is_complete


@pytest.mark.requirement("W-102")
def test_write_may_be_called_between_blocks():
    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        yield b"1"
        write(b"2")
        yield b"3"

    driver = serve(app)

    assert driver.body == b"123"


@on_both_loops
@pytest.mark.requirement("W-103")
def test_a_client_that_takes_nothing_blocks_the_writer_within_the_bound(backend):
    block_bytes, bound_bytes, many = 1024, 8 * 1024, 2000
    driver = Driver(hold_at={1})
    begun = []

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        for number in range(many):
            begun.append(number)
            write(b"x" * block_bytes)
        return []

    with hosted(app, limits=Limits(response_memory_bytes=bound_bytes, response_spool_bytes=0)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: driver.attempts == 2)
                with anyio.move_on_after(0.1):  # an unbounded writer is done long before
                    await until(lambda: len(begun) == many)
                blocked_at.append(len(begun))
                driver.release(1)

        blocked_at: list[int] = []
        run(main, backend)

    assert blocked_at[0] <= bound_bytes // block_bytes + 1
    assert driver.error is None
    assert len(driver.body) == many * block_bytes


@pytest.mark.requirement("W-104")
@plain_and_linted
@pytest.mark.parametrize("data", [(b"12345",), (b"12", b"345"), (b"123", b"45")], ids=len)
def test_writing_past_content_length_sends_the_allowed_part_and_raises(data, wrap):
    raised = []

    def app(environ, start_response):
        write = start_response("200 OK", [*TEXT, ("Content-Length", "3")])
        try:
            for part in data:
                write(part)
        except ApplicationError as error:
            raised.append(error)
        return []

    driver = serve(wrap(app))

    assert len(raised) == 1
    assert driver.error is None
    assert driver.header(b"content-length") == b"3"
    assert driver.body == b"123"
    assert driver.is_complete


@pytest.mark.requirement("W-105")
@plain_and_linted
@pytest.mark.parametrize("data", [b"", b"123"])
def test_write_disables_the_inference_of_content_length(data, wrap):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))(data)
        return [b"45"]

    driver = serve(wrap(app))

    assert driver.error is None
    assert driver.header(b"content-length") is None
    assert driver.body == data + b"45"


@pytest.mark.requirement("W-106")
@pytest.mark.parametrize("raises_when_gone", [True, False], ids=["send raises", "send does nothing"])
@on_both_loops
def test_write_raises_an_os_error_once_the_client_has_gone(raises_when_gone, backend):
    driver = Driver(raises_when_gone=raises_when_gone)
    raised = []

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        write(b"first")
        driver.block_until_sent(2)
        driver.disconnect()
        try:
            while True:
                write(b"more")
                driver.settle()
        except OSError as error:
            raised.append(error)
        return []

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert len(raised) == 1


@pytest.mark.requirement("W-106")
@on_both_loops
@pytest.mark.parametrize("is_finished", [True, False], ids=["complete", "failed"])
def test_write_raises_after_the_request_has_ended(is_finished, backend):
    kept: list[Any] = []

    def app(environ, start_response):
        kept.append(start_response("200 OK", list(TEXT)))
        kept[0](b"x")
        if not is_finished:
            raise LookupError
        return []

    driver = serve(app, backend=backend)
    types_then = driver.types

    with pytest.raises(Exception) as raised:  # any: the application is told that nobody listens
        kept[0](b"late")
    assert not isinstance(raised.value, AssertionError)
    assert driver.types == types_then


@pytest.mark.requirement("W-106")
def test_write_from_a_thread_that_outlives_the_request_raises():
    over = threading.Event()
    raised = []
    threads = []

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))

        def late() -> None:
            block(over)
            try:
                write(b"late")
            except Exception as error:
                raised.append(error)

        threads.append(threading.Thread(target=late))
        threads[0].start()
        return [b"body"]

    driver = serve(app)
    over.set()
    threads[0].join(20)

    assert driver.body == b"body"
    assert len(raised) == 1
