"""``observe()`` of `ASGIToWSGI`: each request is reported once, whatever happens to it, and the numbers are right."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any
from wsgiref.util import FileWrapper

import anyio
import pytest

from bridge import ApplicationError, ApplicationTimeout, EventLoopError, Limits, LoopStalled, RequestReport
from tests.conformance import wsgi_endings
from tests.conformance.living import LivingApp, lifespan_only
from tests.conformance.wsgi_endings import PATH, QUICK, START, Stage, block, environ, read_all
from tests.gateway import Gateway, ScriptedInput, answering, environ_for, run
from tests.meeting import Helper, Hold, until


class AppError(Exception):
    """What an application may raise."""


def only(stage: Stage) -> RequestReport:
    """The report of the request that is looked at: there is exactly one."""
    [report] = stage.reports
    return report


async def failing(scope: Any, receive: Any, send: Any) -> None:
    raise AppError


async def failing_after_its_start(scope: Any, receive: Any, send: Any) -> None:
    await send({**START, "status": 201})
    raise AppError


async def failing_in_its_stream(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(block(b"one"))
    raise AppError


async def streaming(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    for octets in (b"one", b"two", b""):
        await send(block(octets, more=bool(octets)))


async def with_an_empty_end(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(block(b"body"))
    await send(block(b"", more=False))


async def surplus(scope: Any, receive: Any, send: Any) -> None:
    await answering(b"body")(scope, receive, send)
    await send(block(b"too late"))


# ---- Once, and with the right outcome ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "method", "expected"),
    [
        pytest.param(answering(b"body"), "GET", (200, 4, False), id="one block"),
        pytest.param(answering(b"", 404), "GET", (404, 0, False), id="no content"),
        pytest.param(streaming, "GET", (200, 6, True), id="a stream"),
        pytest.param(with_an_empty_end, "GET", (200, 4, False), id="the end alone is no second piece"),
        pytest.param(answering(b"body"), "HEAD", (200, 0, False), id="HEAD"),
        pytest.param(streaming, "HEAD", (200, 0, False), id="HEAD of a stream"),
        pytest.param(answering(b"", 204), "DELETE", (204, 0, False), id="204"),
        pytest.param(answering(b"", 304), "GET", (304, 0, False), id="304"),
        pytest.param(surplus, "GET", (200, 4, False), id="surplus after the end"),
    ],
)
def test_a_complete_response_is_reported_as_completed(app, method, expected, backend):
    stage = Stage(backend.name)

    with stage.host(app) as adapter:
        run(adapter, environ(method))

    report = only(stage)
    assert (report.direction, report.method, report.path) == ("asgi_to_wsgi", method, PATH)
    assert report.outcome == "completed"
    assert (report.status, report.response_bytes, report.is_streamed) == expected
    assert report.queue_wait_s is not None
    assert report.app_time_s is not None


@pytest.mark.parametrize(
    ("play", "status"), wsgi_endings.REFUSED.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_refused_request_is_reported_once_with_the_status_of_the_refusal(play, status, backend):
    stage = Stage(backend.name)

    play(stage)

    report = only(stage)
    assert (report.outcome, report.status) == ("refused", status)


def test_a_refusal_in_the_upload_is_never_taken_for_a_client_that_left(backend):
    """The request thread refuses while the loop hears that it leaves: whoever is first, the report says the same."""
    outcomes: set[str] = set()
    for _ in range(20):
        stage = Stage(backend.name)
        wsgi_endings.becomes_too_large_while_read(stage)
        outcomes.add(only(stage).outcome)

    assert outcomes == {"refused"}


@pytest.mark.parametrize("play", wsgi_endings.ABORTED, ids=lambda play: play.__name__)
def test_an_aborted_request_is_reported_once(play, backend):
    stage = Stage(backend.name)

    play(stage)

    assert only(stage).outcome == "aborted"


@pytest.mark.parametrize(
    ("app", "options", "status"),
    [
        pytest.param(failing, {}, None, id="before its response"),
        pytest.param(failing_after_its_start, {}, None, id="before its first block"),
        pytest.param(failing, {"on_error": "respond"}, 500, id="before its response, answered here"),
        pytest.param(failing_in_its_stream, {}, 200, id="in its stream"),
    ],
)
def test_an_application_that_fails_is_reported_as_failed(app, options, status, backend):
    stage = Stage(backend.name)

    with stage.host(app, **options) as adapter, suppress(AppError):
        run(adapter, environ())

    report = only(stage)
    assert (report.outcome, report.status) == ("failed", status)
    assert report.app_time_s is not None


def test_an_application_that_returns_without_an_answer_is_reported_as_failed(backend):
    async def app(scope, receive, send):
        pass

    stage = Stage(backend.name)
    with stage.host(app) as adapter, pytest.raises(ApplicationError):
        run(adapter, environ())

    assert only(stage).outcome == "failed"


def test_an_application_that_fails_after_its_response_is_completed(backend):
    async def app(scope, receive, send):
        await answering(b"body")(scope, receive, send)
        raise AppError

    stage = Stage(backend.name)
    with stage.host(app) as adapter:
        run(adapter, environ())

    assert only(stage).outcome == "completed"


@pytest.mark.parametrize(
    "end",
    [
        pytest.param("returns", id="returns without an end"),
        pytest.param("raises", id="raises"),
        pytest.param("goes on", id="goes on until nobody listens"),
    ],
)
def test_a_head_request_whose_stream_does_not_end_is_reported_once(end, backend):
    """The response is over for the client with its fields, whatever the application does then."""

    async def app(scope, receive, send):
        await send(START)
        await send(block(b"x" * 100))
        if end == "raises":
            raise AppError
        while end == "goes on":
            await send(block(b"x" * 100))

    stage = Stage(backend.name)
    with stage.host(app, limits=Limits(response_memory_bytes=1000, **QUICK)) as adapter:
        assert run(adapter, environ("HEAD")).status == "200 OK"

    assert (only(stage).outcome, only(stage).status) == ("completed", 200)


def test_background_work_does_not_delay_the_report_nor_count_as_app_time(backend):
    hold = Hold("background work")

    async def app(scope, receive, send):
        await answering(b"body")(scope, receive, send)
        await hold.stop_here_on_loop()

    stage = Stage(backend.name)
    with stage.host(app) as adapter:
        run(adapter, environ())
        hold.reached.wait()
        before = only(stage)
        hold.release()

    assert [before] == stage.reports
    assert before.outcome == "completed"


def test_a_failed_startup_is_reported_as_failed(backend):
    async def live(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed"})

    stage = Stage(backend.name)
    with stage.host(lifespan_only(live), lifespan="auto") as adapter, suppress(Exception):
        run(adapter, environ())

    report = only(stage)
    assert (report.outcome, report.app_time_s, report.queue_wait_s) == ("failed", None, None)


def test_the_life_of_the_application_is_no_request(backend):
    stage = Stage(backend.name)

    with stage.host(LivingApp(), lifespan="on") as adapter:
        run(adapter, environ())

    assert [report.path for report in stage.seen] == [PATH]


def test_an_application_that_is_silent_for_too_long_is_reported_as_failed(backend):
    async def app(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    stage = Stage(backend.name)
    with stage.host(app, limits=Limits(app_wait_s=0.1, **QUICK)) as adapter, pytest.raises(ApplicationTimeout):
        run(adapter, environ())

    assert only(stage).outcome == "failed"


def test_a_loop_that_takes_nothing_up_is_reported_as_failed(backend):
    hold = Hold("the loop is blocked")

    async def app(scope, receive, send):
        if scope["path"] == "/blocking":
            hold.stop_here()
        await answering(b"body")(scope, receive, send)

    stage = Stage(backend.name)
    with stage.host(app, limits=Limits(loop_wait_s=0.1, **QUICK)) as adapter:
        blocking = Helper(lambda: run(adapter, environ_for(path="/blocking")))
        hold.reached.wait()
        with pytest.raises(LoopStalled):
            run(adapter, environ())
        hold.release()
        blocking.join()

    report = only(stage)
    assert (report.outcome, report.queue_wait_s, report.app_time_s) == ("failed", None, None)


def test_a_call_on_the_loop_it_needs_is_reported_as_failed(backend):
    """It is an error of whoever mounts the adapter, and a request that was not served."""
    errors: list[BaseException] = []

    async def app(scope, receive, send):
        if scope["path"] == "/outer":
            try:
                run(adapter, environ())
            except EventLoopError as error:
                errors.append(error)
        await answering(b"body")(scope, receive, send)

    stage = Stage(backend.name)
    with stage.host(app) as adapter:
        run(adapter, environ_for(path="/outer"))

    assert len(errors) == 1
    assert only(stage).outcome == "failed"


# ---- Observers --------------------------------------------------------------------------------------------------


def test_a_failing_observer_harms_neither_the_request_nor_the_other_observers(backend, caplog):
    def fail(report: RequestReport) -> None:
        raise AppError

    stage = Stage(backend.name, is_observed=False)
    with stage.host(answering(b"body")) as adapter:
        adapter.observe(fail)
        adapter.observe(stage.seen.append)
        assert run(adapter, environ()).body == b"body"

    assert only(stage).outcome == "completed"
    [record] = [record for record in caplog.records if record.name == "bridge.observing"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], AppError)


def test_an_observer_is_called_on_the_loop_or_for_a_refusal_in_the_request_thread(backend):
    threads: list[str] = []
    stage = Stage(backend.name, is_observed=False)
    with stage.host(answering(b"body")) as adapter:
        adapter.observe(lambda _: threads.append(threading.current_thread().name))
        run(adapter, environ())
        run(adapter, environ("POST", CONTENT_LENGTH="+1"))

    assert threads == ["bridge-loop", threading.current_thread().name]


def test_without_observers_no_record_is_kept(monkeypatch):
    def fail(*_: Any) -> None:
        raise AssertionError("a record was made")

    monkeypatch.setattr("bridge._asgi_hosting.servant.Record", fail)

    with Stage("asyncio", is_observed=False).host(answering(b"body")) as adapter:
        assert run(adapter, environ()).body == b"body"
        assert run(adapter, environ("POST", CONTENT_LENGTH="+1")).status.startswith("400 ")


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{}], id="without type"),
        pytest.param([None], id="no message"),
        pytest.param([{"type": "http.strange"}], id="unknown"),
        pytest.param([START, {"type": "http.response.body", "body": 7}], id="a body that is none"),
        pytest.param([START, {"type": "http.response.body", "body": "text"}], id="text"),
        pytest.param([START, START], id="two starts"),
    ],
)
def test_a_wrong_message_is_the_same_error_with_and_without_an_observer(messages):
    errors: list[tuple[type[BaseException], str]] = []

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    for is_observed in (False, True):
        with Stage("asyncio", is_observed).host(app) as adapter:
            with pytest.raises(Exception) as caught:
                run(adapter, environ())
            errors.append((caught.type, str(caught.value)))

    assert errors[0] == errors[1]


# ---- Numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "request_environ", "count"),
    [
        pytest.param(read_all, partial(environ, "POST", body=b"12345678"), 8, id="read"),
        pytest.param(answering(b"unread"), partial(environ, "POST", body=b"12345678"), 0, id="not read"),
        pytest.param(read_all, environ, 0, id="no body"),
    ],
)
def test_the_octets_of_the_request_body_are_counted_as_far_as_they_were_received(app, request_environ, count, backend):
    stage = Stage(backend.name)

    with stage.host(app) as adapter:
        run(adapter, request_environ())

    assert only(stage).request_bytes == count


def test_the_octets_of_a_cut_upload_are_counted(backend):
    stage = Stage(backend.name)
    wsgi_endings.is_cut_by_an_early_end_of_the_upload(stage)

    assert only(stage).request_bytes == 4


def test_the_octets_of_a_file_that_the_server_sends_are_counted(tmp_path, backend):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)

    async def app(scope, receive, send):
        await send(START)
        await send({"type": "http.response.pathsend", "path": str(path)})

    stage = Stage(backend.name)
    with stage.host(app) as adapter:
        assert len(run(adapter, environ(**{"wsgi.file_wrapper": FileWrapper})).body) == 1000

    report = only(stage)
    assert (report.outcome, report.status, report.response_bytes) == ("completed", 200, 1000)


def test_the_wait_for_a_busy_loop_is_told_from_the_time_of_the_application(backend):
    hold = Hold("the loop is blocked")

    async def app(scope, receive, send):
        if scope["path"] == "/blocking":
            hold.stop_here()
        await answering(b"body")(scope, receive, send)

    stage = Stage(backend.name)
    with stage.host(app) as adapter:
        blocking = Helper(lambda: run(adapter, environ_for(path="/blocking")))
        hold.reached.wait()
        began_s = time.perf_counter()
        helper = Helper(lambda: run(adapter, environ()))
        until(lambda: adapter._hosts.get().portal.port._callbacks, "the hand-over")
        seen_s = time.perf_counter()
        helper.thread.join(0.1)
        waited_s = time.perf_counter() - seen_s
        hold.release()
        blocking.join()
        helper.join()
        all_s = time.perf_counter() - began_s

    report = only(stage)
    assert report.queue_wait_s is not None
    assert report.app_time_s is not None
    assert report.queue_wait_s >= waited_s
    assert report.queue_wait_s + report.app_time_s <= all_s


def test_the_time_of_the_application_includes_its_whole_stream():
    hold = Hold("between two blocks")
    took_s: list[float] = []

    async def app(scope, receive, send):
        began_s = time.perf_counter()
        await send(START)
        await send(block(b"one"))
        await hold.stop_here_on_loop()
        await anyio.sleep(0)
        took_s.append(time.perf_counter() - began_s)
        await send(block(b"two", more=False))

    stage = Stage("asyncio")
    with stage.host(app) as adapter:
        gateway = Gateway(adapter, environ()).call()
        gateway.step()
        helper = Helper(gateway.drain)
        hold.reached.wait()
        hold.release()
        helper.join()
        gateway.close()

    app_time_s = only(stage).app_time_s
    assert app_time_s is not None
    assert app_time_s >= took_s[0] > 0


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="served"),
        pytest.param({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "+1"}, id="refused before it was read"),
    ],
)
def test_the_path_is_the_decoded_one_with_its_mount(more, backend):
    stage = Stage(backend.name)
    raw = {"SCRIPT_NAME": "/shop", "PATH_INFO": "/caf\xc3\xa9"}  # as WSGI has it: octets in text

    with stage.host(answering(b"x")) as adapter:
        run(adapter, environ_for(**raw, **more))

    assert [report.path for report in stage.seen] == ["/shop/caf\xe9"]


def test_of_many_requests_at_once_each_is_reported_once(backend):
    stage = Stage(backend.name)
    with stage.host(streaming) as adapter:

        def requests(number: int) -> None:
            for turn in range(10):
                run(adapter, environ_for(path=f"/{number}/{turn}"))

        for helper in [Helper(lambda number=number: requests(number)) for number in range(4)]:
            helper.join()
        until(lambda: len(stage.seen) >= 40)

    assert sorted(report.path for report in stage.seen) == sorted(f"/{n}/{t}" for n in range(4) for t in range(10))
    assert {(report.outcome, report.response_bytes) for report in stage.seen} == {("completed", 6)}


def test_a_piece_that_came_too_much_is_refused_with_the_octets_that_were_received(backend):
    source = ScriptedInput(b"a", b"bcd", b"efg")
    stage = Stage(backend.name)
    with stage.host(read_all, limits=Limits(body_max_bytes=3, **QUICK)) as adapter:
        run(adapter, environ("POST", **{"wsgi.input": source, "wsgi.input_terminated": True}))

    assert only(stage).request_bytes == 1
