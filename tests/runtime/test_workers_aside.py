"""Workers that cannot go on: they step aside, others take their places, and the pool comes back to its limit."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge._runtime.workers import WorkerPool
from tests.forking import run_program
from tests.meeting import TIMEOUT_S, Helper, Hold, until
from tests.runtime.jobs import HeldJob, Job

WORKERS, SPARE = 2, 2


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(workers=WORKERS, queue=100, idle_s=30, spare=SPARE)
    yield made
    assert made.close(TIMEOUT_S)


class AsideJob(Job):
    """Steps aside, waits, steps back, waits again; at each point until it is told to go on."""

    def __init__(self, pool: WorkerPool, name: str = "aside") -> None:
        self.may_step = Hold(f"{name} before")
        self.waiting = Hold(f"{name} waiting")
        self.is_back = Hold(f"{name} back")
        self.is_aside: bool | None = None
        self._pool = pool
        super().__init__(self._course, name)

    def _course(self) -> None:
        self.may_step.stop_here()
        self.is_aside = self._pool.step_aside()
        self.waiting.stop_here()
        if self.is_aside:
            self._pool.step_back()
        self.is_back.stop_here()

    def release(self) -> None:
        for hold in (self.may_step, self.waiting, self.is_back):
            hold.release()


def running(pool: WorkerPool, *jobs: Any) -> None:
    """Submit jobs; all are running when this returns."""
    for job in jobs:
        assert pool.submit(job)
        (job.may_step if isinstance(job, AsideJob) else job.hold).reached.wait()


def end(*jobs: Any) -> None:
    for job in jobs:
        job.release()
    for job in jobs:
        job.done.wait()


def threads(pool: WorkerPool) -> int:
    now = pool.statistics()
    return now.busy + now.idle


# ---- Stepping aside -----------------------------------------------------------------------------------------------


def test_another_worker_takes_the_place_of_one_that_steps_aside(pool):
    first, second, third = AsideJob(pool), HeldJob(), HeldJob()
    running(pool, first, second)
    assert pool.submit(third)
    assert pool.is_wanted()
    assert pool.is_saturated()

    first.may_step.release()

    third.wait_until_running()
    first.waiting.reached.wait()
    assert first.is_aside is True
    assert pool.statistics().aside == 1
    assert not pool.is_wanted()
    end(first, second, third)
    until(lambda: threads(pool) <= WORKERS, "the extra worker has ended")
    assert pool.statistics().aside == 0


def test_a_job_that_comes_later_gets_the_place_too(pool):
    first, second, third = AsideJob(pool), HeldJob(), HeldJob()
    running(pool, first, second)
    first.may_step.release()
    first.waiting.reached.wait()
    assert not pool.is_saturated()

    running(pool, third)

    assert pool.statistics().busy == 3
    end(first, second, third)


def test_who_steps_back_while_its_place_is_taken_goes_on_and_ends_after_its_job(pool):
    first, second, third = AsideJob(pool), HeldJob(), HeldJob()
    running(pool, first, second)
    first.may_step.release()
    first.waiting.reached.wait()
    running(pool, third)
    fourth = HeldJob()
    assert pool.submit(fourth)

    first.waiting.release()
    first.is_back.reached.wait()
    assert pool.statistics().aside == 0
    assert pool.statistics().busy == 3
    end(first)

    worker = first.thread
    assert worker is not None
    until(lambda: not worker.is_alive(), "the worker has ended")
    assert not fourth.hold.reached.is_set()  # two are busy, as many as there may be
    end(second)
    fourth.wait_until_running()
    assert fourth.thread is second.thread
    end(third, fourth)
    assert threads(pool) <= WORKERS


def test_an_idle_worker_beyond_the_limit_is_not_used(pool):
    """The place was taken, and left again, before the owner stepped back: three threads, of which two may work."""
    first, second, third = AsideJob(pool), HeldJob(), HeldJob()
    running(pool, first, second)
    first.may_step.release()
    first.waiting.reached.wait()
    running(pool, third)
    end(third)
    until(lambda: pool.statistics().idle == 1, "the worker lay down")
    first.waiting.release()
    first.is_back.reached.wait()
    late = HeldJob()

    assert pool.is_saturated()
    assert pool.submit(late)
    until(lambda: threads(pool) == WORKERS, "the worker beyond the limit has ended")
    assert not late.hold.reached.is_set()
    assert pool.is_wanted()

    end(first)
    late.wait_until_running()
    end(second, late)


def test_no_more_than_the_spare_ones_step_aside_and_the_next_can_when_one_is_back(pool):
    jobs = [AsideJob(pool, f"aside-{number}") for number in range(WORKERS + SPARE)]
    for job in jobs[: WORKERS + SPARE]:
        running(pool, job)
        job.may_step.release()
        job.waiting.reached.wait()

    assert [job.is_aside for job in jobs] == [True] * SPARE + [False] * WORKERS
    late = AsideJob(pool, "late")
    assert pool.submit(late)
    assert pool.is_wanted()
    assert threads(pool) == WORKERS + SPARE
    jobs[0].waiting.release()
    jobs[0].is_back.reached.wait()
    assert pool.statistics().aside == SPARE - 1
    assert not late.may_step.reached.is_set()

    end(*jobs)
    late.may_step.reached.wait()
    end(late)
    until(lambda: threads(pool) <= WORKERS, "the pool has come back to its limit")
    assert pool.statistics().aside == 0


@pytest.mark.parametrize(
    ("workers", "spare"), [pytest.param(1, 40, id="one worker"), pytest.param(2, 0, id="none to spare")]
)
def test_without_spare_workers_nobody_steps_aside(workers, spare):
    pool = WorkerPool(workers=workers, spare=spare)
    jobs = [AsideJob(pool, f"aside-{number}") for number in range(workers)]
    running(pool, *jobs)
    late = Job()
    assert pool.submit(late)

    for job in jobs:
        job.may_step.release()
        job.waiting.reached.wait()

    assert [job.is_aside for job in jobs] == [False] * workers
    assert pool.replace_stuck(0) == 0
    assert pool.statistics().aside == 0
    assert threads(pool) == workers
    assert not late.runs
    end(*jobs)
    late.done.wait()
    assert pool.close(TIMEOUT_S)


def test_a_thread_that_is_no_worker_of_the_pool_does_not_step_aside(pool):
    assert pool.step_aside() is False
    pool.step_back()
    other = WorkerPool(workers=2)
    seen: list[bool] = []
    job = Job(lambda: seen.append(pool.step_aside()))
    assert other.submit(job)
    job.done.wait()

    assert seen == [False]
    assert pool.statistics().aside == 0
    assert other.close(TIMEOUT_S)


def test_a_worker_steps_aside_once_and_is_back_at_the_latest_when_its_job_ends(pool):
    seen: list[bool] = []
    job = Job(lambda: seen.extend([pool.step_aside(), pool.step_aside()]))
    assert pool.submit(job)
    job.done.wait()

    until(lambda: pool.statistics().idle == 1, "the worker lay down")
    assert seen == [True, False]
    assert pool.statistics().aside == 0


def test_the_queue_counts_from_the_places_that_are_free():
    pool = WorkerPool(workers=2, queue=0, spare=1)
    first, second, third = AsideJob(pool), HeldJob(), HeldJob()
    running(pool, first, second)
    assert not pool.submit(Job())
    first.may_step.release()
    first.waiting.reached.wait()

    running(pool, third)
    assert not pool.submit(Job())
    first.waiting.release()
    first.is_back.reached.wait()
    assert not pool.submit(Job())

    end(first, second, third)
    assert pool.close(TIMEOUT_S)


# ---- Stuck workers ------------------------------------------------------------------------------------------------


def test_stuck_workers_are_replaced_up_to_the_spare_ones_and_told_apart(pool):
    stuck = [HeldJob(f"stuck-{number}") for number in range(WORKERS + SPARE)]
    running(pool, *stuck[:WORKERS])
    for job in stuck[WORKERS:]:
        assert pool.submit(job)
    late = Job()
    assert pool.submit(late)

    assert pool.replace_stuck(0) == SPARE
    for job in stuck:
        job.wait_until_running()

    assert pool.replace_stuck(0) == 0
    assert pool.statistics().aside == SPARE
    assert threads(pool) == WORKERS + SPARE
    assert {worker.job: worker.is_aside for worker in pool.stuck(0)} == {
        job: number < SPARE for number, job in enumerate(stuck)
    }
    assert not late.runs
    end(*stuck)
    late.done.wait()
    until(lambda: threads(pool) <= WORKERS, "the pool has come back to its limit")
    assert pool.statistics().aside == 0


def test_only_those_are_replaced_that_are_busy_for_long(pool):
    job = HeldJob()
    running(pool, job)

    assert pool.replace_stuck(3600) == 0

    assert pool.statistics().aside == 0
    end(job)
    until(lambda: pool.statistics().idle == 1, "the worker lay down")
    assert pool.replace_stuck(0) == 0  # who has nothing to do is not stuck


def test_one_that_waits_aside_and_is_stuck_counts_once(pool):
    first, second = AsideJob(pool), HeldJob()
    running(pool, first, second)
    first.may_step.release()
    first.waiting.reached.wait()

    assert pool.replace_stuck(0) == 1  # the second
    assert pool.statistics().aside == 2

    first.waiting.release()
    first.is_back.reached.wait()
    assert pool.statistics().aside == 1
    assert pool.replace_stuck(0) == 1  # stuck it is still
    end(first, second)
    until(lambda: pool.statistics().aside == 0, "all are back")


def test_one_that_was_replaced_as_stuck_stays_aside_through_a_wait(pool):
    job = AsideJob(pool)
    running(pool, job)
    assert pool.replace_stuck(0) == 1

    job.may_step.release()
    job.waiting.reached.wait()
    assert job.is_aside is False
    job.waiting.release()
    job.is_back.reached.wait()

    assert pool.statistics().aside == 1
    end(job)


# ---- The end of a pool, and forks -----------------------------------------------------------------------------------


def test_closing_waits_for_workers_aside_and_their_substitutes():
    pool = WorkerPool(workers=2, spare=2)
    first, second, third = AsideJob(pool), HeldJob(), HeldJob()
    running(pool, first, second)
    first.may_step.release()
    first.waiting.reached.wait()
    running(pool, third)
    waiting = Job()
    assert pool.submit(waiting)
    assert not pool.close(0)

    closer = Helper(lambda: pool.close(TIMEOUT_S))
    until(lambda: pool._closing, "the pool is being closed")
    end(third, second, first)

    assert closer.join() is True
    assert waiting.runs == 1
    assert threads(pool) == 0
    assert pool.statistics().aside == 0


def test_a_closed_pool_has_all_its_places_again():
    pool = WorkerPool(workers=2, spare=1)
    for _ in range(2):
        jobs = [AsideJob(pool), HeldJob(), HeldJob()]
        running(pool, *jobs[:2])
        jobs[0].may_step.release()
        jobs[0].waiting.reached.wait()
        assert jobs[0].is_aside is True
        running(pool, jobs[2])
        end(*jobs)
        assert pool.close(TIMEOUT_S)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_the_child_of_a_fork_has_nobody_aside():
    run_program(
        """
