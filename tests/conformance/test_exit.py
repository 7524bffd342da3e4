"""How it ends: adapters that are shut down or dropped, and processes that end with whatever is still running."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge import ASGIToWSGI
from bridge._runtime import portal as portal_module
from bridge._runtime import portals
from bridge._runtime.processes import PerProcess
from bridge.errors import EventLoopError
from tests.backends import Backend
from tests.gateway import QUICK, Gateway, answering, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold, until

REPOSITORY = Path(__file__).resolve().parents[2]

PRELUDE = """
import asyncio, sys, threading, time
import anyio
from bridge import ASGIToWSGI, Limits
from bridge._asgi_hosting import host
from bridge._runtime import portal, spawning
from tests.gateway import Gateway, environ_for, run
from tests.meeting import Flag

# What a process waits for its loop beyond the limits is made for busy machines, and too long for tests.
host._MARGIN_S = 0.5
spawning._CLEAN_UP_S = 0.2
portal.Portal.wait_for_end.__defaults__ = (1.5,)

KIND = sys.argv[1]
LIMITS = Limits(shutdown_s=0.6, cancel_s=0.3, startup_s=20)
began = Flag("the app's beginning")

async def answer(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

async def hang():
    began.set()
    await anyio.sleep_forever()

async def resist():
    began.set()
    with anyio.CancelScope(shield=True):
        while True:
            try:
                await anyio.sleep(60)
            except BaseException as error:
                if isinstance(error, GeneratorExit):
                    raise

def lifespan(startup=None, shutdown=None):
    '''Return a decorator for an app: it gets a lifespan that calls these.'''
    def decorate(app):
        async def with_lifespan(scope, receive, send):
            if scope["type"] != "lifespan":
                return await app(scope, receive, send)
            await receive()
            if startup is not None:
                await startup()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if shutdown is not None:
                await shutdown()
            print("lifespan over", flush=True)
            await send({"type": "lifespan.shutdown.complete"})
        return with_lifespan
    return decorate

def serve(app):
    adapter = ASGIToWSGI(app, limits=LIMITS, event_loop=KIND)
    assert run(adapter).body == b"done"
    return adapter

def end():
    '''Say when the program came to its end; to be called last.'''
    print("ends at", time.monotonic(), flush=True)
"""


class Ended:
    """What came of a program.

    Attributes:
        took_s: from its last statement to the end of the process.
        said: its lines, but for that on the time.
        errors: its standard error.
    """

    def __init__(self, body: str, kind: str) -> None:
        process = subprocess.run(
            [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(body) + "\nend()", kind],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        now_s = time.monotonic()  # the same clock for all processes
        self.errors = process.stderr
        assert process.returncode == 0, self.errors
        lines = process.stdout.splitlines()
        [began] = [line for line in lines if line.startswith("ends at ")]
        self.took_s = now_s - float(began.split()[-1])
        self.said = [line for line in lines if line != began]


# ---- The end of a process ---------------------------------------------------------------------------------------


def test_a_process_that_never_served_ends_without_a_word(backend: Backend):
    ended = Ended("adapter = ASGIToWSGI(lifespan()(None), event_loop=KIND)", backend.name)

    assert ended.said == []
    assert ended.errors == ""


@pytest.mark.requirement("A-118", "A-121")
def test_an_ordinary_process_runs_the_lifespan_shutdown_and_ends_at_once(backend: Backend):
    ended = Ended(
        """
        @lifespan()
        async def app(scope, receive, send):
            await answer(send)

        adapter = serve(app)
        """,
        backend.name,
    )

    assert ended.said == ["lifespan over"]
    assert ended.errors == ""
    assert ended.took_s < 20


@pytest.mark.requirement("A-120")
@pytest.mark.parametrize("library", ["asyncio", "anyio"])
def test_a_lifespan_shutdown_at_exit_can_use_threads(backend: Backend, library: str):
    """Before the exit too, or only then: the thread pool may be there or have to be made."""
    if library == "asyncio" and not backend.is_asyncio:
        pytest.skip("trio has no asyncio.to_thread")
    to_thread = "asyncio.to_thread" if library == "asyncio" else "anyio.to_thread.run_sync"
    ended = Ended(
        f"""
        def work(): return threading.current_thread() is not threading.main_thread()

        async def use_thread():
            print(await {to_thread}(work), flush=True)

        @lifespan(startup=use_thread, shutdown=use_thread)
        async def first(scope, receive, send):
            await answer(send)

        @lifespan(shutdown=use_thread)
        async def second(scope, receive, send):
            await answer(send)

        adapters = serve(first), serve(second)
        """,
        backend.name,
    )

    assert sorted(ended.said) == ["True"] * 3 + ["lifespan over"] * 2
    assert ended.errors == ""


@pytest.mark.requirement("A-118")
@pytest.mark.parametrize(
    ("what", "named"),
    [
        pytest.param("hang", ["is still running 0.6 s after shutdown began"], id="hangs"),
        pytest.param("resist", ["is still running", "ignores that it was cancelled"], id="ignores its cancellation"),
    ],
)
def test_background_work_does_not_keep_the_process(backend: Backend, what: str, named: list[str]):
    ended = Ended(
        f"""
        @lifespan()
        async def app(scope, receive, send):
            await answer(send)
            await {what}()

        adapter = serve(app)
        began.wait()
        """,
        backend.name,
    )

    assert ended.took_s < 20
    assert ended.said == ["lifespan over"]
    for sentence in named:
        assert sentence in ended.errors


@pytest.mark.requirement("A-118")
@pytest.mark.parametrize("what", ["hang", "resist"])
def test_a_lifespan_shutdown_does_not_keep_the_process(backend: Backend, what: str):
    ended = Ended(
        f"""
        @lifespan(shutdown={what})
        async def app(scope, receive, send):
            await answer(send)

        adapter = serve(app)
        """,
        backend.name,
    )

    assert ended.took_s < 20
    assert ended.said == []
    assert "has not answered the shutdown within 0.6 s" in ended.errors


@pytest.mark.requirement("A-118")
@pytest.mark.parametrize("what", ["hang", "resist"])
def test_tasks_of_the_application_do_not_keep_the_process(backend: Backend, what: str):
    """Tasks that no request and no lifespan waits for, as `asyncio.create_task` makes them."""
    if not backend.is_asyncio:
        pytest.skip("trio has no such tasks")
    ended = Ended(
        f"""
        tasks = []

        @lifespan()
        async def app(scope, receive, send):
            tasks.append(asyncio.create_task({what}()))
            await answer(send)

        adapter = serve(app)
        began.wait()
        """,
        backend.name,
    )

    assert ended.took_s < 20
    assert ended.said == ["lifespan over"]
    assert ("ignores that it was cancelled" in ended.errors) is (what == "resist")


@pytest.mark.requirement("A-118")
def test_a_blocked_loop_does_not_keep_the_process(backend: Backend):
    ended = Ended(
        """
        @lifespan()
        async def app(scope, receive, send):
            await answer(send)
            began.set()
            time.sleep(3600)

        adapter = serve(app)
        began.wait()
        """,
        backend.name,
    )

    assert ended.took_s < 20
    assert ended.said == []
    assert "has not finished the shutdown in time" in ended.errors
    assert 'File "<string>"' in ended.errors, "the place is named"


@pytest.mark.requirement("A-118", "A-123")
def test_a_process_may_end_while_another_thread_is_in_a_request(backend: Backend):
    ended = Ended(
        """
        @lifespan()
        async def app(scope, receive, send):
            if scope["path"] == "/hangs":
                await hang()
            await answer(send)

        adapter = serve(app)
        threading.Thread(target=lambda: Gateway(adapter, environ_for(path="/hangs")).run(), daemon=True).start()
        began.wait()
        """,
        backend.name,
    )

    assert ended.took_s < 20
    assert ended.said == ["lifespan over"]


# ---- Adapters that come and go ----------------------------------------------------------------------------------


@pytest.fixture
def another_process(monkeypatch) -> Iterator[None]:
    """Pretend that no portal has been made in this process; see to it that none of the test's is left."""
    processes = PerProcess(portals._Process)
    monkeypatch.setattr(portals, "_processes", processes)
    yield
    for portal in processes.get().all:
        portal.end()
        portal.wait_for_end()


def loop_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "bridge-loop"]


