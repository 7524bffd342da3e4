"""`AsyncioPort` made wrong, in one place each."""

from __future__ import annotations

from collections.abc import Callable

from bridge._runtime.loops import AsyncioPort


class ClearsLate(AsyncioPort):
    """Takes the callbacks first, and wants to be woken again afterwards."""

    def _deliver(self) -> None:
        callbacks = self._callbacks
        for _ in range(len(callbacks)):
            callbacks.popleft()()
        self._is_scheduled = False


class LooksFirst(AsyncioPort):
    """Looks whether the loop must be woken before the callback is there."""

    def post(self, callback: Callable[[], None]) -> None:
        if self._is_scheduled:
            self._callbacks.append(callback)
        else:
            self._callbacks.append(callback)
            self.flush()


class CopiesAndClears(AsyncioPort):
    """Takes what it has seen, and throws away what has come since."""

    def _deliver(self) -> None:
        self._is_scheduled = False
        callbacks = self._callbacks.copy()
        self._callbacks.clear()
        for callback in callbacks:
            callback()


class StaysScheduled(AsyncioPort):
    """Forgets, when the loop is closed, that nobody has been woken."""

    def flush(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon_threadsafe(self._deliver)
