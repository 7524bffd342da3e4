"""``observe()`` of `WSGIToASGI`: each request is reported once, whatever happens to it, and the numbers are right."""

from __future__ import annotations

import io
import threading
import time
from functools import partial
from typing import Any

import anyio
import pytest

from bridge import Limits, RequestReport
from tests.conformance import endings
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    MiddlewareError,
    answering,
    body_events,
    hosted,
    make_scope,
    offering,
    run,
    until,
)
from tests.conformance.endings import PATH, Held, Stage, read_all, scope, upload


class AppError(Exception):
    """What an application may raise."""


def only(stage: Stage) -> RequestReport:
    """The report of the request that is looked at: there is exactly one."""
    [report] = stage.reports
    return report


def failing(environ: Any, start_response: Any) -> Any:
    raise AppError


def failing_in_its_stream(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    yield b"one"
    raise AppError


def with_trailers(environ: Any, start_response: Any) -> Any:
    environ["bridge.trailers"]([("x-sum", "1")])
    start_response("200 OK", list(TEXT))
    return [b"body"]


def with_early_hints(environ: Any, start_response: Any) -> Any:
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", list(TEXT))
    return [b"body"]


def by_write(environ: Any, start_response: Any) -> Any:
    start_response("201 Created", list(TEXT))(b"written")
    return []


# ---- Once, and with the right outcome ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "driver", "status", "response_bytes"),
    [
        pytest.param(answering([b"body"]), partial(Driver, scope()), 200, 4, id="a list"),
        pytest.param(answering([]), partial(Driver, scope()), 200, 0, id="no content"),
        pytest.param(answering([b"a", b"bc"]), partial(Driver, scope()), 200, 3, id="a list of two"),
        pytest.param(answering(lambda: iter([b"a", b"bc"])), partial(Driver, scope()), 200, 3, id="an iterator"),
        pytest.param(by_write, partial(Driver, scope()), 201, 7, id="write"),
        pytest.param(answering([b"body"]), partial(Driver, scope("HEAD")), 200, 0, id="HEAD"),
        pytest.param(
            answering([], status="204 No Content", headers=[]), partial(Driver, scope("DELETE")), 204, 0, id="204"
        ),
        pytest.param(
            with_trailers, partial(Driver, scope(**offering("http.response.trailers"))), 200, 4, id="trailers"
        ),
        pytest.param(
            with_early_hints, partial(Driver, scope(**offering("http.response.early_hint"))), 200, 4, id="early hints"
        ),
    ],
)
def test_a_complete_response_is_reported_as_completed(app, driver, status, response_bytes, backend):
    stage = Stage(backend.name)

    stage.serve(app, driver())

    report = only(stage)
    assert (report.outcome, report.status, report.response_bytes) == ("completed", status, response_bytes)
    assert (report.direction, report.path) == ("wsgi_to_asgi", PATH)
    assert report.queue_wait_s is not None
    assert report.app_time_s is not None


@pytest.mark.parametrize(("play", "status"), endings.REFUSED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_refused_request_is_reported_once_with_the_status_of_the_refusal(play, status, backend):
    stage = Stage(backend.name)

    play(stage)

    report = only(stage)
    assert (report.outcome, report.status) == ("refused", status)


@pytest.mark.parametrize(
    "play",
    [play for play in endings.REFUSED if play is not endings.becomes_too_large_while_read],
    ids=lambda p: p.__name__,
)
def test_a_request_refused_before_the_application_has_neither_wait_nor_app_time(play):
    stage = Stage("asyncio")

    play(stage)

    report = only(stage)
    assert (report.queue_wait_s, report.app_time_s) == (None, None)


@pytest.mark.parametrize("play", endings.ABORTED, ids=lambda play: play.__name__)
def test_an_aborted_request_is_reported_once(play, backend):
    stage = Stage(backend.name)

    play(stage)

    assert only(stage).outcome == "aborted"


@pytest.mark.parametrize(
    "play",
    [endings.is_cancelled_in_the_upload, endings.is_cancelled_while_it_waits_for_a_worker],
    ids=lambda p: p.__name__,
)
def test_a_request_cancelled_before_the_application_was_called_has_no_app_time(play):
    stage = Stage("asyncio")

    play(stage)

    report = only(stage)
    assert (report.queue_wait_s, report.app_time_s, report.status) == (None, None, None)


@pytest.mark.parametrize(
    ("app", "options", "status"),
    [
        pytest.param(failing, {}, None, id="before its response"),
        pytest.param(failing, {"on_error": "respond"}, 500, id="before its response, answered here"),
        pytest.param(failing_in_its_stream, {}, 200, id="in its stream"),
        pytest.param(lambda environ, start_response: 7, {}, None, id="no iterable"),
        pytest.param(answering([b"x"], headers=[("Content-Length", "5")]), {}, 200, id="less than announced"),
    ],
)
def test_an_application_that_fails_is_reported_as_failed(app, options, status, backend):
    stage = Stage(backend.name)

    stage.serve(app, Driver(scope()), **options)

    report = only(stage)
    assert (report.outcome, report.status) == ("failed", status)
    assert report.app_time_s is not None


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param(partial(Driver, scope(), fail_at={0: MiddlewareError()}), id="send"),
        pytest.param(partial(upload, b"half", length=8, more=(MiddlewareError(),)), id="receive"),
    ],
)
def test_a_failure_of_the_server_is_reported_as_failed_and_rises(driver, backend):
    stage = Stage(backend.name)

    served = stage.serve(read_all, driver())

    assert only(stage).outcome == "failed"
    assert isinstance(served.error, MiddlewareError)