from bridge import WorkerPool
from tests.forking import child_says, use
from tests.runtime.jobs import HeldJob, Job
from tests.runtime.test_workers_aside import AsideJob, end, running

use("os")
""",
        """
        def replaces():
            jobs = [AsideJob(pool), HeldJob(), HeldJob()]
            running(pool, *jobs[:2])
            jobs[0].may_step.release()
            jobs[0].waiting.reached.wait()
            running(pool, jobs[2])
            return pool.statistics().aside == 1

        pool = WorkerPool(workers=2, spare=1)
        assert replaces()
        assert child_says(lambda: pool.statistics().aside == 0 and replaces())
        assert pool.statistics().aside == 1
        """,
    )


@pytest.mark.parametrize("way", ["aside", "stuck"])
def test_without_a_thread_left_in_the_system_nobody_takes_the_place_and_nothing_is_lost(pool, way, monkeypatch):
    first, second, third = AsideJob(pool), HeldJob(), Job()
    running(pool, first, second)
    assert pool.submit(third)

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        if way == "stuck":
            assert pool.replace_stuck(0) == 2
        first.may_step.release()
        first.waiting.reached.wait()

    assert not third.runs
    end(first, second)
    third.done.wait()


# ---- Under stress ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "spare"), [(2, 1), (3, 5)])
def test_whatever_happens_at_once_each_job_runs_once_and_no_more_threads_than_allowed(workers, spare):
    pool = WorkerPool(workers=workers, queue=10_000, spare=spare, idle_s=0.005)
    lock = threading.Lock()
    inside = highest = 0
    numbers = random.Random(3)
    plans = [numbers.choices(["aside", "plain", "forgets", "twice"], k=1)[0] for _ in range(400)]

    def work(plan: str) -> None:
        nonlocal inside, highest
        with lock:
            inside += 1
            highest = max(highest, inside)
        for _ in range({"plain": 0, "twice": 2}.get(plan, 1)):
            if pool.step_aside() and plan != "forgets":
                pool.step_back()
        with lock:
            inside -= 1

    jobs = [Job(lambda plan=plan: work(plan), plan) for plan in plans]
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    ends = threading.Event()

    def replace() -> None:
        while not ends.wait(0.0005):
            pool.replace_stuck(0)
            assert threads(pool) <= workers + spare

    replacer = Helper(replace)
    try:
        for job in jobs:
            assert pool.submit(job)
        for job in jobs:
            job.done.wait()
    finally:
        sys.setswitchinterval(interval_s)
        ends.set()
    replacer.join()

    assert [job.runs for job in jobs] == [1] * len(jobs)
    assert highest <= workers + spare
    until(lambda: pool.statistics().busy == 0, "all workers are done")
    assert pool.statistics().aside == 0
    assert threads(pool) <= workers
    assert pool.close(TIMEOUT_S)
