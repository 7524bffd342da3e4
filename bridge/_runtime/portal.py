"""One event loop in one daemon thread, for threads that have work for it.

Theory of operation. A portal is started by the first thread that needs it, never by making it, and belongs to the
process that made it (`shared_portal` finds the one of the calling process). Threads reach the loop through ``port``; on
the loop, `spawn` runs coroutines as tasks. Who uses the portal is a *tenant*: when the last one leaves, the loop ends;
at the end of the process all tenants are asked to close first, each within its own time, and then the loop ends.

The thread is a daemon: it never keeps a process alive. Every wait for it is bounded, because it may not run at all
(uWSGI without threads) or be stuck in somebody's callback.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, Protocol, TypeAlias

from bridge._runtime.gates import Gate, gate_maker, is_gevent_patched, start_native_thread
from bridge._runtime.loops import LoopGoneError, LoopPort, Signal, current_port
from bridge._runtime.processes import PerProcess

logger = logging.getLogger("bridge.portal")

LoopKind: TypeAlias = Literal["asyncio", "uvloop", "trio"]

START_S = 5.0
"""Seconds in which the loop must be running; a thread takes a millisecond, importing trio half a second."""
_CLEAN_UP_S = 2.0
"""Seconds for each step of closing the loop: left-over tasks, generators, the default executor."""
_JOIN_S = 5.0


class Work(Protocol):
    """A running task."""

    def cancel(self) -> object:
        """Cancel it. Loop thread."""
        ...


class Tenant(Protocol):
    """Who uses a portal."""

    def close(self) -> None:
        """End what runs, and leave the portal; bounded. Any thread but the loop's; called at the end of the process."""
        ...


class PortalError(RuntimeError):
    """The loop could not be started, or has ended."""


def default_loop_kind() -> LoopKind:
    """Return uvloop where it is installed and can work, else asyncio."""
    return "uvloop" if find_spec("uvloop") is not None and not is_gevent_patched() else "asyncio"


class Portal:
    """An event loop in a daemon thread of this process.

    Attributes:
        kind: what runs there.
        port: the way into the loop; valid once `start` has returned.
        new_gate: makes gates for the threads of this process.
    """

    port: LoopPort

    def __init__(self, kind: LoopKind, name: str = "bridge-loop") -> None:
        self.kind = kind
        self.name = name
        self.is_running = False
        self.is_over = False
        self.thread_id = 0
        self.new_gate: Callable[[], Gate]
        self.spawn: Callable[[Callable[[], Coroutine[Any, Any, None]], Context], Work]
        self._lock = threading.Lock()
        self._tenants: list[Tenant] = []
        self._thread: threading.Thread | None = None
        self._starter: Gate | None = None
        self._ended: list[Gate] = []
        self._stop: Signal
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        state = "running" if self.is_running else "over" if self.is_over else "not started"
        return f"<Portal {self.kind}, {state}, {len(self._tenants)} tenants>"

    # ---- Any thread but the loop's ----------------------------------------------------------------------------

    def enter(self, tenant: Tenant, timeout_s: float = START_S) -> bool:
        """Take a tenant in and start the loop if it does not run; return False if the portal is over.

        Raises:
            PortalError: the loop does not run within the time.
        """
        if not self._lock.acquire(timeout=timeout_s):
            raise self._has_not_started(timeout_s)
        try:
            if self.is_over:
                return False
            if not self.is_running:
                self._start(timeout_s)
            if tenant not in self._tenants:
                self._tenants.append(tenant)
            return True
        finally:
            self._lock.release()

    def _start(self, timeout_s: float) -> None:
        self.new_gate = gate_maker()
        self._starter = gate = self.new_gate()
        self._thread = start_native_thread(self._run, self.name)
        if not gate.wait(timeout_s):
            self.is_over = True  # should it come to life after all, it ends at once
            raise self._has_not_started(timeout_s)
        if self._failure is not None:
            self.is_over = True
            raise PortalError(f"the {self.kind} event loop could not be started: {self._failure!r}") from self._failure

    def _has_not_started(self, timeout_s: float) -> PortalError:
        return PortalError(
            f"the thread of the event loop did not come to life within {timeout_s} s; this process does not let Python "
            "run threads"
        )

    def leave(self, tenant: Tenant) -> None:
        """Let a tenant go; the loop ends after the last one. Any thread, also the loop's; does not wait."""
        if tenant in self._tenants:
            self._tenants.remove(tenant)
        if not self._tenants:
            self.end()

    def end(self) -> None:
        """Let the loop end; does not wait. Any thread."""
        self.is_over = True
        if self.is_running:
            with suppress(LoopGoneError):
                self.port.post(self._stop.set)

    def wait_for_end(self, timeout_s: float = _JOIN_S) -> bool:
        """Wait until the loop has ended and its thread with it; return False when the time is up."""
        if not self.is_over or self.thread_id == threading.get_ident():
            return False
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
            return not thread.is_alive()
        deadline_s = time.monotonic() + timeout_s
        while self.is_running and time.monotonic() < deadline_s:
            time.sleep(0.01)  # gevent: cooperative
        return not self.is_running

    def close_tenants(self) -> None:
        """Ask all tenants to close, then end. At the end of the process; bounded."""
        for tenant in tuple(self._tenants):
            try:
                tenant.close()
            except Exception:
                logger.exception("%r could not be closed", tenant)
        self.end()
        self.wait_for_end()

    def where(self) -> str:
        """Return where the loop's thread is, formatted like a traceback. Any thread."""
        frame = sys._current_frames().get(self.thread_id)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return "" if frame is None else "".join(traceback.format_stack(frame))

    # ---- The loop's thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        self.thread_id = threading.get_ident()
        try:
            if self.kind == "trio":
                self._run_trio()
            else:
                self._run_asyncio()
        except BaseException as error:
            if self.is_running or self._starter is None:
                logger.critical("the event loop of %r has failed", self, exc_info=error)
            self._failure = error
        self.is_over = True
        self.is_running = False
        self._say_started()

    def _say_started(self) -> None:
        starter, self._starter = self._starter, None
        if starter is not None:
            starter.open()

    def _began(self) -> bool:
        """The loop runs: tell who waits for it; return False if nobody does any more."""
        if self.is_over:
            return False
        self.port = current_port()
        self._stop = self.port.new_signal()
        self.is_running = True
        self._say_started()
        return True

    async def _stay(self) -> None:
        while not self.is_over:
            await self._stop.wait()

    def _run_asyncio(self) -> None:
        factory = import_module("uvloop").new_event_loop if self.kind == "uvloop" else asyncio.new_event_loop
        loop: asyncio.AbstractEventLoop = factory()

        async def main() -> None:
            self.spawn = _asyncio_spawner(loop)
            if self._began():
                await self._stay()
                await _clean_up_asyncio(loop)

        try:
            loop.run_until_complete(main())
        finally:
            self.is_running = False
            loop.close()

    def _run_trio(self) -> None:
        trio: Any = import_module("trio")

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                self.spawn = _trio_spawner(trio, nursery)
                if self._began():
                    await self._stay()
                nursery.cancel_scope.cancel()

        try:
            trio.run(main)
        finally:
            self.is_running = False


