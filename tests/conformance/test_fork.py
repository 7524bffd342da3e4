"""One event loop per process: shared by all its requests, and never with the process it was forked from."""

from __future__ import annotations

import os
import threading
from typing import Any

import anyio
import pytest

from tests.backends import Backend
from tests.forking import run_program
from tests.gateway import hosted, run
from tests.meeting import TIMEOUT_S, Helper

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

PRELUDE = """
import asyncio, ctypes, gc, logging, os, signal, sys, threading, time, traceback
import anyio
from bridge import ASGIToWSGI
from bridge._asgi_hosting import servant
from tests.forking import child_says, exit_code, fork, start_child, use
from tests.gateway import QUICK, Gateway, environ_for, run
from tests.meeting import Flag, Helper, Hold, until

KIND, FORK = sys.argv[1:]
events = []  # (process, what happened to the lifespan)
held, streaming = Hold("the app"), Hold("the stream")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        events.append((os.getpid(), "startup"))
        scope["state"]["pid"] = os.getpid()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        events.append((os.getpid(), "shutdown"))
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["state"]["pid"] == os.getpid(), "the state of another process"
    await anyio.sleep(0.001)  # the loop's clock and selector work
    if scope["path"] == "/held":
        await held.stop_here_on_loop()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/stream":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await streaming.stop_here_on_loop()
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})

adapter = ASGIToWSGI(app, limits=QUICK, event_loop=KIND)

def request(path="/"):
    return Gateway(adapter, environ_for(path=path))

def is_served():
    return request().run().body == b"%d" % os.getpid()

def own_events():
    return [what for pid, what in events if pid == os.getpid()]

use(FORK)
servant.LOOK_EVERY_S = 60  # nobody gets up by himself

def serve_and_end():
    '''The whole life of an adapter in one process.'''
    served = all(is_served() for _ in range(3))
    adapter.shutdown()
    return served and own_events() == ["startup", "shutdown"]
"""


@pytest.fixture(params=["os", "C"])
def run_script(request: pytest.FixtureRequest, backend: Backend):
    """Return what runs a program, for each loop, with ``os.fork()`` and with a fork that runs no Python hook."""

    def run(body: str) -> str:
        return run_program(PRELUDE, body, backend.name, request.param)

    return run


# ---- Before any fork --------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-108", "A-103")
def test_all_requests_and_lifespans_of_a_process_run_on_one_loop_in_one_thread(backend: Backend):
    seen: list[tuple[int, int]] = []
    together = threading.Barrier(8)

    def here() -> tuple[int, int]:
        if backend.is_asyncio:
            import asyncio

            return threading.get_ident(), id(asyncio.get_running_loop())
        import trio

        return threading.get_ident(), id(trio.lowlevel.current_trio_token())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(here())
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            seen.append(here())
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})

    def ask(adapter: Any) -> bytes:
        together.wait(TIMEOUT_S)
        return run(adapter).body

    with hosted(app, event_loop=backend.name) as first, hosted(app, event_loop=backend.name) as second:
        helpers = [Helper(lambda adapter=adapter: ask(adapter)) for adapter in (first, second) for _ in range(4)]
        assert [helper.join() for helper in helpers] == [b"here"] * 8

    assert len(seen) == 8 + 2 * 2
    assert len(set(seen)) == 1
    assert seen[0][0] != threading.get_ident()


@pytest.mark.requirement("A-108")
def test_what_the_application_keeps_on_the_loop_is_valid_in_the_next_request(backend: Backend):
    """An event that one request waits for is set by another, from another thread."""
    arrived = threading.Event()
    events: list[anyio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        if not events:
            events.append(anyio.Event())
            arrived.set()
            await events[0].wait()
        else:
            events[0].set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"met"})

    with hosted(app, event_loop=backend.name) as adapter:
        first = Helper(lambda: run(adapter).body)
        assert arrived.wait(TIMEOUT_S)
        assert run(adapter).body == b"met"
        assert first.join() == b"met"


# ---- Fork -------------------------------------------------------------------------------------------------------


@can_fork
@pytest.mark.requirement("A-115")
def test_an_adapter_that_was_made_before_the_fork_serves_in_the_children(run_script):
    """Four workers of one preloaded application, all at once; the parent has started nothing."""
    run_script(
        """
        assert threading.active_count() == 1 and adapter.statistics().phase == "not started"
        children = [start_child(serve_and_end) for _ in range(4)]
        assert [exit_code(pid) for pid in children] == [0] * 4
        assert threading.active_count() == 1 and events == []
        """
    )


