"""The worker pool: who runs next, who is woken, what is refused, and how it ends."""

from __future__ import annotations

import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from bridge._runtime.workers import WorkerPool
from tests.meeting import TIMEOUT_S, Helper, until
from tests.runtime.jobs import HeldJob, Job


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(workers=8, queue=1000, idle_s=30)
    yield made
    assert made.close(TIMEOUT_S)


def started(pool: WorkerPool, count: int) -> list[HeldJob]:
    """Submit jobs that are running when this returns."""
    jobs = [HeldJob(f"held-{number}") for number in range(count)]
    for job in jobs:
        assert pool.submit(job)
        job.wait_until_running()
    return jobs


def go_idle(pool: WorkerPool, jobs: list[HeldJob]) -> None:
    """Let the jobs end one after the other, so that the order of the idle workers is known."""
    for job in jobs:
        idle = pool.statistics().idle
        job.release()
        until(lambda: pool.statistics().idle == idle + 1, "the worker lay down")


def test_a_pool_needs_a_worker():
    with pytest.raises(ValueError, match="at least one worker"):
        WorkerPool(workers=0)


def test_a_new_pool_has_no_thread():
    before = set(threading.enumerate())

    pool = WorkerPool(workers=3)

    assert set(threading.enumerate()) <= before  # an idle worker of an earlier test may end meanwhile
    assert repr(pool) == "<WorkerPool 0 busy, 0 idle of 3, 0 waiting>"


def test_a_job_runs_once_in_its_own_context_on_a_named_daemon_thread(pool):
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("the submitter's")
    seen = []
    job = Job(lambda: (seen.append(variable.get()), variable.set("the job's")))

    assert pool.submit(job)
    job.done.wait()

    assert seen == ["the submitter's"]
    assert job.context[variable] == "the job's"
    assert variable.get() == "the submitter's"
    assert job.runs == 1
    assert job.thread.daemon
    assert job.thread.name.startswith("bridge-worker-")


def test_the_worker_that_rested_last_runs_next(pool):
    jobs = started(pool, 3)
    first, second, third = (job.thread for job in jobs)
    go_idle(pool, jobs)

    again = started(pool, 2)

    assert [job.thread for job in again] == [third, second]
    go_idle(pool, again)  # the third lies below the second now
    last = started(pool, 3)
    assert [job.thread for job in last] == [second, third, first]
    go_idle(pool, last)


def test_jobs_that_block_get_a_worker_each(pool):
    """Whoever takes a job wakes the next worker: else these would wait for each other for ever."""
    together = threading.Barrier(8)
    jobs = [Job(lambda: together.wait(TIMEOUT_S), f"job-{number}") for number in range(8)]

    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.done.wait()

    assert not together.broken
    assert len({job.thread for job in jobs}) == 8


def test_a_burst_wakes_one_worker_and_each_wakes_the_next_before_it_works(pool, monkeypatch):
    """The wake-ups are noted and carried out by hand: between two of them nothing else can happen."""
    wake = pool._wake
    asked = []
    monkeypatch.setattr(pool, "_wake", lambda worker: asked.append((worker, threading.current_thread())))
    jobs = [HeldJob(f"burst-{number}") for number in range(4)]

    for job in jobs:
        pool.submit(job)

    assert len(asked) == 1  # one for the whole burst
    for number, job in enumerate(jobs):
        wake(asked[number][0])
        job.wait_until_running()
        # It has passed the wake-up on, in its own thread, before it began; the last has nobody to wake.
        assert [thread for _, thread in asked[1:]] == [earlier.thread for earlier in jobs[: number + 1]][:3]
    assert len(asked) == 4
    go_idle(pool, jobs)


def test_at_most_one_worker_is_being_woken_at_a_time(pool, monkeypatch):
    on_their_way = 0
    most = 0
    lock = threading.Lock()
    wake, take = pool._wake, pool._take

    def noting_wake(worker):
        nonlocal on_their_way, most
        with lock:
            on_their_way += 1
            most = max(most, on_their_way)
        wake(worker)

    def noting_take(worker):
        nonlocal on_their_way
        if worker.is_woken:
            with lock:
                on_their_way -= 1
        return take(worker)

    monkeypatch.setattr(pool, "_wake", noting_wake)
    monkeypatch.setattr(pool, "_take", noting_take)
    jobs = [Job(name=f"job-{number}") for number in range(300)]

    submitters = [Helper(lambda part=jobs[n::3]: [pool.submit(job) for job in part]) for n in range(3)]
    for submitter in submitters:
        submitter.join()
    for job in jobs:
        job.done.wait()

    assert most == 1