def test_a_failure_in_close_after_the_response_leaves_it_completed(backend):
    def fail() -> None:
        raise AppError

    stage = Stage(backend.name)

    stage.serve(answering(lambda: ClosingBlocks(on_close=fail)), Driver(scope()))

    assert (only(stage).outcome, only(stage).response_bytes) == ("completed", 6)


def test_what_is_no_request_is_not_reported(backend):
    stage = Stage(backend.name)
    websocket = {"type": "websocket", "path": PATH, "headers": []}

    stage.serve(answering([b"x"]), Driver(websocket, events=[{"type": "websocket.connect"}]))

    assert stage.seen == []


def test_of_many_requests_at_once_each_is_reported_once(backend):
    stage = Stage(backend.name)
    with stage.host(answering(lambda: iter([b"a", b"b"])), limits=Limits(workers=4, worker_idle_s=0.05)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(Driver(make_scope(path=f"/{number}")).call, adapter)

        run(main, backend.name)

    assert sorted(report.path for report in stage.seen) == sorted(f"/{number}" for number in range(50))
    assert {report.outcome for report in stage.seen} == {"completed"}
    assert {report.response_bytes for report in stage.seen} == {2}


# ---- Observers --------------------------------------------------------------------------------------------------


def test_observers_are_called_in_order_on_the_loops_thread(backend):
    calls: list[tuple[str, int]] = []
    with hosted(answering([b"x"])) as adapter:
        adapter.observe(lambda _: calls.append(("first", threading.get_ident())))
        adapter.observe(lambda _: calls.append(("second", threading.get_ident())))
        run(partial(Driver().call, adapter), backend.name)

    assert calls == [("first", threading.get_ident()), ("second", threading.get_ident())]


def test_an_observer_that_fails_harms_neither_the_request_nor_the_other_observers(backend, caplog):
    stage = Stage(backend.name)

    def fail(report: RequestReport) -> None:
        raise AppError

    driver = Driver(scope())
    with hosted(answering([b"body"])) as adapter:
        adapter.observe(fail)
        adapter.observe(stage.seen.append)
        run(partial(driver.call, adapter), backend.name)

    assert (driver.error, driver.body) == (None, b"body")
    assert only(stage).outcome == "completed"
    [record] = [record for record in caplog.records if record.name == "bridge.observing"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], AppError)


def test_an_observer_learns_of_requests_that_begin_after_it_was_added(backend):
    stage = Stage(backend.name)
    with hosted(answering([b"x"])) as adapter:
        run(partial(Driver(scope()).call, adapter), backend.name)
        adapter.observe(stage.seen.append)
        run(partial(Driver(scope()).call, adapter), backend.name)

    only(stage)


def test_without_observers_no_record_is_kept(monkeypatch):
    def fail(*_: Any) -> None:
        raise AssertionError("a record was made")

    monkeypatch.setattr("bridge._wsgi_hosting.observed.Record", fail)

    driver = Driver()
    with hosted(answering([b"body"])) as adapter:
        run(partial(driver.call, adapter))

    assert driver.body == b"body"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({}, id="without type"),
        pytest.param({"type": "http.strange"}, id="of another type"),
        pytest.param({"type": "http.request", "body": 7}, id="with a body that is none"),
    ],
)
def test_a_wrong_event_of_the_server_is_the_same_error_with_and_without_an_observer(event):
    errors: list[tuple[type[BaseException], str]] = []
    for is_observed in (False, True):
        driver = upload(b"half", length=8, more=(event,))
        Stage("asyncio", is_observed).serve(read_all, driver)
        errors.append((type(driver.error), str(driver.error)))

    assert errors[0] == errors[1]


# ---- Numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "options", "count"),
    [
        pytest.param(partial(upload, b"12345", b"678", length=8), {}, 8, id="in memory"),
        pytest.param(partial(upload, b"12345", b"678"), {}, 8, id="chunked"),
        pytest.param(
            partial(upload, b"12345", b"678", length=8),
            {"limits": Limits(body_memory_bytes=2), "large_body": "spool"},
            8,
            id="spooled",
        ),
        pytest.param(
            partial(upload, b"12345", b"678", length=8),
            {"limits": Limits(body_memory_bytes=2), "large_body": "stream"},
            8,
            id="streamed",
        ),
        pytest.param(partial(upload, b"123", length=8, more=(endings.DISCONNECT,)), {}, 3, id="cut"),
        pytest.param(partial(Driver, scope()), {}, 0, id="no body"),
    ],
)
def test_the_octets_of_the_request_body_are_counted_as_far_as_they_came(driver, options, count, backend):
    stage = Stage(backend.name)

    stage.serve(read_all, driver(), **options)

    assert only(stage).request_bytes == count


