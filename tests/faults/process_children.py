"""Forking in the middle of a request, in a server's process: the child serves, and the parent learns how that went."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable

_CHILD_S = 15.0
_LOOK_S = 0.01


def outcome_of_child(way: str, serves: Callable[[], bool]) -> bytes:
    """Fork a child that serves; return ``b"served"`` if it did and has ended, else what was wrong.

    Args:
        way: ``"os"``: ``os.fork()``, and an end at once, as application servers do it. ``"multiprocessing"``: by a
            library that the application uses, and with what that runs at the end of its children.
        serves: called in the child; whether all was well.
    """
    reading, writing = os.pipe()
    try:
        has_ended = _run_with_library(serves, writing) if way == "multiprocessing" else _run(serves, writing)
        os.write(writing, b".")  # so that the read does not wait for what the child has not written
        said = os.read(reading, 100).removesuffix(b".")
    finally:
        os.close(reading)
        os.close(writing)
    return said if has_ended else b"the child has not ended"


def _run_with_library(serves: Callable[[], bool], writing: int) -> bool:
    process = multiprocessing.get_context("fork").Process(target=_be_the_child, args=(serves, writing))
    process.start()
    process.join(_CHILD_S)
    # Its exit code says nothing: forked in a thread of a pool, it is 1 for any function, as that thread is to join
    # itself at the end.
    has_ended = process.exitcode is not None
    process.kill()
    process.join()
    process.close()
    return has_ended


def _run(serves: Callable[[], bool], writing: int) -> bool:
    pid = os.fork()
    if not pid:
        try:
            _be_the_child(serves, writing)
        finally:
            os._exit(0)
    deadline_s = time.monotonic() + _CHILD_S
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(_LOOK_S)
    return True


def _be_the_child(serves: Callable[[], bool], writing: int) -> None:
    gc.collect()  # what was inherited and is garbage now must not harm the parent either
    os.write(writing, b"served" if serves() else b"the child was answered wrongly")
    sys.stderr.flush()