@pytest.mark.requirement("A-115")
def test_twenty_adapters_that_are_made_and_dropped_leave_nothing(backend: Backend):
    adapters = [ASGIToWSGI(answering(), limits=QUICK, event_loop=backend.name) for _ in range(20)]
    dropped = [weakref.ref(adapter) for adapter in adapters]

    assert not loop_threads()
    del adapters
    gc.collect()

    assert [ref() for ref in dropped] == [None] * 20
    assert not loop_threads()


@pytest.mark.parametrize("own_loop", [False, True], ids=["shared loop", "own loops"])
def test_twenty_adapters_that_have_served_and_are_dropped_end_their_lifespans_and_loops(
    backend: Backend, own_loop: bool
):
    ended: list[int] = []

    def app_number(number: int) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                return await answering()(scope, receive, send)
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await anyio.sleep(0.001)
            ended.append(number)
            return await send({"type": "lifespan.shutdown.complete"})

        return app

    adapters = [
        ASGIToWSGI(app_number(number), limits=QUICK, event_loop=backend.name, own_loop=own_loop) for number in range(20)
    ]
    for adapter in adapters:
        assert run(adapter).body == b"hello"
    assert len(loop_threads()) == (20 if own_loop else 1)

    del adapter, adapters[:19]
    gc.collect()
    until(lambda: len(ended) == 19, "the ends of the lifespans")
    until(lambda: len(loop_threads()) == 1, "only the last one's loop")
    assert run(adapters[0]).body == b"hello"
    del adapters[0]
    gc.collect()

    until(lambda: not loop_threads(), "the end of the loops")
    assert sorted(ended) == list(range(20))


