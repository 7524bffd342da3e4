"""Threads, pools, context variables and what is left of a request in memory (W-143 to W-146)."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
import weakref

import anyio
import pytest

from bridge import Limits, WorkerPool, WSGIToASGI
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    answering,
    block,
    body_events,
    hosted,
    linted,
    make_scope,
    on_both_loops,
    on_each_backend,
    run,
    serve,
    until,
    without_gc,
)


async def call_all(adapter: WSGIToASGI, drivers: list[Driver]) -> None:
    """Serve all requests at once."""
    async with anyio.create_task_group() as tasks:
        for driver in drivers:
            tasks.start_soon(driver.call, adapter)


# ---- Where the application runs ---------------------------------------------------------------------------------


@pytest.mark.requirement("W-143")
@on_each_backend
def test_the_application_never_runs_on_the_loop_thread(backend):
    seen = []

    def app(environ, start_response):
        seen.append(threading.get_ident())
        start_response("200 OK", list(TEXT))

        def blocks():
            seen.append(threading.get_ident())
            yield b"body"

        return ClosingBlocks(blocks(), lambda: seen.append(threading.get_ident()))

    driver = serve(app, backend=backend)

    assert driver.error is None
    assert len(seen) == 3
    assert threading.get_ident() not in seen
    assert {sent.thread_id for sent in driver.sent} == {threading.get_ident()}


@pytest.mark.requirement("W-143")
@on_each_backend
@pytest.mark.parametrize("phase", ["call", "step", "close"])
def test_the_loop_stays_responsive_while_the_app_blocks(phase, backend):
    blocked, go_on = threading.Event(), threading.Event()

    def hold(here: str) -> None:
        if here == phase:
            blocked.set()
            block(go_on)

    def app(environ, start_response):
        hold("call")
        start_response("200 OK", list(TEXT))

        def blocks():
            hold("step")
            yield b"body"

        return ClosingBlocks(blocks(), lambda: hold("close"))

    driver = Driver()
    with hosted(app) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(blocked.is_set)
                for _ in range(100):  # the heart beats although the application does not go on
                    await anyio.sleep(0)
                assert not driver.is_returned
                go_on.set()

        run(main, backend)

    assert driver.error is None
    assert driver.body == b"body"


# ---- One thread -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-144", "W-058")
@on_both_loops
def test_single_thread_mode_runs_all_requests_one_after_another_in_one_thread(backend):
    running: list[int] = []
    overlaps, threads, claims = [], set(), set()

    def app(environ, start_response):
        running.append(1)
        overlaps.append(len(running))
        threads.add(threading.get_ident())
        claims.add(environ["wsgi.multithread"])
        start_response("200 OK", list(TEXT))

        def blocks():
            yield b"1"
            overlaps.append(len(running))
            yield b"2"

        return ClosingBlocks(blocks(), running.pop)

    drivers = [Driver() for _ in range(20)]
    with hosted(app, limits=Limits(workers=1, worker_idle_s=0.0)) as adapter:
        run(lambda: call_all(adapter, drivers[:10]), backend)
        run(lambda: call_all(adapter, drivers[10:]), backend)

    assert [driver.body for driver in drivers] == [b"12"] * 20
    assert set(overlaps) == {1}
    assert len(threads) == 1
    assert claims == {False}


@pytest.mark.requirement("W-058")
def test_several_workers_say_multithread():
    seen = []

    def app(environ, start_response):
        seen.append(environ["wsgi.multithread"])
        start_response("200 OK", list(TEXT))
        return []

    serve(app, limits=Limits(workers=2))

    assert seen == [True]


# ---- The pool ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-145")
@on_each_backend
@pytest.mark.parametrize("large_body", ["spool", "stream"])
def test_one_worker_gets_through_twenty_uploads_at_once(large_body, backend):
    def app(environ, start_response):
        octets = environ["wsgi.input"].read()
        start_response("200 OK", list(TEXT))
        return [b"%d" % len(octets)]

    def upload() -> Driver:
        scope = make_scope("POST", headers=[(b"transfer-encoding", b"chunked")])
        return Driver(scope, events=body_events(*[b"x" * 100] * 50))

    drivers = [upload() for _ in range(20)]
    with hosted(app, limits=Limits(workers=1, body_memory_bytes=1000), large_body=large_body) as adapter:
        run(lambda: call_all(adapter, drivers), backend)

    assert [driver.body for driver in drivers] == [b"5000"] * 20


@pytest.mark.requirement("W-145")
@on_both_loops
def test_saturation_queues_requests_without_deadlock_when_every_worker_waits_for_input(backend):
    """Uploads that are read on demand hold their workers; those that wait are served once the bytes come."""
    scope = make_scope("POST", headers=[(b"content-length", b"3")])
    waiting = [Driver(scope, events=()) for _ in range(2)]
    behind = [Driver(make_scope(path="/behind")) for _ in range(5)]
    reading = []

    def app(environ, start_response):
        if environ["PATH_INFO"] != "/behind":
            reading.append(True)
            assert environ["wsgi.input"].read() == b"abc"
        start_response("200 OK", list(TEXT))
        return [b"done"]

    limits = Limits(workers=2, spare_workers=0, body_memory_bytes=2)
    with hosted(app, limits=limits, large_body="stream") as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for driver in waiting:
                    tasks.start_soon(driver.call, adapter)
                await until(lambda: len(reading) == 2)
                for driver in behind:
                    tasks.start_soon(driver.call, adapter)
                await until(lambda: adapter.statistics().waiting == 5)
                for driver in waiting:
                    driver.feed(*body_events(b"abc"))

        run(main, backend)

    assert [driver.body for driver in waiting + behind] == [b"done"] * 7


@pytest.mark.requirement("W-145")
def test_nothing_is_started_by_making_an_adapter():
    before = set(threading.enumerate())

    adapter = WSGIToASGI(answering([b"body"]))

    assert set(threading.enumerate()) <= before  # an idle worker of an earlier test may end meanwhile
    assert adapter.statistics().workers_idle == 0


@pytest.mark.requirement("W-145")
@pytest.mark.parametrize("second", ["asyncio", "trio", "uvloop"])
@pytest.mark.parametrize("first", ["asyncio", "trio", "uvloop"])
def test_one_adapter_serves_two_loops_one_after_the_other(first, second):
    drivers = [Driver(), Driver()]

    with hosted(answering(lambda: iter([b"bo", b"dy"]))) as adapter:
        run(functools.partial(drivers[0].call, adapter), first)
        run(functools.partial(drivers[1].call, adapter), second)

    assert [driver.body for driver in drivers] == [b"body"] * 2


@pytest.mark.requirement("W-145")
@pytest.mark.parametrize("other", ["asyncio", "trio"])
def test_one_adapter_serves_two_loops_at_the_same_time(other):
    """Two loops in two threads, whose requests meet in the application."""
    together = threading.Barrier(2)
    drivers = [Driver(), Driver()]

    def app(environ, start_response):
        together.wait(10)
        start_response("200 OK", list(TEXT))
        yield b"one,"
        together.wait(10)
        yield b"two"

    with hosted(app) as adapter:
        thread = threading.Thread(target=lambda: run(functools.partial(drivers[1].call, adapter), other))
        thread.start()
        run(functools.partial(drivers[0].call, adapter))
        thread.join(20)

    assert [driver.body for driver in drivers] == [b"one,two"] * 2


@pytest.mark.requirement("W-145")
@on_both_loops
def test_two_adapters_share_one_pool_and_its_bound(backend):
    running, most = [], []
    lock = threading.Lock()

    def app(environ, start_response):
        with lock:
            running.append(1)
            most.append(len(running))
        start_response("200 OK", list(TEXT))
        yield environ["bridge.test"].encode()
        with lock:
            running.pop()

    pool = WorkerPool(workers=2, queue=100)
    drivers = [Driver() for _ in range(20)]
    with (
        hosted(app, workers=pool, environ={"bridge.test": "a"}) as first,
        hosted(app, workers=pool, environ={"bridge.test": "b"}) as second,
    ):

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call_all, first, drivers[:10])
                tasks.start_soon(call_all, second, drivers[10:])

        run(main, backend)
        assert first.statistics().workers_max == second.statistics().workers_max == 2

    assert [driver.body for driver in drivers] == [b"a"] * 10 + [b"b"] * 10
    assert max(most) <= 2


@pytest.mark.requirement("W-145")
def test_draining_one_adapter_leaves_a_shared_pool_running():
    pool = WorkerPool(workers=1)
    drivers = [Driver(), Driver()]

    with hosted(answering([b"second"]), workers=pool) as second:

        async def main() -> None:
            first = WSGIToASGI(answering([b"first"]), workers=pool)
            await drivers[0].call(first)
            await first.drain()
            await until(lambda: pool.statistics().idle == 1)  # it lies down a moment after its request
            await drivers[1].call(second)

        run(main)

    assert [driver.body for driver in drivers] == [b"first", b"second"]


# ---- Context variables ------------------------------------------------------------------------------------------

user = contextvars.ContextVar("user", default="nobody")


@pytest.mark.requirement("W-146")
@on_each_backend
def test_the_app_sees_the_tasks_context_and_its_changes_stay_its_own(backend):
    seen = []

    def app(environ, start_response):
        seen.append(user.get())
        user.set("changed by the app")
        start_response("200 OK", list(TEXT))
        yield b"one"
        seen.append(user.get())

    drivers = [Driver(), Driver(), Driver()]
    after = []
    with hosted(app, limits=Limits(workers=1)) as adapter:

        async def main() -> None:
            for number, driver in enumerate(drivers):
                if number < 2:
                    user.set(f"user {number}")
                await driver.call(adapter)
                after.append(user.get())

        run(main, backend)

    assert seen == ["user 0", "changed by the app", "user 1", "changed by the app", "user 1", "changed by the app"]
    assert after == ["user 0", "user 1", "user 1"]
    assert user.get() == "nobody"


@pytest.mark.requirement("W-146")
@on_each_backend
def test_asyncio_run_works_in_the_apps_thread(backend):
    async def answer() -> bytes:
        await asyncio.sleep(0)
        return b"from a loop of its own"

    def app(environ, start_response):
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        start_response("200 OK", list(TEXT))
        return [asyncio.run(answer())]

    driver = serve(app, backend=backend)

    assert driver.error is None
    assert driver.body == b"from a loop of its own"


# ---- Memory -----------------------------------------------------------------------------------------------------


class WeakScope(dict):
    """A scope that can be watched."""


class WeakEnvironValue:
    """Something the application puts into its environ."""


def whole(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [b"body"]


def read_and_whole(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", list(TEXT))
    return [b"body"]


def streamed(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b"one"
    yield b"two"


def failing(environ, start_response):
    raise LookupError


@pytest.mark.requirement("W-145")
@on_both_loops
@pytest.mark.parametrize(
    ("inner", "method"),
    [
        pytest.param(whole, "GET", id="whole"),
        pytest.param(whole, "POST", id="body not read"),
        pytest.param(read_and_whole, "GET", id="read without a body"),
        pytest.param(read_and_whole, "POST", id="read"),
        pytest.param(streamed, "GET", id="streamed"),
        pytest.param(failing, "GET", id="failing"),
    ],
)
def test_an_ordinary_request_leaves_no_reference_cycle(inner, method, backend):
    alive: list[weakref.ref] = []

    def app(environ, start_response):
        value = WeakEnvironValue()
        environ["app.value"] = value
        alive.append(weakref.ref(value))
        return inner(environ, start_response)

    def make_driver() -> Driver:
        headers = [(b"content-length", b"3")] if method == "POST" else []
        scope = WeakScope(make_scope(method, headers=headers))
        alive.append(weakref.ref(scope))
        return Driver(scope, events=body_events(b"abc"))

    with hosted(app) as adapter:

        async def main() -> None:
            with without_gc():
                for _ in range(3):
                    driver = make_driver()
                    await driver.call(adapter)
                    if driver.error is not None:
                        driver.error.__traceback__ = None
                    del driver
                # The worker lets go of its job a moment after the response is out.
                await until(lambda: not any(reference() for reference in alive), patience_s=2)

        run(main, backend)

    assert len(alive) == 6


@pytest.mark.requirement("W-145")
def test_requests_leave_no_garbage_of_the_bridges():
    def is_ours(thing: object) -> bool:
        return type(thing).__module__.split(".")[0] == "bridge"

    with hosted(linted(answering(lambda: [b"body"]))) as adapter:

        async def main() -> list[object]:
            await Driver().call(adapter)  # what is made once
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(5):
                    await Driver().call(adapter)
                await until(lambda: adapter.statistics().workers_busy == 0)
                gc.collect()
                return [thing for thing in gc.garbage if is_ours(thing)]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

        garbage = run(main)

    assert garbage == []
