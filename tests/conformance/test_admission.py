"""Who gets a worker: while some are stuck or wait for clients, and while a neighbour is flooded."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import anyio
import pytest

from bridge import Limits, WorkerPool, WSGIToASGI
from tests.conformance.driver import (
    PATIENCE_S,
    TEXT,
    Driver,
    block,
    body_events,
    logged,
    make_scope,
    on_both_loops,
    run,
    until,
)
from tests.meeting import Helper


class Places:
    """A WSGI application; the path says what a request does."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.entered: list[str] = []
        self.may_go = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        self.entered.append(path)
        if path.startswith("/stuck"):
            block(self.may_go)
        elif path.startswith("/read"):
            octets = environ["wsgi.input"].read()
            start_response("200 OK", list(TEXT))
            return [b"%d" % len(octets)]
        start_response("200 OK", list(TEXT))
        if path.startswith("/stream"):
            return (b"%d" % (number % 10) * 700 for number in range(20))
        return [path.encode()]


STREAM = b"".join(b"%d" % (number % 10) * 700 for number in range(20))


def asking(path: str, **options: Any) -> Driver:
    return Driver(make_scope(path=path), **options)


def is_refusal(driver: Driver) -> bool:
    return driver.is_complete and driver.status == 503 and driver.header(b"retry-after") == b"1"


# ---- Stuck requests -----------------------------------------------------------------------------------------------


@on_both_loops
def test_requests_that_are_stuck_do_not_stop_the_others(backend, caplog):
    app = Places()
    stuck = [asking(f"/stuck-{number}") for number in range(2)]
    other = asking("/other")
    adapter = WSGIToASGI(app, limits=Limits(workers=2, spare_workers=2, stuck_s=0.5))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for driver in stuck:
                tasks.start_soon(driver.call, adapter)
            await until(lambda: len(app.entered) == 2)
            await other.call(adapter)
            await until(lambda: adapter.statistics().workers_aside == 2)
            assert adapter.statistics().stuck == 2
            assert adapter.statistics().workers_max == 2
            await until(lambda: len(logged(caplog, logging.WARNING)) == 2)
            app.may_go.set()
        await until(lambda: adapter.statistics().workers_busy == 0)
        assert adapter.statistics().workers_aside == 0
        assert adapter.statistics().workers_idle <= 2
        await adapter.drain()

    run(main, backend)
    assert other.body == b"/other"
    assert [driver.body for driver in stuck] == [b"/stuck-0", b"/stuck-1"]
    warnings = [record.getMessage() for record in logged(caplog, logging.WARNING)]
    assert all("another worker takes its place" in text and "block(self.may_go)" in text for text in warnings)
    assert sorted(text.split("'")[1] for text in warnings) == ["/stuck-0", "/stuck-1"]


@on_both_loops
def test_one_that_becomes_stuck_during_a_look_is_reported_by_the_next_which_replaces_it(backend, caplog, monkeypatch):
    """Else the record would say that no spare worker is left."""
    pool = WorkerPool(workers=2, spare=1)
    replace, looks = pool.replace_stuck, []

    def replace_stuck(longer_than_s: float) -> int:
        looks.append(longer_than_s)
        return 0 if len(looks) == 1 else replace(longer_than_s)  # the first came a moment too early

    monkeypatch.setattr(pool, "replace_stuck", replace_stuck)
    app = Places()
    adapter = WSGIToASGI(app, workers=pool, limits=Limits(stuck_s=0.5))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asking("/stuck").call, adapter)
            await until(lambda: adapter.statistics().workers_aside == 1)
            await until(lambda: logged(caplog, logging.WARNING))
            app.may_go.set()
        await adapter.drain()

    run(main, backend)
    assert pool.close(PATIENCE_S)
    texts = [record.getMessage() for record in logged(caplog, logging.WARNING)]
    assert len(texts) == 1
    assert "another worker takes its place" in texts[0]