def _asyncio_spawner(loop: asyncio.AbstractEventLoop) -> Callable[..., Work]:
    if sys.version_info >= (3, 12):

        def spawn_eagerly(function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> Work:
            # The first step runs here and now: work that never waits is done without a turn of the loop.
            return asyncio.Task(function(), loop=loop, context=context, eager_start=True)

        return spawn_eagerly

    def spawn(function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> Work:
        return loop.create_task(function(), context=context)

    return spawn


def _trio_spawner(trio: Any, nursery: Any) -> Callable[..., Work]:
    def spawn(function: Callable[[], Coroutine[Any, Any, None]], context: Context) -> Work:
        limit = trio.CancelScope()

        async def guarded() -> None:
            with limit:
                await function()

        context.run(nursery.start_soon, guarded)  # trio copies the context of whoever starts a task
        return limit  # type: ignore[no-any-return]  # a CancelScope

    return spawn


async def _clean_up_asyncio(loop: asyncio.AbstractEventLoop) -> None:
    """Leave nothing pending on the loop, as far as that can be had within limits."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=_CLEAN_UP_S)
        for task in left:
            logger.error("%r ignores that it was cancelled; it is given up", task)
    for step in (loop.shutdown_asyncgens, loop.shutdown_default_executor):
        with suppress(TimeoutError):
            await asyncio.wait_for(step(), _CLEAN_UP_S)


# ---- The portals of a process -----------------------------------------------------------------------------------


class _Process:
    """The portals of one process, and what happens at its end."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.shared: dict[LoopKind, Portal] = {}
        self.all: list[Portal] = []
        self.has_exit_hook = False

    def add(self, portal: Portal) -> None:
        """Remember a portal for the end of the process. With the lock held."""
        self.all = [other for other in self.all if not other.is_over]
        self.all.append(portal)
        if not self.has_exit_hook:
            self.has_exit_hook = True
            _register_exit_hook(self.at_exit)

    def at_exit(self) -> None:
        """Close what is open; in a child of the process that registered this, do nothing."""
        if self.pid == os.getpid():
            for portal in tuple(self.all):
                portal.close_tenants()


def _register_exit_hook(hook: Callable[[], None]) -> None:
    """Run the hook before thread pools are shut, if the interpreter knows such a time, else at exit.

    `atexit` comes too late for tenants that use threads to close: ``concurrent.futures`` is shut by then, and newer
    interpreters start no thread any more.
    """
    import_module("concurrent.futures.thread")  # its hook must be registered first, so that ours runs before it
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with suppress(RuntimeError):  # the interpreter is past it
            register(hook)
            return
    atexit.register(hook)


_processes: PerProcess[_Process] = PerProcess(_Process)


def shared_portal(kind: LoopKind) -> Portal:
    """Return the portal of that kind that all in this process share; made if there is none. Any thread."""
    process = _processes.get()
    portal = process.shared.get(kind)
    if portal is not None and not portal.is_over:
        return portal
    with process.lock:
        portal = process.shared.get(kind)
        if portal is None or portal.is_over:
            portal = process.shared[kind] = Portal(kind)
            process.add(portal)
        return portal


def own_portal(kind: LoopKind) -> Portal:
    """Return a new portal for one tenant. Any thread."""
    process = _processes.get()
    with process.lock:
        portal = Portal(kind)
        process.add(portal)
        return portal