def test_a_body_that_nobody_reads_is_not_counted(backend):
    stage = Stage(backend.name)
    driver = Driver(scope("POST", headers=[(b"content-length", b"4"), (b"expect", b"100-continue")]))
    driver.feed(*body_events(b"body"))

    stage.serve(answering([b"unread"]), driver)

    assert only(stage).request_bytes == 0


def test_a_response_is_streamed_when_it_goes_out_in_more_than_one_piece(backend):
    driver = Driver(scope())

    def blocks():
        yield b"one"
        driver.block_until_sent(2)
        yield b"two"

    stage = Stage(backend.name)
    stage.serve(answering(blocks), driver)

    assert (only(stage).is_streamed, only(stage).response_bytes) == (True, 6)


def test_a_response_in_one_piece_is_not_streamed(backend):
    stage = Stage(backend.name)

    stage.serve(answering([b"one", b"two"]), Driver(scope()))

    assert only(stage).is_streamed is False


def test_the_end_alone_does_not_make_a_second_piece():
    """An application that gives one block from a generator has not streamed, whenever its end goes out."""
    driver = Driver(scope())

    def blocks():
        yield b"one"
        driver.block_until_sent(2)

    stage = Stage("asyncio")
    stage.serve(answering(blocks), driver)

    assert only(stage).is_streamed is False


@pytest.mark.parametrize("name", ["http.response.zerocopysend", "http.response.pathsend", None], ids=str)
def test_the_octets_of_a_file_are_counted_whoever_sends_it(name, tmp_path, backend):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)

    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "1000")])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    stage = Stage(backend.name)
    stage.serve(app, Driver(scope(**(offering(name) if name else {}))), pathsend=True)

    assert (only(stage).response_bytes, only(stage).status) == (1000, 200)


def test_blocks_that_the_client_did_not_wait_for_are_not_counted(backend):
    """The last block counts when it was handed to send(), what comes after the client's leaving does not."""
    driver = Driver(scope(), raises_when_gone=True)

    def blocks():
        yield b"1234"
        driver.block_until_sent(2)
        driver.disconnect()
        driver.settle()
        yield from [b"x" * 1000] * 5

    stage = Stage(backend.name)
    stage.serve(answering(blocks), driver)

    report = only(stage)
    assert (report.outcome, report.status, report.response_bytes) == ("aborted", 200, 4)


def test_the_wait_for_a_worker_is_told_from_the_time_of_the_application(backend):
    app = Held()
    stage = Stage(backend.name)
    times: dict[str, float] = {}
    with stage.host(app, limits=Limits(workers=1)) as adapter:

        async def main() -> None:
            began_s = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Driver(make_scope(path="/first")).call, adapter)
                await until(lambda: app.entered)
                times["entered"] = time.perf_counter() - began_s
                tasks.start_soon(Driver(scope()).call, adapter)
                await until(lambda: adapter.statistics().waiting)
                seen_s = time.perf_counter()
                await anyio.sleep(0.1)
                times["waited"] = time.perf_counter() - seen_s
                app.opened.set()
            times["all"] = time.perf_counter() - began_s

        run(main, backend.name)

    [first] = [report for report in stage.seen if report.path == "/first"]
    second = only(stage)
    assert first.queue_wait_s is not None
    assert first.app_time_s is not None
    assert second.queue_wait_s is not None
    assert second.app_time_s is not None
    assert 0 <= first.queue_wait_s <= times["entered"]
    assert first.app_time_s >= times["waited"]
    assert times["waited"] <= second.queue_wait_s <= times["all"]
    assert second.queue_wait_s + second.app_time_s <= times["all"]
    assert second.app_time_s < times["all"] - times["waited"]


def test_the_time_of_the_application_includes_its_whole_stream():
    driver = Driver(scope())
    took_s: list[float] = []

    def blocks():
        began_s = time.perf_counter()
        yield b"one"
        driver.block_until_sent(2)
        driver.settle()
        took_s.append(time.perf_counter() - began_s)
        yield b"two"

    stage = Stage("asyncio")
    stage.serve(answering(blocks), driver)

    app_time_s = only(stage).app_time_s
    assert app_time_s is not None
    assert app_time_s >= took_s[0] > 0


def test_a_file_like_object_is_counted_block_by_block(backend):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 500), 100)

    stage = Stage(backend.name)
    stage.serve(app, Driver(scope()))

    assert only(stage).response_bytes == 500