@on_both_loops
@pytest.mark.parametrize(
    ("workers", "spare", "run_at_most"),
    [pytest.param(2, 1, 3, id="the spare ones are used up"), pytest.param(1, 40, 1, id="one worker is one worker")],
)
def test_beyond_the_spare_workers_stuck_requests_do_stop_the_others_who_are_told_503(
    workers, spare, run_at_most, backend, caplog
):
    app = Places()
    stuck = [asking(f"/stuck-{number}") for number in range(run_at_most)]
    limits = Limits(workers=workers, spare_workers=spare, stuck_s=0.5, queue_wait_s=1.0)
    adapter = WSGIToASGI(app, limits=limits)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for driver in stuck[:workers]:
                tasks.start_soon(driver.call, adapter)
            await until(lambda: adapter.statistics().workers_aside == run_at_most - workers)
            for driver in stuck[workers:]:
                tasks.start_soon(driver.call, adapter)
            await until(lambda: len(app.entered) == run_at_most)
            await until(lambda: len(logged(caplog, logging.WARNING)) == run_at_most)
            late = asking("/late")
            await late.call(adapter)
            assert is_refusal(late)
            assert adapter.statistics().workers_busy == run_at_most
            app.may_go.set()
        again = asking("/again")
        await again.call(adapter)
        assert again.body == b"/again"
        await adapter.drain()

    run(main, backend)
    assert "/late" not in app.entered
    texts = [record.getMessage() for record in logged(caplog, logging.WARNING)]
    assert sum("no spare worker is left for its place" in text for text in texts) == workers


@on_both_loops
def test_in_a_shared_pool_each_adapter_reports_its_own_stuck_requests_and_others_are_served(backend, caplog):
    pool = WorkerPool(workers=2, spare=2)
    apps = [Places("first"), Places("second")]
    first, second = (WSGIToASGI(app, workers=pool, limits=Limits(stuck_s=0.5)) for app in apps)
    stuck = [asking("/stuck-first"), asking("/stuck-second")]

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stuck[0].call, first)
            tasks.start_soon(stuck[1].call, second)
            await until(lambda: apps[0].entered and apps[1].entered)
            for adapter in (first, second):
                other = asking("/other")
                await other.call(adapter)
                assert other.body == b"/other"
            await until(lambda: len(logged(caplog, logging.WARNING)) == 2)
            for app in apps:
                app.may_go.set()
        await first.drain()
        await second.drain()

    run(main, backend)
    assert pool.close(PATIENCE_S)
    assert len(logged(caplog, logging.WARNING)) == 2


@on_both_loops
def test_a_drain_names_stuck_requests_whose_places_were_taken_and_gives_up_in_time(backend, caplog):
    app = Places()
    stuck = asking("/stuck")
    adapter = WSGIToASGI(app, limits=Limits(workers=2, spare_workers=1, stuck_s=0.5, shutdown_s=0.2))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stuck.call, adapter)
            await until(lambda: adapter.statistics().workers_aside == 1)
            await adapter.drain()
            errors = [record.getMessage() for record in logged(caplog, logging.ERROR)]
            assert any("is still running" in text for text in errors)
            assert any("block(self.may_go)" in text for text in errors)
            app.may_go.set()
        await adapter.drain()

    run(main, backend)
    assert stuck.body == b"/stuck"


# ---- Workers that wait for clients --------------------------------------------------------------------------------


@on_both_loops
def test_without_files_workers_of_slow_clients_step_aside(backend):
    app = Places()
    slow = [asking("/stream", hold_at={1}) for _ in range(2)]
    limits = Limits(workers=2, spare_workers=2, response_memory_bytes=1000, response_spool_bytes=0)
    adapter = WSGIToASGI(app, limits=limits)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for driver in slow:
                tasks.start_soon(driver.call, adapter)
            await until(lambda: len(app.entered) == 2)
            other = asking("/other")
            await other.call(adapter)
            assert other.body == b"/other"
            assert not any(driver.is_complete for driver in slow)
            assert adapter.statistics().workers_aside >= 1
            for driver in slow:
                driver.release(1)
        await until(lambda: adapter.statistics().workers_busy == 0)
        assert adapter.statistics().workers_aside == 0
        assert adapter.statistics().workers_idle <= 2
        await adapter.drain()

    run(main, backend)
    assert [driver.body == STREAM for driver in slow] == [True, True]


