"""`ThreadGate` and `DescriptorGate` made wrong, in one place each."""

from __future__ import annotations

from bridge._runtime.descriptor_gates import DescriptorGate
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


class LooksFirst(DescriptorGate):
    """Looks whether it is open before it says that somebody waits."""

    __slots__ = ()

    def wait(self, timeout_s: float) -> bool:
        is_open = self._is_open
        self._is_awaited = True
        if not is_open:
            self._sleep(timeout_s, 1)
        self._is_awaited = self._is_open = False
        return True


class LooksForSleepersFirst(DescriptorGate):
    """Looks whether somebody waits before it says that it is open."""

    __slots__ = ()

    def open(self) -> None:
        if not self._is_open:
            is_awaited = self._is_awaited
            self._is_open = True
            if is_awaited:
                self._ring()


class ClosesLate(DescriptorGate):
    """Is closed by the thread when it comes to wait, and not when it has passed: by then there may be news."""

    __slots__ = ()

    def wait(self, timeout_s: float) -> bool:
        self._is_open = False
        self._is_awaited = True
        self._sleep(timeout_s, 1)
        self._is_awaited = False
        return True
