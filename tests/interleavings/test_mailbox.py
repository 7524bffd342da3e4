"""`Mailbox` under all schedules: each message goes to one thread, in order, and nobody waits beside a message."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.primitives import Semaphore
from tests.interleavings.scenes import ClosedError, LostError, Owner
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

_real = copy_of("bridge._runtime.mailbox")
_wrong = copy_of("tests.interleavings.mutants.mailboxes")
Mailbox: Any = _real.Mailbox

COST_BYTES = 100 + _real.MESSAGE_OVERHEAD_BYTES
PLENTY_BYTES = 1000


def passing(
    mailbox_type: Any = Mailbox,
    *,
    messages: int = 2,
    takers: int = 1,
    high_water_bytes: int = PLENTY_BYTES,
    timeouts: int = 0,
    closes: bool = True,
) -> Scenario:
    """A loop that puts messages, and threads that take until they are told that it is over, or their time is up.

    Without an end, the last of the threads has no limit to its time.
    """

    def scenario(execution: Execution) -> Callable[[], None]:
        room = Semaphore(0)
        mailbox = mailbox_type(high_water_bytes, Owner(), room.release)
        taken: list[list[str]] = [[] for _ in range(takers)]
        given_up: list[int] = []

        def put() -> None:
            for number in range(messages):
                if not mailbox.put(f"message {number}", 100):
                    room.acquire()
            if closes:
                mailbox.close(ClosedError("over"))

        def take(number: int) -> Callable[[], None]:
            def run() -> None:
                try:
                    while True:
                        message = mailbox.take(0.25 if timeouts else None)
                        if message is None:
                            given_up.append(number)
                            return
                        taken[number].append(message)
                except ClosedError:
                    pass

            return run

        execution.start(put, "loop", is_background=True)
        for number in range(takers):
            is_last = number == takers - 1
            has_time = 0 if is_last and not closes else timeouts and timeouts + messages  # for each `take`
            execution.start(take(number), f"taker {number}", timeouts=has_time, is_background=not closes and is_last)

        def look() -> None:
            whole = [f"message {number}" for number in range(messages)]
            if len(given_up) < takers:  # who is left takes what is left, without being closed
                assert sorted(chain(*taken)) == whole, f"taken: {taken}"
                assert mailbox.held_bytes == 0
            else:
                assert set(chain(*taken)) <= set(whole)
            for mine in taken:
                assert mine == sorted(mine), f"out of order: {mine}"

        return look

    return scenario


@pytest.mark.parametrize("messages", [0, 1, 2, 3, 4] if DEEP else [0, 1, 2, 3])
def test_one_thread_takes_all_messages_in_order(messages: int) -> None:
    explore(passing(messages=messages))


@pytest.mark.parametrize("messages", [0, 1, 2])
def test_two_threads_take_each_message_once_and_both_see_the_end(messages: int) -> None:
    explore(passing(messages=messages, takers=2), preemptions=None if messages < 2 else 3 if DEEP else 2)


@pytest.mark.parametrize("takers", [1, 2])
def test_a_full_mailbox_tells_the_loop_once_there_is_room(takers: int) -> None:
    explore(passing(messages=2, takers=takers, high_water_bytes=1), preemptions=None if DEEP or takers == 1 else 1)


@pytest.mark.parametrize("closes", [True, False])
def test_a_message_that_meets_a_thread_whose_time_is_up_is_not_forgotten(closes: bool) -> None:
    explore(passing(messages=1, takers=2, timeouts=1, closes=closes), preemptions=3 if DEEP else 2)


def test_a_thread_whose_loop_ends_without_a_word_leaves_its_message_to_another() -> None:
    outcomes = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        class OneLoses(Owner):
            def is_loop_running(self) -> bool:
                assert execution.running is not None
                return execution.running.name != "loser"

        mailbox = Mailbox(PLENTY_BYTES, OneLoses(), lambda: None)
        got: list[str] = []

        def take() -> None:
            try:
                got.append(mailbox.take(None))
            except LostError:
                got.append("lost")

        execution.start(lambda: mailbox.put("message", 0), "loop")
        execution.start(take, "loser", timeouts=8)  # woken in vain, it begins to count anew
        execution.start(take, "taker", is_background=True)

        def look() -> None:
            outcomes.add(tuple(sorted(got)))
            assert "message" in got

        return look

    explore(scenario, preemptions=None if DEEP else 2)

    assert outcomes == {("message",), ("lost", "message")}


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------

WRONG = [
    pytest.param(
        "ForgetsItsTurn",
        partial(passing, messages=1, takers=2, timeouts=1, closes=False),
        "taken: ",
        id="forgets its turn",
    ),
    pytest.param("ClosesForOne", partial(passing, messages=0, takers=2), "deadlock: taker", id="closes for one of two"),
    pytest.param("LooksOutside", partial(passing, closes=False), "taken: ", id="looks before it puts"),
    pytest.param("NotesLate", partial(passing, high_water_bytes=1), "deadlock", id="notes that it is full too late"),
]


@pytest.mark.parametrize(("fault", "scenario", "what"), WRONG)
def test_a_mailbox_made_wrong_is_found_out(fault: str, scenario: Any, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(scenario(getattr(_wrong, fault)))
