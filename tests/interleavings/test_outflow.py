"""`Outflow` under all schedules: nothing is lost, doubled or out of order, and whoever waits is released."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.primitives import Event
from tests.interleavings.scenes import ClosedError, LostError, Owner
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

_real = copy_of("bridge._runtime.outflow")
_wrong = copy_of("tests.interleavings.mutants.outflows")
Outflow: Any = _real.Outflow

ITEM_BYTES = 100
HELD_BYTES = ITEM_BYTES + _real.ITEM_OVERHEAD_BYTES
END = "end"


def block(number: int) -> bytes:
    return bytes([number]) * ITEM_BYTES


class Ends:
    """An outflow, what the loop side has got from it, and how the thread side fared."""

    def __init__(self, outflow_type: Any, high_water_bytes: int) -> None:
        self.owner = Owner()
        self.outflow = outflow_type(high_water_bytes, self.owner)
        self.got: list[Any] = []
        self.reasons: list[Exception] = []
        self.is_closing = Event()

    def receive(self, *, takes_all: bool) -> None:
        """Be the loop side, as that of a WebSocket (``takes_all``) or of a response."""
        outflow, is_finished = self.outflow, False
        while not is_finished:
            if takes_all or self.is_closing.is_set() or not outflow.has_items:
                self.owner.bell.acquire()
            if self.is_closing.is_set():
                outflow.close(ClosedError("gone"))
                items, is_finished = outflow.take()
            else:
                items, is_finished = outflow.take() if takes_all else outflow.take_some(1)
            self.got.extend(items)
            counted = [item for item in items if item is not END]  # what `finish` hands over is not waited for
            if counted:
                outflow.sent(len(counted), ITEM_BYTES * sum(isinstance(item, bytes) for item in counted))
        outflow.detach()

    def close_by_the_loop(self) -> None:
        """Let the loop side close the channel, wherever it is."""
        self.is_closing.set()
        self.owner.bell.release()


def sending(
    count: int,
    *,
    outflow_type: Any = Outflow,
    high_water: int = 1,
    takes_all: bool = True,
    waits: str = "for room",
    closes: bool = False,
) -> Scenario:
    """One thread puts blocks and waits, the loop side takes them; a third party may close the channel."""

    def scenario(execution: Execution) -> Callable[[], None]:
        ends = Ends(outflow_type, high_water * HELD_BYTES)
        outflow = ends.outflow

        def thread() -> None:
            error = None
            try:
                for number in range(count):
                    outflow.put((block(number),), ITEM_BYTES)
                    if waits == "for room":
                        assert outflow.wait_for_room(None)
                if waits == "until sent":
                    assert outflow.wait_until_sent(None)
                    assert closes or len(ends.got) == count
            except ClosedError as reason:
                error = reason
            outflow.finish(error, (END,))

        execution.start(thread, "thread")
        execution.start(lambda: ends.receive(takes_all=takes_all), "loop")
        if closes:
            execution.start(lambda: outflow.close(ClosedError("gone")), "closer")

        def look() -> None:
            whole = [*map(block, range(count)), END]
            assert ends.got == whole[: len(ends.got)], "out of order"
            if not closes:
                assert ends.got == whole, "something is missing"
            assert outflow.held_bytes == 0, "counted wrongly"
            error = outflow.take_error()
            assert error is None or error is outflow.reason

        return look

    return scenario


@pytest.mark.parametrize("waits", ["for room", "until sent", "for nothing"])
@pytest.mark.parametrize("count", [1, 2, 3, 4] if DEEP else [1, 2, 3])
def test_every_item_arrives_once_and_in_order(count: int, waits: str) -> None:
    explore(sending(count, waits=waits))


@pytest.mark.parametrize("waits", ["for room", "until sent", "for nothing"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_item_arrives_once_and_in_order_if_the_loop_takes_some_at_a_time(count: int, waits: str) -> None:
    preemptions = 3 if DEEP and count > 2 else 2 if count > 1 and not DEEP else None
    explore(sending(count, takes_all=False, waits=waits), preemptions=preemptions)


@pytest.mark.parametrize("waits", ["for room", "until sent"])
@pytest.mark.parametrize("count", [1, 2])
def test_closing_at_any_moment_releases_whoever_puts_or_waits(count: int, waits: str) -> None:
    explore(sending(count, waits=waits, closes=True))


def slow_client(outflow_type: Any = Outflow, *, puts: int = 2, closes: bool = False) -> Scenario:
    """A thread that puts blocks, takes back what is unsent, and hands a file with it over instead."""

    def scenario(execution: Execution) -> Callable[[], None]:
        ends = Ends(outflow_type, HELD_BYTES)
        outflow = ends.outflow

        def thread() -> None:
            try:
                for number in range(puts):
                    outflow.put((block(number),), ITEM_BYTES)
                withdrawn = outflow.withdraw()
                outflow.put((("file", *withdrawn),), 0)
                outflow.put((block(puts),), ITEM_BYTES)
                assert outflow.wait_until_sent(None)  # the end would wake the loop in any case
            except ClosedError:
                pass
            outflow.finish()

        execution.start(thread, "thread")
        execution.start(lambda: ends.receive(takes_all=False), "loop")
        if closes:
            execution.start(ends.close_by_the_loop, "closer")

        def look() -> None:
            whole = [*map(block, range(puts + 1))]
            got = [part for item in ends.got for part in (item[1:] if isinstance(item, tuple) else (item,))]
            assert got == whole[: len(got)], "out of order"
            if not closes:
                assert got == whole, "something is missing"
                assert outflow.held_bytes == 0, "counted wrongly"

        return look

    return scenario


@pytest.mark.parametrize(("puts", "preemptions"), [(1, 2), (2, 3), (3, 2), *[(3, 3), (4, 3)] * DEEP])
def test_what_is_taken_back_arrives_in_its_place(puts: int, preemptions: int | None) -> None:
    explore(slow_client(puts=puts), preemptions=preemptions)


def test_closing_releases_a_slow_clients_worker_too() -> None:
    explore(slow_client(closes=True), preemptions=2 if DEEP else 1)


@pytest.mark.parametrize("looks", [0, 2])
@pytest.mark.parametrize("waits", ["wait_for_room", "wait_until_sent"])
def test_a_loop_that_ends_without_a_word_is_noticed(waits: str, looks: int) -> None:
    results = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        owner = Owner(looks)
        outflow = Outflow(0, owner)

        def thread() -> str:
            outflow.put((block(0),), ITEM_BYTES)
            try:
                getattr(outflow, waits)(None)
            except LostError:
                return "lost"
            return "sent"

        def loop() -> None:
            owner.bell.acquire()
            outflow.take()
            outflow.sent(1, ITEM_BYTES)

        waiter = execution.start(thread, "thread", timeouts=looks + 4)
        execution.start(loop, "loop", is_background=True)
        return lambda: results.add(waiter.result)

    explore(scenario)

    assert results == {"sent", "lost"}


def test_a_wait_that_runs_out_of_time_says_so_only_if_nothing_was_sent() -> None:
    results = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        ends = Ends(Outflow, 0)
        outflow = ends.outflow

        def thread() -> bool:
            outflow.put((block(0),), ITEM_BYTES)
            outflow.put((block(1),), ITEM_BYTES)
            in_time: bool = outflow.wait_for_room(0.5)
            return in_time

        def loop() -> None:
            outflow.sent(1, ITEM_BYTES)
            outflow.sent(1, ITEM_BYTES)

        waiter = execution.start(thread, "thread", timeouts=8)
        execution.start(loop, "loop", is_background=True)

        def look() -> None:
            results.add(waiter.result)
            assert waiter.result or waiter.now_s >= 1000.5

        return look

    explore(scenario)

    assert results == {True, False}


class Place:
    """Where the thread works."""

    def __init__(self, *, has_spare: bool) -> None:
        self.has_spare = has_spare
        self.away = 0
        self.times = 0

    def step_aside(self) -> bool:
        self.away += self.has_spare
        self.times += self.has_spare
        return self.has_spare

    def step_back(self) -> None:
        self.away -= 1


@pytest.mark.parametrize("has_spare", [True, False])
def test_whoever_steps_aside_steps_back_whatever_ends_the_wait(has_spare: bool) -> None:
    times = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        ends = Ends(Outflow, 0)
        outflow, place = ends.outflow, Place(has_spare=has_spare)

        def thread() -> None:
            try:
                outflow.put((block(0),), ITEM_BYTES)
                outflow.wait_for_room(None, place)
            except ClosedError:
                pass
            assert place.away == 0

        execution.start(thread, "thread", timeouts=2)
        execution.start(lambda: outflow.sent(1, ITEM_BYTES), "loop")
        execution.start(lambda: outflow.close(ClosedError("gone")), "closer")
        return lambda: times.add(place.times)

    explore(scenario)

    assert times == ({0, 1} if has_spare else {0})


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------

WRONG = [
    pytest.param("ClearsLate", partial(sending, 2, waits="until sent"), "deadlock", id="clears the flag late"),
    pytest.param("LooksFirst", partial(sending, 2, waits="until sent"), "deadlock: thread", id="looks before it puts"),
    pytest.param("FinishesFirst", partial(sending, 1, waits="for nothing"), "missing", id="says first that it is over"),
    pytest.param("SendsSilently", partial(sending, 2), "deadlock: thread", id="says nothing of room"),
    pytest.param("ClosesSilently", partial(sending, 2, closes=True), "deadlock: thread", id="says nothing of its end"),
    pytest.param("CountsWithoutLock", partial(sending, 2), "deadlock|counted", id="counts without the lock"),
    pytest.param("WithdrawsSilently", slow_client, "deadlock", id="takes back without a word"),
]


@pytest.mark.parametrize(("fault", "scenario", "what"), WRONG)
def test_an_outflow_made_wrong_is_found_out(fault: str, scenario: Any, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(scenario(outflow_type=getattr(_wrong, fault)), preemptions=3)
