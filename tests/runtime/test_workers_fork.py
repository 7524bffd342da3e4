"""Worker pools and fork: threads do not survive it, so the child starts from nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

PRELUDE = """
import os, sys, threading, warnings
from contextvars import copy_context
from bridge import WorkerPool

warnings.simplefilter("ignore")  # that a process with threads forks is the point

class Job:
    def __init__(self, function=lambda: None):
        self.context, self.done, self.function = copy_context(), threading.Event(), function
    def run(self):
        self.function()
        self.done.set()

def done_in(pool):
    job = Job()
    assert pool.submit(job)
    return job.done.wait(10)

def child_says(function):
    '''Run the function in a forked child; return whether it returned True within three seconds.'''
    pid = os.fork()
    if not pid:
        import signal
        signal.alarm(3)
        code = 1
        try:
            code = 0 if function() is True else 2
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0
"""


def run_script(body: str) -> None:
    script = PRELUDE + textwrap.dedent(body)
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_a_pool_used_before_the_fork_works_in_parent_and_child():
    run_script(
        """
        pool = WorkerPool(workers=2)
        assert done_in(pool)
        assert child_says(lambda: done_in(pool) and done_in(pool))
        assert done_in(pool)
        """
    )


def test_jobs_of_the_parent_are_not_run_again_in_the_child():
    run_script(
        """
        pool = WorkerPool(workers=1)
        gate, ran_in = threading.Event(), []
        assert pool.submit(Job(lambda: gate.wait(10)))
        waiting = Job(lambda: ran_in.append(os.getpid()))
        assert pool.submit(waiting)
        assert child_says(lambda: done_in(pool) and not ran_in)
        gate.set()
        assert waiting.done.wait(10)
        assert ran_in == [os.getpid()]
        """
    )


def test_a_fork_while_the_pool_is_locked_does_not_lock_the_child():
    run_script(
        """
        pool = WorkerPool(workers=2)
        assert done_in(pool)
        with pool._lock:  # another thread could be here while this one forks
            assert child_says(lambda: done_in(pool))
        """
    )


def test_whatever_is_asked_first_in_the_child_is_answered_from_nothing():
    run_script(
        """
        pool = WorkerPool(workers=2, idle_s=60)
        gate = threading.Event()
        assert pool.submit(Job(lambda: gate.wait(20)))

        def counts():
            now = pool.statistics()
            return (now.busy, now.idle, now.waiting) == (0, 0, 0)

        answers = {
            "statistics": child_says(counts),
            "stuck": child_says(lambda: pool.stuck(0) == [] and pool.stuck_count(0) == 0),
            "close": child_says(lambda: pool.close(5) is True),
        }
        gate.set()
        assert all(answers.values()), answers
        """
    )


def test_nothing_asked_in_the_child_hangs_on_a_lock_of_the_parent():
    run_script(
        """
        pool = WorkerPool(workers=2, idle_s=60)
        assert done_in(pool)
        with pool._lock:
            answers = {
                "statistics": child_says(lambda: pool.statistics() is not None),
                "repr": child_says(lambda: bool(repr(pool))),
                "close": child_says(lambda: pool.close(1) in (True, False)),
            }
        assert all(answers.values()), answers
        """
    )
