"""How an ASGI application under `to_wsgi` ends: the order of things, limits, and the end of the event loop."""

from __future__ import annotations

import dataclasses
import gc
import logging
import threading
from typing import Any

import anyio
import pytest

from bridge import ASGIToWSGI, ClientDisconnected, EventLoopError, LifespanError, Limits
from tests.backends import ASYNCIO, TRIO, UVLOOP
from tests.conformance.living import STARTED, STOPPED, LivingApp, answer, be_deaf_until, lifespan_only, logged
from tests.gateway import QUICK, Gateway, answering, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold, until


@pytest.fixture(autouse=True)
def all_of_the_log(caplog):
    caplog.set_level(logging.INFO, logger="bridge.asgi_to_wsgi")


def limits(**changes: float) -> Limits:
    return dataclasses.replace(QUICK, **changes)


def loop_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bridge-loop"]


def assert_refused(adapter: Any) -> None:
    gateway = run(adapter)
    assert gateway.status == "503 Service Unavailable"
    assert ("Retry-After", "1") in gateway.headers
    assert dict(gateway.headers)["Content-Length"] == str(len(gateway.body))
    assert b"shutting down" in gateway.body


class HeldApp(LivingApp):
    """Each request stops at the hold of its path, before it answers (``/slow``) or after (``/background``)."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(request=self._serve, **parts)
        self.slow = Hold("slow")
        self.background = Hold("background")

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await self.slow.stop_here_on_loop()
        await answer(send)
        if scope["path"] == "/background":
            await self.background.stop_here_on_loop()
        self.events.append(scope["path"])

    def go_on(self) -> None:
        self.slow.release()
        self.background.release()


# ---- The order --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-102", "A-085")
def test_the_lifespan_ends_after_running_requests_and_background_work_while_new_requests_are_refused(backend):
    app = HeldApp()
    with hosted(app, event_loop=backend.name, limits=limits(shutdown_s=10.0)) as adapter:
        try:
            slow = Helper(lambda: run(adapter, environ_for(path="/slow")).body)
            app.slow.reached.wait()
            assert run(adapter, environ_for(path="/background")).body == b"hello"
            app.background.reached.wait()

            ending = Helper(adapter.shutdown)
            until(lambda: adapter.statistics().phase == "shutting down")
            assert_refused(adapter)
            assert "shutdown" not in app.events

            app.slow.release()
            assert slow.join() == b"hello"
            assert_refused(adapter)
            assert "shutdown" not in app.events
            assert not ending.is_done

            app.background.release()
            ending.join()
            assert_refused(adapter)
        finally:
            app.go_on()

    over = [event for event in app.events if event in ("/slow", "/background", "shutdown", "stopped")]
    assert over == ["/slow", "/background", "shutdown", "stopped"]


@pytest.mark.requirement("A-102")
def test_a_response_under_way_is_finished_during_the_shutdown(backend):
    async def stream(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
        await send({"type": "http.response.body"})

    app = LivingApp(request=stream)
    with hosted(app, event_loop=backend.name, limits=limits(shutdown_s=10.0)) as adapter:
        gateway = Gateway(adapter).call()
        assert gateway.step() == b"0"
        ending = Helper(adapter.shutdown)
        until(lambda: adapter.statistics().phase == "shutting down")
        assert gateway.drain() == b"012"
        gateway.close()
        ending.join()

    assert app.events[-3:] == ["request over", "shutdown", "stopped"]


@pytest.mark.requirement("A-107")
def test_shutdown_may_be_called_again_and_from_two_threads_which_both_wait_for_it(backend):
    hold = Hold("shutdown")
    app = LivingApp(shutdown=hold.stop_here_on_loop)
    with hosted(app, event_loop=backend.name, limits=limits(shutdown_s=10.0)) as adapter:
        run(adapter)
        helpers = [Helper(adapter.shutdown) for _ in range(2)]
        try:
            hold.reached.wait()
            late = Helper(adapter.shutdown)
            assert not any(helper.is_done for helper in (*helpers, late))
        finally:
            hold.release()
        for helper in (*helpers, late):
            helper.join()
        adapter.shutdown()
        assert adapter.statistics().phase == "shut down"

    assert app.events.count("shutdown") == 1


@pytest.mark.requirement("A-107", "A-115")
def test_a_shutdown_before_any_use_starts_nothing_and_is_final(backend):
    app = LivingApp()
    adapter = ASGIToWSGI(app, event_loop=backend.name)

    adapter.shutdown()

    assert adapter.statistics().phase == "shut down"
    assert_refused(adapter)
    with pytest.raises(LifespanError, match="shut down"):
        adapter.startup()
    assert app.events == []
    assert loop_threads() == []


@pytest.mark.requirement("A-101", "A-107")
def test_after_a_shutdown_the_adapter_stays_shut_down(backend):
    app = LivingApp()
    with hosted(app, event_loop=backend.name) as adapter:
        run(adapter)
        adapter.shutdown()

        assert_refused(adapter)
        with pytest.raises(LifespanError, match="shut down") as caught:
            adapter.startup()
        assert caught.value.phase == "startup"
        assert adapter.statistics().refused == 1

    assert app.events.count("startup") == app.events.count("shutdown") == 1
    assert app.events.count("request") == 1


@pytest.mark.requirement("A-102")
def test_a_shutdown_during_the_startup_refuses_who_waits_for_it_at_once(backend, caplog):
    hold = Hold("startup")
    app = LivingApp(startup=lambda state: hold.stop_here_on_loop())
    with hosted(app, event_loop=backend.name, limits=limits(shutdown_s=40.0)) as adapter:
        try:
            waiting = [Helper(lambda: run(adapter).status) for _ in range(3)]
            starting = Helper(adapter.startup)
            hold.reached.wait()
            until(lambda: adapter.statistics().requests == 3)
            Helper(adapter.shutdown).join()
            assert [helper.join() for helper in waiting] == ["503 Service Unavailable"] * 3
            with pytest.raises(LifespanError, match="shut"):
                starting.join()
        finally:
            hold.release()

    assert "request" not in app.events
    assert "shutdown" not in app.events
    assert logged(caplog) == []
    assert logged(caplog, logging.INFO) == [], "that it was cut short says nothing of what it supports"


# ---- Limits -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-102")
def test_a_request_that_hangs_is_named_and_cancelled_at_the_limit_and_then_the_lifespan_ends(backend, caplog):
    reached = Flag("the request hangs")
    ended: list[str] = []

    async def hang(scope, receive, send):
        reached.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    app = LivingApp(request=hang)
    with hosted(app, event_loop=backend.name, limits=limits(shutdown_s=0.1)) as adapter:
        helper = Helper(lambda: run(adapter, environ_for(path="/hangs")))
        reached.wait()
        adapter.shutdown()
        with pytest.raises(ClientDisconnected, match="cancelled"):
            helper.join()

    assert ended == ["cancelled"]
    assert app.events[-2:] == ["shutdown", "stopped"]
    (message,) = logged(caplog)
    assert message.startswith("<Exchange GET '/hangs': open> is still running 0.1 s after shutdown began: cancelled")
    assert "in hang\n" in message


@pytest.mark.requirement("A-102")
def test_background_work_that_hangs_is_cancelled_at_the_limit(backend, caplog):
    ended: list[str] = []

    async def hang(scope, receive, send):
        await answer(send)
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    app = LivingApp(request=hang)
    with hosted(app, event_loop=backend.name, limits=limits(shutdown_s=0.1)) as adapter:
        assert run(adapter).body == b"hello"

    assert ended == ["cancelled"]
    assert app.events[-2:] == ["shutdown", "stopped"]
    (message,) = logged(caplog)
    assert message.startswith("<Exchange GET '/': answered> is still running 0.1 s after shutdown began: cancelled")
    assert "in hang\n" in message
    assert adapter.statistics().failed_in_background == 0


@pytest.mark.requirement("A-102", "A-118")
def test_a_request_that_ignores_its_cancellation_is_given_up_and_the_lifespan_ends(backend, caplog):
    reached, over = Flag("the request runs"), Flag("the request may end")

    async def be_deaf(scope, receive, send):
        await answer(send)
        reached.set()
        await be_deaf_until(over)

    app = LivingApp(request=be_deaf)
    with hosted(app, event_loop=backend.name, limits=limits(shutdown_s=0.1, cancel_s=0.1)) as adapter:
        assert run(adapter).body == b"hello"
        reached.wait()
        ending = Helper(adapter.shutdown)
        try:
            until(lambda: adapter.statistics().phase == "shut down")
            assert app.events[-2:] == ["shutdown", "stopped"]
        finally:
            over.set()
        ending.join()

    messages = [message for message in logged(caplog) if "ignores that it was cancelled; it is given up" in message]
    assert [message.partition(" ignores")[0] for message in messages] == ["<Exchange GET '/': answered>"]
    assert "in be_deaf\n" in messages[0]


@pytest.mark.requirement("A-118", "A-102")
def test_a_loop_that_is_blocked_does_not_keep_the_shutdown_waiting_for_ever(backend, caplog, monkeypatch):
    monkeypatch.setattr("bridge._asgi_hosting.host._MARGIN_S", 0.1)
    hold = Hold("the loop is blocked")

    async def block(scope, receive, send):
        await answer(send)
        hold.stop_here()

    tiny = limits(shutdown_s=0.0, cancel_s=0.0)
    adapter = ASGIToWSGI(LivingApp(request=block), event_loop=backend.name, limits=tiny)
    helper = Helper(lambda: run(adapter))
    hold.reached.wait()
    ending = Helper(adapter.shutdown)
    try:
        until(lambda: logged(caplog), "the wait is given up")
    finally:
        hold.release()
        ending.join()
        helper.join()

    [message] = logged(caplog)[:1]
    assert "has not finished the shutdown in time" in message
    assert "hold.stop_here()" in message


# ---- The lifespan's end -----------------------------------------------------------------------------------------


async def fails(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.shutdown.failed", "message": "the cache is not empty"})


async def raises(receive: Any, send: Any) -> None:
    raise RuntimeError("the cache is not empty")


async def exits(receive: Any, send: Any) -> None:
    raise SystemExit(3)


async def returns(receive: Any, send: Any) -> None:
    pass


async def hangs(receive: Any, send: Any) -> None:
    await anyio.sleep_forever()


async def stays(receive: Any, send: Any) -> None:
    await send(STOPPED)
    await anyio.sleep_forever()


async def raises_afterwards(receive: Any, send: Any) -> None:
    await send(STOPPED)
    raise RuntimeError("too late")


@pytest.mark.requirement("A-102")
@pytest.mark.parametrize(
    ("end", "sentences"),
    [
        pytest.param(
            fails,
            ["the application's shutdown failed: the cache is not empty"],
            id="shutdown.failed",
        ),
        pytest.param(raises, ["the application's lifespan failed"], id="raises"),
        pytest.param(exits, ["the application's lifespan failed"], id="exits"),
        pytest.param(returns, ["the application's lifespan returned without an answer to the shutdown"], id="returns"),
        pytest.param(
            hangs, ["the application has not answered the shutdown within 0.1 s; it is cancelled"], id="hangs"
        ),
        pytest.param(stays, ["the application's lifespan does not end after the shutdown; it is given up"], id="stays"),
        pytest.param(raises_afterwards, ["the application's lifespan failed"], id="raises after its answer"),
    ],
)
def test_a_lifespan_that_does_not_end_well_is_logged_once_and_the_adapter_is_shut_down(backend, caplog, end, sentences):
    async def live(scope, receive, send):
        await receive()
        await send(STARTED)
        await receive()
        await end(receive, send)

    short = limits(shutdown_s=0.1, cancel_s=0.1)
    with hosted(lifespan_only(live), event_loop=backend.name, limits=short) as adapter:
        assert run(adapter).body == b"[]"
        adapter.shutdown()
        assert adapter.statistics().phase == "shut down"
        assert_refused(adapter)

    assert logged(caplog) == sentences
    assert loop_threads() == []


@pytest.mark.requirement("A-102", "A-118")
def test_a_lifespan_that_ignores_its_cancellation_is_given_up(backend, caplog):
    over = Flag("the lifespan may end")
    app = LivingApp(shutdown=lambda: be_deaf_until(over))
    adapter = ASGIToWSGI(app, event_loop=backend.name, limits=limits(shutdown_s=0.1, cancel_s=0.1))
    adapter.startup()
    ending = Helper(adapter.shutdown)
    try:
        until(lambda: adapter.statistics().phase == "shut down")
    finally:
        over.set()
        ending.join()

    assert logged(caplog)[:2] == [
        "the application has not answered the shutdown within 0.1 s; it is cancelled",
        "the application's lifespan does not end after the shutdown; it is given up",
    ]


@pytest.mark.requirement("A-099", "A-101")
@pytest.mark.parametrize("answer_to_startup", ["lifespan.startup.failed", None], ids=["failed", "unsupported"])
def test_no_shutdown_is_sent_to_a_lifespan_that_has_not_started(backend, answer_to_startup):
    received: list[str] = []

    async def live(scope, receive, send):
        received.append((await receive())["type"])
        if answer_to_startup is None:
            raise NotImplementedError
        await send({"type": answer_to_startup})
        received.append((await receive())["type"])

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        if answer_to_startup is None:
            adapter.startup()
        else:
            with pytest.raises(LifespanError):
                adapter.startup()

    assert received == ["lifespan.startup"]


@pytest.mark.requirement("A-107")
def test_on_the_loop_itself_startup_shutdown_and_requests_raise_instead_of_waiting_for_themselves(backend):
    raised: list[BaseException] = []

    async def call_itself(scope, receive, send):
        for call in (adapter.startup, adapter.shutdown, lambda: run(adapter)):
            try:
                call()
            except EventLoopError as error:
                raised.append(error)
        await answer(send)

    with hosted(LivingApp(request=call_itself), event_loop=backend.name) as adapter:
        assert run(adapter).body == b"hello"

    assert len(raised) == 3
    assert all("call it in another thread" in str(error) for error in raised)


# ---- The loop, and who shares it --------------------------------------------------------------------------------


@pytest.mark.requirement("A-096", "A-108", "A-118")
def test_adapters_share_one_loop_which_ends_with_the_last_of_them(backend):
    first_app, second_app = LivingApp(), LivingApp()
    with hosted(first_app, event_loop=backend.name) as first, hosted(second_app, event_loop=backend.name) as second:
        run(first)
        run(second)
        assert first_app.loops == second_app.loops
        assert len(loop_threads()) == 1

        first.shutdown()
        assert first_app.events[-1] == "stopped"
        assert_refused(first)
        assert run(second).body == b"hello"
        assert "shutdown" not in second_app.events
        assert len(loop_threads()) == 1

        second.shutdown()
        assert loop_threads() == []

    assert second_app.events[-1] == "stopped"


@pytest.mark.requirement("A-108")
def test_an_adapter_made_after_the_last_one_ended_has_a_new_loop(backend):
    first_app, second_app = LivingApp(), LivingApp()
    with hosted(first_app, event_loop=backend.name) as first:
        run(first)
    with hosted(second_app, event_loop=backend.name) as second:
        run(second)

    assert len(first_app.loops | second_app.loops) == 2


@pytest.mark.requirement("A-108")
def test_an_adapter_may_have_a_loop_of_its_own(backend):
    shared_app, own_app = LivingApp(), LivingApp()
    with hosted(shared_app, event_loop=backend.name) as shared:
        with hosted(own_app, event_loop=backend.name, own_loop=True) as own:
            run(shared)
            run(own)
            run(own)
            assert len(own_app.loops) == 1
            assert own_app.loops != shared_app.loops
            assert len(loop_threads()) == 2
        assert len(loop_threads()) == 1
        assert run(shared).body == b"hello"


@pytest.mark.requirement("A-108")
def test_event_loops_of_all_kinds_run_side_by_side():
    backends = [backend for backend in (ASYNCIO, UVLOOP, TRIO) if backend.is_installed]
    apps = [LivingApp() for _ in backends]
    adapters = [
        ASGIToWSGI(app, event_loop=backend.name, limits=QUICK) for app, backend in zip(apps, backends, strict=True)
    ]
    try:
        for adapter in (*adapters, *reversed(adapters)):
            assert run(adapter).body == b"hello"
        modules = [type(loop).__module__.partition(".")[0] for app in apps for loop in app.loops]
        assert modules == [backend.name for backend in backends]
        assert len(loop_threads()) == len(backends)
    finally:
        for adapter in adapters:
            adapter.shutdown()

    assert loop_threads() == []
    assert [app.events[-1] for app in apps] == ["stopped"] * len(apps)


@pytest.mark.requirement("A-102", "A-118")
def test_an_adapter_that_is_dropped_ends_its_lifespan_and_the_loop(backend):
    app = LivingApp()
    adapter = ASGIToWSGI(app, event_loop=backend.name, limits=QUICK)
    run(adapter)

    del adapter
    gc.collect()

    until(lambda: loop_threads() == [], "the loop's thread has ended")
    assert app.events[-1] == "stopped"


@pytest.mark.requirement("A-107")
def test_many_adapters_that_come_and_go_at_once_each_live_once(backend):
    def live() -> list[str]:
        app = LivingApp()
        with hosted(app, event_loop=backend.name) as adapter:
            assert run(adapter).body == b"hello"
        return app.events

    def live_often() -> list[list[str]]:
        return [live() for _ in range(10)]

    helpers = [Helper(live_often) for _ in range(6)]

    for helper in helpers:
        events = helper.join()
        assert events == [["startup", "started", "request", "request over", "shutdown", "stopped"]] * 10


def test_an_adapter_without_a_lifespan_is_shut_down_in_silence(backend, caplog):
    with hosted(answering(), event_loop=backend.name, lifespan="off") as adapter:
        run(adapter)

    assert logged(caplog) == []
    assert logged(caplog, logging.INFO) == []
