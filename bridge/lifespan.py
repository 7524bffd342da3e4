"""Answering the ASGI lifespan on behalf of an application that knows none."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import anyio

from bridge._runtime.loops import LoopPort
from bridge._runtime.waiting import start_in_worker
from bridge._runtime.workers import WorkerPool
from bridge.errors import LifespanError
from bridge.translate.lifespan import LifespanState
from bridge.types import Receive, Scope, Send

logger = logging.getLogger("bridge.lifespan")

Hook: TypeAlias = Callable[..., Any]
"""Called at startup or shutdown with no argument, or with the lifespan ``state`` dict if it takes one; a coroutine
function is awaited on the loop, any other callable runs on a worker thread."""

Hooks: TypeAlias = Hook | Sequence[Hook]


def hooks_from(hooks: Hooks | None) -> tuple[Hook, ...]:
    """Return hooks as a tuple: none, one, or several in order."""
    if hooks is None:
        return ()
    return (hooks,) if callable(hooks) else tuple(hooks)


async def answer_lifespan(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    port: LoopPort,
    pool: WorkerPool,
    on_startup: Sequence[Hook],
    on_shutdown: Sequence[Hook],
    drain: Callable[[], Awaitable[None]],
    shutdown_s: float,
) -> None:
    """Answer the events of a lifespan scope until it is over. Loop.

    Startup runs the startup hooks in order. Shutdown first waits for running requests (``drain``), then runs the
    shutdown hooks in order, all of them even if one fails; each has ``shutdown_s``, since nobody else ends a process
    that waits for its lifespan. A failure is logged with its traceback and answered with ``.failed``.

    Spec: ASGI lifespan 2.0; W-150.
    """
    state: dict[str, Any] = scope.get("state") or {}
    if "state" in scope and scope["state"] is not None:
        state = scope["state"]
    lifespan = LifespanState()
    while True:
        phase = lifespan.event(await receive())
        failures: list[LifespanError] = []
        if phase == "shutdown":
            await drain()
        for hook in on_startup if phase == "startup" else on_shutdown:
            try:
                await _run_hook(hook, state, port, pool, shutdown_s if phase == "shutdown" else None)
            except (Exception, SystemExit) as error:  # an exit must not stop the loop from inside a task
                logger.exception("the %s hook %r failed", phase, hook)
                failures.append(LifespanError(phase, f"{phase} hook {_name(hook)} failed: {error!r}"))
                if phase == "startup":
                    break
        if failures:
            await send(lifespan.failed(phase, "; ".join(map(str, failures))))
            return
        await send(lifespan.complete(phase))
        if phase == "shutdown":
            return


async def _run_hook(hook: Hook, state: dict[str, Any], port: LoopPort, pool: WorkerPool, limit_s: float | None) -> None:
    args = (state,) if _takes_state(hook) else ()
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004
        result = hook(*args)
    else:
        result = await _run_on_worker(hook, args, port, pool, limit_s)
        if not inspect.isawaitable(result):  # else it is a lambda or partial around a coroutine function
            return
    with anyio.move_on_after(limit_s) as limit:
        await result
    if limit.cancelled_caught:
        raise TimeoutError(f"it has not ended within {limit_s} s (Limits.shutdown_s) and was cancelled")


async def _run_on_worker(
    hook: Hook, args: tuple[Any, ...], port: LoopPort, pool: WorkerPool, limit_s: float | None
) -> Any:
    """Call a hook on a worker. What has not ended in time is given up: the workers are daemons."""
    call = start_in_worker(pool, port, hook, *args)
    if limit_s is not None:
        with anyio.move_on_after(limit_s):
            while not call.is_done:
                await call.signal.wait()
        if not call.is_done:
            if pool.discard(call):
                raise TimeoutError(f"it has got no worker within {limit_s} s (Limits.shutdown_s)")
            raise TimeoutError(
                f"it has not ended within {limit_s} s (Limits.shutdown_s); it is here:\n{pool.stack_of(call)}"
            )
    try:
        return await call.wait()
    except KeyboardInterrupt as error:  # raised by the hook on its thread: nobody pressed a key
        raise RuntimeError("the hook raised KeyboardInterrupt") from error


def _takes_state(hook: Hook) -> bool:
    """Tell whether the hook cannot be called without an argument."""
    try:
        inspect.signature(hook).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin without a signature
        return False
    return False


def _name(hook: Hook) -> str:
    return getattr(hook, "__qualname__", None) or repr(hook)
