"""`Outflow`: items from a thread to a loop, with backpressure and three endings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge._runtime import outflow as outflow_module
from bridge._runtime.outflow import ITEM_OVERHEAD_BYTES, Outflow
from tests.meeting import Helper, until

HIGH_BYTES = 1000


class LostError(Exception):
    """The loop has ended."""


class GoneError(Exception):
    """The reason of a test."""


class Ends:
    """An outflow and its owner, which counts the notifications; its loop runs until it is told not to."""

    def __init__(self, high_water_bytes: int = HIGH_BYTES) -> None:
        self.notifications = 0
        self.loop_runs = True
        self.outflow: Outflow[bytes] = Outflow(high_water_bytes, self)

    def notify(self) -> None:
        self.notifications += 1

    notify_soon = notify_shortly = notify

    def is_loop_running(self) -> bool:
        return self.loop_runs

    def loop_is_gone(self) -> Exception:
        return LostError("lost")

    def put(self, *blocks: bytes) -> None:
        self.outflow.put(blocks, sum(map(len, blocks)))

    def fill(self) -> None:
        """Put so much that whoever waits for room must wait."""
        self.put(b"x" * (HIGH_BYTES + 1))

    def sent_all(self) -> None:
        items, _ = self.outflow.take()
        self.outflow.sent(len(items), sum(map(len, items)))

    def waiting(self, wait, *args) -> Helper:
        """Start a thread that waits; it does wait when this returns."""
        before = self._waiters()
        helper = Helper(lambda: wait(*args))
        until(lambda: self._waiters() == before + 1, "the thread waits")
        return helper

    def _waiters(self) -> int:
        condition = self.outflow._condition
        return 0 if condition is None else len(condition._waiters)


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_items_arrive_whole_and_in_order(ends):
    ends.put(b"a", b"b")
    ends.put(b"c")

    items, is_finished = ends.outflow.take()

    assert (list(items), is_finished) == ([b"a", b"b", b"c"], False)
    assert list(ends.outflow.take()[0]) == []


def test_the_loop_is_notified_once_until_it_has_taken(ends):
    ends.put(b"a")
    ends.put(b"b")
    assert ends.notifications == 1

    ends.outflow.take()
    ends.put(b"c")
    ends.put(b"d")

    assert ends.notifications == 2


def test_finishing_notifies_like_an_item_and_is_seen_with_the_last_items(ends):
    ends.put(b"a")
    ends.outflow.finish()
    assert ends.notifications == 1
    assert ends.outflow.is_finished

    items, is_finished = ends.outflow.take()

    assert (list(items), is_finished) == ([b"a"], True)


def test_finishing_without_items_notifies(ends):
    ends.outflow.take()

    ends.outflow.finish()

    assert ends.notifications == 1
    assert ends.outflow.take()[1]


def test_nothing_can_be_put_after_finishing(ends):
    ends.outflow.finish()

    with pytest.raises(RuntimeError, match="is over"):
        ends.put(b"a")


def test_the_error_of_finishing_is_handed_over_once(ends):
    error = ValueError("the application failed")

    ends.outflow.finish(error)

    assert ends.outflow.take_error() is error
    assert ends.outflow.take_error() is None


def test_what_is_held_counts_octets_and_an_overhead_per_item(ends):
    ends.put(b"12345", b"")

    assert ends.outflow.held_bytes == 5 + 2 * ITEM_OVERHEAD_BYTES
    items, _ = ends.outflow.take()
    assert ends.outflow.held_bytes == 5 + 2 * ITEM_OVERHEAD_BYTES  # taken is not yet sent
    ends.outflow.sent(len(items), 5)
    assert ends.outflow.held_bytes == 0


def test_below_the_high_water_mark_nobody_waits(ends):
    ends.put(b"x" * (HIGH_BYTES - ITEM_OVERHEAD_BYTES))

    assert ends.outflow.wait_for_room(0) is True


def test_above_the_high_water_mark_a_thread_waits_until_half_has_been_sent(ends):
    for _ in range(3):
        ends.put(b"x" * 400)
    thread = ends.waiting(ends.outflow.wait_for_room, None)

    ends.outflow.sent(1, 400)
    until(lambda: ends._waiters() == 1)  # woken, looked, and waits again: more than half is unsent
    assert not thread.is_done
    ends.outflow.sent(1, 400)

    assert thread.join() is True


def test_waiting_until_all_is_sent_is_over_when_nothing_is_held(ends):
    ends.put(b"a", b"b")
    thread = ends.waiting(ends.outflow.wait_until_sent, None)

    ends.outflow.sent(1, 1)
    until(lambda: ends._waiters() == 1)
    assert not thread.is_done
    ends.outflow.sent(1, 1)

    assert thread.join() is True
    assert ends.outflow.wait_until_sent(0) is True


@pytest.mark.parametrize("wait", ["wait_for_room", "wait_until_sent"])
def test_waiting_without_progress_ends_when_the_time_is_up(ends, wait):
    ends.fill()

    assert getattr(ends.outflow, wait)(0.02) is False


def test_progress_gives_a_waiting_thread_new_time(ends, monkeypatch):
    """The clock is replaced by a script: the time runs out twice, once with and once without progress."""
    ends.fill()
    waits = []

    def wait(condition, link, is_over, timeout_s, place, slices):
        waits.append(timeout_s)
        if len(waits) == 1:
            ends.outflow.reports += 1
        return False

    monkeypatch.setattr(outflow_module, "wait", wait)

    assert ends.outflow.wait_for_room(5) is False
    assert waits == [5, 5]


def test_closing_wakes_every_waiting_thread_with_the_reason(ends):
    ends.fill()
    reason = GoneError("the client left")
    threads = [
        ends.waiting(wait, None)
        for wait in (ends.outflow.wait_for_room, ends.outflow.wait_until_sent, ends.outflow.wait_for_room)
    ]

    ends.outflow.close(reason)

    for thread in threads:
        with pytest.raises(GoneError):
            thread.join()
        assert thread.error is reason


def test_after_closing_nothing_is_taken_and_nothing_held(ends):
    ends.fill()
    reason = GoneError("the client left")

    ends.outflow.close(reason)

    assert ends.outflow.held_bytes == 0
    assert list(ends.outflow.take()[0]) == []
    assert ends.outflow.reason is reason
    with pytest.raises(GoneError):
        ends.put(b"more")
    with pytest.raises(GoneError):
        ends.outflow.wait_until_sent(0)


def test_what_was_on_its_way_while_closing_is_not_counted_twice(ends):
    ends.put(b"abc")
    ends.outflow.take()
    ends.outflow.close(GoneError("gone"))

    ends.outflow.sent(1, 3)

    assert ends.outflow.held_bytes == 0


def test_the_first_reason_stays(ends):
    first = GoneError("first")

    ends.outflow.close(first)
    ends.outflow.close(GoneError("second"))

    assert ends.outflow.reason is first


def test_finishing_never_raises_the_reason(ends):
    ends.outflow.close(GoneError("gone"))

    ends.outflow.finish()

    assert ends.outflow.take()[1] is True


def test_a_waiting_thread_notices_that_the_loop_has_ended(ends):
    ends.fill()
    thread = ends.waiting(ends.outflow.wait_for_room, None)

    ends.loop_runs = False

    with pytest.raises(LostError):
        thread.join()


def test_finishing_hands_the_last_items_over(ends):
    ends.put(b"a")

    ends.outflow.finish(None, (b"b", b"c"))

    items, is_finished = ends.outflow.take()
    assert (list(items), is_finished) == ([b"a", b"b", b"c"], True)


@pytest.mark.parametrize(("put", "last"), [((), (b"a", b"b")), ((b"a",), (b"b",)), ((b"a", b"b"), ())])
def test_when_the_thread_has_finished_all_is_seen_at_once(ends, put, last):
    for block in put:
        ends.put(block)
    assert list(ends.outflow.all_at_once()) == []
    ends.outflow.finish(None, last)

    assert list(ends.outflow.all_at_once()) == [b"a", b"b"]
    assert ends.outflow.take() == ([b"a", b"b"], True)
    assert list(ends.outflow.all_at_once()) == []


def test_nothing_is_seen_after_closing(ends):
    ends.put(b"a")
    ends.outflow.close(GoneError("gone"))
    ends.outflow.finish(None, (b"b",))

    assert list(ends.outflow.all_at_once()) == []


def test_what_is_taken_in_parts_ends_with_the_last_items(ends):
    ends.put(b"a", b"b")
    ends.outflow.finish(None, (b"c",))

    assert ends.outflow.take_some(1) == ([b"a"], False)
    assert ends.outflow.has_items
    assert ends.outflow.take_some(1) == ([b"b", b"c"], True)
    assert not ends.outflow.has_items


def test_the_last_items_are_dropped_when_nobody_takes_them(ends):
    ends.outflow.close(GoneError("gone"))

    ends.outflow.finish(None, (b"a",))

    assert ends.outflow.take() == ([], True)


def test_a_loop_that_stands_still_for_a_moment_has_not_ended(ends):
    """Between two runs of one asyncio loop it does not run; one look that finds it still proves nothing."""
    looks = []

    def is_loop_running():
        looks.append(len(looks))
        return len(looks) != 1  # still at the first look only

    ends.is_loop_running = is_loop_running
    ends.fill()
    thread = ends.waiting(ends.outflow.wait_for_room, None)

    until(lambda: len(looks) >= 2)
    assert not thread.is_done
    ends.sent_all()

    assert thread.join() is True


def test_a_detached_outflow_notifies_nobody(ends):
    ends.outflow.detach()

    ends.put(b"a")
    ends.outflow.finish()

    assert ends.notifications == 0


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(st.binary(max_size=9), min_size=1, max_size=3)),
        st.sampled_from([("take", None), ("sent", None), ("finish", None), ("close", None)]),
    ),
    max_size=30,
)


@given(OPERATIONS)
def test_any_sequence_of_steps_keeps_the_books(operations):
    """The model: what was put and not sent is held; one notification per change the loop side has not seen."""
    ends = Ends()
    queued: list[bytes] = []
    taken: list[bytes] = []
    notifications = 0
    is_told = is_finished = is_closed = False
    for operation, blocks in operations:
        if operation == "put":
            if is_closed or is_finished:
                with pytest.raises(GoneError if is_closed else RuntimeError):
                    ends.put(*blocks)
                continue
            ends.put(*blocks)
            queued += blocks
            notifications, is_told = notifications + (not is_told), True
        elif operation == "finish" and not is_finished:
            ends.outflow.finish()
            notifications, is_told = notifications + (not is_told or not queued), True
            is_finished = True
        elif operation == "take":
            items, said_finished = ends.outflow.take()
            assert (list(items), said_finished) == (queued, is_finished)
            taken, queued = taken + queued, []
            is_told = is_finished
        elif operation == "sent" and taken:
            ends.outflow.sent(len(taken), sum(map(len, taken)))
            taken = []
        elif operation == "close":
            ends.outflow.close(GoneError("gone"))
            is_closed = True
            queued = []
        held = 0 if is_closed else sum(len(block) + ITEM_OVERHEAD_BYTES for block in queued + taken)
        assert ends.outflow.held_bytes == held
        assert ends.notifications == notifications
