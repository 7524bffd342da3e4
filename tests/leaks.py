"""What a test may not leave behind: threads, busy workers, asyncio tasks, file descriptors.

Everything gets a bounded time to go away by itself: a thread that is about to end is no leak.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

END_WITHIN_S = 15.0
"""How long things may take to go away after the test."""

# Threads that are kept for reuse: the start of their names, and the file and function in which they rest.
_CACHED_THREADS = (
    ("bridge-worker", os.path.join("bridge", "_runtime", "workers.py"), "_rest"),
    ("bridge-spool", os.path.join("bridge", "_runtime", "workers.py"), "_rest"),
    ("Trio thread", os.path.join("trio", "_core", "_thread_cache.py"), "_work"),
)
_FD_DIRECTORY = "/proc/self/fd"
# Opened once per process, by the interpreter or its libraries, at first use.
_OPENED_ONCE = ("/dev/urandom", "/dev/random", "/dev/null")


@dataclass(frozen=True)
class Snapshot:
    """What there was before a test. Threads by identity: their numbers are used again."""

    threads: frozenset[threading.Thread]
    descriptors: dict[int, str]


def take_snapshot() -> Snapshot:
    return Snapshot(frozenset(threading.enumerate()), open_descriptors())


def is_idle_worker(thread: threading.Thread) -> bool:
    """Tell whether the thread is a worker that waits for a job: kept on purpose, and for a short time."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return False
    code = frame.f_code
    return any(
        thread.name.startswith(name) and code.co_filename.endswith(file) and code.co_name == function
        for name, file, function in _CACHED_THREADS
    )


def left_threads(before: Snapshot) -> list[str]:
    """Name the threads that are new and not idle workers."""
    return [
        repr(thread)
        for thread in threading.enumerate()
        if thread not in before.threads and thread.is_alive() and not is_idle_worker(thread)
    ]


def left_tasks() -> list[str]:
    """Name the asyncio tasks, of any loop, that nobody will ever finish."""
    return [
        repr(candidate)
        for candidate in gc.get_objects()
        if isinstance(candidate, asyncio.Task) and not candidate.done()
    ]


def open_descriptors() -> dict[int, str]:
    """Return the open file descriptors and what they lead to; nothing where the system does not tell."""
    descriptors: dict[int, str] = {}
    try:
        numbers = os.listdir(_FD_DIRECTORY)
    except OSError:
        return descriptors
    for number in numbers:
        try:
            descriptors[int(number)] = os.readlink(f"{_FD_DIRECTORY}/{number}")
        except OSError:
            continue  # the one that listed the directory
    return descriptors


def left_descriptors(before: Snapshot) -> list[str]:
    """Name the descriptors that are new; one that was replaced by another of the same number counts too."""
    return [
        f"{number} -> {target}"
        for number, target in open_descriptors().items()
        if before.descriptors.get(number) != target and not target.startswith(_OPENED_ONCE)
    ]


def leaks_since(before: Snapshot, end_within_s: float | None = None) -> list[str]:
    """Return a sentence for each kind of thing that was left and does not go away in time."""
    deadline_s = time.monotonic() + (END_WITHIN_S if end_within_s is None else end_within_s)
    looks: dict[str, Callable[[], list[str]]] = {
        "threads": lambda: left_threads(before),
        "asyncio tasks": left_tasks,
        "file descriptors": lambda: left_descriptors(before),
    }
    gc.collect()
    leaks: list[str] = []
    for kind, look in looks.items():
        while (left := look()) and time.monotonic() < deadline_s:
            time.sleep(0.01)
            gc.collect()
        if left:
            leaks.append(f"{kind} were left: {', '.join(left)}")
    return leaks