@on_both_loops
def test_workers_that_wait_for_a_body_step_aside(backend):
    app = Places()
    headers = [(b"content-length", b"3000")]
    slow = [
        Driver(make_scope("POST", "/read", headers=headers), events=body_events(b"x" * 2000, b"")[:1]) for _ in "12"
    ]
    limits = Limits(workers=2, spare_workers=2, body_memory_bytes=1000)
    adapter = WSGIToASGI(app, limits=limits, large_body="stream")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for driver in slow:
                tasks.start_soon(driver.call, adapter)
            await until(lambda: adapter.statistics().workers_aside == 2)
            other = asking("/other")
            await other.call(adapter)
            assert other.body == b"/other"
            for driver in slow:
                driver.feed(*body_events(b"x" * 1000))
        await adapter.drain()

    run(main, backend)
    assert [driver.body for driver in slow] == [b"3000"] * 2


@on_both_loops
def test_twenty_slow_clients_and_two_workers_leave_others_alone(backend):
    app = Places()
    slow = [asking("/stream", hold_at={1}) for _ in range(20)]
    adapter = WSGIToASGI(app, limits=Limits(workers=2, spare_workers=0, response_memory_bytes=1000))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for driver in slow:
                tasks.start_soon(driver.call, adapter)
            for number in range(10):
                other = asking(f"/other-{number}")
                await other.call(adapter)
                assert other.body == b"/other-%d" % number
            await until(lambda: all(driver.attempts for driver in slow))
            for driver in slow:
                driver.release(1)
        await until(lambda: adapter.statistics().bytes_spooled == 0)
        await adapter.drain()

    run(main, backend)
    assert [driver.body == STREAM for driver in slow] == [True] * 20


def test_a_request_on_one_loop_gets_the_worker_of_a_slow_client_on_another():
    app = Places()
    slow, other = asking("/stream", hold_at={1}), asking("/other")
    adapter = WSGIToASGI(app, limits=Limits(workers=1, response_memory_bytes=1000))

    async def first() -> None:
        await slow.call(adapter)

    loop = Helper(lambda: asyncio.run(first()), "first loop")

    async def second() -> None:
        await until(lambda: slow.attempts == 2)
        await other.call(adapter)

    try:
        run(second)
        assert other.body == b"/other"
        assert not slow.is_complete
    finally:
        slow.release(1)
        loop.join()
    assert slow.body == STREAM
    run(adapter.drain)
    assert adapter.statistics().bytes_spooled == 0


# ---- Expect: 100-continue -----------------------------------------------------------------------------------------


def expecting(path: str = "/read") -> Driver:
    headers = [(b"content-length", b"10"), (b"expect", b"100-continue")]
    return Driver(make_scope("POST", path, headers=headers), events=())


@on_both_loops
@pytest.mark.parametrize(("workers", "share"), [(1, 1), (2, 1), (7, 1), (8, 2), (12, 3)])
def test_a_quarter_of_the_workers_may_wait_for_clients_that_were_asked_to_continue(workers, share, backend):
    """The bodies of all others are received before a worker is taken."""
    app = Places()
    drivers = [expecting() for _ in range(share + 2)]
    adapter = WSGIToASGI(app, limits=Limits(workers=workers))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for driver in drivers:
                tasks.start_soon(driver.call, adapter)
            await until(lambda: all(driver.receive_calls for driver in drivers))
            assert len(app.entered) == share
            assert adapter.statistics().workers_busy == share
            for driver in reversed(drivers):
                driver.feed(*body_events(b"x" * 10))
        assert adapter.statistics().requests == 0
        again = expecting("/refuse")  # and the share is free again
        await again.call(adapter)
        assert again.receive_calls_at_start == 0
        await adapter.drain()

    run(main, backend)
    assert [driver.body for driver in drivers] == [b"10"] * len(drivers)


