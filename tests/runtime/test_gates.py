"""Gates: a thread that waits for a loop misses nothing, and waits no longer than it was told to."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bridge._runtime.gates import (
    ThreadGate,
    gate_maker,
    is_eventlet_patched,
    is_gevent_patched,
    start_native_thread,
)
from bridge._runtime.portal import Portal
from tests.backends import Backend
from tests.meeting import TIMEOUT_S, Flag, Helper


class Stranger:
    """A tenant that has nothing to close."""

    def close(self) -> None:
        pass


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let the interpreter switch between threads as often as it can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def test_a_new_gate_is_closed():
    assert not ThreadGate().wait(0)


def test_an_open_gate_lets_the_thread_pass_once():
    gate = ThreadGate()

    gate.open()

    assert gate.wait(0)
    assert not gate.wait(0)


def test_a_gate_that_is_opened_twice_lets_the_thread_pass_once():
    gate = ThreadGate()

    gate.open()
    gate.open()

    assert gate.wait(0)
    assert not gate.wait(0)


def test_a_gate_can_be_opened_after_a_wait_that_was_in_vain():
    gate = ThreadGate()
    assert not gate.wait(0.001)

    gate.open()

    assert gate.wait(0)


def test_a_wait_lasts_as_long_as_it_was_told_to():
    began_s = time.monotonic()

    assert not ThreadGate().wait(0.05)

    assert 0.045 <= time.monotonic() - began_s < TIMEOUT_S


def test_opening_the_gate_wakes_the_thread_that_waits():
    gate, is_near = ThreadGate(), Flag("near the gate")

    def wait() -> bool:
        is_near.set()
        return gate.wait(TIMEOUT_S)

    helper = Helper(wait)
    is_near.wait()
    gate.open()

    assert helper.join() is True


@pytest.mark.requirement("A-110")
def test_two_threads_that_answer_each_other_never_miss_a_wake_up(frequent_switches):
    """Write first, open second; pass first, look second. A lost wake-up would be a wait in vain."""
    rounds = 5000
    there, here = ThreadGate(), ThreadGate()
    written: list[int] = [0, 0]

    def take_part(own: int, gate: ThreadGate, other_gate: ThreadGate) -> int:
        other = 1 - own
        for number in range(1, rounds + 1):
            if own == 0:
                written[own] = number
                other_gate.open()
            while written[other] < number:
                assert gate.wait(TIMEOUT_S), f"round {number}: nobody opened the gate"
            if own == 1:
                written[own] = number
                other_gate.open()
        return written[own]

    helpers = [Helper(lambda: take_part(0, here, there)), Helper(lambda: take_part(1, there, here))]

    assert [helper.join(3 * TIMEOUT_S) for helper in helpers] == [rounds, rounds]


@pytest.mark.requirement("A-110")
def test_a_burst_is_seen_to_its_end_by_a_thread_that_looks_after_each_passage(frequent_switches):
    """The gate may be found open for what has been seen already; never closed with something unseen."""
    count = 50_000
    gate = ThreadGate()
    written = 0

    def write() -> None:
        nonlocal written
        for number in range(1, count + 1):
            written = number
            gate.open()

    def look() -> int:
        seen = 0
        while seen < count:
            assert gate.wait(TIMEOUT_S), f"waited in vain after {seen}"
            seen = written
        return seen

    helpers = [Helper(look), Helper(write)]

    assert helpers[0].join(3 * TIMEOUT_S) == count
    helpers[1].join()


@pytest.mark.requirement("A-110")
def test_no_answer_of_a_loop_is_missed_by_many_threads(frequent_switches, backend: Backend):
    """Each round is a post to the loop and a wait for its answer."""
    rounds, threads = 300, 8
    portal, tenant = Portal(backend.name), Stranger()
    assert portal.enter(tenant)

    def ask() -> int:
        gate, answers = portal.new_gate(), 0

        def answer() -> None:
            nonlocal answers
            answers += 1
            gate.open()

        for number in range(1, rounds + 1):
            portal.port.post(answer)
            while answers < number:
                assert gate.wait(TIMEOUT_S), f"round {number}: no answer came"
        return answers

    try:
        helpers = [Helper(ask) for _ in range(threads)]
        assert [helper.join(3 * TIMEOUT_S) for helper in helpers] == [rounds] * threads
    finally:
        portal.leave(tenant)
        assert portal.wait_for_end()


def test_an_ordinary_process_uses_thread_gates():
    assert not is_gevent_patched()
    assert not is_eventlet_patched()
    assert gate_maker() is ThreadGate


@pytest.mark.requirement("A-124")
@pytest.mark.parametrize("patched", [True, False])
def test_gevent_rules_only_where_it_has_replaced_the_threads(monkeypatch, patched):
    """To import gevent, or to patch sockets alone, replaces no thread."""
    monkey = SimpleNamespace(is_module_patched=lambda name: name == ("threading" if patched else "socket"))
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)

    assert is_gevent_patched() is patched


@pytest.mark.requirement("A-124")
@pytest.mark.parametrize("patched", [True, False])
def test_eventlet_rules_only_where_it_has_replaced_the_threads(monkeypatch, patched):
    patcher = SimpleNamespace(is_monkey_patched=lambda name: name == ("thread" if patched else "socket"))
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)

    assert is_eventlet_patched() is patched


@pytest.mark.requirement("A-118")
def test_a_native_thread_is_a_named_daemon():
    ran_in: list[int] = []

    thread = start_native_thread(lambda: ran_in.append(threading.get_ident()), "a name")

    assert thread is not None
    thread.join(TIMEOUT_S)
    assert thread.daemon
    assert thread.name == "a name"
    assert ran_in == [thread.ident]
