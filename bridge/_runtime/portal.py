"""One event loop in one daemon thread, for threads that have work for it.

Theory of operation. A portal is started by the first thread that needs it, never by making it, and belongs to the
process that made it (`shared_portal` finds the one of the calling process). Threads reach the loop through ``port``; on
the loop, `spawn` runs coroutines as tasks. Who uses the portal is a *tenant*: when the last one leaves, the loop ends;
at the end of the process all tenants are asked to close first, each within its own time, and then the loop ends.

The thread is a daemon: it never keeps a process alive. Every wait for it is bounded, because it may not run at all
(uWSGI without threads) or be stuck in somebody's callback.

What threads share: ``_lock`` guards who uses the portal, who waits for its start, and each step from "not started" over
"running" to "over". The flags are looked at without it, because each changes once in each direction; ``port``,
``spawn`` and ``_stop`` are there before ``is_running`` says so, and are never changed again.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from importlib import import_module
from typing import Any, Literal, Protocol, TypeAlias

from bridge._runtime.descriptor_gates import GateStore
from bridge._runtime.gates import Gate, gate_maker, native_lock, new_asyncio_loop, start_native_thread
from bridge._runtime.loops import LoopGoneError, LoopPort, Signal, current_port
from bridge._runtime.own_port import OwnLoopPort, own_port
from bridge._runtime.spawning import BoundedExecutor, Work, asyncio_spawner, clean_up_asyncio, trio_spawner

logger = logging.getLogger("bridge.portal")

LoopKind: TypeAlias = Literal["asyncio", "uvloop", "trio"]

START_S = 5.0
"""Seconds in which the loop must be running; a thread takes a millisecond, importing trio half a second."""
_JOIN_S = 5.0


class Tenant(Protocol):
    """Who uses a portal."""

    def close(self) -> None:
        """End what runs, and leave the portal; bounded. Any thread but the loop's; called at the end of the process."""
        ...


class PortalError(RuntimeError):
    """The loop could not be started, or has ended."""


class NoThreadError(PortalError):
    """The loop's thread did not come to life."""


