"""What loading leaves behind: each thing is found, once, and what was there before is not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from types import ModuleType

import pytest

from bridge.doctor.import_hazards import hazards_between
from bridge.doctor.snapshots import LoopRuns, take_snapshot, watch_loops


@pytest.fixture
def cleanup():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def shop(monkeypatch):
    """A module that is being imported."""
    module = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


@contextmanager
def leaving(hazards):
    """Fill a list with the hazards of what happens inside."""
    before = take_snapshot()
    with watch_loops() as runs:
        yield
    hazards += hazards_between(before, take_snapshot(), runs)


def rules(hazards):
    return [hazard.rule for hazard in hazards]


def test_nothing_is_found_where_nothing_happens():
    hazards = []
    with leaving(hazards):
        pass

    assert hazards == []


def test_a_thread_is_named_with_its_work(cleanup):
    hazards, stop = [], threading.Event()
    thread = threading.Thread(target=stop.wait, args=(30,), name="ticker")
    cleanup.callback(thread.join, 30)
    cleanup.callback(stop.set)
    with leaving(hazards):
        thread.start()

    assert rules(hazards) == ["thread-at-import"]
    assert hazards[0].where == "thread 'ticker'"
    assert "Event.wait" in hazards[0].what
    assert "does not end with the program" in hazards[0].what


def test_an_event_loop_is_found_and_its_own_sockets_are_not_connections(cleanup, shop):
    hazards = []
    with leaving(hazards):
        shop.loop = asyncio.new_event_loop()
    cleanup.callback(shop.loop.close)

    assert [(hazard.rule, hazard.where) for hazard in hazards] == [("loop-at-import", "shop.loop")]


def test_a_loop_that_was_run_and_is_gone_is_told_with_its_place():
    hazards = []
    with leaving(hazards):
        asyncio.run(asyncio.sleep(0))

    assert rules(hazards) == ["run-at-import"]
    assert hazards[0].where.startswith(f"{__file__}, line ")


def test_a_loop_in_another_thread_is_its_own_matter():
    hazards = []
    with leaving(hazards):
        thread = threading.Thread(target=lambda: asyncio.run(asyncio.sleep(0)))
        thread.start()
        thread.join()

    assert hazards == []


def test_watching_leaves_asyncio_as_it_was():
    before = asyncio.Runner.run, asyncio.BaseEventLoop.run_until_complete

    with pytest.raises(KeyError), watch_loops():
        raise KeyError

    assert (asyncio.Runner.run, asyncio.BaseEventLoop.run_until_complete) == before


def test_a_connection_and_a_listening_socket_are_found(cleanup):
    hazards = []
    with leaving(hazards):
        server = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = cleanup.enter_context(socket.create_connection(server.getsockname()))
    port = server.getsockname()[1]

    assert client.fileno() > 0
    assert rules(hazards) == ["connection-at-import"] * 2
    assert {hazard.what for hazard in hazards} == {
        f"a socket, listening on 127.0.0.1:{port}",
        f"a socket, connected to 127.0.0.1:{port}",
    }


def test_an_sqlite_connection_for_one_thread_is_told_twice(cleanup, shop):
    hazards = []
    with leaving(hazards):
        shop.db = sqlite3.connect(":memory:")
    cleanup.callback(shop.db.close)

    assert [(hazard.rule, hazard.where) for hazard in hazards] == [
        ("connection-at-import", "shop.db"),
        ("sqlite-one-thread", "shop.db"),
    ]


def test_an_sqlite_connection_for_all_threads_or_closed_again(cleanup, shop):
    hazards = []
    with leaving(hazards):
        shop.db = sqlite3.connect(":memory:", check_same_thread=False)
        shop.closed = sqlite3.connect(":memory:")
        shop.closed.close()
    cleanup.callback(shop.db.close)

    assert rules(hazards) == ["connection-at-import"]


def test_a_child_process_is_found_with_its_command(cleanup):
    hazards = []
    with leaving(hazards):
        program = "print('runs', flush=True); input()"
        child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cleanup.callback(child.communicate, b"\n", 30)
        child.stdout.readline()

    assert rules(hazards) == ["process-at-import"]
    assert hazards[0].where == f"process {child.pid}"
    assert "input()" in hazards[0].what


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="children are read from /proc")
def test_a_child_process_that_has_ended_is_not_told():
    hazards = []
    with leaving(hazards):
        child = subprocess.Popen([sys.executable, "-c", ""])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays until it is waited for
    child.wait(30)

    assert hazards == []


def test_a_signal_handler_is_found(cleanup):
    hazards = []
    cleanup.callback(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
    with leaving(hazards):
        signal.signal(signal.SIGUSR1, lambda *_: None)

    assert [(hazard.rule, hazard.where) for hazard in hazards] == [("signal-handler-at-import", "SIGUSR1")]


def test_what_was_there_before_is_not_told(cleanup, shop):
    shop.loop = asyncio.new_event_loop()
    cleanup.callback(shop.loop.close)
    shop.db = sqlite3.connect(":memory:")
    cleanup.callback(shop.db.close)
    before = take_snapshot()

    assert list(hazards_between(before, take_snapshot(), LoopRuns())) == []
