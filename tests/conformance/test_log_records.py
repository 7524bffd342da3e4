"""One log record for each request that is refused, aborted or stuck, in loggers below ``bridge``; no more, no less."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import anyio
import pytest

from bridge import Limits, WorkerPool
from tests.conformance import endings, wsgi_endings
from tests.conformance.driver import TEXT, Driver, answering, block, hosted, make_scope, run, until
from tests.gateway import Gateway, environ_for
from tests.gateway import answering as asgi_answering
from tests.gateway import hosted as hosted_on_wsgi
from tests.gateway import run as request
from tests.meeting import Helper, Hold
from tests.meeting import until as wait_until

STUCK = Limits(stuck_s=0.1, worker_idle_s=0.05)
SELDOM_STUCK = Limits(stuck_s=1.0, worker_idle_s=0.05)
"""For what is not stuck: also on a loaded machine it is not."""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All that is logged at INFO and above."""
    caplog.set_level(logging.INFO)
    return caplog


def records(log: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The bridge's own records, but for what is said of the application's life."""
    return [
        record
        for record in log.records
        if record.name.startswith("bridge.") and "lifespan protocol" not in record.getMessage()
    ]


def assert_is_one_safe_line(record: logging.LogRecord, method: str | None = None) -> None:
    assert_is_safe_line(record.getMessage(), method)


def assert_is_safe_line(message: str, method: str | None = None) -> None:
    assert "'/a\\nb'" in message, "the path is not there, or not escaped"
    assert "\n" not in message
    assert "secret" not in message
    assert any(f"{one} '" in message for one in ([method] if method else ["GET", "POST"]))


# ---- Refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_observed", [True, False], ids=["observed", "not observed"])
@pytest.mark.parametrize("play", endings.REFUSED, ids=lambda play: play.__name__)
def test_a_refused_request_of_a_wsgi_application_is_one_warning(play, is_observed, log):
    play(endings.Stage("asyncio", is_observed))

    [record] = records(log)
    assert (record.name, record.levelno) == ("bridge.wsgi_to_asgi", logging.WARNING)
    assert " refused: " in record.getMessage()
    assert_is_one_safe_line(record)


@pytest.mark.parametrize("is_observed", [True, False], ids=["observed", "not observed"])
@pytest.mark.parametrize("play", wsgi_endings.REFUSED, ids=lambda play: play.__name__)
def test_a_refused_request_of_an_asgi_application_is_one_warning(play, is_observed, log):
    play(wsgi_endings.Stage("asyncio", is_observed))

    [record] = records(log)
    assert (record.name, record.levelno) == ("bridge.asgi_to_wsgi", logging.WARNING)
    assert " refused: " in record.getMessage()
    assert_is_one_safe_line(record)


# ---- Aborted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_observed", [True, False], ids=["observed", "not observed"])
@pytest.mark.parametrize("play", endings.ABORTED, ids=lambda play: play.__name__)
def test_an_aborted_request_of_a_wsgi_application_is_one_line_of_information(play, is_observed, log):
    play(endings.Stage("asyncio", is_observed))

    [record] = records(log)
    assert (record.name, record.levelno) == ("bridge.wsgi_to_asgi", logging.INFO)
    assert ": aborted: " in record.getMessage()
    assert_is_one_safe_line(record)


@pytest.mark.parametrize("is_observed", [True, False], ids=["observed", "not observed"])
@pytest.mark.parametrize("play", wsgi_endings.ABORTED, ids=lambda play: play.__name__)
def test_an_aborted_request_of_an_asgi_application_is_one_line_of_information(play, is_observed, log):
    play(wsgi_endings.Stage("asyncio", is_observed))

    [record] = records(log)
    assert (record.name, record.levelno) == ("bridge.asgi_to_wsgi", logging.INFO)
    assert ": aborted: " in record.getMessage()
    assert_is_one_safe_line(record)


def test_ordinary_requests_leave_no_record(log):
    with hosted(answering([b"x"]), limits=SELDOM_STUCK) as adapter:
        run(lambda: Driver(make_scope()).call(adapter))
        run(lambda: Driver(make_scope("HEAD")).call(adapter))
    with hosted_on_wsgi(asgi_answering(), lifespan="off") as other:
        request(other)
        request(other, environ_for("HEAD"))

    assert records(log) == []


# ---- Stuck: a WSGI application ----------------------------------------------------------------------------------


def stuck_app(opened: threading.Event) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        hold_this_request_up(opened)
        start_response("200 OK", list(TEXT))
        return [b"done"]

    return app


def hold_this_request_up(opened: threading.Event) -> None:
    block(opened)


def test_a_stuck_request_of_a_wsgi_application_is_one_warning_with_its_stack(backend, log):
    opened = threading.Event()
    driver = Driver(endings.scope("PUT"))
    with hosted(stuck_app(opened), limits=STUCK) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: records(log))
                await anyio.sleep(0.2)  # several looks later there is still one
                opened.set()

        run(main, backend.name)

    [record] = records(log)
    assert (record.name, record.levelno) == ("bridge.wsgi_to_asgi", logging.WARNING)
    line, _, stack = record.getMessage().partition("\n")
    assert "PUT '/a\\nb'" in line
    assert "hold_this_request_up" in stack
    assert "secret" not in record.getMessage()
    assert driver.body == b"done"


def test_a_response_that_has_begun_is_not_taken_for_stuck(backend, log):
    driver = Driver(make_scope())
    opened = threading.Event()

    def blocks():
        yield b"one"
        block(opened)
        yield b"two"

    with hosted(answering(blocks), limits=SELDOM_STUCK) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: adapter.statistics().stuck == 1)
                await anyio.sleep(0.2)
                opened.set()

        run(main, backend.name)

    assert records(log) == []


def test_of_a_shared_pool_only_the_adapter_whose_request_it_is_reports_it(log):
    """Both adapters look after the pool while they have requests; one of them would say it twice."""
    opened = threading.Event()
    pool = WorkerPool(workers=2, idle_s=0.05)
    patient = Limits(stuck_s=60.0)
    with (
        hosted(stuck_app(opened), limits=patient, workers=pool) as patient_adapter,
        hosted(stuck_app(opened), limits=STUCK, workers=pool) as adapter,
    ):

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Driver(make_scope(path="/patient")).call, patient_adapter)
                tasks.start_soon(Driver(make_scope(path="/strict")).call, adapter)
                await until(lambda: records(log))
                await anyio.sleep(0.2)
                opened.set()

        run(main)

    [record] = records(log)
    assert "GET '/strict'" in record.getMessage()


def test_two_stuck_requests_are_a_record_each(log):
    opened = threading.Event()
    with hosted(stuck_app(opened), limits=STUCK) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for path in ("/one", "/two"):
                    tasks.start_soon(Driver(make_scope(path=path)).call, adapter)
                await until(lambda: len(records(log)) >= 2)
                await anyio.sleep(0.15)
                opened.set()

        run(main)

    assert sorted("/one" in record.getMessage() for record in records(log)) == [False, True]


def test_no_timer_is_left_when_nothing_runs(backend, monkeypatch):
    """An idle adapter does not wake its loop; the next request starts the timer again."""
    looks: list[bool] = []
    monkeypatch.setattr("bridge._wsgi_hosting.watching._SHORTEST_INTERVAL_S", 0.01)
    with hosted(answering([b"x"]), limits=Limits(stuck_s=0.0, worker_idle_s=0.05)) as adapter:

        async def main() -> None:
            for _ in range(2):
                await Driver(make_scope()).call(adapter)
                port = adapter._port
                assert port is not None
                looks.append(port.is_watched)
                await until(lambda: not port.is_watched)
                await anyio.sleep(0.03)
                looks.append(port.is_watched)

        run(main, backend.name)

    assert looks == [True, False, True, False]


# ---- Stuck: an ASGI application ---------------------------------------------------------------------------------


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let request threads look up every 20 ms."""
    for module in ("patience", "servant"):
        monkeypatch.setattr(f"bridge._asgi_hosting.{module}.LOOK_EVERY_S", 0.02)


@pytest.mark.usefixtures("often")
def test_a_stuck_request_of_an_asgi_application_is_one_warning_with_its_stack(backend, log):
    hold = Hold("the application is silent")

    async def app(scope, receive, send):
        await hold.stop_here_on_loop()
        await asgi_answering(b"done")(scope, receive, send)

    limits = Limits(stuck_s=0.1, shutdown_s=2.0, cancel_s=1.0)
    with hosted_on_wsgi(app, lifespan="off", event_loop=backend.name, limits=limits) as adapter:
        helper = Helper(lambda: request(adapter, wsgi_endings.environ("PUT")))
        try:
            wait_until(lambda: records(log))
            assert adapter.statistics().stuck == 1
            hold.reached.wait()
            time.sleep(0.15)  # several looks later there is still one
        finally:
            hold.release()
        helper.join()
        assert adapter.statistics().stuck == 0

    [record] = records(log)
    assert (record.name, record.levelno) == ("bridge.asgi_to_wsgi", logging.WARNING)
    line, _, stack = record.getMessage().partition("\n")
    assert_is_safe_line(line, "PUT")
    assert "stop_here_on_loop" in stack


@pytest.mark.usefixtures("often")
def test_an_asgi_application_that_is_silent_after_its_first_block_is_not_taken_for_stuck(log):
    hold = Hold("the application is silent")

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await hold.stop_here_on_loop()
        await send({"type": "http.response.body", "body": b"two"})

    limits = Limits(stuck_s=0.5, shutdown_s=2.0, cancel_s=1.0)
    with hosted_on_wsgi(app, lifespan="off", limits=limits) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        helper = Helper(gateway.drain)
        hold.reached.wait()
        time.sleep(0.8)  # several looks after that time
        hold.release()
        helper.join()
        gateway.close()

    assert records(log) == []
    assert gateway.body == b"onetwo"