def test_a_full_queue_refuses_and_the_refused_job_never_runs():
    pool = WorkerPool(workers=1, queue=2)
    (running,) = started(pool, 1)
    waiting, refused = [Job(name="w1"), Job(name="w2")], Job(name="refused")

    taken = [pool.submit(job) for job in waiting]
    assert pool.is_saturated()
    assert pool.submit(refused) is False
    assert pool.statistics().waiting == 2
    running.release()
    for job in waiting:
        job.done.wait()

    assert taken == [True, True]
    assert pool.close(TIMEOUT_S)
    assert refused.runs == 0


def test_a_queue_of_nothing_takes_what_a_worker_is_free_for():
    pool = WorkerPool(workers=2, queue=0)

    jobs = started(pool, 2)
    assert pool.submit(Job()) is False
    go_idle(pool, jobs)
    again = started(pool, 2)

    assert pool.submit(Job()) is False
    go_idle(pool, again)
    assert pool.close(TIMEOUT_S)


def test_a_job_can_be_taken_back_only_while_it_waits():
    pool = WorkerPool(workers=1)
    (running,) = started(pool, 1)
    waiting, after = Job(name="waiting"), Job(name="after")
    pool.submit(waiting)
    pool.submit(after)

    assert pool.discard(waiting) is True
    assert pool.discard(waiting) is False
    assert pool.discard(running) is False
    running.release()
    after.done.wait()

    assert pool.discard(after) is False
    assert waiting.runs == 0
    assert pool.close(TIMEOUT_S)


def test_a_worker_that_had_nothing_to_do_for_long_ends_and_another_takes_its_place():
    pool = WorkerPool(workers=2, idle_s=0.01)
    first = Job()
    pool.submit(first)
    first.done.wait()

    first.thread.join(TIMEOUT_S)
    assert not first.thread.is_alive()
    assert (pool.statistics().busy, pool.statistics().idle) == (0, 0)
    second = Job()
    pool.submit(second)
    second.done.wait()

    assert second.thread is not first.thread
    assert pool.close(TIMEOUT_S)


def test_the_worker_of_a_single_threaded_pool_stays_however_long_it_rests():
    pool = WorkerPool(workers=1, idle_s=0.001)
    jobs = [Job(name=f"job-{number}") for number in range(20)]

    for job in jobs:
        pool.submit(job)
        job.done.wait()
        job.thread.join(0.005)  # far longer than idle_s: it must not end

    assert len({job.thread for job in jobs}) == 1
    assert jobs[0].thread.is_alive()
    assert pool.close(TIMEOUT_S)


def test_an_idle_worker_keeps_nothing_of_its_last_job_alive(pool):
    job = Job()
    watched = weakref.ref(job)
    pool.submit(job)
    job.done.wait()
    until(lambda: pool.statistics().idle == 1)

    del job
    gc.collect()

    assert watched() is None


def test_stuck_workers_are_named_with_their_job_and_where_they_are(pool):
    (job,) = started(pool, 1)

    (stuck,) = pool.stuck(0)

    assert stuck.thread_name == job.thread.name
    assert repr(stuck.job) == "<Job held-0>"
    assert stuck.busy_s > 0
    assert "stop_here" in stuck.stack
    assert "stop_here" in pool.stack_of(job)
    assert pool.stack_of(Job()) == ""
    assert pool.stuck(1000) == []
    assert (pool.stuck_count(0), pool.stuck_count(1000)) == (1, 0)
    go_idle(pool, [job])
    assert pool.stuck(0) == []
    assert pool.stack_of(job) == ""


