"""The explorer: it finds what is wrong, says how it came about, and leaves no outcome out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import factorial, prod
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interleavings import toys
from tests.interleavings.execution import Execution
from tests.interleavings.primitives import Condition, Event, Lock, Semaphore
from tests.interleavings.schedules import (
    DEEP,
    NotRepeatableError,
    Report,
    ScheduleError,
    TooManySchedulesError,
    explore,
    replay,
)


def taking(*locks: Lock) -> Callable[[], None]:
    """Return what takes these locks, one inside the other."""

    def run() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)

    return run


# ---- Nothing is left out ---------------------------------------------------------------------------------------------

DEEDS = (
    "read a",
    "write a",
    "read b",
    "write b",
    "lock a",
    "lock b",
    "acquire a",
    "release a",
    "try a",
    "acquire a timed",
)
PROGRAMS = st.lists(st.lists(st.sampled_from(DEEDS), min_size=1, max_size=3), min_size=2, max_size=3)


def outcomes(programs: list[list[str]], *, is_reduced: bool, preemptions: int | None = None) -> set[object]:
    """Return everything that can come of these programs: what each thread has seen, and where it stands."""
    seen: set[object] = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        values = {"a": 0, "b": 0}
        locks, semaphores = {"a": Lock(), "b": Lock()}, {"a": Semaphore(0)}
        logs: list[list[object]] = [[] for _ in programs]

        def deeds(number: int) -> Iterator[object]:
            for deed in programs[number]:
                verb, name, *timed = deed.split()
                subject = execution.subject(values, name, name)
                if verb == "read":
                    execution.announce(subject.look)
                    yield values[name]
                elif verb == "write":
                    execution.announce(subject.touch)
                    values[name] = number + 1
                elif verb == "lock":
                    with locks[name]:
                        execution.announce(subject.touch)
                        values[name] += 10
                        now = values[name]
                    yield now
                elif verb == "release":
                    semaphores[name].release()
                elif verb == "try":
                    yield semaphores[name].acquire(blocking=False)
                else:
                    yield semaphores[name].acquire(timeout=1.0 if timed else None)

        for number in range(len(programs)):
            execution.start(
                lambda number=number: logs[number].extend(deeds(number)),  # type: ignore[misc]
                f"thread {number}",
                is_background=True,
                timeouts=1,
            )
        ended = execution.threads

        def look() -> None:
            seen.add((tuple(map(tuple, logs)), tuple(values.items()), tuple(thread.has_ended for thread in ended)))

        return look

    explore(scenario, is_reduced=is_reduced, preemptions=preemptions)
    return seen


def schedules_at_the_most(programs: list[list[str]]) -> int:
    """Count all orders of the programs' steps."""
    steps = [2 + sum(3 if deed.startswith("lock") else 1 for deed in program) for program in programs]
    return factorial(sum(steps)) // prod(map(factorial, steps))