@pytest.mark.requirement("A-102")
def test_an_adapter_that_is_dropped_during_a_request_ends_after_it(backend: Backend):
    hold = Hold("the app")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await hold.stop_here_on_loop()
        await send({"type": "http.response.body", "body": b"and ended"})

    gateway = Gateway(ASGIToWSGI(app, limits=QUICK, event_loop=backend.name)).call()
    assert gateway.step() == b"begun "
    gateway.adapter = None  # type: ignore[assignment]  # the last reference
    gc.collect()
    hold.release()

    assert gateway.drain() == b"begun and ended"
    gateway.close()
    until(lambda: not loop_threads(), "the end of the loop")


@pytest.mark.requirement("A-102", "A-107")
def test_the_loop_outlives_a_shutdown_as_long_as_another_adapter_uses_it(backend: Backend):
    with hosted(answering(b"first"), event_loop=backend.name) as first:
        with hosted(answering(b"second"), event_loop=backend.name) as second:
            assert run(first).body == b"first"
            assert run(second).body == b"second"
        assert len(loop_threads()) == 1
        assert run(second).status.startswith("503")
        assert run(first).body == b"first"
    until(lambda: not loop_threads(), "the end of the loop")


@pytest.mark.requirement("A-107")
def test_a_shutdown_while_the_first_request_starts_the_loop_leaves_no_thread(
    backend: Backend, another_process, monkeypatch
):
    """The request is answered or refused; the loop that it was starting ends in either case."""
    hold, start = Hold("the start"), portal_module.start_native_thread

    def start_later(function: Any, name: str) -> Any:
        hold.stop_here()
        return start(function, name)

    monkeypatch.setattr(portal_module, "start_native_thread", start_later)
    adapter = ASGIToWSGI(answering(), limits=QUICK, event_loop=backend.name)
    request = Helper(lambda: run(adapter).status[:3])
    hold.reached.wait()

    shutdown = Helper(adapter.shutdown)
    try:
        until(lambda: shutdown.is_done, timeout_s=0.1)
    except AssertionError:
        pass  # it waits for the start
    hold.release()

    assert request.join() in {"200", "503"}
    shutdown.join()
    assert adapter.statistics().phase == "shut down"
    until(lambda: not loop_threads(), "the end of the loop")


# ---- Where there is no loop to be had ---------------------------------------------------------------------------


@pytest.mark.requirement("A-122")
def test_a_process_that_runs_no_threads_is_told_so_within_seconds(backend: Backend, another_process, monkeypatch):
    """As under uWSGI without ``--enable-threads``: the thread is made, and never runs."""
    monkeypatch.setattr(portal_module, "start_native_thread", lambda function, name: None)
    monkeypatch.setattr(portal_module.Portal.enter, "__defaults__", (0.2,))
    with hosted(answering(), event_loop=backend.name) as adapter:
        began_s = time.monotonic()

        for attempt in (adapter.startup, lambda: run(adapter), lambda: run(adapter)):
            with pytest.raises(EventLoopError, match=r"did not come to life.*--enable-threads"):
                attempt()

        assert time.monotonic() - began_s < 10
    assert portal_module.START_S <= 5


@pytest.mark.requirement("A-122")
def test_a_process_that_gets_no_more_threads_is_told_so_and_tries_again(backend: Backend, another_process, monkeypatch):
    def refuse(function: Any, name: str) -> None:
        raise RuntimeError("can't start new thread")

    with hosted(answering(), event_loop=backend.name) as adapter:
        with monkeypatch.context() as patch:
            patch.setattr(portal_module, "start_native_thread", refuse)
            with pytest.raises(EventLoopError, match="can't start new thread"):
                run(adapter)

        assert run(adapter).body == b"hello"


@pytest.mark.requirement("A-122")
def test_a_failure_to_make_the_loop_is_not_blamed_on_the_server(backend: Backend, another_process, monkeypatch):
    """A hint at uWSGI's threads helps where no thread came to life, and misleads anywhere else."""
    factory = {"asyncio": "asyncio.new_event_loop", "uvloop": "uvloop.new_event_loop", "trio": "trio.run"}

    def fail(*args: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(factory[backend.name], fail)
    with hosted(answering(), event_loop=backend.name) as adapter:
        with pytest.raises(EventLoopError, match="Too many open files") as caught:
            run(adapter)

    assert "uWSGI" not in str(caught.value)


@pytest.mark.requirement("A-122")
def test_the_adapter_says_so_when_it_is_called_on_its_own_loop(backend: Backend, caplog):
    """It would wait for itself. All of its calls are refused; the loop goes on."""
    errors: list[Exception] = []
    asked = Flag("the calls on the loop")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        for call in (lambda: run(adapter), adapter.startup, adapter.shutdown):
            try:
                call()
            except EventLoopError as error:
                errors.append(error)
        asked.set()
        await answering()(scope, receive, send)

    with caplog.at_level(logging.WARNING), hosted(app, event_loop=backend.name) as adapter:
        assert run(adapter, environ_for()).body == b"hello"

    asked.wait()
    assert len(errors) == 3
    for error in errors:
        assert "on the event loop that it needs" in str(error)
    assert caplog.records == []
