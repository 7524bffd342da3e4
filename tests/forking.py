"""Forking in tests: programs of their own, in which a child says by its exit code whether all was well.

A test runs a program with `run_program`; the program imports the rest from here and begins with `use`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# That a process with threads forks is the point.
WARNINGS = ("-W", "error", "-W", "ignore::DeprecationWarning")
_PROGRAM_S = 50
_CHILD_S = 30

_way = "os"


def run_program(prelude: str, body: str, *arguments: str) -> str:
    """Run a program; return what it printed. It must end well and write nothing to stderr."""
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", prelude + textwrap.dedent(body), *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=_PROGRAM_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# ---- In the program ---------------------------------------------------------------------------------------------


def use(way: str) -> None:
    """Choose how to fork: ``"os"``, or ``"C"``, which runs no Python hook.

    No thread may be asking for the interpreter's lock at the moment of a fork without hooks: the child would wait for
    ever for that thread to take it. So all others are given the time to lie down, and the lock is only given away by
    who blocks.
    """
    global _way
    _way = way
    if way == "C":
        sys.setswitchinterval(100)


def fork() -> int:
    if _way == "os":
        return os.fork()
    time.sleep(0.05)  # see above
    # PyDLL, because the interpreter's lock stays held: so forks a server that is written in C (uWSGI).
    pid: int = ctypes.PyDLL(None).fork()
    if not pid:
        sys.setswitchinterval(0.005)
    return pid


def start_child(function: Callable[[], object]) -> int:
    """Fork a child that runs the function and says by its exit code whether it returned True."""
    pid = fork()
    if pid:
        return pid
    signal.alarm(_CHILD_S)
    code = 1
    try:
        code = 0 if function() is True else 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def child_says(function: Callable[[], object]) -> bool:
    """Run the function in a forked child; return whether it returned True in time."""
    return exit_code(start_child(function)) == 0
