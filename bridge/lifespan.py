"""Answering the ASGI lifespan on behalf of an application that knows none."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from bridge._runtime.loops import LoopPort
from bridge._runtime.waiting import run_in_worker
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
) -> None:
    """Answer the events of a lifespan scope until it is over. Loop.

    Startup runs the startup hooks in order. Shutdown first waits for running requests (``drain``), then runs the
    shutdown hooks in order, all of them even if one fails. A failure is logged with its traceback and answered with
    ``.failed``.

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
                await _run_hook(hook, state, port, pool)
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


async def _run_hook(hook: Hook, state: dict[str, Any], port: LoopPort, pool: WorkerPool) -> None:
    args = (state,) if _takes_state(hook) else ()
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004
        await hook(*args)
        return
    try:
        result = await run_in_worker(pool, port, hook, *args)
    except KeyboardInterrupt as error:  # raised by the hook on its thread: nobody pressed a key
        raise RuntimeError("the hook raised KeyboardInterrupt") from error
    if inspect.isawaitable(result):  # a lambda or partial around a coroutine function
        await result


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
