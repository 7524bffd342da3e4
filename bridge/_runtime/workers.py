"""Worker threads: made on demand, kept hot, woken one after the other.

Theory of operation. Idle workers lie on a stack, so the one that ran last (its caches are warm) runs next. *At most one
worker is being woken at a time*: whoever takes a job wakes the next worker if jobs are left, before running its own.
A burst of forty jobs therefore does not wake forty threads that then fight for the interpreter lock; with jobs that
take microseconds the first worker has done them all before the second one is awake, and with jobs that block the chain
ramps up in microseconds per worker.

The other way round, a worker that has finished a job does not wake the loop at once (`deliver_soon`): it does so when
it finds no further job, or leaves it to the worker that is on its way. While a worker holds the interpreter lock the
loop could not run anyhow, and would only fight for it; as soon as the lock is free, the worker that was woken gets to
run and delivers first of all. So results are never held back by a job that blocks.

A worker that cannot go on for a reason outside (it is stuck, or waits for a slow client) can be set *aside*: it does
not count against the limit any more, so another one may take its place, up to ``spare`` of them. Who comes back when
its place is taken ends after its job.

Every shared variable is guarded by ``_lock``, which is held for a few instructions and never while something waits.
The looks without it (the process id, `is_saturated`, `is_wanted`, a worker's own membership) are at values that may be
old by an instant; nothing is decided by them that would not be decided again, by a later look or with the lock held.

Fork: threads do not survive it. The pool notices a new process id when it is next used and starts from nothing.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from bridge._runtime.crew import Crew, Deliverable, Worker
from bridge._runtime.fair_jobs import FairJobs
from bridge._runtime.worker_reports import Job


def _flush(port: Deliverable) -> None:
    with suppress(RuntimeError):  # a loop that is gone waits for nothing
        port.flush()


class WorkerPool(Crew):
    """A bounded set of daemon threads that run jobs.

    Args:
        workers: threads at the most; with 1 the one thread stays for good, so all jobs run in the same thread.
        queue: jobs that may wait; `submit` refuses more.
        idle_s: a worker that had nothing to do for this long ends.
        spare: threads beyond ``workers``, in place of those that are stuck or wait for somebody outside. None with
            ``workers=1``: nothing is to run beside the one.
        name: prefix of the thread names.
    """

    def __init__(
        self,
        *,
        workers: int = 40,
        queue: int = 1000,
        idle_s: float = 2.0,
        spare: int = 40,
        name: str = "bridge-worker",
    ) -> None:
        super().__init__(workers, spare)
        self.queue = queue
        self._idle_s = idle_s if workers > 1 else -1.0
        self._name = name

    def __repr__(self) -> str:
        now = self.statistics()
        return f"<WorkerPool {now.busy} busy, {now.idle} idle of {now.limit}, {now.waiting} waiting>"

    # ---- Any thread -------------------------------------------------------------------------------------------

    def submit(self, job: Job) -> bool:
        """Queue a job; return False (and do nothing) if too many are waiting. Any thread.

        Raises:
            RuntimeError: the system has no thread left and none is running.
        """
        self.check_process()
        return self.submit_here(job)

    def submit_here(self, job: Job) -> bool:
        """`submit` for who knows that this is the pool's process: to ask the system takes 0.05 to 0.2 us."""
        with self._lock:
            if len(self._jobs) >= self.queue and not self._may_wait(job):
                return False
            self._jobs.append(job)
            worker = None if self._is_waking else self._next_worker()
        if worker is not None:
            try:
                self._wake(worker)
            except RuntimeError:
                self.discard(job)
                raise
        return True

    def deliver_soon(self, port: Deliverable) -> None:
        """Flush ``port`` before the calling worker runs another job or rests, or earlier. Worker."""
        if self._undelivered is not port:
            with self._lock:
                other, self._undelivered = self._undelivered, port
            if other is not None:  # jobs of two loops in one pool: no waiting for each other
                _flush(other)

    def deliver_shortly(self, port: Deliverable) -> None:
        """Flush ``port`` as soon as the calling worker lets other threads run. Worker.

        A worker that is on its way does it first of all; if there is none, it is done now.
        """
        with self._lock:
            if self._is_waking:
                other, self._undelivered = self._undelivered, port
                now = None if other is port else other
            else:
                now = port
        if now is not None:
            _flush(now)

    def serve_in_turn(self) -> None:
        """Serve the owners of jobs (their ``owner``) in turn from now on: several share this pool. Any thread."""
        self.check_process()
        with self._lock:
            if not self._is_fair:
                self._is_fair = True
                waiting, self._jobs = self._jobs, FairJobs()
                while waiting:
                    self._jobs.append(waiting.popleft())

    def discard(self, job: Job) -> bool:
        """Take a job back; return False if a worker has it (or had it) already. Any thread."""
        self.check_process()
        with self._lock:
            try:
                self._jobs.remove(job)
            except ValueError:
                return False
            return True

    def replace_stuck(self, longer_than_s: float) -> int:
        """Set the workers aside that are busy with one job for longer than that; return how many. Any thread."""
        self.check_process()
        before_s = time.monotonic() - longer_than_s
        count = 0
        following: Worker | None = None
        with self._lock:
            for worker in self._all:
                if worker.job is not None and worker.busy_since_s < before_s and self._set_aside(worker):
                    count += 1
            if self._jobs and not self._is_waking:
                following = self._next_worker()
        if following is not None:
            self._wake(following)
        return count

    def close(self, timeout_s: float) -> bool:
        """Let all workers end that have nothing left to do; return whether all did within the time.

        Jobs that wait are still run. The pool can be used again afterwards: it starts new threads. Any thread but a
        worker; blocks.
        """
        self.check_process()
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            self._closing += 1
            idle, self._idle = self._idle, []
            for worker in idle:
                worker.is_dismissed = True
            workers = list(self._all)
        for worker in idle:
            worker.gate.release()
        for worker in workers:
            worker.has_ended.wait(max(0.0, deadline_s - time.monotonic()))
            if worker.thread is not None and worker.has_ended.is_set():
                worker.thread.join(max(0.0, deadline_s - time.monotonic()))
        with self._lock:
            self._closing -= 1  # somebody else may be closing it, too
            return not self._all

    # ---- With the lock held -----------------------------------------------------------------------------------

    def _may_wait(self, job: Job) -> bool:
        """Tell whether a job may join as many as the queue takes."""
        if len(self._jobs) < self.queue + self._free():
            return True
        return isinstance(self._jobs, FairJobs) and self._jobs.may_wait(job, self.queue)

    def _next_worker(self) -> Worker | None:
        """Choose the worker to wake (or to start) now; the caller lets go of the lock and calls `_wake`."""
        if self._idle:
            worker = self._idle.pop()
            worker.is_woken = True
        elif len(self._all) - self._aside < self.workers:
            worker = Worker()
            self._all.add(worker)
            self._made += 1
        else:
            return None
        self._is_waking = True
        return worker

    def _dismiss(self, worker: Worker) -> None:
        self._all.discard(worker)
        worker.has_ended.set()

    # ---- Without the lock -------------------------------------------------------------------------------------

    def _wake(self, worker: Worker) -> None:
        if worker.thread is not None:
            worker.gate.release()
            return
        worker.thread = threading.Thread(
            target=self._work, args=(worker,), name=f"{self._name}-{self._made}", daemon=True
        )
        try:
            worker.thread.start()
        except RuntimeError:  # the system has no thread left: go on with those there are
            with self._lock:
                worker.thread = None
                self._dismiss(worker)
                self._is_waking = False
                # Others may have come to rest meanwhile, and jobs have come, taking this one to be on its way.
                following = self._next_worker() if self._jobs and self._idle else None
                port, self._undelivered = self._undelivered, None
                is_last = not self._all
            if port is not None:
                _flush(port)
            if following is not None:
                following.gate.release()
            if is_last:
                raise

    # ---- Worker threads ---------------------------------------------------------------------------------------

    def step_aside(self) -> bool:
        """Let another worker take the caller's place while it waits for somebody outside, if one is to spare. Worker.

        Returns:
            Whether `step_back` is to be called afterwards. False also for threads that are no workers of this pool.
        """
        following: Worker | None = None
        with self._lock:
            worker = self._current()
            if worker is None or not self._set_aside(worker):
                return False
            if self._jobs and not self._is_waking:
                following = self._next_worker()
        if following is not None:
            self._wake(following)
        return True

    def step_back(self) -> None:
        """Count again. Worker."""
        with self._lock:
            worker = self._current()
            if worker is not None:
                self._take_back(worker)

    def _work(self, worker: Worker) -> None:
        while True:
            job = self._take(worker)
            if job is not None:
                job.context.run(job.run)
                del job  # what it holds is not kept alive by an idle worker
            elif not self._rest(worker):
                return

    def _take(self, worker: Worker) -> Job | None:
        """Take the next job, pass the wake-up on, and see that results are delivered; or lie down on the stack."""
        following: Worker | None = None
        port: Deliverable | None = None
        with self._lock:
            if worker.is_woken:
                worker.is_woken = False
                self._is_waking = False
            if worker.is_aside:
                self._take_back(worker)
            is_extra = len(self._all) - self._aside > self.workers  # its place was taken while it was aside
            if self._jobs and not is_extra:
                worker.job = job = self._jobs.popleft()
                worker.busy_since_s = time.monotonic()
            else:
                worker.job = job = None
                if self._closing or worker.is_dismissed or is_extra:
                    self._dismiss(worker)
                else:
                    self._idle.append(worker)
            if self._jobs and not self._is_waking:
                following = self._next_worker()
            if not self._is_waking:  # else the worker that is on its way will do it
                port, self._undelivered = self._undelivered, None
        if port is not None:
            _flush(port)
        if following is not None:
            self._wake(following)
        return job

    def _rest(self, worker: Worker) -> bool:
        """Wait to be woken; return False if the worker is to end."""
        if worker not in self._all:
            return False
        if worker.gate.acquire(timeout=self._idle_s):
            return True
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                self._dismiss(worker)
                return False
        worker.gate.acquire()  # woken just now: the release is on its way
        return True
