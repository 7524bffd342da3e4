"""Ending the process although the application that was imported has left threads for which Python would wait."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

_ENDING_S = 0.5


def leave(code: int) -> None:
    """Flush what was printed; end the process at once if it would not end by itself, else return.

    Threads that are about to end get a moment.
    """
    until_s = time.monotonic() + _ENDING_S
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    keeping = [thread for thread in others if not thread.daemon]
    for thread in keeping:
        thread.join(max(0.0, until_s - time.monotonic()))
    if any(thread.is_alive() for thread in keeping):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or never there
                stream.flush()
        os._exit(code)