class Portal:
    """An event loop in a daemon thread of this process.

    Attributes:
        kind: what runs there.
        port: the way into the loop; valid once `enter` has returned True.
        new_gate: makes gates for the threads of this process.
        gates: those of request threads, which are used again; valid as ``port`` is.
    """

    port: LoopPort

    def __init__(self, kind: LoopKind, name: str = "bridge-loop") -> None:
        self.kind = kind
        self.name = name
        self.is_running = False
        self.is_over = False
        self.thread_id = 0
        self.new_gate: Callable[[], Gate]
        self.gates: GateStore
        self.spawn: Callable[[Callable[[], Coroutine[Any, Any, None]], Context], Work]
        self._lock = native_lock()
        self._tenants: list[Tenant] = []
        self._thread: threading.Thread | None = None
        self._is_started = False
        self._starters: list[Gate] = []
        """Of the threads that wait for the loop to run."""
        self._stop: Signal
        self._executor: BoundedExecutor | None = None
        self._is_given_up = False  # somebody has waited for the end, in vain
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
                self.gates = GateStore(self.new_gate)
            gate = self.new_gate()
            self._starters.append(gate)
        try:
            if is_first:
                self._thread = start_native_thread(self._run, self.name)
        except RuntimeError as error:
            self._failure = error
            self._has_come_to_nothing()
        if not gate.wait(timeout_s) and self._gives_up(tenant, gate):
            raise NoThreadError(
                f"the thread of the event loop did not come to life within {timeout_s} s; this process does not let "
                "Python run threads"
            )
        if self._failure is not None:
            raise PortalError(f"the {self.kind} event loop could not be started: {self._failure!r}") from self._failure
        return not self.is_over  # it may be: all others may have given up before it came to life

    def _has_come_to_nothing(self) -> None:
        """The loop cannot be started."""
        with self._lock:
            self.is_over = True
            self._tenants.clear()
        self._say_started()

    def _gives_up(self, tenant: Tenant, gate: Gate) -> bool:
        """Who waits for the start waits no more; return False if the loop has come to life just now.

        Others may wait on. When there is no tenant left, a loop that comes to life after all ends at once.
        """
        with self._lock:
            if gate not in self._starters:
                return False
            self._starters.remove(gate)
            if tenant in self._tenants:
                self._tenants.remove(tenant)
            self.is_over = self.is_over or not self._tenants
            return True

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
        with self._lock:  # either the loop sees that it is over as it begins, or it is seen here to run
            self.is_over = True
            is_running = self.is_running
        if is_running:
            with suppress(LoopGoneError):
                self.port.post(self._stop.set)

    def wait_for_end(self, timeout_s: float = _JOIN_S) -> bool:
        """Wait until the loop has ended and its thread with it; return False when the time is up."""
        if not self.is_over or self.thread_id == threading.get_ident():
            return False
        thread = self._thread  # None also for a moment after the start
        if thread is not None:
            thread.join(timeout_s)
            has_ended = not thread.is_alive()
        else:
            deadline_s = time.monotonic() + timeout_s
            while self.is_running and time.monotonic() < deadline_s:
                time.sleep(0.01)  # gevent: cooperative
            has_ended = not self.is_running
        self._is_given_up = not has_ended
        return has_ended

    def close_tenants(self) -> None:
        """Ask all tenants to close, then end. At the end of the process; bounded."""
        with self._lock:
            tenants = tuple(self._tenants)
        for tenant in tenants:
            try:
                tenant.close()
            except Exception:
                logger.exception("%s could not be closed", repr(tenant))
        self.end()
        # A tenant that has waited for it in vain has waited long enough.
        has_ended = not self._is_given_up and self.wait_for_end()
        if not has_ended and self._executor is not None:
            self._executor.give_up()

    def where(self) -> str:
        """Return where the loop's thread is, formatted like a traceback. Any thread.

        Asked for when the loop stands still: of a thread that runs, the frames may change while they are read.
        """
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
        self.gates.close()
        self._say_started()

    def _say_started(self) -> None:
        with self._lock:
            starters, self._starters = self._starters, []
        for gate in starters:
            gate.open()

    def _began(self, port: LoopPort) -> bool:
        """The loop runs: tell who waits for it; return False if nobody does any more."""
        self.port = port
        self._stop = self.port.new_signal()
        self.gates.fill()
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
        factory = import_module("uvloop").new_event_loop if self.kind == "uvloop" else new_asyncio_loop
        loop: asyncio.AbstractEventLoop = factory()

        executor = self._executor = BoundedExecutor()
        loop.set_default_executor(executor)

        async def main() -> None:
            self.spawn = asyncio_spawner(loop)
            if self._began(own_port(loop)):
                await self._stay()

        try:
            staying = loop.create_task(main())
            while not staying.done():
                try:
                    loop.run_until_complete(staying)
                except (SystemExit, KeyboardInterrupt, RuntimeError) as error:  # RuntimeError: somebody's loop.stop()
                    if staying.done():
                        raise
                    # asyncio lets a task end the whole process so; here it is one of many applications' tasks.
                    logger.error("a task raised %r; the event loop goes on", error, exc_info=error)  # noqa: TRY400
        finally:  # also when a callback has brought the loop down
            try:
                loop.run_until_complete(clean_up_asyncio(loop, executor))
            finally:
                self._close_port()
                loop.close()

    def _close_port(self) -> None:
        port: LoopPort | None = getattr(self, "port", None)  # None: the loop has not come to run
        if isinstance(port, OwnLoopPort):
            port.close()

    def _run_trio(self) -> None:
        trio: Any = import_module("trio")

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                self.spawn = trio_spawner(trio, nursery)
                if self._began(current_port()):
                    await self._stay()
                nursery.cancel_scope.cancel()

        trio.run(main)
