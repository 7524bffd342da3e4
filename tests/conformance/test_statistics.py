"""``statistics()`` and ``repr``: what an operator sees of an adapter."""

from __future__ import annotations

import functools
import os
import threading

import anyio
import pytest

from bridge import Limits, Statistics, WorkerPool
from tests.conformance.driver import (
    TEXT,
    Driver,
    answering,
    block,
    body_events,
    hosted,
    make_scope,
    on_both_loops,
    run,
    until,
)

IDLE = Statistics(
    workers_busy=0,
    workers_idle=0,
    workers_max=3,
    waiting=0,
    requests=0,
    bytes_held=0,
    streams_open=0,
    websockets=0,
    refused=0,
    stuck=0,
    workers_aside=0,
    bytes_spooled=0,
)


def test_a_new_adapter_has_nothing_to_tell():
    with hosted(answering([]), limits=Limits(workers=3)) as adapter:
        assert adapter.statistics() == IDLE


def test_a_new_process_has_books_of_its_own(monkeypatch):
    with hosted(answering([]), limits=Limits(workers=3)) as adapter:
        books = adapter._hosting
        books.live.add(books)
        assert books.disk.take(5)
        books.disk._lock.acquire()  # by a thread that the fork has not copied

        monkeypatch.setattr(os, "getpid", lambda: -1)

        assert adapter.statistics() == IDLE
        assert books.disk.take(5)


@on_both_loops
def test_running_and_waiting_requests_and_workers_are_counted(backend):
    entered = []
    opened = threading.Event()

    def app(environ, start_response):
        entered.append(True)
        block(opened)
        start_response("200 OK", list(TEXT))
        return [b"done"]

    drivers = [Driver() for _ in range(5)]
    with hosted(app, limits=Limits(workers=3, stuck_s=0.0, worker_idle_s=30)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for driver in drivers:
                    tasks.start_soon(driver.call, adapter)
                await until(lambda: len(entered) == 3 and adapter.statistics().waiting == 2)
                now = adapter.statistics()
                assert (now.workers_busy, now.workers_idle, now.workers_max) == (3, 0, 3)
                assert now.requests == 5
                assert now.stuck == 3
                assert now.streams_open == 0
                assert "5 requests (2 waiting, 0 streaming)" in repr(adapter)
                assert "3 busy" in repr(adapter)
                opened.set()
            await until(lambda: adapter.statistics().workers_idle == 3)

        run(main, backend)
        now = adapter.statistics()
        assert (now.workers_busy, now.requests, now.waiting, now.stuck) == (0, 0, 0, 0)


@on_both_loops
def test_streams_and_the_bytes_they_hold_are_counted(backend):
    driver = Driver(hold_at={1})

    def blocks():
        for _ in range(100):
            yield b"x" * 1000

    with hosted(answering(blocks), limits=Limits(response_memory_bytes=5000)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: driver.attempts == 2)
                assert adapter.statistics().streams_open == 1
                assert 1000 <= adapter.statistics().bytes_held <= 5000 + 2 * 1000 + 1000
                driver.release(1)

        run(main, backend)
        now = adapter.statistics()
        assert (now.streams_open, now.bytes_held, now.requests) == (0, 0, 0)

    assert len(driver.body) == 100_000


@on_both_loops
def test_the_bytes_of_collected_bodies_are_counted_while_they_are_held(backend):
    entered, opened = threading.Event(), threading.Event()

    def app(environ, start_response):
        entered.set()
        block(opened)
        start_response("200 OK", list(TEXT))
        return [b"done"]

    driver = Driver(
        make_scope("POST", headers=[(b"content-length", b"5000")]), events=body_events(b"x" * 2500, b"x" * 2500)
    )
    with hosted(app) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(entered.is_set)
                assert adapter.statistics().bytes_held == 5000
                opened.set()

        run(main, backend)
        assert adapter.statistics().bytes_held == 0


def test_refusals_are_counted():
    drivers = [Driver(make_scope(headers=[(b"host", b"second")])) for _ in range(3)]

    with hosted(answering([])) as adapter:
        for driver in drivers:
            run(functools.partial(driver.call, adapter))
        assert adapter.statistics().refused == 3


@pytest.mark.parametrize("path", ["/caf\xe9", "/line\nbreak", "/\x1b[31mred"])
def test_nothing_a_client_sends_gets_into_the_log_unescaped(path, caplog):
    driver = Driver(make_scope(path=path, raw_path=None, headers=[(b"host", b"second")]))

    with hosted(answering([])) as adapter:
        run(functools.partial(driver.call, adapter))

    assert driver.status == 400
    for record in caplog.records:
        assert "\n" not in record.getMessage()
        assert "\x1b" not in record.getMessage()


def test_statistics_may_be_asked_from_any_thread_at_any_time():
    over = threading.Event()
    failures: list[BaseException] = []

    with hosted(answering(lambda: iter([b"a", b"b"]))) as adapter:

        def ask() -> None:
            while not over.is_set():
                try:
                    adapter.statistics()
                    repr(adapter)
                except BaseException as error:
                    failures.append(error)
                    return

        async def main() -> None:
            for _ in range(4):
                async with anyio.create_task_group() as tasks:
                    for _ in range(10):
                        tasks.start_soon(Driver().call, adapter)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            run(main)
        finally:
            over.set()
            thread.join(20)

    assert failures == []


def test_a_pools_repr_tells_how_it_is():
    pool = WorkerPool(workers=2)

    assert repr(pool) == "<WorkerPool 0 busy, 0 idle of 2, 0 waiting>"


@pytest.mark.parametrize("workers", [0, -1])
def test_a_pool_without_workers_is_refused(workers):
    with pytest.raises(ValueError, match="worker"):
        WorkerPool(workers=workers)
