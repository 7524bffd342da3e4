"""Failures: of the application, of what is around the adapter, and the adapter's own refusals (W-132 to W-138)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import traceback

import pytest

from bridge import ApplicationError, Limits
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    MiddlewareError,
    answering,
    body_events,
    hosted,
    linted,
    logged,
    make_scope,
    on_both_loops,
    on_each_backend,
    plain_and_linted,
    run,
    serve,
)


class ViewError(Exception):
    """What goes wrong in the application."""


def fail_in_call(error, driver):
    def app(environ, start_response):
        raise error

    return app


def fail_after_start_response(error, driver):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        raise error

    return app


def fail_in_first_step(error, driver):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))

        class Blocks:
            def __iter__(self):
                return self

            def __next__(self) -> bytes:
                raise error

        return Blocks()

    return app


def fail_after_a_block(error, driver):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))

        class Blocks:
            left = [b"out"]

            def __iter__(self):
                return self

            def __next__(self) -> bytes:
                if self.left:
                    return self.left.pop()
                driver.block_until_sent(2)
                raise error

        return Blocks()

    return app


def fail_after_write(error, driver):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))(b"out")
        raise error

    return app


BEFORE_HEADERS = [
    pytest.param(fail_in_call, id="in the call"),
    pytest.param(fail_after_start_response, id="after start_response"),
    pytest.param(fail_in_first_step, id="in the first step"),
]
AFTER_HEADERS = [
    pytest.param(fail_after_a_block, id="after a block"),
    pytest.param(fail_after_write, id="after write"),
]


# ---- The application's own errors -------------------------------------------------------------------------------


@pytest.mark.requirement("W-132")
@on_each_backend
@pytest.mark.parametrize("fail", BEFORE_HEADERS)
def test_an_error_before_the_headers_leaves_as_itself_with_nothing_sent(fail, backend, caplog):
    error = ViewError("before")
    driver = Driver()

    serve(fail(error, driver), driver=driver, backend=backend)

    assert driver.error is error
    assert __file__ in [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    assert driver.attempts == 0
    assert logged(caplog, logging.ERROR) == []  # whoever gets it reports it (W-134)


@pytest.mark.requirement("W-133")
@on_each_backend
@pytest.mark.parametrize("fail", AFTER_HEADERS)
def test_an_error_after_the_headers_leaves_as_itself_and_the_response_is_not_ended(fail, backend, caplog):
    error = ViewError("after")
    driver = Driver()

    serve(fail(error, driver), driver=driver, backend=backend)

    assert driver.error is error
    assert driver.body == b"out"
    assert not driver.is_complete
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("W-132", "W-134")
@on_both_loops
@pytest.mark.parametrize("fail", BEFORE_HEADERS)
def test_an_error_before_the_headers_is_logged_once_and_answered_if_asked(fail, backend, caplog):
    driver = Driver()

    serve(fail(ViewError("secret detail"), driver), driver=driver, backend=backend, on_error="respond")

    assert driver.error is None
    assert driver.status == 500
    assert driver.is_complete
    assert b"secret" not in driver.body
    assert driver.header(b"content-length") == b"%d" % len(driver.body)
    assert len(logged(caplog, logging.ERROR)) == 1


@pytest.mark.requirement("W-133")
@pytest.mark.parametrize("fail", AFTER_HEADERS)
def test_an_error_after_the_headers_rises_even_if_answers_are_asked_for(fail, caplog):
    error = ViewError("after")
    driver = Driver()

    serve(fail(error, driver), driver=driver, on_error="respond")

    assert driver.error is error
    assert not driver.is_complete
    assert logged(caplog, logging.ERROR) == []


# ---- Exceptions that must not leave as themselves ---------------------------------------------------------------


POISONS = [
    pytest.param(lambda: SystemExit(3), id="SystemExit"),
    pytest.param(KeyboardInterrupt, id="KeyboardInterrupt"),
    pytest.param(GeneratorExit, id="GeneratorExit"),
    pytest.param(lambda: StopIteration("value"), id="StopIteration"),
    pytest.param(StopAsyncIteration, id="StopAsyncIteration"),
    pytest.param(asyncio.CancelledError, id="asyncio.CancelledError"),
    pytest.param(concurrent.futures.CancelledError, id="futures.CancelledError"),
    pytest.param(lambda: BaseException("bare"), id="BaseException"),
]


@pytest.mark.requirement("W-135", "W-136")
@on_each_backend
@pytest.mark.parametrize("make_poison", POISONS)
@pytest.mark.parametrize("fail", [*BEFORE_HEADERS[:2], AFTER_HEADERS[1]])
def test_an_exception_that_would_harm_the_loop_becomes_an_ordinary_error(fail, make_poison, backend):
    poison = make_poison()
    drivers = [Driver(), Driver(make_scope(path="/healthy"))]

    def app(environ, start_response):
        inner = answering([b"fine"]) if environ["PATH_INFO"] == "/healthy" else fail(poison, drivers[0])
        return inner(environ, start_response)

    with hosted(app) as adapter:

        async def main() -> None:
            for driver in drivers:
                await driver.call(adapter)

        run(main, backend)

    error = drivers[0].error
    assert isinstance(error, Exception)
    assert not isinstance(error, StopIteration | StopAsyncIteration)
    assert poison in {error, error.__cause__}
    assert not drivers[0].is_complete
    assert drivers[1].error is None
    assert drivers[1].body == b"fine"


@pytest.mark.requirement("W-136")
def test_stop_iteration_in_the_call_names_the_applications_fault():
    driver = serve(fail_in_call(StopIteration(), None))

    assert isinstance(driver.error, ApplicationError)
    assert "StopIteration" in str(driver.error)


# ---- send() fails -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-137")
@on_each_backend
@plain_and_linted
@pytest.mark.parametrize("number", [0, 1, 2], ids=["start", "body 1", "body 2"])
def test_a_failing_send_ends_the_application_and_propagates(number, wrap, backend, caplog):
    error = MiddlewareError("in an outer middleware")

    def blocks():
        while True:
            yield b"x" * 1000

    returned = ClosingBlocks(blocks())
    driver = Driver(fail_at={number: error})

    serve(
        wrap(answering(lambda: returned)), driver=driver, backend=backend, limits=Limits(response_memory_bytes=10_000)
    )

    assert driver.error is error
    assert len(returned.closed_in) == 1
    assert returned.closed_in[0] != threading.get_ident()
    assert not driver.is_complete
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("W-137")
@on_both_loops
@pytest.mark.parametrize("number", [0, 1], ids=["start", "body"])
def test_a_failing_send_of_a_whole_response_propagates(number, backend):
    error = MiddlewareError("in an outer middleware")
    driver = Driver(fail_at={number: error})

    serve(answering([b"body"]), driver=driver, backend=backend)

    assert driver.error is error


@pytest.mark.requirement("W-137")
@on_both_loops
def test_a_failing_send_is_not_followed_by_an_answer_of_the_adapters_own(backend):
    error = MiddlewareError("in an outer middleware")
    driver = Driver(fail_at={0: error})

    serve(answering([b"body"]), driver=driver, backend=backend, on_error="respond")

    assert driver.error is error
    assert driver.attempts == 1


@pytest.mark.requirement("W-137")
@on_both_loops
def test_a_failing_receive_propagates(backend):
    error = MiddlewareError("in an outer middleware")
    called = []

    def app(environ, start_response):
        called.append(True)
        return []

    driver = Driver(make_scope("POST", headers=[(b"content-length", b"5")]), events=[error])

    serve(app, driver=driver, backend=backend)

    assert driver.error is error
    assert called == []
    assert driver.sent == []


# ---- Refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-138", "W-046", "W-050", "W-051", "W-054")
@on_each_backend
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"x-a", b"1\r2")], id="CR"),
        pytest.param([(b"x-a", b"1\n2")], id="LF"),
        pytest.param([(b"x-a", b"1\0")], id="NUL"),
        pytest.param([(b"content-length", b"5"), (b"content-length", b"6")], id="two lengths"),
        pytest.param([(b"content-length", b"five")], id="no number"),
        pytest.param([(b"host", b"other.example")], id="two hosts"),
        pytest.param([(b"content-type", b"a/b"), (b"content-type", b"a/b")], id="two content types"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_is_a_complete_plain_answer_and_the_app_is_not_called(headers, method, backend, caplog):
    called = []

    def app(environ, start_response):
        called.append(environ)
        start_response("200 OK", list(TEXT))
        return [b"body"]

    driver = serve(linted(app), driver=Driver(make_scope(method, headers=headers)), backend=backend)

    assert driver.error is None
    assert called == []
    assert driver.status == 400
    assert driver.is_complete
    assert (driver.header(b"content-type") or b"").startswith(b"text/plain")
    assert driver.header(b"content-length") == b"%d" % len(driver.body)
    assert driver.body
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("W-138")
def test_a_refusal_of_head_carries_no_content():
    driver = serve(answering([b"body"]), make_scope("HEAD", headers=[(b"host", b"other.example")]))

    assert driver.status == 400
    assert driver.body == b""
    assert driver.is_complete


@pytest.mark.requirement("W-138")
def test_a_refusal_shows_nothing_of_the_request():
    driver = serve(answering([b"body"]), make_scope(headers=[(b"x-secret", b"s3cr3t\r\n<script>")]))

    assert b"s3cr3t" not in driver.body
    assert b"script" not in driver.body


@pytest.mark.requirement("W-138")
def test_a_refused_request_is_followed_by_a_healthy_one():
    drivers = [
        Driver(make_scope("POST", headers=[(b"content-length", b"-1")]), events=body_events(b"abc")),
        Driver(),
    ]

    with hosted(answering([b"fine"])) as adapter:

        async def main() -> None:
            for driver in drivers:
                await driver.call(adapter)

        run(main)
        assert adapter.statistics().refused == 1

    assert [driver.status for driver in drivers] == [400, 200]
