"""What a worker pool tells about itself: snapshots, and where its threads are."""

from __future__ import annotations

import sys
import threading
import traceback
from contextvars import Context
from dataclasses import dataclass
from typing import Protocol


class Job(Protocol):
    """What a worker runs: once, in its own context. ``run`` must not raise."""

    context: Context

    def run(self) -> None:
        """Do the work. Worker thread."""
        ...


@dataclass(frozen=True, slots=True)
class StuckWorker:
    """A worker that has been busy with one job for too long."""

    thread_name: str
    job: Job
    busy_s: float
    stack: str
    """Where it is, formatted like a traceback."""
    is_aside: bool
    """Whether it counts against the pool's limit no more."""


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """A snapshot of a pool."""

    busy: int
    idle: int
    limit: int
    waiting: int
    aside: int
    """Busy workers that do not count against the limit, because they are stuck or wait for somebody outside."""


def stack_of_thread(thread: threading.Thread) -> str:
    """Return where a thread is, formatted like a traceback; empty if it has ended. Any thread."""
    # The documented way to see where another thread is.
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return "" if frame is None else "".join(traceback.format_stack(frame))