def test_the_statistics_count_busy_idle_and_waiting():
    pool = WorkerPool(workers=2)
    jobs = started(pool, 2)
    waiting = Job()
    pool.submit(waiting)

    now = pool.statistics()
    assert (now.busy, now.idle, now.limit, now.waiting) == (2, 0, 2, 1)
    assert repr(pool) == "<WorkerPool 2 busy, 0 idle of 2, 1 waiting>"
    for job in jobs:
        job.release()
    waiting.done.wait()
    until(lambda: pool.statistics().idle == 2)

    now = pool.statistics()
    assert (now.busy, now.idle, now.waiting) == (0, 2, 0)
    assert not pool.is_saturated()
    assert pool.close(TIMEOUT_S)


def test_closing_runs_what_waits_ends_the_threads_and_the_pool_can_be_used_again():
    pool = WorkerPool(workers=2, idle_s=30)
    running = started(pool, 2)
    waiting = Job()
    pool.submit(waiting)

    closing = Helper(lambda: pool.close(TIMEOUT_S))
    until(lambda: pool._closing)
    for job in running:
        job.release()
    assert closing.join() is True

    assert waiting.runs == 1
    assert not any(job.thread.is_alive() for job in running)
    again = Job()
    assert pool.submit(again)
    again.done.wait()
    assert pool.close(TIMEOUT_S)


def test_closing_tells_of_a_worker_that_is_still_busy_when_the_time_is_up():
    pool = WorkerPool(workers=2, idle_s=30)
    (busy,) = started(pool, 1)

    assert pool.close(0) is False

    busy.release()
    assert pool.close(TIMEOUT_S)


def test_closing_while_a_thread_is_about_to_start_is_no_error(monkeypatch):
    """A worker's thread exists for a moment before it is started; it cannot be joined then."""
    pool = WorkerPool(workers=2, idle_s=30)
    starter = HeldJob("between making and starting a thread")
    start = threading.Thread.start

    def held_start(thread):
        if thread.name.startswith("bridge-worker"):
            starter.run()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", held_start)
    job = Job()
    submitter = Helper(lambda: pool.submit(job))
    starter.wait_until_running()

    try:
        pool.close(0)
    finally:
        starter.release()
        submitter.join()
    job.done.wait()

    assert pool.close(TIMEOUT_S)


def test_without_a_thread_left_in_the_system_a_job_is_refused_loudly_and_not_kept(monkeypatch):
    pool = WorkerPool(workers=2)
    job = Job()

    def no_thread(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(job)

    assert pool.statistics().waiting == 0
    after = Job()
    assert pool.submit(after)
    after.done.wait()
    assert job.runs == 0
    assert pool.close(TIMEOUT_S)


def test_without_another_thread_in_the_system_those_there_do_the_work(monkeypatch):
    pool = WorkerPool(workers=4, idle_s=30)
    (busy,) = started(pool, 1)
    job = Job()

    def no_thread(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        assert pool.submit(job)
        busy.release()
        job.done.wait()

    assert job.thread is busy.thread
    assert pool.close(TIMEOUT_S)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Switch threads as often as the interpreter can: races that need luck get it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_under_stress_each_job_runs_exactly_once(workers):
    pool = WorkerPool(workers=workers, queue=10_000, idle_s=0.0005)  # workers come and go all the time
    parts = [[Job(name=f"{part}-{number}") for number in range(400)] for part in range(4)]

    submitters = [Helper(lambda part=part: [pool.submit(job) for job in part]) for part in parts]
    taken = [submitter.join() for submitter in submitters]
    for part in parts:
        for job in part:
            job.done.wait()

    assert all(all(answers) for answers in taken)
    assert {job.runs for part in parts for job in part} == {1}
    assert pool.close(TIMEOUT_S)


@pytest.mark.usefixtures("frequent_switches")
def test_under_stress_no_more_jobs_run_at_once_than_there_are_workers():
    pool = WorkerPool(workers=3, queue=10_000, idle_s=0.0005)
    lock = threading.Lock()
    running = most = 0

    def count():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1

    jobs = [Job(count, f"job-{number}") for number in range(600)]
    for job in jobs:
        pool.submit(job)
    for job in jobs:
        job.done.wait()

    assert most <= 3
    assert pool.close(TIMEOUT_S)
