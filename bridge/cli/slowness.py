"""Saying so when an import takes long: an application that runs a server when it is imported never comes back."""

from __future__ import annotations

import sys
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable, Generator
from contextlib import contextmanager

from bridge.cli.printing import printer_for

NOTICE_AFTER_S = 10.0


@contextmanager
def notice_of_slow_import(name: str) -> Generator[Callable[[], None]]:
    """Print one line, with the place it is at, if what runs inside takes long; gives what says that it has ended.

    The thread is a bare one, held by a bare lock: the application may patch `threading` meanwhile (gevent), and may be
    asked which threads it has started.
    """
    caller = get_ident()
    ended = allocate_lock()
    ended.acquire()

    def watch() -> None:
        if not ended.acquire(timeout=NOTICE_AFTER_S):
            _say(name, caller)

    def end() -> None:
        if ended.locked():
            ended.release()

    start_new_thread(watch, ())
    try:
        yield end
    finally:
        end()


def _say(name: str, thread: int) -> None:
    frame = sys._current_frames().get(thread)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_code.co_filename.startswith(("<frozen", sys.base_prefix, sys.prefix)):
        frame = frame.f_back
    place = f" ({frame.f_code.co_filename}, line {frame.f_lineno})" if frame is not None else ""
    printer_for(sys.stderr).line(
        f"bridge: still importing {name}{place}; does it run a server of its own when it is imported?", "warn"
    )
