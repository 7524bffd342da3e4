"""What a process has, before and after something: threads, event loops, sockets, children, signal handlers.

`take_snapshot` only looks. Sockets and children are read from ``/proc`` where there is one, else found among Python's
objects; those opened by libraries in C are then not seen.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any, TypeVar, cast
from unittest import mock

_DESCRIPTORS = "/proc/self/fd"
_TASKS = "/proc/self/task"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is at one moment.

    Attributes:
        threads: those that are alive.
        loops: event loops that are not closed.
        sockets: what they are connected to, by file descriptor.
        databases: SQLite connections that are not closed.
        children: command lines of child processes, by process id.
        handlers: the handler of each signal.
    """

    threads: frozenset[threading.Thread]
    loops: tuple[asyncio.AbstractEventLoop, ...]
    sockets: dict[int, str]
    databases: tuple[sqlite3.Connection, ...]
    children: dict[int, str]
    handlers: dict[signal.Signals, Any]


@dataclass(slots=True)
class LoopRuns:
    """Where an event loop was run, while it was watched."""

    places: list[str] = field(default_factory=list[str])


def take_snapshot() -> Snapshot:
    """Return what there is now. The main thread."""
    return Snapshot(
        threads=frozenset(threading.enumerate()),
        loops=tuple(loop for loop in _living(asyncio.AbstractEventLoop) if not loop.is_closed()),
        sockets=_sockets(),
        databases=tuple(one for one in _living(sqlite3.Connection) if _is_open(one)),
        children=_children(),
        handlers={number: signal.getsignal(number) for number in signal.valid_signals()},
    )


@contextmanager
def watch_loops() -> Generator[LoopRuns]:
    """Note each event loop that this thread runs meanwhile: also those that are closed, and gone, afterwards."""
    runs = LoopRuns()
    watched = threading.get_ident()

    def noting(original: Any) -> Any:
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == watched:
                place = _caller()
                if place not in runs.places:
                    runs.places.append(place)
            return original(self, *args, **kwargs)

        return run

    with (
        mock.patch.object(asyncio.Runner, "run", noting(asyncio.Runner.run)),
        mock.patch.object(
            asyncio.BaseEventLoop, "run_until_complete", noting(asyncio.BaseEventLoop.run_until_complete)
        ),
    ):
        yield runs


def is_one_thread_only(connection: sqlite3.Connection) -> bool:
    """Tell whether an SQLite connection refuses other threads: asked from one, by reading a limit. Any thread."""
    refused: list[bool] = []

    def ask() -> None:
        try:
            sqlite3.Connection.getlimit(connection, sqlite3.SQLITE_LIMIT_LENGTH)
        except sqlite3.ProgrammingError:
            refused.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(5)
    return bool(refused)


def kept_in(value: object) -> str | None:
    """Return the name of the module attribute that holds a value, or None."""
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType):  # anything can be put there
            continue
        for attribute, member in list(vars(module).items()):
            if member is value:
                return f"{name}.{attribute}"
    return None


# ---- Looking --------------------------------------------------------------------------------------------------------


def _living(kind: Callable[..., T]) -> list[T]:
    # type(): isinstance() would ask objects that lie about their class, and so run their code.
    return [one for one in gc.get_objects() if issubclass(type(one), cast("type", kind))]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        sqlite3.Connection.in_transaction.__get__(connection)
        sqlite3.Connection.total_changes.__get__(connection)
    except sqlite3.ProgrammingError:
        return False
    return True


def _sockets() -> dict[int, str]:
    if not os.path.isdir(_DESCRIPTORS):
        return {one.fileno(): peer for one in _living(socket.socket) if one.fileno() >= 0 and (peer := _peer(one))}
    found: dict[int, str] = {}
    for name in os.listdir(_DESCRIPTORS):
        try:
            if not os.readlink(f"{_DESCRIPTORS}/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as copy:
                peer = _peer(copy)
        except OSError:  # closed meanwhile: the one that read the directory
            continue
        if peer is not None:
            found[int(name)] = peer
    return found


def _peer(one: socket.socket) -> str | None:
    """Say what a socket is connected to; None for one half of a pair, which wakes a loop and leads nowhere."""
    try:
        peer = one.getpeername()
    except OSError:  # not connected: listening, or of the kind that needs no connection
        own = _text(one.getsockname())
        return f"listening on {own}" if own and one.type == socket.SOCK_STREAM else (own and f"bound to {own}") or None
    text = _text(peer)
    return f"connected to {text}" if text else None


def _text(address: Any) -> str:
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}" if address[1] else ""
    return os.fsdecode(address) if isinstance(address, str | bytes) else ""


def _children() -> dict[int, str]:
    if not os.path.exists(f"{_TASKS}/{os.getpid()}/children"):
        started = {one.pid: str(one.args) for one in _living(subprocess.Popen) if one.returncode is None}
        return started | {one.pid or 0: one.name for one in multiprocessing.active_children()}
    found: dict[int, str] = {}
    for task in os.listdir(_TASKS):
        for text in _read(f"{_TASKS}/{task}/children").split():
            command = _read(f"/proc/{text}/cmdline").replace("\0", " ").strip()
            status = _read(f"/proc/{text}/stat")  # "123 (name) S ..."
            has_ended = status.rpartition(")")[2].split()[:1] in ([], ["Z"])
            if not has_ended and "multiprocessing.resource_tracker" not in command:
                found[int(text)] = command or status.partition(" ")[2].rpartition(")")[0].strip("(")
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # it has ended
        return ""


def _caller() -> str:
    """Name the innermost place that is neither asyncio's nor this file's."""
    frame = cast("FrameType", inspect.currentframe())
    own = (os.path.dirname(asyncio.__file__), __file__)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(own):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}"
