"""What loading an application has left behind: the difference of two snapshots, as hazards."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

from bridge.doctor.report import Hazard
from bridge.doctor.rules import hazard
from bridge.doctor.snapshots import LoopRuns, Snapshot, is_one_thread_only, kept_in

_LONGEST = 80


def hazards_between(before: Snapshot, after: Snapshot, runs: LoopRuns) -> Iterator[Hazard]:
    """Yield what is there now that was not there before. The thread that took the snapshots."""
    for thread in sorted(after.threads - before.threads, key=lambda one: one.name):
        what = "it does not end with the program" if not thread.daemon else "a daemon"
        yield hazard("thread-at-import", f"thread {thread.name!r}", f"it runs {_work_of(thread)} ({what})")
    known = {id(loop) for loop in before.loops}
    for loop in after.loops:
        if id(loop) not in known:
            kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
            where = kept_in(loop) or "event loop"
            yield hazard("loop-at-import", where, f"a {kind} was made{' and runs' if loop.is_running() else ''}")
    for place in runs.places:
        yield hazard("run-at-import", place, "an event loop was run while the application was loaded")
    yield from _connections(before, after)
    for number in sorted(after.children.keys() - before.children.keys()):
        command = after.children[number]
        shown = command if len(command) <= _LONGEST else f"{command[:_LONGEST]}..."
        yield hazard("process-at-import", f"process {number}", f"it runs: {shown}")
    for number, handler in after.handlers.items():
        if handler is not before.handlers.get(number):
            name = getattr(handler, "__qualname__", None)
            handled = f"{getattr(handler, '__module__', '')}.{name}" if name else str(handler)
            yield hazard("signal-handler-at-import", signal.Signals(number).name, f"it is now handled by {handled}")


def _connections(before: Snapshot, after: Snapshot) -> Iterator[Hazard]:
    for descriptor in sorted(after.sockets.keys() - before.sockets.keys()):
        yield hazard("connection-at-import", f"descriptor {descriptor}", f"a socket, {after.sockets[descriptor]}")
    known = {id(database) for database in before.databases}
    for database in after.databases:
        if id(database) in known:
            continue
        name = kept_in(database)
        yield hazard("connection-at-import", name or "SQLite connection", "a connection to an SQLite database")
        if name is not None and is_one_thread_only(database):  # kept elsewhere, it may be one of many, for each thread
            yield hazard("sqlite-one-thread", name, "it was made without check_same_thread=False")


def _work_of(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    name = getattr(target, "__qualname__", None)
    if name is not None:
        return f"{getattr(target, '__module__', None) or '?'}.{name}"
    kind = type(thread)
    return f"{kind.__module__}.{kind.__qualname__}"
