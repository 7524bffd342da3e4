"""The lifespan of an ASGI application under `to_wsgi`: startup, what stands in for a lifespan, state and context."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import threading
import time
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, ApplicationTypeError, LifespanError, LoopStalled
from tests.conformance.living import STARTED, STOPPED, LivingApp, answer, lifespan_only, logged
from tests.gateway import QUICK, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold, until

INFO = logging.INFO


@pytest.fixture(autouse=True)
def all_of_the_log(caplog):
    caplog.set_level(INFO, logger="bridge.asgi_to_wsgi")


def limits(**changes: float) -> Any:
    return dataclasses.replace(QUICK, **changes)


# ---- Startup ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-096")
def test_twenty_first_requests_at_once_make_one_startup_and_come_after_it(backend):
    hold = Hold("startup")
    app = LivingApp(startup=lambda state: hold.stop_here_on_loop())

    with hosted(app, event_loop=backend.name) as adapter:
        helpers = [Helper(lambda: run(adapter).body) for _ in range(20)]
        hold.reached.wait()
        until(lambda: adapter.statistics().requests == 20, "all requests are there")
        assert app.events == ["startup"]
        hold.release()
        assert [helper.join() for helper in helpers] == [b"hello"] * 20

    assert app.events[:2] == ["startup", "started"]
    assert app.events[-2:] == ["shutdown", "stopped"]
    assert (app.events.count("startup"), app.events.count("request")) == (1, 20)


@pytest.mark.requirement("A-107")
def test_startup_may_be_called_from_two_threads_and_again(backend):
    hold = Hold("startup")
    app = LivingApp(startup=lambda state: hold.stop_here_on_loop())

    with hosted(app, event_loop=backend.name) as adapter:
        both_came = threading.Barrier(3)
        helpers = [Helper(lambda: (both_came.wait(10), adapter.startup())) for _ in range(2)]
        both_came.wait(10)
        hold.reached.wait()
        assert not any(helper.is_done for helper in helpers)
        hold.release()
        for helper in helpers:
            helper.join()
        adapter.startup()
        assert app.events == ["startup", "started"]
        run(adapter)

    assert app.events.count("startup") == 1


@pytest.mark.requirement("A-097")
def test_the_lifespan_scope_has_exactly_its_keys(backend):
    scopes = []

    async def live(scope, receive, send):
        scopes.append({**scope, "state": dict(scope["state"])})
        await receive()
        await send(STARTED)
        await receive()
        await send(STOPPED)

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        adapter.startup()

    assert scopes == [{"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}]
    assert type(scopes[0]) is dict


@pytest.mark.requirement("A-098")
def test_each_lifespan_event_comes_once_however_early_it_is_asked_for(backend):
    received: list[str] = []
    second_is_asked = Flag("the second receive is waiting")

    async def live(scope, receive, send):
        async def receive_one(after: Flag | None = None) -> None:
            if after is not None:
                after.set()
            received.append((await receive())["type"])

        await receive_one()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive_one, second_is_asked)
            while not second_is_asked.is_set():
                await anyio.sleep(0)
            await send(STARTED)
        await send(STOPPED)

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        run(adapter)
        run(adapter)
        assert received == ["lifespan.startup"]

    assert received == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.requirement("A-098", "A-102")
def test_a_lifespan_that_waits_for_a_third_event_gets_none_and_is_ended(backend, caplog):
    received: list[str] = []

    async def live(scope, receive, send):
        received.append((await receive())["type"])
        await send(STARTED)
        received.append((await receive())["type"])
        await send(STOPPED)
        received.append((await receive())["type"])

    with hosted(lifespan_only(live), limits=limits(cancel_s=0.1), event_loop=backend.name) as adapter:
        adapter.startup()

    assert received == ["lifespan.startup", "lifespan.shutdown"]
    assert logged(caplog) == ["the application's lifespan does not end after the shutdown; it is given up"]


@pytest.mark.requirement("A-103")
def test_startup_requests_and_shutdown_share_a_loop_and_the_lifespan_is_one_task(backend):
    tasks: list[int] = []

    async def note_task(*_: Any) -> None:
        tasks.append(anyio.get_current_task().id)

    app = LivingApp(startup=note_task, shutdown=note_task)

    with hosted(app, event_loop=backend.name) as adapter:
        for _ in range(3):
            Helper(lambda: run(adapter)).join()

    assert tasks[0] == tasks[1]
    assert len(app.loops) == 1
    assert len(app.thread_ids) == 1
    assert threading.get_ident() not in app.thread_ids


@pytest.mark.requirement("A-103")
def test_a_task_group_may_stay_open_from_startup_to_shutdown_and_serve_requests(backend):
    done: list[str] = []

    async def app(scope, receive, send):
        if scope["type"] == "http":
            over = anyio.Event()
            scope["state"]["tasks"].start_soon(work, over)
            await over.wait()
            await answer(send)
            return
        await receive()
        async with anyio.create_task_group() as tasks:
            scope["state"]["tasks"] = tasks
            await send(STARTED)
            await receive()
        done.append("closed")
        await send(STOPPED)

    async def work(over):
        done.append("work")
        over.set()

    with hosted(app, event_loop=backend.name) as adapter:
        run(adapter)
        run(adapter)

    assert done == ["work", "work", "closed"]


# ---- Failures ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-101")
@pytest.mark.parametrize("goes_on", [False, True], ids=["returns", "stays"])
@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        pytest.param({"message": "no database"}, "the application's startup failed: no database", id="message"),
        pytest.param({}, "the application's startup failed: ", id="no message"),
    ],
)
def test_after_a_failed_startup_each_request_raises_and_nothing_is_tried_again(
    backend, caplog, message, sentence, goes_on
):
    called: list[str] = []

    async def app(scope, receive, send):
        called.append(scope["type"])
        await receive()
        await send({"type": "lifespan.startup.failed", **message})
        if goes_on:
            await anyio.sleep_forever()

    with hosted(app, event_loop=backend.name) as adapter:
        errors = []
        for _ in range(2):
            with pytest.raises(LifespanError) as caught:
                run(adapter)
            errors.append(caught.value)
        with pytest.raises(LifespanError, match="startup failed") as caught:
            adapter.startup()
        errors.append(caught.value)
        assert adapter.statistics().phase == "failed to start"

    assert called == ["lifespan"]
    assert [(str(error), error.phase) for error in errors] == [(sentence, "startup")] * 3
    assert errors[0] is not errors[1], "a shared exception would collect the tracebacks of all requests"
    assert f"{sentence}; no request is served" in logged(caplog)


@pytest.mark.requirement("A-101")
def test_requests_that_wait_for_a_startup_fail_with_it(backend):
    hold = Hold("startup")

    async def live(scope, receive, send):
        await receive()
        await hold.stop_here_on_loop()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        helpers = [Helper(lambda: run(adapter)) for _ in range(5)]
        until(lambda: adapter.statistics().requests == 5)
        hold.release()
        for helper in helpers:
            with pytest.raises(LifespanError, match="no database"):
                helper.join()


@pytest.mark.requirement("A-101")
def test_a_failed_startup_can_be_answered_with_500(backend):
    async def live(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the password is wrong"})

    with hosted(lifespan_only(live), event_loop=backend.name, on_error="respond") as adapter:
        gateways = [run(adapter), run(adapter)]

    assert [gateway.status for gateway in gateways] == ["500 Internal Server Error"] * 2
    assert all(b"password" not in gateway.body for gateway in gateways)


@pytest.mark.requirement("A-106")
def test_a_startup_that_hangs_fails_at_its_limit_and_is_cancelled(backend, caplog):
    ended: list[str] = []

    async def hang(state):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    app = LivingApp(startup=hang)
    with hosted(app, event_loop=backend.name, limits=limits(startup_s=0.1)) as adapter:
        with pytest.raises(LifespanError, match=r"startup took longer than 0\.1 s"):
            adapter.startup()
        with pytest.raises(LifespanError, match=r"startup took longer than 0\.1 s"):
            run(adapter)

    assert app.events == ["startup"]
    assert ended == ["cancelled"]
    assert logged(caplog)[0] == "the application's startup took longer than 0.1 s; no request is served"


@pytest.mark.requirement("A-106", "A-122")
def test_a_startup_that_blocks_the_loop_is_named_and_serving_begins_when_it_lets_go(backend):
    hold = Hold("startup")

    async def block(state):
        hold.stop_here()

    app = LivingApp(startup=block)
    with hosted(app, event_loop=backend.name, limits=limits(startup_s=0.2, loop_wait_s=0.2)) as adapter:
        try:
            with pytest.raises(LifespanError, match="has not finished the startup in time") as caught:
                adapter.startup()
            assert "hold.stop_here()" in str(caught.value)
            with pytest.raises(LoopStalled, match=r"hold\.stop_here\(\)"):
                run(adapter)
        finally:
            hold.release()
        adapter.startup()
        assert run(adapter).body == b"hello"

    assert app.events.count("startup") == 1


@pytest.mark.requirement("A-106", "A-122")
def test_a_first_request_whose_startup_blocks_the_loop_fails_within_the_loops_limits(backend):
    hold = Hold("startup")

    async def block(state):
        hold.stop_here()

    short = limits(startup_s=0.2, loop_wait_s=0.2, app_wait_s=60.0)
    with hosted(LivingApp(startup=block), event_loop=backend.name, limits=short) as adapter:
        begun_s = time.monotonic()
        try:
            with pytest.raises(LoopStalled, match=r"hold\.stop_here\(\)"):
                run(adapter)
            assert time.monotonic() - begun_s < 20
        finally:
            hold.release()


@pytest.mark.requirement("A-096", "A-106")
def test_the_time_of_a_startup_is_not_counted_as_silence_of_the_application(backend):
    hold = Hold("startup")
    app = LivingApp(startup=lambda state: hold.stop_here_on_loop())

    with hosted(app, event_loop=backend.name, limits=limits(app_wait_s=0.5)) as adapter:
        helper = Helper(lambda: run(adapter).body)
        try:
            hold.reached.wait()
            with pytest.raises(AssertionError, match="still busy"):  # for longer than app_wait_s, twice over
                helper.join(1.2)
        finally:
            hold.release()
        assert helper.join() == b"hello"


# ---- No lifespan ------------------------------------------------------------------------------------------------


async def raises_on_the_scope(scope, receive, send):
    raise AssertionError(f"unknown scope {scope['type']}")


async def raises_after_the_startup_event(scope, receive, send):
    await receive()
    raise KeyError("state")


async def exits(scope, receive, send):
    raise SystemExit(3)


async def returns(scope, receive, send):
    pass


async def returns_after_the_startup_event(scope, receive, send):
    await receive()


UNSUPPORTED = [
    pytest.param(raises_on_the_scope, "it raised AssertionError('unknown scope lifespan')", id="raises on the scope"),
    pytest.param(raises_after_the_startup_event, "it raised KeyError('state')", id="raises after receiving"),
    pytest.param(exits, "it raised SystemExit(3)", id="exits"),
    pytest.param(returns, "it returned without an answer", id="returns"),
    pytest.param(returns_after_the_startup_event, "it returned without an answer", id="returns after receiving"),
]


@pytest.mark.requirement("A-099", "A-100", "A-033")
@pytest.mark.parametrize(("live", "reason"), UNSUPPORTED)
def test_an_application_that_answers_no_startup_is_served_without_a_lifespan(backend, caplog, live, reason):
    calls: list[str] = []

    async def counted(scope, receive, send):
        calls.append(scope["type"])
        await live(scope, receive, send)

    with hosted(lifespan_only(counted), event_loop=backend.name) as adapter:
        adapter.startup()
        assert run(adapter).body == b"['no state']"
        assert run(adapter).body == b"['no state']"

    assert calls == ["lifespan"]
    assert logged(caplog, INFO) == [f"the application does not support the lifespan protocol: {reason}"]
    assert logged(caplog) == []
    assert logged(caplog, logging.WARNING) == []


@pytest.mark.requirement("A-106")
@pytest.mark.parametrize(("live", "reason"), UNSUPPORTED)
def test_where_a_lifespan_is_demanded_it_is_fatal_to_have_none(backend, live, reason):
    with hosted(lifespan_only(live), event_loop=backend.name, lifespan="on") as adapter:
        for attempt in (adapter.startup, lambda: run(adapter), lambda: run(adapter)):
            with pytest.raises(LifespanError) as caught:
                attempt()
            assert str(caught.value) == f"the application does not support the lifespan protocol: {reason}"


@pytest.mark.requirement("A-106", "A-033")
def test_a_lifespan_that_is_switched_off_never_runs(backend):
    app = LivingApp(request=lambda scope, receive, send: answer(send, repr("state" in scope).encode()))

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter:
        adapter.startup()
        assert run(adapter).body == b"False"

    assert app.events == ["request", "request over"]


@pytest.mark.requirement("A-106")
def test_a_lifespan_that_is_demanded_and_there_is_like_any_other(backend):
    app = LivingApp()

    with hosted(app, event_loop=backend.name, lifespan="on") as adapter:
        run(adapter)

    assert app.events == ["startup", "started", "request", "request over", "shutdown", "stopped"]


@pytest.mark.requirement("A-104")
@pytest.mark.parametrize("error", [None, RuntimeError("lost the database")], ids=["returns", "raises"])
def test_a_lifespan_that_ends_in_between_is_logged_and_requests_are_served(backend, caplog, error):
    let_go = Flag("the lifespan may end")

    async def live(scope, receive, send):
        await receive()
        scope["state"]["key"] = 1
        await send(STARTED)
        await let_go.wait_on_loop()
        if error is not None:
            raise error

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        assert run(adapter).body == b"['key']"
        let_go.set()
        until(lambda: logged(caplog), "the end is logged")
        assert run(adapter).body == b"['key']"
        assert adapter.statistics().phase == "serving"

    assert logged(caplog) == ["the application's lifespan ended before the shutdown; requests are still served"]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (record.exc_info[1] if record.exc_info else None) is error


# ---- Messages ---------------------------------------------------------------------------------------------------

BEFORE, BETWEEN, STOPPING, AFTER = "before startup", "between", "at shutdown", "after shutdown"


@pytest.mark.requirement("A-105")
@pytest.mark.parametrize(
    ("when", "message", "error"),
    [
        pytest.param(BEFORE, {"type": "lifespan.started"}, ApplicationError, id="unknown"),
        pytest.param(BEFORE, {"type": "http.response.start", "status": 200}, ApplicationError, id="of a request"),
        pytest.param(BEFORE, {"type": "lifespan.startup"}, ApplicationError, id="the server's"),
        pytest.param(BEFORE, {}, ApplicationTypeError, id="no type"),
        pytest.param(BEFORE, {"type": b"lifespan.startup.complete"}, ApplicationTypeError, id="bytes"),
        pytest.param(BEFORE, STOPPED, ApplicationError, id="shutdown before startup"),
        pytest.param(BETWEEN, STARTED, ApplicationError, id="started twice"),
        pytest.param(BETWEEN, {"type": "lifespan.startup.failed"}, ApplicationError, id="failed after all"),
        pytest.param(BETWEEN, STOPPED, ApplicationError, id="stopped unasked"),
        pytest.param(STOPPING, STARTED, ApplicationError, id="started at the end"),
        pytest.param(AFTER, STOPPED, ApplicationError, id="stopped twice"),
        pytest.param(AFTER, {"type": "lifespan.shutdown.failed"}, ApplicationError, id="failed after the end"),
    ],
)
def test_a_message_that_may_not_come_raises_out_of_send_and_changes_nothing(backend, caplog, when, message, error):
    raised: list[BaseException] = []

    async def live(scope, receive, send):
        async def send_wrongly(now: str) -> None:
            if now == when:
                try:
                    await send(message)
                except Exception as refusal:
                    raised.append(refusal)

        await receive()
        await send_wrongly(BEFORE)
        await send(STARTED)
        await send_wrongly(BETWEEN)
        await receive()
        await send_wrongly(STOPPING)
        await send(STOPPED)
        await send_wrongly(AFTER)

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        assert run(adapter).body == b"[]"

    assert [type(one) for one in raised] == [error]
    if isinstance(message.get("type"), str):
        assert repr(message["type"]) in str(raised[0])
    assert logged(caplog) == []


@pytest.mark.requirement("A-105", "A-099")
def test_an_application_that_sends_nonsense_at_startup_and_falls_over_it_supports_no_lifespan(backend, caplog):
    async def live(scope, receive, send):
        await receive()
        await send({"type": "lifespan.nonsense"})

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        assert run(adapter).body == b"['no state']"

    [message] = logged(caplog, INFO)
    assert "lifespan.nonsense" in message


# ---- State and context ------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-032")
def test_each_request_has_its_own_shallow_copy_of_the_state(backend):
    shared = object()
    states: list[dict[str, Any]] = []
    namespace: list[dict[str, Any]] = []

    async def startup(state):
        namespace.append(state)
        state["pool"] = shared

    async def request(scope, receive, send):
        states.append(dict(scope["state"]))
        scope["state"]["mine"] = 1
        await answer(send)

    with hosted(LivingApp(startup=startup, request=request), event_loop=backend.name) as adapter:
        run(adapter)
        run(adapter)
        namespace[0]["later"] = 2
        run(adapter)

    assert states == [{"pool": shared}, {"pool": shared}, {"pool": shared, "later": 2}]
    assert states[0]["pool"] is shared
    assert "mine" not in namespace[0]


variable: ContextVar[str] = ContextVar("variable", default="untouched")


@pytest.mark.requirement("A-111")
@pytest.mark.parametrize("is_explicit", [False, True], ids=["first request", "startup()"])
def test_the_lifespan_does_not_run_in_the_context_of_who_came_first(backend, is_explicit):
    seen: list[str] = []

    async def note(*_: Any) -> None:
        seen.append(variable.get())
        variable.set("of the lifespan")

    async def request(scope, receive, send):
        seen.append(variable.get())
        variable.set("of the application")
        await answer(send)

    def make_request(adapter: Any, text: str) -> str:
        variable.set(text)
        if is_explicit:
            adapter.startup()
        run(adapter)
        return variable.get()

    app = LivingApp(startup=note, shutdown=note, request=request)
    with hosted(app, event_loop=backend.name) as adapter:
        threads = [Helper(lambda text=text: make_request(adapter, text)).join() for text in ("first", "second")]

    # The task of the lifespan keeps its context from startup to shutdown.
    assert seen == ["untouched", "first", "second", "of the lifespan"]
    assert threads == ["first", "second"]


@pytest.mark.requirement("A-114", "A-099")
def test_an_application_that_wants_signals_at_startup_goes_without_a_lifespan(backend, caplog):
    async def live(scope, receive, send):
        await receive()
        if backend.is_asyncio:
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
        else:
            signal.signal(signal.SIGUSR1, print)
        await send(STARTED)

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        assert run(adapter, environ_for()).body == b"['no state']"

    [message] = logged(caplog, INFO)
    assert "main thread" in message
