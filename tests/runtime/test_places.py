"""Threads that wait for a loop, or for a client, leave their places to others, and take them again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bridge._runtime import links
from bridge._runtime.inflow import Inflow
from bridge._runtime.links import wait
from bridge._runtime.outflow import Outflow
from tests.meeting import Flag, Helper


class Owner:
    """The owner of a channel; its loop runs until it is told not to."""

    loop_runs = True

    def notify(self) -> None:
        return

    notify_soon = notify_shortly = ask = notify

    def is_loop_running(self) -> bool:
        return self.loop_runs

    def loop_is_gone(self) -> Exception:
        return ConnectionError("the loop is gone")

    def body_is_late(self) -> Exception:
        return TimeoutError("late")


class FakePlace:
    """A place that can be left, and counts."""

    def __init__(self, *, can_leave: bool = True) -> None:
        self.asked = 0
        self.back = 0
        self.left = Flag("the place was left")
        self._can_leave = can_leave

    def step_aside(self) -> bool:
        self.asked += 1
        self.left.set()
        return self._can_leave

    def step_back(self) -> None:
        self.back += 1


def outflow_waits(owner: Owner, place: FakePlace) -> tuple[Callable[[], object], dict[str, Callable[[], object]]]:
    outflow: Outflow[bytes] = Outflow(100, owner)
    outflow.put((b"x" * 200,), 200)
    outflow.take()
    return (
        lambda: outflow.wait_for_room(None, place),
        {
            "goes on": lambda: outflow.sent(1, 200),
            "client gone": lambda: outflow.close(ConnectionError("gone")),
            "loop gone": lambda: setattr(owner, "loop_runs", False),
        },
    )


def inflow_waits(owner: Owner, place: FakePlace) -> tuple[Callable[[], object], dict[str, Callable[[], object]]]:
    inflow = Inflow(None, owner, 0, place)
    return (
        lambda: inflow.readinto(memoryview(bytearray(10))),
        {
            "goes on": lambda: inflow.feed(b"octets"),
            "client gone": lambda: inflow.close(ConnectionError("gone")),
            "loop gone": lambda: setattr(owner, "loop_runs", False),
        },
    )


@pytest.mark.parametrize("channel", [outflow_waits, inflow_waits], ids=["outflow", "inflow"])
@pytest.mark.parametrize("ending", ["goes on", "client gone", "loop gone"])
@pytest.mark.parametrize("can_leave", [True, False], ids=["leaves", "stays"])
def test_who_waits_for_long_leaves_its_place_and_takes_it_again_in_every_ending(
    channel, ending, can_leave, monkeypatch
):
    monkeypatch.setattr(links, "_LOOK_EVERY_S", 0.01)
    owner, place = Owner(), FakePlace(can_leave=can_leave)
    begin, endings = channel(owner, place)
    thread = Helper(begin)
    place.left.wait()

    endings[ending]()

    if ending == "goes on":
        assert thread.join()
    else:
        with pytest.raises(ConnectionError):
            thread.join()
    assert place.back == (1 if can_leave else 0)


def test_a_wait_that_is_over_at_once_leaves_no_place():
    place = FakePlace()
    outflow: Outflow[bytes] = Outflow(100, Owner())

    assert outflow.wait_for_room(None, place)

    assert place.asked == 0


@pytest.mark.parametrize("timeout_s", [None, 60])
def test_a_thread_that_is_told_of_progress_all_the_time_leaves_its_place_too(timeout_s):
    """A client that trickles: something goes out in each slice of the wait, and it is never enough."""
    place = FakePlace()
    lock = threading.Lock()
    condition = threading.Condition(lock)
    is_enough = False

    def waits() -> bool:
        with lock:
            return wait(condition, Owner(), lambda: is_enough, timeout_s, place)

    thread = Helper(waits)
    trickling = threading.Event()

    def trickle() -> None:
        while not trickling.wait(0.02):
            with lock:
                condition.notify_all()

    trickler = Helper(trickle)
    try:
        place.left.wait()
    finally:
        trickling.set()
        trickler.join()
        with lock:
            is_enough = True
            condition.notify_all()

    assert thread.join() is True
    assert place.back == 1


def test_many_short_waits_for_a_body_are_one_long_one():
    """A client that sends a piece now and then holds its reader's place no longer than one that sends nothing."""
    place = FakePlace()
    inflow = Inflow(0.01, Owner(), place=place)
    inflow._has_asked = True

    waits = 0
    while not place.asked:
        with pytest.raises(TimeoutError):
            inflow.readinto(memoryview(bytearray(1)))
        waits += 1
        assert waits < 1000

    assert waits > 1
    assert place.back == 1
