"""`ASGIToWSGI` from outside: its statistics and ``repr`` in each phase of its life, and the arguments it refuses."""

from __future__ import annotations

import dataclasses
import sys
import threading
from contextlib import suppress

import anyio
import pytest

from bridge import ASGIToWSGI, HostStatistics, LifespanError, Limits
from tests.conformance.living import LivingApp, answer, lifespan_only
from tests.gateway import QUICK, Gateway, answering, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold, until


class Named(LivingApp):
    def __repr__(self):
        return "<the app>"


def statistics(phase: str, **numbers: int) -> HostStatistics:
    return HostStatistics(
        **{
            "phase": phase,
            "requests": 0,
            "background": 0,
            "websockets": 0,
            "refused": 0,
            "stuck": 0,
            "failed_in_background": 0,
            **numbers,
        }
    )


# ---- Phases -----------------------------------------------------------------------------------------------------


def test_a_new_adapter_has_nothing_to_tell_and_telling_starts_nothing():
    app = Named()
    adapter = ASGIToWSGI(app)

    assert adapter.statistics() == statistics("not started")
    assert repr(adapter) == "<ASGIToWSGI <the app>: not started, 0 requests, 0 in the background>"
    assert adapter.app is app
    assert app.events == []
    assert not [thread for thread in threading.enumerate() if thread.name == "bridge-loop"]


def test_each_phase_of_a_good_life_is_told(backend):
    startup, request, shutdown = Hold("startup"), Hold("request"), Hold("shutdown")

    async def serve(scope, receive, send):
        await request.stop_here_on_loop()
        await answer(send)

    app = Named(startup=lambda state: startup.stop_here_on_loop(), shutdown=shutdown.stop_here_on_loop, request=serve)
    with hosted(app, event_loop=backend.name, limits=dataclasses.replace(QUICK, shutdown_s=10.0)) as adapter:
        try:
            helper = Helper(lambda: run(adapter))
            startup.reached.wait()
            assert adapter.statistics() == statistics("starting", requests=1)
            assert repr(adapter) == "<ASGIToWSGI <the app>: starting, 1 requests, 0 in the background>"

            startup.release()
            request.reached.wait()
            assert adapter.statistics() == statistics("serving", requests=1)
            assert repr(adapter) == "<ASGIToWSGI <the app>: serving, 1 requests, 0 in the background>"

            ending = Helper(adapter.shutdown)
            until(lambda: adapter.statistics() == statistics("shutting down", requests=1))
            request.release()
            helper.join()
            shutdown.reached.wait()
            assert adapter.statistics() == statistics("shutting down")
            assert repr(adapter) == "<ASGIToWSGI <the app>: shutting down, 0 requests, 0 in the background>"

            shutdown.release()
            ending.join()
            assert adapter.statistics() == statistics("shut down")
            assert repr(adapter) == "<ASGIToWSGI <the app>: shut down, 0 requests, 0 in the background>"
        finally:
            for hold in (startup, request, shutdown):
                hold.release()


