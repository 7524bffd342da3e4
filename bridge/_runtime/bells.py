"""Waking all coroutines that wait for a change."""

from __future__ import annotations

from collections.abc import Callable

from bridge._runtime.loops import Signal


class Bell:
    """Any number of coroutines wait for the next ring; each looks again at what it waits for. Loop thread only."""

    __slots__ = ("_new_signal", "_signals")

    def __init__(self, new_signal: Callable[[], Signal]) -> None:
        self._new_signal = new_signal
        self._signals: list[Signal] = []

    def ring(self) -> None:
        """Wake all who wait now."""
        for signal in self._signals:
            signal.set()

    async def wait(self) -> None:
        """Wait for the next ring."""
        signal = self._new_signal()
        self._signals.append(signal)
        try:
            await signal.wait()
        finally:
            self._signals.remove(signal)