@on_both_loops
@pytest.mark.parametrize("ending", ["client leaves", "server cancels", "application fails"])
def test_the_share_of_a_request_that_ends_early_is_free_again(ending, backend):
    def app(environ: Any, _start_response: Any) -> Any:
        if ending == "application fails":
            raise LookupError
        return environ["wsgi.input"].read()

    adapter = WSGIToASGI(app, limits=Limits(workers=1))

    async def main() -> None:
        for _ in range(3):
            driver = expecting()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                if ending != "application fails":
                    await until(lambda driver=driver: driver.receive_calls)
                    if ending == "client leaves":
                        driver.disconnect()
                    else:
                        tasks.cancel_scope.cancel()
            assert not adapter._hosting.asked_to_continue
        await adapter.drain()

    run(main, backend)


# ---- Two adapters, one pool -----------------------------------------------------------------------------------------


@on_both_loops
def test_a_flooded_adapter_takes_neither_the_queue_nor_the_turn_of_its_neighbour(backend):
    pool = WorkerPool(workers=1, queue=4)
    order: list[str] = []

    class Noting(Places):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            order.append(self.name + environ["PATH_INFO"])
            return super().__call__(environ, start_response)

    flooded_app, neighbour_app = Noting("flooded"), Noting("neighbour")
    flooded, neighbour = WSGIToASGI(flooded_app, workers=pool), WSGIToASGI(neighbour_app, workers=pool)
    held = asking("/stuck")
    flood = [asking(f"/{number}") for number in range(10)]
    few = [asking(f"/{number}") for number in range(2)]

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(held.call, flooded)
            await until(lambda: order)
            for driver in flood[:4]:
                tasks.start_soon(driver.call, flooded)
            await until(lambda: flooded.statistics().waiting == 4)
            for driver in flood[4:]:
                await driver.call(flooded)
            for number, driver in enumerate(few, start=5):
                tasks.start_soon(driver.call, neighbour)
                await until(lambda number=number: neighbour.statistics().waiting == number)
            flooded_app.may_go.set()
        assert flooded.statistics().refused == 6
        assert neighbour.statistics().refused == 0
        await flooded.drain()
        await neighbour.drain()

    run(main, backend)
    assert pool.close(PATIENCE_S)
    assert all(is_refusal(driver) for driver in flood[4:])
    assert sorted(driver.body for driver in few) == [b"/0", b"/1"]
    assert order.index("neighbour/0") == 2  # after the one that was first, and one of the flood
    assert order.index("neighbour/1") == 4
    assert sorted(order[1:]) == sorted([f"flooded/{n}" for n in range(4)] + ["neighbour/0", "neighbour/1"])


@on_both_loops
def test_a_slow_client_of_one_adapter_leaves_its_worker_to_the_other(backend):
    pool = WorkerPool(workers=1)
    limits = Limits(response_memory_bytes=1000)
    first, second = (WSGIToASGI(Places(), workers=pool, limits=limits) for _ in range(2))
    slow, other = asking("/stream", hold_at={1}), asking("/other")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow.call, first)
            await until(lambda: slow.attempts == 2)
            await other.call(second)
            assert not slow.is_complete
            assert first.statistics().bytes_spooled > 0
            assert second.statistics().bytes_spooled == 0
            slow.release(1)
        await first.drain()
        await second.drain()

    run(main, backend)
    assert pool.close(PATIENCE_S)
    assert slow.body == STREAM
    assert other.body == b"/other"
