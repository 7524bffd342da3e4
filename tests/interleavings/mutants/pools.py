"""`WorkerPool` made wrong, in one place each."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from bridge._runtime.workers import WorkerPool


class WakesNobodyElse(WorkerPool):
    """Lets who submits wake a worker, and nobody else."""

    def _next_worker(self) -> Any:
        if threading.current_thread().name.startswith("worker"):
            return None
        return super()._next_worker()


class LooksBeforeItLocks(WorkerPool):
    """Decides whether a worker is to be woken before it has the lock."""

    def submit(self, job: Any) -> bool:
        is_waking = self._is_waking
        with self._lock:
            self._jobs.append(job)
            worker = None if is_waking else self._next_worker()
        if worker is not None:
            self._wake(worker)
        return True


class RestsWithoutALook(WorkerPool):
    """Ends when it had nothing to do for a while, whatever has come since."""

    def _rest(self, worker: Any) -> bool:
        if worker.gate.acquire(timeout=self._idle_s):
            return worker in self._all
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
            self._dismiss(worker)
        return False


class DiscardsInTwoSteps(WorkerPool):
    """Looks whether jobs are waiting, and takes the one in question out in a second section."""

    def discard(self, job: Any) -> bool:
        with self._lock:
            is_waiting = len(self._jobs) > 0
        with self._lock, suppress(ValueError):
            self._jobs.remove(job)
        return is_waiting


class StaysAside(WorkerPool):
    """Does not count a worker again that has come back."""

    def _take_back(self, worker: Any) -> None:
        worker.is_aside = False


class LeavesJobsBehind(WorkerPool):
    """Steps aside, and leaves it to the next `submit` to make use of it."""

    def step_aside(self) -> bool:
        with self._lock:
            worker = self._current()
            return worker is not None and self._set_aside(worker)


class HoldsResultsBack(WorkerPool):
    """Delivers when it has nothing else to do."""

    def _take(self, worker: Any) -> Any:
        port, self._undelivered = self._undelivered, None
        job = super()._take(worker)
        self._undelivered = port
        if job is None and port is not None:
            self._undelivered = None
            port.flush()
        return job


class LeavesResultsToNobody(WorkerPool):
    """Takes for granted that another worker is on its way."""

    def deliver_shortly(self, port: Any) -> None:
        self.deliver_soon(port)
