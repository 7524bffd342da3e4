"""Threads that take turns run in one order only, and a measurement that does not settle says so."""

from __future__ import annotations

import select
import threading

import pytest

from tests.cost import turns as turns_module
from tests.cost.counting import Meter, UnsteadyError
from tests.cost.turns import StandstillError, Turns, _look_at


def test_threads_run_in_the_order_in_which_they_came_to_wait_and_who_settles_runs_last() -> None:
    turns = Turns()
    seen: list[str] = []

    def work(name: str) -> None:
        turns.meet()
        for step in range(2):
            seen.append(f"{name}{step}")
            turns.wait(lambda: True)
        turns.leave()

    turns.begin()
    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for number, thread in enumerate(threads):
        thread.start()
        while len(turns._waiting) <= number:  # it waits for its first turn, in bounded time or the join below fails
            thread.join(0.001)
            assert thread.is_alive()
    turns.settle()
    seen.append("last")
    turns.end()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()

    assert seen == ["a0", "b0", "a1", "b1", "last"]


def test_a_standstill_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE_S", 0.01)
    turns = Turns()
    turns.begin()

    with pytest.raises(StandstillError, match="all threads wait"):
        turns.wait(lambda: False)


def test_a_look_at_an_epoll_takes_nothing_from_it() -> None:
    if not hasattr(select, "epoll"):
        pytest.skip("there is no epoll on this system")
    import os

    reader, writer = os.pipe()
    try:
        with select.epoll() as epoll:
            epoll.register(reader, select.EPOLLIN | select.EPOLLET)
            look = _look_at(epoll)
            assert not look(0)

            os.write(writer, b"x")

            assert look(0)
            assert look(0)
            assert epoll.poll(0) == [(reader, select.EPOLLIN)]
            assert not look(0)
    finally:
        os.close(reader)
        os.close(writer)


def test_work_that_never_costs_the_same_is_an_error() -> None:
    meter = Meter("caller")

    with pytest.raises(UnsteadyError, match="never cost the same"):
        for number in meter.rounds():
            meter.turns.switches += number
