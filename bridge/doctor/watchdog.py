"""Wake the main thread from code that does not come back: what timeouts on an event loop cannot do."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_AGAIN_S = 0.5
_MOST_BARKS = 5
"""What catches everything, BaseException too, is woken as often as this; then the process ends."""


class Blocked(BaseException):
    """The main thread was busy in one place for too long. No Exception: applications catch those."""


@contextmanager
def watchdog(limit_s: float) -> Generator[None]:
    """Raise `Blocked` in what runs inside, once ``limit_s`` is over.

    Does nothing outside the main thread, on systems without interval timers, and where SIGALRM is taken.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return

    barks = 0

    def bark(_number: int, frame: FrameType | None) -> NoReturn:
        nonlocal barks
        barks += 1
        if barks > _MOST_BARKS:
            print("bridge: the application cannot be interrupted; given up", file=sys.stderr)  # noqa: T201
            os._exit(1)
        place = f" ({frame.f_code.co_filename}, line {frame.f_lineno})" if frame is not None else ""
        raise Blocked(f"it blocks the event loop{place}")

    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])  # the application may have blocked it
    signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
