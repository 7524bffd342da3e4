"""Gates with descriptors: they lose no news, are used again, and leave nothing open."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator

import pytest

from bridge._runtime.descriptor_gates import MOST, NO_GATE, DescriptorGate, GateStore
from bridge._runtime.gates import ThreadGate
from tests.leaks import open_descriptors
from tests.meeting import TIMEOUT_S, Flag, Helper

pytestmark = pytest.mark.skipif(not hasattr(os, "eventfd"), reason="there is no eventfd here")


@pytest.fixture
def store() -> Iterator[GateStore]:
    """A store of two gates, closed after the test."""
    made = GateStore(ThreadGate, most=2)
    yield made
    made.close()


@pytest.fixture
def gate(store: GateStore) -> Iterator[DescriptorGate]:
    taken = store.take()
    assert isinstance(taken, DescriptorGate)
    yield taken
    store.put_back(taken)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let the interpreter switch between threads as often as it can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


# ---- A gate ---------------------------------------------------------------------------------------------------------


def test_a_new_gate_is_closed(gate):
    assert not gate.wait(0)


@pytest.mark.parametrize("openings", [1, 2, 3])
def test_a_gate_lets_the_thread_pass_once_however_often_it_was_opened(gate, openings):
    for _ in range(openings):
        gate.open()

    assert gate.wait(0)
    assert not gate.wait(0)


def test_a_gate_can_be_opened_after_a_wait_that_was_in_vain(gate):
    assert not gate.wait(0.001)

    gate.open()

    assert gate.wait(0)


def test_a_wait_lasts_as_long_as_it_was_told_to(gate):
    began_s = time.monotonic()

    assert not gate.wait(0.05)

    assert 0.045 <= time.monotonic() - began_s < TIMEOUT_S


def test_nothing_is_written_to_wake_a_thread_that_does_not_sleep(gate, monkeypatch):
    monkeypatch.setattr(gate, "_ring", lambda: pytest.fail("it rang"))

    gate.open()

    assert gate.wait(0)


def test_a_ring_that_comes_too_late_for_one_wait_ends_the_next_one_early_and_no_other(gate):
    gate._ring()  # as if the time had been up in the instant in which the loop opened it

    assert gate.wait(TIMEOUT_S)
    assert not gate.wait(0)


def test_a_thread_that_sleeps_is_woken(gate):
    is_near = Flag("near the gate")

    def wait() -> bool:
        is_near.set()
        return gate.wait(TIMEOUT_S)

    helper = Helper(wait)
    is_near.wait()
    gate.open()

    assert helper.join() is True


@pytest.mark.usefixtures("frequent_switches")
def test_two_threads_that_take_turns_at_two_gates_miss_nothing(store):
    rounds, gates = 2000, (store.take(), store.take())
    turns: list[int] = []

    def take_part(own: int) -> None:
        for number in range(own, rounds, 2):
            while len(turns) < number:
                assert gates[own].wait(TIMEOUT_S)
            turns.append(number)
            gates[1 - own].open()

    helpers = [Helper(lambda own=own: take_part(own)) for own in (0, 1)]
    for helper in helpers:
        helper.join()

    assert turns == list(range(rounds))
    for gate in gates:
        store.put_back(gate)


def test_a_gate_at_which_nobody_waits_may_be_opened():
    NO_GATE.open()

    assert NO_GATE.wait(0)


# ---- The store ------------------------------------------------------------------------------------------------------


def test_a_gate_that_came_back_is_used_again(store):
    gate = store.take()
    store.put_back(gate)

    assert store.take() is gate
    store.put_back(gate)


def test_two_who_come_at_once_get_two_gates(store):
    first, second = store.take(), store.take()

    assert first is not second
    store.put_back(first)
    store.put_back(second)


def test_who_comes_when_all_are_taken_gets_a_lock(store):
    taken = [store.take(), store.take()]

    assert type(store.take()) is ThreadGate
    for gate in taken:
        store.put_back(gate)


def test_a_gate_that_is_dropped_makes_room_for_another_one_and_leaves_nothing_open(store):
    before = open_descriptors()
    for _ in range(10):
        assert type(store.take()) is DescriptorGate

    assert open_descriptors() == before


def test_as_many_descriptors_are_open_however_many_gates_were_in_use():
    store = GateStore(ThreadGate)
    store.fill()
    before = open_descriptors()

    for _ in range(3):
        taken = [store.take() for _ in range(2 * MOST)]
        assert sum(type(gate) is DescriptorGate for gate in taken) == MOST
        while taken:
            store.put_back(taken.pop())

    assert open_descriptors() == before
    store.close()


def test_a_gate_without_descriptors_is_not_kept(store):
    lock = ThreadGate()

    store.put_back(lock)

    taken = store.take()
    assert taken is not lock
    store.put_back(taken)


def test_closing_closes_what_is_there_and_what_comes_back_also_if_somebody_still_has_it():
    before = open_descriptors()
    store = GateStore(ThreadGate, most=2)
    early, late = store.take(), store.take()
    store.put_back(early)

    store.close()
    store.put_back(late)

    assert open_descriptors() == before
    assert early is not late


def test_where_threads_are_something_else_gates_are_made_for_them_and_not_kept():
    made: list[ThreadGate] = []

    def new_gate() -> ThreadGate:
        made.append(ThreadGate())
        return made[-1]

    store = GateStore(new_gate)
    first = store.take()
    store.put_back(first)

    assert [first, store.take()] == made


@pytest.mark.parametrize("missing", ["eventfd", "epoll"])
def test_where_the_system_has_no_such_descriptors_gates_are_locks(missing, monkeypatch):
    module = __import__("select") if missing == "epoll" else os
    monkeypatch.delattr(module, missing)

    assert type(GateStore(ThreadGate).take()) is ThreadGate


@pytest.mark.parametrize("failing", ["eventfd", "epoll"])
def test_where_no_descriptor_is_left_a_gate_is_a_lock_and_the_next_one_may_not_be(failing, monkeypatch):
    before = open_descriptors()
    store = GateStore(ThreadGate, most=1)
    module = __import__("select") if failing == "epoll" else os

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(module, failing, fail)
        assert type(store.take()) is ThreadGate

    assert type(store.take()) is DescriptorGate
    store.close()
    assert open_descriptors() == before


@pytest.mark.usefixtures("frequent_switches")
def test_threads_that_take_and_give_back_at_once_never_share_a_gate(store):
    in_use: set[int] = set()
    shared: list[int] = []

    def work() -> None:
        for _ in range(500):
            gate = store.take()
            if type(gate) is DescriptorGate:
                if id(gate) in in_use:
                    shared.append(id(gate))
                in_use.add(id(gate))
                in_use.discard(id(gate))
            store.put_back(gate)

    helpers = [Helper(work) for _ in range(4)]
    for helper in helpers:
        helper.join()

    assert not shared