def test_a_failed_start_is_told(backend):
    async def live(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed"})

    with hosted(lifespan_only(live), event_loop=backend.name) as adapter:
        with pytest.raises(LifespanError):
            run(adapter)
        assert adapter.statistics() == statistics("failed to start")
        assert ": failed to start, 0 requests, 0 in the background>" in repr(adapter)


# ---- Numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-085")
def test_requests_become_background_when_they_are_answered_or_abandoned(backend):
    over = Flag("the applications may end")
    begun = threading.Semaphore(0)

    async def serve(scope, receive, send):
        if scope["path"] == "/answered":
            await answer(send)
        elif scope["path"] == "/streaming":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            with suppress(OSError):  # how it learns that its client has left
                await send({"type": "http.response.body", "body": b"a", "more_body": True})
        begun.release()
        await over.wait_on_loop()
        if scope["path"] == "/waiting":
            await answer(send)

    with hosted(LivingApp(request=serve), event_loop=backend.name) as adapter:
        try:
            run(adapter, environ_for(path="/answered"))
            assert begun.acquire(timeout=10)
            assert adapter.statistics() == statistics("serving", background=1)

            waiting = Helper(lambda: run(adapter, environ_for(path="/waiting")))
            assert begun.acquire(timeout=10)
            assert adapter.statistics() == statistics("serving", requests=1, background=1)

            gateway = Gateway(adapter, environ_for(path="/streaming")).call()
            assert adapter.statistics() == statistics("serving", requests=2, background=1)
            gateway.step()
            gateway.close()
            until(lambda: adapter.statistics() == statistics("serving", requests=1, background=2))
            assert repr(adapter).endswith(": serving, 1 requests, 2 in the background>")
        finally:
            over.set()
        waiting.join()
        until(lambda: adapter.statistics() == statistics("serving"))


@pytest.mark.requirement("A-085", "A-086")
def test_applications_that_fail_after_their_answer_are_counted(backend):
    async def serve(scope, receive, send):
        await answer(send)
        if scope["path"] == "/fails":
            raise RuntimeError("too late")

    with hosted(LivingApp(request=serve), event_loop=backend.name) as adapter:
        for path in ("/fails", "/does-not", "/fails"):
            run(adapter, environ_for(path=path))
        until(lambda: adapter.statistics() == statistics("serving", failed_in_background=2))


def test_applications_that_fail_before_their_answer_are_not_counted_as_background(backend):
    async def serve(scope, receive, send):
        raise RuntimeError("at once")

    with hosted(LivingApp(request=serve), event_loop=backend.name) as adapter:
        with pytest.raises(RuntimeError, match="at once"):
            run(adapter)
        until(lambda: adapter.statistics() == statistics("serving"))


@pytest.mark.requirement("A-031", "A-102")
def test_refusals_of_all_kinds_are_counted(backend):
    small = Limits(body_max_bytes=3, shutdown_s=2.0, cancel_s=1.0)
    app = LivingApp()
    with hosted(app, event_loop=backend.name, limits=small) as adapter:
        assert run(adapter, environ_for("POST", CONTENT_LENGTH="+1")).status == "400 Bad Request"
        assert run(adapter, environ_for("POST", body=b"long")).status.startswith("413 ")
        run(adapter)
        assert adapter.statistics().refused == 2
        adapter.shutdown()
        assert run(adapter).status == "503 Service Unavailable"
        assert adapter.statistics() == statistics("shut down", refused=3)

    assert app.events.count("request") == 1


def test_statistics_and_repr_may_be_asked_from_any_thread_at_any_time(backend):
    over = threading.Event()

    def ask() -> int:
        asked = 0
        while not over.is_set():
            numbers = dataclasses.astuple(adapter.statistics())[1:]
            assert min(numbers) >= 0
            assert repr(adapter)
            asked += 1
        return asked

    with hosted(LivingApp(), event_loop=backend.name) as adapter:
        asking = Helper(ask)
        try:
            helpers = [Helper(lambda: [run(adapter).body for _ in range(50)]) for _ in range(4)]
            for helper in helpers:
                assert helper.join() == [b"hello"] * 50
        finally:
            over.set()
        assert isinstance(asking.join(), int)


def test_statistics_are_a_snapshot_that_cannot_be_changed():
    now = ASGIToWSGI(LivingApp()).statistics()

    with pytest.raises(dataclasses.FrozenInstanceError):
        now.requests = 7


def test_statistics_of_an_application_that_sleeps_on_the_loop_do_not_wait_for_it(backend):
    hold = Hold("the loop is blocked")

    async def block(scope, receive, send):
        hold.stop_here()
        await anyio.sleep(0)
        await answer(send)

    with hosted(LivingApp(request=block), event_loop=backend.name) as adapter:
        helper = Helper(lambda: run(adapter).body)
        try:
            hold.reached.wait()
            assert Helper(adapter.statistics).join() == statistics("serving", requests=1)
        finally:
            hold.release()
        assert helper.join() == b"hello"


# ---- What cannot be made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["uvloop", "trio"])
def test_a_loop_that_is_not_installed_is_an_import_error_that_names_the_extra(monkeypatch, loop):
    monkeypatch.setattr("bridge.asgi_to_wsgi.find_spec", lambda name: None)

    with pytest.raises(ImportError) as caught:
        ASGIToWSGI(answering(), event_loop=loop)

    assert str(caught.value) == f"{loop} is not installed; pip install 'wsgi-asgi-bridge[{loop}]'"


def test_without_uvloop_the_loop_is_asyncios(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)  # importing it fails
    app = LivingApp()

    with hosted(app) as adapter:
        run(adapter)

    assert [type(loop).__module__.partition(".")[0] for loop in app.loops] == ["asyncio"]


def test_with_uvloop_the_loop_is_uvloops():
    pytest.importorskip("uvloop")
    app = LivingApp()

    with hosted(app) as adapter:
        run(adapter)

    assert [type(loop).__module__ for loop in app.loops] == ["uvloop"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"lifespan": "yes"}, "lifespan must be one of 'auto', 'on', 'off', not 'yes'", id="lifespan"),
        pytest.param({"lifespan": True}, "lifespan must be one of 'auto', 'on', 'off', not True", id="a boolean"),
        pytest.param(
            {"event_loop": "curio"},
            "event_loop must be one of 'auto', 'asyncio', 'uvloop', 'trio', not 'curio'",
            id="event_loop",
        ),
        pytest.param({"on_error": "log"}, "on_error must be one of 'raise', 'respond', not 'log'", id="on_error"),
    ],
)
def test_an_option_that_is_none_of_the_choices_is_a_type_error(options, message):
    with pytest.raises(TypeError) as caught:
        ASGIToWSGI(answering(), **options)

    assert str(caught.value) == message


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="workers"):
        ASGIToWSGI(answering(), workers=3)


@pytest.mark.parametrize("app", [None, "main:app", 7], ids=repr)
def test_what_cannot_be_called_is_no_application(app):
    with pytest.raises(TypeError, match="an ASGI application is a callable"):
        ASGIToWSGI(app)
