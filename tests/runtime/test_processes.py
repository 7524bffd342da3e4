"""What belongs to one process: made once in it, and never shared with the one it was forked from."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest

from bridge._runtime.processes import PerProcess
from tests.meeting import TIMEOUT_S, Helper


class Value:
    """Something that can be told from others, and watched."""


@pytest.fixture
def pretend_fork(monkeypatch):
    """Return a function after which this process seems to be another one."""

    def fork(pid: int) -> None:
        monkeypatch.setattr(os, "getpid", lambda: pid)

    return fork


def test_nothing_is_made_before_it_is_asked_for():
    made: list[int] = []

    value = PerProcess(lambda: made.append(1))

    assert value.peek() is None
    assert not made


def test_a_process_gets_the_same_value_each_time():
    values = PerProcess(Value)

    first = values.get()

    assert values.get() is first
    assert values.peek() is first


def test_threads_that_race_for_the_first_value_get_the_same_one():
    """All of them have made one when the first is stored: the others are dropped."""
    together = threading.Barrier(8)

    def make() -> Value:
        together.wait(TIMEOUT_S)
        return Value()

    values = PerProcess(make)
    helpers = [Helper(values.get) for _ in range(8)]

    assert len({id(helper.join()) for helper in helpers}) == 1
    assert helpers[0].result is values.get()


def test_another_process_gets_another_value(pretend_fork):
    values = PerProcess(Value)
    parents = values.get()

    pretend_fork(os.getpid() + 1)

    assert values.peek() is None
    childs = values.get()
    assert childs is not parents
    assert values.get() is childs


def test_what_was_inherited_is_kept_without_being_used(pretend_fork):
    """To collect it could close what both processes share."""
    values = PerProcess(Value)
    parents = weakref.ref(values.get())

    for generation in (1, 2):
        pretend_fork(os.getpid() + generation)
        values.get()
    gc.collect()

    assert parents() is not None
    assert parents() is not values.get()


def test_a_process_with_the_number_of_an_ancestor_gets_a_value_of_its_own(pretend_fork):
    """Numbers are used again; each generation forgets the ones before."""
    values = PerProcess(Value)
    number = os.getpid()
    ancestors = values.get()
    pretend_fork(number + 1)
    values.get()

    pretend_fork(number)

    assert values.peek() is None
    assert values.get() is not ancestors
