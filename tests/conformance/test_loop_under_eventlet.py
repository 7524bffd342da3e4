"""The event loop among the green threads of eventlet: what it and the others see of each other."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.conformance.patched_programs import PATCH_EVENTLET, run_program

pytestmark = pytest.mark.skipif(find_spec("eventlet") is None, reason="eventlet is not installed")

PROGRAM = (
    PATCH_EVENTLET
    + """
import eventlet.event
import asyncio, os, signal, sys, threading, time
from bridge import ASGIToWSGI, EventLoopError
from tests.gateway import QUICK, environ_for, run

inside, may_go, seen = eventlet.event.Event(), None, []

async def numbers():
    for number in range(3):
        await asyncio.sleep(0)
        yield number

async def app(scope, receive, send):
    global may_go
    may_go = asyncio.Event()
    inside.send()
    await serve(scope)
    seen.append([number async for number in numbers()])
    assert asyncio.get_running_loop() is may_go._get_loop()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

adapter = ASGIToWSGI(app, lifespan="off", limits=QUICK)

def ask():
    return run(adapter, environ_for("GET", "/")).body
"""
)


@pytest.mark.requirement("A-124")
@pytest.mark.parametrize(
    "wait",
    [
        pytest.param("await may_go.wait()", id="while the loop waits"),
        pytest.param("while not may_go.is_set(): time.sleep(0.001)", id="while a coroutine blocks in eventlet's way"),
    ],
)
def test_to_other_green_threads_there_is_no_running_loop(wait: str):
    """They share a thread with the loop, and asyncio keeps its marks by thread; they may run a loop of their own."""
    said = run_program(
        PROGRAM,
        f"""
        async def serve(scope):
            {wait}

        job = eventlet.spawn(ask)
        with eventlet.Timeout(8):
            inside.wait()
        try:
            asyncio.get_running_loop()
        except RuntimeError as error:
            print(error)
        assert sys.get_asyncgen_hooks() == (None, None)

        async def main():
            return [number async for number in numbers()], await asyncio.to_thread(lambda: "thread")

        print(asyncio.run(main()))
        may_go.set() if {"sleep" in wait} else adapter._hosts.get().portal.port.post(may_go.set)
        with eventlet.Timeout(8):
            print(job.wait(), seen)
        adapter.shutdown()
        assert sys.get_asyncgen_hooks() == (None, None)
        """,
    )

    assert said.splitlines() == ["no running event loop", "([0, 1, 2], 'thread')", "b'done' [[0, 1, 2]]"]


@pytest.mark.requirement("A-124")
def test_the_loop_of_another_green_thread_goes_on_beside_ours_and_after_it():
    run_program(
        PROGRAM,
        """
        async def serve(scope):
            await asyncio.sleep(0.01)

        async def main():
            own = asyncio.get_running_loop()
            while not is_over:
                await asyncio.sleep(0.001)  # asks for the running loop, too
                assert asyncio.get_running_loop() is own
            await asyncio.sleep(0.001)
            return "over"

        is_over = False
        job = eventlet.spawn(asyncio.run, main())
        assert ask() == b"done"
        adapter.shutdown()
        is_over = True
        with eventlet.Timeout(8):
            assert job.wait() == "over"
        """,
    )


@pytest.mark.requirement("A-124")
@pytest.mark.parametrize(
    ("error", "where", "what_came"),
    [
        pytest.param(
            *("KeyboardInterrupt", "asyncio.get_running_loop().call_soon(strike)", "b'done'"),
            id="between the applications",
        ),
        pytest.param("SystemExit", "strike()", "the application raised", id="in an application's first step"),
        pytest.param(
            *("KeyboardInterrupt", "await asyncio.sleep(0); strike()", "the application raised"), id="in an application"
        ),
    ],
)
def test_what_a_signal_raises_while_the_loop_runs_ends_the_process_and_not_the_loop(
    error: str, where: str, what_came: str
):
    """Its handler runs in whichever green thread is about, and that is often the loop's."""
    said = run_program(
        PROGRAM,
        f"""
        def end(*_):
            raise {error}("enough")

        def strike():
            signal.raise_signal(signal.SIGTERM)

        signal.signal(signal.SIGTERM, end)

        async def serve(scope):
            if scope["path"] == "/strike":
                {where}

        def answer(path):
            inside.reset()
            try:
                return run(adapter, environ_for("GET", path)).body
            except Exception as error:
                return error

        inside.send()
        assert answer("/") == b"done"
        job = eventlet.spawn(answer, "/strike")
        try:
            with eventlet.Timeout(8):
                eventlet.sleep(60)
        except {error} as error:
            print("in the main thread:", error)
        with eventlet.Timeout(8):
            print(job.wait())
            assert answer("/") == b"done"
        adapter.shutdown()
        """,
    )

    assert said.startswith("in the main thread: enough\n" + what_came)


@pytest.mark.requirement("A-124")
def test_a_loop_that_is_never_idle_lets_the_others_run():
    run_program(
        PROGRAM,
        """
        async def serve(scope):
            while not may_go.is_set():
                await asyncio.sleep(0)

        job = eventlet.spawn(ask)
        with eventlet.Timeout(8):
            inside.wait()
            may_go.set()
            assert job.wait() == b"done"
        adapter.shutdown()
        """,
    )


@pytest.mark.requirement("A-124")
def test_the_selector_of_the_loop_tells_all_that_happens_and_waits_no_longer_than_it_should():
    """Eventlet's own tells one descriptor at a turn."""
    run_program(
        PATCH_EVENTLET,
        """
        import selectors, socket, time
        from selectors import EVENT_READ, EVENT_WRITE
        from bridge._runtime.green_loops import HubSelector

        pairs = [socket.socketpair() for _ in range(3)]
        with HubSelector() as selector:
            for number, (ours, _) in enumerate(pairs):
                selector.register(ours, EVENT_READ, number)
            began_s = time.monotonic()
            assert selector.select(0) == []
            assert selector.select(0.05) == []
            assert 0.045 <= time.monotonic() - began_s < 20

            eventlet.spawn_after(0.01, lambda: [theirs.send(b"x") for _, theirs in pairs])
            ready = selector.select(20)
            assert sorted(key.data for key, _ in ready) == [0, 1, 2], ready
            assert {events for _, events in ready} == {EVENT_READ}

            ours = pairs[0][0]
            selector.modify(ours, EVENT_READ | EVENT_WRITE, "both")
            assert ("both", EVENT_READ | EVENT_WRITE) in [(key.data, events) for key, events in selector.select(None)]
            selector.modify(ours, EVENT_WRITE, "out")
            assert ("out", EVENT_WRITE) in [(key.data, events) for key, events in selector.select(None)]
            selector.unregister(ours)
            assert sorted(key.data for key, _ in selector.select(0)) == [1, 2]

            pairs[1][1].close()  # its end is something to read
            assert 1 in [key.data for key, _ in selector.select(0)]
            pairs[2][0].close()
            assert selector.unregister(pairs[2][0]).data == 2

            with open(__import__("os").devnull) as file:
                try:
                    selector.register(file, EVENT_READ)
                except PermissionError:  # it can only be read at any time
                    assert file not in selector.get_map()
                else:
                    raise AssertionError("a file was taken")
        for pair in pairs:
            for end in pair:
                end.close()
        """,
    )
