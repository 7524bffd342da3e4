"""The workers of a pool: who they are, in which process, who of them counts, and what they are doing."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from bridge._runtime.fair_jobs import FairJobs
from bridge._runtime.processes import PerProcess
from bridge._runtime.worker_reports import Job, StuckWorker, WorkerStatistics, stack_of_thread


class Deliverable(Protocol):
    """Where results wait to be delivered: a loop that is to be woken."""

    def flush(self) -> None:
        """Wake the loop. Any thread; raises only if it is gone."""
        ...


_renewing: PerProcess[threading.Lock] = PerProcess(threading.Lock)
"""Held while a pool starts from nothing in a new process; of that process, so nobody else can have left it held."""


class Worker:
    """One thread: its gate (a lock used as a binary semaphore) and the job it runs."""

    __slots__ = ("busy_since_s", "gate", "has_ended", "is_aside", "is_dismissed", "is_woken", "job", "thread")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.is_woken = True  # a new worker is on its way to its first job
        self.is_dismissed = False  # to end as soon as there is nothing to do
        self.is_aside = False  # does not count against the limit until its job ends or it steps back
        self.has_ended = threading.Event()
        self.job: Job | None = None
        self.busy_since_s = 0.0
        self.thread: threading.Thread | None = None


class Crew:
    """The state of a pool, guarded by ``_lock``, and the looks at it.

    Args:
        workers: threads at the most.
        spare: threads beyond that, in place of those that are aside.
    """

    def __init__(self, workers: int, spare: int) -> None:
        if workers < 1:
            raise ValueError(f"a pool needs at least one worker, not {workers!r}")
        self.workers = workers
        self.spare = spare if workers > 1 else 0
        self._is_fair = False
        self._forget()

    def _forget(self) -> None:
        """Start from nothing: no thread, no job (construction, and the child after a fork)."""
        self._lock = threading.Lock()
        self._jobs: deque[Job] | FairJobs = FairJobs() if self._is_fair else deque()
        self._aside = 0
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._undelivered: Deliverable | None = None
        self._is_waking = False
        self._closing = 0
        self._made: int = 0
        self._pid = os.getpid()  # last: who sees it uses the rest

    def check_process(self) -> None:
        """Start from nothing in the child of a fork, whose locks may be held by threads that are not there."""
        if self._pid != os.getpid():
            with _renewing.get():
                if self._pid != os.getpid():  # else another thread was quicker
                    self._forget()

    # ---- Any thread -------------------------------------------------------------------------------------------

    def is_saturated(self) -> bool:
        """Tell whether a job queued now has to wait for another one to end; a quick look. Any thread."""
        return len(self._jobs) >= self._free()

    def is_wanted(self) -> bool:
        """Tell whether a job waits for a busy worker; a quick look. Any thread."""
        return bool(self._jobs) and len(self._jobs) > self._free()

    def statistics(self) -> WorkerStatistics:
        """Return a snapshot. Any thread."""
        self.check_process()
        with self._lock:
            idle = len(self._idle)
            return WorkerStatistics(
                busy=sum(worker.job is not None for worker in self._all),
                idle=idle,
                limit=self.workers,
                waiting=len(self._jobs),
                aside=self._aside,
            )

    def stuck(self, longer_than_s: float, is_of_interest: Callable[[Job], bool] | None = None) -> list[StuckWorker]:
        """Return the workers busy with one job for longer than that, with their stacks. Any thread.

        Args:
            longer_than_s: how long.
            is_of_interest: tells of which jobs, with the lock held; a stack is too dear to be made in vain.
        """
        self.check_process()
        now_s = time.monotonic()
        with self._lock:
            busy = [
                (worker, worker.job, worker.busy_since_s, worker.is_aside)
                for worker in self._all
                if worker.job is not None and (is_of_interest is None or is_of_interest(worker.job))
            ]
        return [
            StuckWorker(worker.thread.name, job, now_s - since_s, stack_of_thread(worker.thread), is_aside)
            for worker, job, since_s, is_aside in busy
            if now_s - since_s > longer_than_s and worker.thread is not None
        ]

    def stuck_count(self, longer_than_s: float) -> int:
        """Return how many workers are busy with one job for longer than that. Any thread."""
        self.check_process()
        before_s = time.monotonic() - longer_than_s
        with self._lock:
            return sum(worker.job is not None and worker.busy_since_s < before_s for worker in self._all)

    def stack_of(self, job: Job) -> str:
        """Return where the worker that runs the job is, formatted like a traceback; empty if none does. Any thread."""
        self.check_process()
        with self._lock:
            threads = [worker.thread for worker in self._all if worker.job is job]
        return "".join(stack_of_thread(thread) for thread in threads if thread is not None)

    # ---- With the lock held -----------------------------------------------------------------------------------

    def _free(self) -> int:
        """Count the workers that have nothing to do or are yet to be made; fewer than none if some are to end."""
        # One that is on its way to a job is free for the first that waits.
        return len(self._idle) + self._is_waking + self.workers + self._aside - len(self._all)

    def _set_aside(self, worker: Worker) -> bool:
        if worker.is_aside or self._aside >= self.spare:
            return False
        worker.is_aside = True
        self._aside += 1
        return True

    def _take_back(self, worker: Worker) -> None:
        if worker.is_aside:
            worker.is_aside = False
            self._aside -= 1

    def _current(self) -> Worker | None:
        current = threading.current_thread()
        return next((worker for worker in self._all if worker.thread is current), None)
