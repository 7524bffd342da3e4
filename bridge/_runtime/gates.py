"""How a thread waits for an event loop that runs in another thread.

A gate is a binary semaphore for one waiting thread. The protocol that loses no wake-up: the loop changes what it has to
say first and opens the gate second; the thread passes the gate first and looks second. A gate may be open without
news, so the thread looks and waits again.

In a process patched by gevent the thread is a greenlet, which must not block its hub; the hub is woken through its own
thread-safe watcher. In one patched by eventlet the loop's thread is a green one like those that wait for it
(`bridge._runtime.green_loops`), and ordinary gates are over eventlet's locks.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from bridge.errors import EventLoopError


class Gate(Protocol):
    """Where one thread waits."""

    def open(self) -> None:
        """Let the thread pass, now or when it comes. Loop thread only."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait until the gate is open, and close it behind; return False when the time is up. One thread."""
        ...


class ThreadGate:
    """A gate for an ordinary thread, or a green one of eventlet, over one lock.

    ``_is_open`` is set by the loop before it releases the lock and cleared by the thread after it got it, so the lock
    is released once for each time it is acquired. No other lock is needed: only the loop sets the flag, only the thread
    that waits clears it, and a gate that is found open is passed by a thread that has yet to look.
    """

    __slots__ = ("_is_open", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_open = False

    def open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._lock.release()

    def wait(self, timeout_s: float) -> bool:
        if self._lock.acquire(True, timeout_s):  # noqa: FBT003 - positional: on the path of every request
            self._is_open = False
            return True
        return False


class _Hub:
    """One gevent hub: events are set in its thread, on behalf of other threads.

    ``_events`` needs no lock: a deque appends and pops one element at a time, and only the hub's thread pops.
    """

    def __init__(self, hub: Any) -> None:
        self._events: deque[Any] = deque()
        # ref=False: a process that has nothing else to do may end.
        self._watcher = hub.loop.async_(ref=False)
        self._watcher.start(self._deliver)

    def set_soon(self, event: Any) -> None:
        """Set the event in the hub's thread. Any thread."""
        self._events.append(event)
        self._watcher.send()

    def _deliver(self) -> None:
        while self._events:
            self._events.popleft().set()


class GeventGate:
    """A gate for a greenlet: it waits cooperatively."""

    __slots__ = ("_event", "_hub")

    def __init__(self, hub: _Hub, event: Any) -> None:
        self._hub = hub
        self._event = event

    def open(self) -> None:
        self._hub.set_soon(self._event)

    def wait(self, timeout_s: float) -> bool:
        if self._event.wait(timeout_s):
            self._event.clear()
            return True
        return False


def is_gevent_patched() -> bool:
    """Tell whether gevent has replaced this process' threads by greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def is_eventlet_patched() -> bool:
    """Tell whether eventlet has replaced this process' threads by green ones."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


def gate_maker() -> Callable[[], Gate]:
    """Return what makes gates for the threads of this process; each is made by the thread that will wait.

    Called by the thread that starts the loop. Under eventlet what is returned raises `EventLoopError` in other threads
    of the operating system.
    """
    if is_eventlet_patched():
        return _eventlet_gates()
    return _gevent_gates() if is_gevent_patched() else ThreadGate


def _eventlet_gates() -> Callable[[], Gate]:
    identify: Callable[[], int] = sys.modules["eventlet.patcher"].original("_thread").get_ident
    home = identify()

    def make() -> Gate:
        if identify() != home:
            raise EventLoopError(
                "under eventlet the event loop can be used in one thread of the operating system only, that of the "
                "first request, and this is another one; do not call the application in eventlet's tpool"
            )
        return ThreadGate()

    return make


def _gevent_gates() -> Callable[[], Gate]:
    gevent, event = sys.modules["gevent"], __import__("gevent.event", fromlist=["Event"])
    hubs: weakref.WeakKeyDictionary[Any, _Hub] = weakref.WeakKeyDictionary()  # nobody iterates over it

    def make() -> Gate:
        current = gevent.get_hub()
        hub = hubs.get(current)
        if hub is None:
            hub = hubs[current] = _Hub(current)  # by the hub's own thread, so nobody else makes it meanwhile
        return GeventGate(hub, event.Event())

    return make


def native_lock() -> threading.Lock:
    """Return a lock of the interpreter, also under gevent: for sections of a few instructions that never wait.

    Under eventlet it is one of eventlet's: there is one thread only.
    """
    if is_gevent_patched():
        lock: threading.Lock = sys.modules["gevent.monkey"].get_original("_thread", "allocate_lock")()
        return lock
    return threading.Lock()


def start_native_thread(run: Callable[[], None], name: str) -> threading.Thread | None:
    """Start a daemon thread for an event loop; return it, or None where it is none of ``threading``. Any thread.

    It is one of the operating system, also under gevent; under eventlet it is green, and of the caller's hub.

    Raises:
        RuntimeError: the system has no thread left, or the interpreter is shutting down.
    """
    if is_eventlet_patched():
        import_module("bridge._runtime.green_loops").start_green_thread(run)
        return None
    if is_gevent_patched():
        sys.modules["gevent.monkey"].get_original("_thread", "start_new_thread")(run, ())
        return None
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def new_asyncio_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of asyncio for a thread that `start_native_thread` has started."""
    if is_eventlet_patched():
        loop: asyncio.AbstractEventLoop = import_module("bridge._runtime.green_loops").new_hub_loop()
        return loop
    return asyncio.new_event_loop()


def pass_on_signal(error: BaseException) -> None:
    """Give the main thread what a signal may have raised in the loop's: under eventlet the two share one. Loop thread.

    Anywhere else a loop gets no signals, and ``KeyboardInterrupt`` and ``SystemExit`` are the application's own.
    """
    if isinstance(error, (KeyboardInterrupt, SystemExit)) and is_eventlet_patched():
        import_module("bridge._runtime.green_loops").pass_on(error)
