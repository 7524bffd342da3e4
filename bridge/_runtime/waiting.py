"""Waiting on the loop for what threads do: also while the waiting task is being cancelled."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

import anyio

from bridge._runtime.loops import LoopGoneError, LoopPort, Signal
from bridge._runtime.workers import WorkerPool

T = TypeVar("T")


async def wait_through_cancellation(
    signal: Signal, is_over: Callable[[], bool], timeout_s: float | None
) -> bool:
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


class _ThreadCall(Generic[T]):
    """A job for a worker whose result a coroutine waits for."""

    def __init__(self, function: Callable[..., T], args: tuple[Any, ...], port: LoopPort) -> None:
        self.context: Context = copy_context()
        self._function = function
        self._args = args
        self._port = port
        self.signal = port.new_signal()
        self.is_done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._function(*self._args)
        except BaseException as error:  # noqa: BLE001 - raised again where the result is waited for
            self.error = error
        self.is_done = True
        try:
            self._port.post(self.signal.set)
        except LoopGoneError:
            pass  # nobody is left to wait


async def run_in_worker(pool: WorkerPool, port: LoopPort, function: Callable[..., T], *args: Any) -> T:
    """Call a blocking function on a worker and return its result. Loop.

    If the caller is cancelled the function is waited for all the same: what it works on stays valid.

    Raises:
        BaseException: what the function raises.
        RuntimeError: too many jobs are waiting.
    """
    call = _ThreadCall(function, args, port)
    if not pool.submit(call):
        raise RuntimeError(f"too many jobs are waiting in {pool!r}")
    try:
        while not call.is_done:
            await call.signal.wait()
    except BaseException:
        if not pool.discard(call):
            await wait_through_cancellation(call.signal, lambda: call.is_done, None)
        raise
    if call.error is not None:
        raise call.error
    return call.result  # type: ignore[return-value]  # set whenever there is no error
