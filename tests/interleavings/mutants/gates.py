"""`ThreadGate` made wrong, in one place each."""

from __future__ import annotations

from bridge._runtime.gates import ThreadGate


class ClosesFirst(ThreadGate):
    """Notes that it is closed before it has been passed."""

    __slots__ = ()

    def wait(self, timeout_s: float) -> bool:
        self._is_open = False
        return self._lock.acquire(True, timeout_s)


class ReleasesFirst(ThreadGate):
    """Lets the thread pass, and notes it afterwards."""

    __slots__ = ()

    def open(self) -> None:
        if not self._is_open:
            self._lock.release()
            self._is_open = True