@can_fork
@pytest.mark.requirement("A-116", "A-117")
def test_after_a_fork_parent_and_child_serve_with_a_loop_and_lifespan_each(run_script):
    run_script(
        """
        assert is_served()
        assert child_says(serve_and_end)
        assert is_served()
        assert child_says(lambda: child_says(serve_and_end) and serve_and_end()), "and their children"
        assert serve_and_end()
        """
    )


@can_fork
@pytest.mark.requirement("A-116")
def test_parent_and_child_serve_at_the_same_time(run_script):
    run_script(
        """
        assert is_served()
        child = start_child(lambda: all(is_served() for _ in range(100)) and serve_and_end())
        assert all(is_served() for _ in range(100))
        assert exit_code(child) == 0
        assert serve_and_end()
        """
    )


@can_fork
@pytest.mark.requirement("A-116", "A-117")
def test_requests_that_run_in_the_parent_during_the_fork_are_answered_as_if_there_were_none(run_script):
    run_script(
        """
        stream, others = request("/stream").call(), [Helper(lambda: request("/held").run().body) for _ in range(3)]
        assert stream.step() == b"begun "
        rest = Helper(stream.drain)
        held.reached.wait(), streaming.reached.wait()
        until(lambda: adapter.statistics().requests == 4, "all four are known")

        def in_child():
            now = adapter.statistics()
            return (now.phase, now.requests) == ("not started", 0) and serve_and_end()

        assert child_says(in_child)
        held.release(), streaming.release()
        assert [helper.join() for helper in others] == [b"%d" % os.getpid()] * 3
        assert rest.join() == b"begun %d" % os.getpid()
        assert serve_and_end()
        """
    )


@can_fork
@pytest.mark.requirement("A-116")
def test_what_the_child_drops_and_closes_of_its_parent_is_whole_in_the_parent(run_script):
    """Descriptors are shared after a fork: to take one out of the parent's epoll set would leave its loop deaf."""
    run_script(
        """
        stream = request("/stream").call()
        assert stream.step() == b"begun "

        def in_child():
            global adapter, stream
            stream.close()
            del adapter, stream
            gc.collect()
            return events == [(os.getppid(), "startup")]

        assert child_says(in_child)
        streaming.release()
        assert stream.drain() == b"begun %d" % os.getpid()
        stream.close()
        assert serve_and_end()
        """
    )


@can_fork
@pytest.mark.requirement("A-117")
def test_a_fork_while_the_first_request_starts_the_loop_does_not_freeze_the_child(run_script):
    run_script(
        """
        from bridge._runtime import portal as module

        hold, start = Hold("the start"), module.start_native_thread

        def start_later(run, name):
            hold.stop_here()
            return start(run, name)

        module.start_native_thread = start_later
        first = Helper(is_served)
        hold.reached.wait()

        def in_child():
            module.start_native_thread = start
            return serve_and_end()

        assert child_says(in_child)
        hold.release()
        assert first.join() is True
        assert serve_and_end()
        """
    )


@can_fork
@pytest.mark.requirement("A-116")
def test_a_process_that_was_shut_down_can_have_children_that_serve(run_script):
    run_script(
        """
        assert serve_and_end()
        assert child_says(serve_and_end)
        logging.disable(logging.WARNING)  # of the refusal
        assert request().run().status.startswith("503")
        """
    )


@can_fork
@pytest.mark.requirement("A-119")
@pytest.mark.parametrize("child_serves", [False, True], ids=["an idle child", "a child that has served"])
def test_the_end_of_a_child_shuts_down_what_is_its_own(run_script, child_serves):
    """The child ends as a program does: exit hooks, and the end of the interpreter with all its objects."""
    run_script(
        f"""
        import atexit
        assert is_served()
        pid = fork()
        if not pid:
            signal.alarm(15)
            served = is_served() if {child_serves} else None

            def check():  # the lifespan has ended by now, if there was one
                expected = [] if served is None else ["startup", "shutdown"]
                if own_events() != expected or (os.getppid(), "shutdown") in events:
                    os._exit(3)

            atexit.register(check)
            sys.exit(4 if served is False else 0)
        assert exit_code(pid) == 0
        assert is_served()
        assert serve_and_end()
        """
    )
