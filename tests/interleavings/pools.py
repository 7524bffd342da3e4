"""Scenarios around a `WorkerPool`: who submits, what jobs do, and what must hold in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.primitives import Event
from tests.interleavings.scenes import Job

WorkerPool: Any = copy_of("bridge._runtime.workers").WorkerPool


class Site:
    """A pool and its jobs in one execution."""

    def __init__(
        self,
        execution: Execution,
        pool_type: Any = None,
        *,
        workers: int = 2,
        queue: int = 10,
        spare: int = 0,
        timeouts: int = 0,
        threads_left: int | None = None,
    ) -> None:
        self.execution = execution
        execution.timeouts_of_started = timeouts
        if threads_left is not None:
            execution.threads_left = threads_left
        self.pool = (pool_type or WorkerPool)(workers=workers, queue=queue, spare=spare, name="worker")
        self.pool.spare = spare  # also with one worker
        watch_wake_ups(self.pool)
        self.ran: list[str] = []
        self.done: list[str] = []
        self.accepted: list[str] = []
        self.results: dict[str, object] = {}

    def job(self, name: str, work: Callable[[], object] = lambda: None) -> Job:
        def run() -> None:
            work()
            self.done.append(name)

        return Job(name, self.ran, run)

    def submit(self, job: Job) -> bool:
        try:
            accepted = bool(self.pool.submit(job))
        except RuntimeError:
            accepted = False
        if accepted:
            self.accepted.append(job.name)
        return accepted

    def submitter(self, *jobs: Job) -> None:
        """Start a thread that submits these."""
        self.execution.start(lambda: [self.submit(job) for job in jobs], f"with {jobs[0].name}")

    def hold(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """Return what waits, and what ends the waiting."""
        event = Event()
        return event.wait, event.set

    def check(self) -> None:
        """See that the pool is at rest and nothing was lost."""
        pool = self.pool
        assert sorted(self.ran) == sorted(self.accepted), f"accepted: {self.accepted}, run: {self.ran}"
        assert sorted(self.done) == sorted(self.ran), f"run: {self.ran}, done: {self.done}"
        assert not pool._jobs, "jobs are left"
        assert not pool._is_waking, "the pool thinks that a worker is on its way"
        assert pool._undelivered is None, "results are held back"
        assert set(pool._idle) == set(pool._all), "not all workers are at rest"
        assert pool._aside == 0, "workers count as aside"
        assert len(pool._all) <= pool.workers, "too many workers"
        alive = [thread for thread in self.execution.threads if thread.is_background and not thread.has_ended]
        assert len(alive) - self.others == len(pool._all), "a thread that the pool has forgotten"

    others = 0
    """Threads in the background that are no workers."""


def watch_wake_ups(pool: Any) -> None:
    """Let the pool fail as soon as it wakes a worker while another one is on its way."""
    next_worker = pool._next_worker

    def watched() -> Any:
        on_their_way = [worker for worker in pool._all if worker.is_woken]
        assert not on_their_way, "a worker is on its way already"
        worker = next_worker()
        assert (
            worker is None or sum(other.job is not None and not other.is_aside for other in pool._all) <= pool.workers
        )
        return worker

    pool._next_worker = watched
