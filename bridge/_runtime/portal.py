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
import concurrent.futures
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
from typing import Any, Literal, Protocol, TypeAlias

from bridge._runtime.gates import Gate, gate_maker, is_gevent_patched, native_lock, start_native_thread
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


class NoThreadError(PortalError):
    """The loop's thread did not come to life."""


def default_loop_kind() -> LoopKind:
    """Return uvloop where it is installed and can work, else asyncio."""
    if is_gevent_patched():
        return "asyncio"
    try:
        import_module("uvloop")
    except ImportError:  # not installed, or not for a second interpreter in one process
        return "asyncio"
    return "uvloop"


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
        self._lock = native_lock()
        self._tenants: list[Tenant] = []
        self._thread: threading.Thread | None = None
        self._is_started = False
        self._starters: list[Gate] = []
        """Of the threads that wait for the loop to run."""
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
        with self._lock:
            if self.is_over:
                return False
            if tenant not in self._tenants:
                self._tenants.append(tenant)
            if self.is_running:
                return True
            is_first = not self._is_started
            if is_first:
                self._is_started = True
                self.new_gate = gate_maker()
            gate = self.new_gate()
            self._starters.append(gate)
        try:
            if is_first:
                self._thread = start_native_thread(self._run, self.name)
        except RuntimeError as error:
            self._failure = error
            self._has_come_to_nothing()
        if not gate.wait(timeout_s):
            self._has_come_to_nothing()
            raise NoThreadError(
                f"the thread of the event loop did not come to life within {timeout_s} s; this process does not let "
                "Python run threads"
            )
        if self._failure is not None:
            raise PortalError(f"the {self.kind} event loop could not be started: {self._failure!r}") from self._failure
        return True

    def _has_come_to_nothing(self) -> None:
        """The loop cannot be started: should it come to life after all, it ends at once."""
        with self._lock:
            self.is_over = True
            self._tenants.clear()
        self._say_started()

    def leave(self, tenant: Tenant) -> None:
        """Let a tenant go; the loop ends after the last one. Any thread, also the loop's; does not wait."""
        with self._lock:
            if tenant in self._tenants:
                self._tenants.remove(tenant)
            if self._tenants:
                return
            self.is_over = True  # with the lock held: who enters from now on is told so
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
            if self.is_running:
                logger.critical("the event loop of %r has failed", self, exc_info=error)
            self._failure = error
        self.is_over = True
        self.is_running = False
        self._say_started()

    def _say_started(self) -> None:
        with self._lock:
            starters, self._starters = self._starters, []
        for gate in starters:
            gate.open()

    def _began(self) -> bool:
        """The loop runs: tell who waits for it; return False if nobody does any more."""
        self.port = current_port()
        self._stop = self.port.new_signal()
        with self._lock:
            if self.is_over:
                return False
            self.is_running = True
        self._say_started()
        return True

    async def _stay(self) -> None:
        while not self.is_over:
            await self._stop.wait()

    def _run_asyncio(self) -> None:
        factory = import_module("uvloop").new_event_loop if self.kind == "uvloop" else asyncio.new_event_loop
        loop: asyncio.AbstractEventLoop = factory()

        executor = _Executor()
        loop.set_default_executor(executor)

        async def main() -> None:
            self.spawn = _asyncio_spawner(loop)
            if self._began():
                await self._stay()

        try:
            loop.run_until_complete(main())
        finally:  # also when a callback has brought the loop down
            try:
                loop.run_until_complete(_clean_up_asyncio(loop, executor))
            finally:
                loop.close()

    def _run_trio(self) -> None:
        trio: Any = import_module("trio")

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                self.spawn = _trio_spawner(trio, nursery)
                if self._began():
                    await self._stay()
                nursery.cancel_scope.cancel()

        trio.run(main)


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
                try:
                    await function()
                except Exception:  # alone: the nursery would end everything else with it
                    logger.exception("work in %s has failed", trio.__name__)

        context.run(nursery.start_soon, guarded)  # trio copies the context of whoever starts a task
        return limit  # type: ignore[no-any-return]  # a CancelScope

    return spawn


async def _clean_up_asyncio(loop: asyncio.AbstractEventLoop, executor: _Executor) -> None:
    """Leave nothing pending on the loop, as far as that can be had within limits."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=_CLEAN_UP_S)
        for task in left:
            logger.error("%r ignores that it was cancelled; it is given up", task)
    with suppress(TimeoutError):
        await asyncio.wait_for(loop.shutdown_asyncgens(), _CLEAN_UP_S)
    if executor.is_used:
        await _shut(executor)


class _Executor(concurrent.futures.ThreadPoolExecutor):
    """The loop's default executor: like asyncio's own, but it can be ended within a time."""

    is_used = False

    def submit(self, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        self.is_used = True
        return super().submit(*args, **kwargs)


async def _shut(executor: _Executor) -> None:
    """Wait for the executor's threads, but not for ever: asyncio's own way joins them however long they take."""
    joiner = threading.Thread(target=executor.shutdown, name="bridge-loop-end", daemon=True)
    try:
        joiner.start()
    except RuntimeError:  # the interpreter starts no thread any more
        executor.shutdown(wait=False)
        return
    deadline_s = time.monotonic() + _CLEAN_UP_S
    while joiner.is_alive() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - nothing announces it
        await asyncio.sleep(0.002)
    if joiner.is_alive():
        logger.error("a thread of the event loop's default executor is still busy; it is given up")
    else:
        joiner.join()


# ---- The portals of a process -----------------------------------------------------------------------------------


class _Process:
    """The portals of one process, and what happens at its end."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = native_lock()
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
