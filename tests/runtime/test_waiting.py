"""Waiting on a loop for threads: results, errors, and cancellation that does not abandon a running thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import anyio
import pytest

from bridge._runtime.loops import current_port
from bridge._runtime.waiting import ThreadCall, run_in_worker, wait_through_cancellation
from bridge._runtime.workers import WorkerPool
from tests.backends import ASYNCIO, Backend
from tests.meeting import TIMEOUT_S, Hold
from tests.runtime.jobs import HeldJob

variable: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(workers=1, queue=1, name="bridge-worker-waiting")
    yield made
    assert made.close(TIMEOUT_S)


def test_the_result_of_a_function_comes_back_from_a_worker(backend: Backend, pool: WorkerPool):
    async def main() -> tuple[int, str]:
        variable.set("the caller's")
        return await run_in_worker(pool, current_port(), lambda a: (a + threading.get_ident(), variable.get()), 0)

    thread_id, seen = backend.run(main)

    assert thread_id != threading.get_ident()
    assert seen == "the caller's"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_the_function_raises_is_raised_where_it_is_waited_for(backend: Backend, pool: WorkerPool, kind):
    error = kind("broken")

    def fail() -> None:
        raise error

    async def main() -> BaseException | None:
        try:
            await run_in_worker(pool, current_port(), fail)
        except BaseException as raised:
            return raised
        return None

    assert backend.run(main) is error


def test_too_many_jobs_are_refused_loudly(backend: Backend, pool: WorkerPool):
    running, waiting = HeldJob(), HeldJob()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="too many jobs"):
            await run_in_worker(pool, current_port(), lambda: None)

    assert pool.submit(running)
    running.wait_until_running()
    assert pool.submit(waiting)
    try:
        backend.run(main)
    finally:
        running.release()
        waiting.release()
    waiting.done.wait()


def test_a_cancelled_caller_takes_a_waiting_job_back(backend: Backend, pool: WorkerPool):
    running = HeldJob()
    ran = []

    async def main() -> None:
        with anyio.move_on_after(0.01) as limit:
            await run_in_worker(pool, current_port(), ran.append, True)
        assert limit.cancelled_caught

    pool.submit(running)
    running.wait_until_running()
    backend.run(main)
    assert pool.statistics().waiting == 0
    running.release()
    running.done.wait()

    assert ran == []


def test_a_cancelled_caller_waits_for_a_job_that_runs(backend: Backend, pool: WorkerPool):
    hold = Hold()
    ended = []

    def work() -> None:
        hold.stop_here()
        ended.append(True)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(run_in_worker, pool, current_port(), work)
            await hold.reached.wait_on_loop()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(20):
                    await anyio.sleep(0)
                assert ended == []
                hold.release()
        assert ended == [True]

    backend.run(main)


def test_the_job_of_a_loop_that_has_ended_ends_quietly(pool: WorkerPool):
    loop = asyncio.new_event_loop()

    async def main() -> ThreadCall[None]:
        return ThreadCall(pool, current_port(), lambda: None, ())

    call = loop.run_until_complete(main())
    loop.close()

    call.run()

    assert call.is_done


def test_waiting_through_cancellation_ends_when_it_is_over(backend: Backend):
    async def main() -> bool:
        signal = current_port().new_signal()
        steps: list[bool] = []

        async def cause() -> None:
            for _ in range(3):
                await anyio.sleep(0)
                steps.append(True)
                signal.set()

        async with anyio.create_task_group() as group:
            group.start_soon(cause)
            return await wait_through_cancellation(signal, lambda: len(steps) == 3, TIMEOUT_S)

    assert backend.run(main) is True


def test_waiting_through_cancellation_ends_when_the_time_is_up(backend: Backend):
    async def main() -> bool:
        return await wait_through_cancellation(current_port().new_signal(), lambda: False, 0.01)

    assert backend.run(main) is False


def test_a_cancelled_scope_does_not_end_the_waiting(backend: Backend):
    async def main() -> bool:
        signal = current_port().new_signal()
        is_over = False
        answers: list[bool] = []

        async def wait() -> None:
            answers.append(await wait_through_cancellation(signal, lambda: is_over, TIMEOUT_S))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(0)
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(20):
                    await anyio.sleep(0)
                assert answers == []
                is_over = True
                signal.set()
        return answers == [True]

    assert backend.run(main) is True


def test_asyncios_own_cancel_does_not_end_the_waiting_however_often_it_comes():
    async def main() -> bool:
        signal = current_port().new_signal()
        is_over = False
        task = asyncio.ensure_future(wait_through_cancellation(signal, lambda: is_over, TIMEOUT_S))
        for _ in range(5):
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        is_over = True
        signal.set()
        return await task

    assert ASYNCIO.run(main) is True
