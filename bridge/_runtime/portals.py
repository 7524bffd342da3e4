"""The portals of this process: the one of each kind that is shared, those that are not, and what happens at its end."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from bridge._runtime.gates import is_eventlet_patched, is_gevent_patched, native_lock
from bridge._runtime.portal import LoopKind, Portal
from bridge._runtime.processes import PerProcess


def default_loop_kind() -> LoopKind:
    """Return uvloop where it is installed and can work, else asyncio."""
    if is_gevent_patched() or is_eventlet_patched():
        return "asyncio"
    try:
        import_module("uvloop")
    except ImportError:  # not installed, or not for a second interpreter in one process
        return "asyncio"
    return "uvloop"


class _Process:
    """The portals of one process, and what happens at its end.

    ``lock`` guards all changes; ``shared`` is looked into without it, one key at a time.
    """

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
        if self.pid != os.getpid():
            return
        with self.lock:
            portals = tuple(self.all)
        for portal in portals:
            portal.close_tenants()


def _register_exit_hook(hook: Callable[[], None]) -> None:
    """Run the hook before thread pools are shut, if the interpreter knows such a time, else at exit.

    `atexit` comes too late for tenants that use threads to close: ``concurrent.futures`` is shut by then, and newer
    interpreters start no thread any more. Eventlet has put a function of its own in the place of the one that would run
    our hook then, and nothing is shut: its threads start at any time.
    """
    if is_eventlet_patched():
        atexit.register(hook)
        return
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
