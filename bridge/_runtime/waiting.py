"""Waiting on the loop for what threads do: also while the waiting task is being cancelled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

import anyio

from bridge._runtime.loops import LoopGoneError, LoopPort, Signal
from bridge._runtime.workers import WorkerPool

T = TypeVar("T")


async def wait_through_cancellation(signal: Signal, is_over: Callable[[], bool], timeout_s: float | None) -> bool:
    """Wait until ``is_over()``, whoever cancels; return False when the time is up. Loop.

    For clean-up only: a thread that still works on the task's behalf must be waited for, or it would use what the
    task gives back. ``is_over`` is asked after each signal.
    """
    with anyio.CancelScope(shield=True), anyio.move_on_after(timeout_s) as limit:
        while not is_over():
            try:
                await signal.wait()
            except anyio.get_cancelled_exc_class():
                if limit.cancel_called:
                    raise
                # asyncio's own cancel() knows no shield; the caller raises the first one again when it is done.
    return is_over()


class ThreadCall(Generic[T]):
    """A job for a worker whose result a coroutine waits for.

    The worker alone writes ``result`` and ``error``, before ``is_done``; the loop looks at them after it.
    """

    def __init__(self, pool: WorkerPool, port: LoopPort, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        self.context: Context = copy_context()
        self._pool = pool
        self._function = function
        self._args = args
        self._port = port
        self.signal = port.new_signal()
        self.is_done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Call the function. Worker."""
        try:
            self.result = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001 - raised again where the result is waited for
            self.error = error
        self.is_done = True
        with suppress(LoopGoneError):  # nobody is left to wait
            self._port.post(self.signal.set)

    async def wait(self) -> T:
        """Return the function's result. Loop; by the task that started it.

        If the caller is cancelled the function is waited for all the same: what it works on stays valid.

        Raises:
            BaseException: what the function raised.
        """
        try:
            while not self.is_done:
                await self.signal.wait()
        except BaseException:
            if not self._pool.discard(self):
                await wait_through_cancellation(self.signal, lambda: self.is_done, None)
            raise
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # set whenever there is no error


def start_in_worker(pool: WorkerPool, port: LoopPort, function: Callable[..., T], *args: Any) -> ThreadCall[T]:
    """Begin to call a blocking function on a worker. Loop.

    Raises:
        RuntimeError: too many jobs are waiting.
    """
    call = ThreadCall(pool, port, function, args)
    if not pool.submit(call):
        raise RuntimeError(f"too many jobs are waiting in {pool!r}")
    return call


async def run_in_worker(pool: WorkerPool, port: LoopPort, function: Callable[..., T], *args: Any) -> T:
    """Call a blocking function on a worker and return its result; see `ThreadCall.wait`. Loop.

    Raises:
        BaseException: what the function raises.
        RuntimeError: too many jobs are waiting.
    """
    return await start_in_worker(pool, port, function, *args).wait()
