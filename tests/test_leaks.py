"""The leak checks themselves, once piece by piece and once in a pytest run of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextvars import copy_context
from pathlib import Path

import pytest

from bridge import WorkerPool
from tests.leaks import leaks_since, take_snapshot
from tests.meeting import Flag, Hold, until

REPOSITORY = Path(__file__).resolve().parent.parent

CONFTEST = """\
import tests.leaks
from tests.conftest import no_leaks, pytest_collection_finish

tests.leaks.END_WITHIN_S = 0.2
"""

LEAKY_TESTS = """\
import asyncio, os, threading

stop = threading.Event()

def test_clean():
    asyncio.run(asyncio.sleep(0))

def test_thread():
    threading.Thread(target=stop.wait, args=(20,), daemon=True).start()

def test_descriptor():
    os.open(__file__, os.O_RDONLY)

def test_unraisable():
    class Broken:
        def __del__(self):
            raise RuntimeError("in a finalizer")
    Broken()

def test_thread_that_fails():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

def test_unclosed_loop():
    asyncio.new_event_loop()
"""


class Job:
    def __init__(self, hold):
        self.context = copy_context()
        self.run = hold.stop_here


def test_a_thread_that_stays_is_a_leak_and_one_that_ends_is_not():
    before = take_snapshot()
    stop = Flag()
    thread = threading.Thread(target=stop.wait, name="stays")
    thread.start()

    leaks = leaks_since(before, end_within_s=0)
    stop.set()

    assert len(leaks) == 1
    assert "stays" in leaks[0]
    assert leaks_since(before) == []


def test_a_busy_worker_is_a_leak_and_an_idle_one_is_not():
    before = take_snapshot()
    pool = WorkerPool(workers=2)
    hold = Hold()
    pool.submit(Job(hold))
    hold.reached.wait()

    leaks = leaks_since(before, end_within_s=0)
    hold.release()
    until(lambda: pool.statistics().idle == 1)

    assert len(leaks) == 1
    assert "bridge-worker" in leaks[0]
    assert leaks_since(before) == []
    assert pool.close(5)


def test_an_unfinished_task_is_a_leak():
    before = take_snapshot()
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(0), name="forgotten")

    leaks = leaks_since(before, end_within_s=0)
    loop.run_until_complete(task)
    loop.close()

    assert any("forgotten" in leak for leak in leaks)
    assert leaks_since(before) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list open descriptors")
def test_an_open_descriptor_is_a_leak(tmp_path):
    before = take_snapshot()
    descriptor = os.open(tmp_path, os.O_RDONLY)

    leaks = leaks_since(before, end_within_s=0)
    os.close(descriptor)

    assert leaks == [f"file descriptors were left: {descriptor} -> {tmp_path}"]
    assert leaks_since(before) == []


def test_a_test_that_leaks_fails(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_leaky.py").write_text(LEAKY_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--color=no", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}

    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=55, check=False)

    passed = {line.split("::")[1] for line in run.stdout.splitlines() if line.startswith("PASSED")}
    bad = {line.split("::")[1].split()[0] for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))}
    assert bad == {
        "test_thread",
        "test_descriptor",
        "test_unraisable",
        "test_thread_that_fails",
        "test_unclosed_loop",
    }, run.stdout
    assert "test_clean" in passed