@settings(max_examples=300 if DEEP else 25, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(PROGRAMS.filter(lambda programs: schedules_at_the_most(programs) <= (100_000 if DEEP else 2000)))
@pytest.mark.parametrize("preemptions", [None, 0, 1, 2])
def test_the_reduction_leaves_no_outcome_out(preemptions: int | None, programs: list[list[str]]) -> None:
    reduced = outcomes(programs, is_reduced=True, preemptions=preemptions)

    assert reduced == outcomes(programs, is_reduced=False, preemptions=preemptions)


def test_threads_that_share_nothing_have_one_schedule() -> None:
    def scenario(execution: Execution) -> None:
        for number in range(3):
            execution.start(taking(Lock()), str(number))

    assert explore(scenario) == Report(schedules=1, repeats=0, steps=12)


@pytest.mark.parametrize(("threads", "orders"), [(2, 2), (3, 6), (4, 24)])
def test_threads_that_share_a_lock_have_a_schedule_for_each_order(threads: int, orders: int) -> None:
    def scenario(execution: Execution) -> None:
        lock = Lock()
        for number in range(threads):
            execution.start(taking(lock), str(number))

    assert explore(scenario).schedules == orders


# ---- What is wrong is found ------------------------------------------------------------------------------------------


def test_a_deadlock_is_found_and_told() -> None:
    def scenario(execution: Execution) -> None:
        left, right = Lock(), Lock()
        for name, first, second in (("one", left, right), ("two", right, left)):
            execution.start(taking(first, second), name)

    with pytest.raises(ScheduleError, match="deadlock: one, two can never go on") as found:
        explore(scenario)

    assert found.value.trace.count("stands here") == 2
    assert "acquires Lock 2" in found.value.trace
    assert "test_schedules.py" in found.value.trace


def test_a_lost_update_in_one_line_is_found() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        counter = toys.Counter()
        execution.start(counter.increase, "one")
        execution.start(counter.increase, "two")

        def look() -> None:
            assert counter.value == 2

        return look

    with pytest.raises(ScheduleError, match="the outcome is wrong") as found:
        explore(scenario)

    assert "reads Counter.value 1" in found.value.trace
    assert "self.value += 1" in found.value.trace


CHANNELS = [
    pytest.param(toys.LosesWakeUps, "deadlock: taker can never go on", id="looks at the flag before it puts"),
    pytest.param(toys.ClearsLate, "deadlock: taker can never go on", id="clears the flag after it took"),
    pytest.param(toys.DeliversTwice, "taken: ", id="two takers look before they take"),
    pytest.param(toys.NotifiesOne, "deadlock: ", id="wakes one where two wait for different things"),
]


@pytest.mark.parametrize(("channel", "what"), CHANNELS)
def test_a_broken_channel_is_found_out(channel: Any, what: str) -> None:
    with pytest.raises(ScheduleError, match=what) as found:
        explore(toys.through(channel))

    assert found.value.schedule in str(found.value)


def test_a_channel_without_fault_passes() -> None:
    report = explore(toys.through(toys.Sound))

    assert report.schedules > 1


def test_the_schedule_of_a_failure_gives_the_same_trace_again() -> None:
    scenario = toys.through(toys.ClearsLate)
    with pytest.raises(ScheduleError) as found:
        explore(scenario)

    assert replay(scenario, found.value.schedule) == found.value.trace


def test_an_exception_in_a_thread_fails_the_schedule_in_which_it_comes() -> None:
    order: list[str] = []

    def scenario(execution: Execution) -> None:
        lock = Lock()
        order.clear()

        def first() -> None:
            with lock:
                order.append("first")

        def second() -> None:
            with lock:
                if order:
                    raise ValueError("too late")

        execution.start(first, "first")
        execution.start(second, "second")

    with pytest.raises(ScheduleError, match="second raises ValueError: too late"):
        explore(scenario)


def test_a_thread_that_turns_in_circles_is_found() -> None:
    def scenario(execution: Execution) -> None:
        lock = Lock()

        def turn() -> None:
            while True:
                lock.locked()

        execution.start(turn, "turning")

    with pytest.raises(ScheduleError, match="no end after 2000 steps"):
        explore(scenario)


def test_threads_in_the_background_may_wait_for_ever() -> None:
    def scenario(execution: Execution) -> None:
        execution.start(Event().wait, "resting", is_background=True)

    assert explore(scenario).schedules == 1


# ---- Time-outs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("timeouts", "results"), [(0, {True}), (1, {True, False})])
def test_a_wait_runs_out_of_time_only_where_the_scenario_says_so(timeouts: int, results: set[bool]) -> None:
    seen = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        event = Event()
        waiter = execution.start(lambda: event.wait(0.25), "waiter", timeouts=timeouts)
        execution.start(event.set, "setter")
        return lambda: seen.add(waiter.result)

    explore(scenario)

    assert seen == results


def test_a_wait_that_is_not_woken_is_a_deadlock_although_it_has_a_time_limit() -> None:
    def scenario(execution: Execution) -> None:
        execution.start(lambda: Event().wait(0.25), "waiter")

    with pytest.raises(ScheduleError, match="deadlock: waiter"):
        explore(scenario)


@pytest.mark.parametrize("preemptions", [None, 1])
def test_a_way_that_is_opened_twice_is_gone_after_the_first_time_too(preemptions: int | None) -> None:
    outcomes: set[int] = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        bell, news, seen = Semaphore(0), Semaphore(0), []

        def ring_twice() -> None:
            bell.release()
            news.release()
            bell.release()

        def look_once() -> None:
            bell.acquire()
            seen.append(news.acquire(blocking=False))

        execution.start(ring_twice, "ringer")
        execution.start(look_once, "looker")
        return lambda: outcomes.update(seen)

    explore(scenario, preemptions=preemptions)

    assert outcomes == {False, True}


def test_a_condition_gives_its_lock_up_while_it_waits() -> None:
    def scenario(execution: Execution) -> None:
        lock = Lock()
        condition = Condition(lock)
        flags: list[bool] = []

        def wait() -> None:
            with lock:
                assert condition.wait_for(lambda: flags)

        def tell() -> None:
            with lock:
                flags.append(True)
                condition.notify_all()

        execution.start(wait, "waiter")
        execution.start(tell, "teller")

    assert explore(scenario).schedules == 2


# ---- What an exploration needs ---------------------------------------------------------------------------------------


def test_a_scenario_that_is_too_large_is_an_error_not_a_success() -> None:
    def scenario(execution: Execution) -> None:
        lock = Lock()
        for number in range(5):
            execution.start(taking(lock), str(number))

    with pytest.raises(TooManySchedulesError, match="more than 100"):
        explore(scenario, at_most=100)


def test_a_scenario_that_does_something_else_each_time_is_refused() -> None:
    calls = []

    def scenario(execution: Execution) -> None:
        calls.append(1)
        lock, other = Lock(), Event()
        begin = other.set if len(calls) == 1 else other.clear
        execution.start(lambda: [begin(), lock.acquire()], "first", is_background=True)
        execution.start(lock.acquire, "second", is_background=True)

    with pytest.raises(NotRepeatableError, match="first does not do"):
        explore(scenario)
