"""`Mailbox`: messages from a loop to threads, each to one of them, bounded in bytes."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from bridge._runtime import links
from bridge._runtime.mailbox import MESSAGE_OVERHEAD_BYTES, Mailbox
from tests.meeting import TIMEOUT_S, Helper, until

HIGH_BYTES = 1000
FILLING_BYTES = HIGH_BYTES + 1 - MESSAGE_OVERHEAD_BYTES
"""The size of a message that fills a mailbox by itself."""


class LostError(Exception):
    """The loop has ended."""


class GoneError(Exception):
    """The reason of a test."""


class Ends:
    """A mailbox and its owner, which counts the calls for more; its loop runs until it is told not to."""

    def __init__(self, high_water_bytes: int = HIGH_BYTES) -> None:
        self.rooms = 0
        self.loop_runs = True
        self.mailbox: Mailbox[object] = Mailbox(high_water_bytes, self, self._on_room)

    def _on_room(self) -> None:
        self.rooms += 1

    def is_loop_running(self) -> bool:
        return self.loop_runs

    def loop_is_gone(self) -> Exception:
        return LostError("lost")

    def put(self, *messages: object, size_bytes: int = 0) -> list[bool]:
        return [self.mailbox.put(message, size_bytes) for message in messages]

    def take_all(self) -> list[object]:
        """Take what is there; None is no message of these tests."""
        return list(iter(lambda: self.mailbox.take(0), None))

    def taking(self, timeout_s: float | None = None) -> Helper:
        """Start a thread that takes one message; it waits when this returns."""
        before = self._waiters()
        helper = Helper(lambda: self.mailbox.take(timeout_s))
        until(lambda: self._waiters() == before + 1, "the thread waits")
        return helper

    def _waiters(self) -> int:
        return len(self.mailbox._waiting)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.mailbox.close(GoneError("the end of the test"))  # gives back what a thread has waited for


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a thread that waits be woken by a notification or not at all: no look at the loop makes up for one."""
    monkeypatch.setattr(links, "_LOOK_EVERY_S", 10 * TIMEOUT_S)


# ---- Messages ---------------------------------------------------------------------------------------------------


def test_messages_come_out_in_the_order_they_went_in(ends):
    ends.put("a", b"b", "", ("d",))

    assert ends.take_all() == ["a", b"b", "", ("d",)]


def test_a_message_wakes_a_thread_that_waits_for_it(ends):
    thread = ends.taking()
    assert not thread.is_done

    ends.put("news")

    assert thread.join() == "news"


def test_each_of_several_threads_gets_a_message_of_its_own(ends):
    threads = [ends.taking() for _ in range(3)]

    ends.put("a", "b", "c")

    assert sorted(thread.join() for thread in threads) == ["a", "b", "c"]


def test_one_message_wakes_one_thread_and_the_others_wait_on(ends):
    threads = [ends.taking() for _ in range(3)]

    ends.put("a")
    until(lambda: any(thread.is_done for thread in threads))

    assert [thread.result for thread in threads if thread.is_done] == ["a"]
    ends.put("b", "c")
    assert sorted(thread.join() for thread in threads) == ["a", "b", "c"]


@pytest.mark.parametrize("timeout_s", [0, 0.02, -1])
def test_a_thread_that_waits_in_vain_gets_nothing_and_the_next_one_misses_nothing(ends, timeout_s):
    assert ends.mailbox.take(timeout_s) is None

    ends.put("late")

    assert ends.mailbox.take(timeout_s) == "late"


def test_a_wait_without_a_limit_outlasts_many_looks_at_the_loop(ends, monkeypatch):
    monkeypatch.setattr(links, "_LOOK_EVERY_S", 0.001)
    looks = threading.Semaphore(0)
    ends.is_loop_running = lambda: looks.release() or True
    thread = Helper(lambda: ends.mailbox.take(None))

    assert all(looks.acquire(timeout=TIMEOUT_S) for _ in range(20))
    ends.put("at last")

    assert thread.join() == "at last"


# ---- Bounds -----------------------------------------------------------------------------------------------------


def test_what_waits_is_counted_with_what_a_message_costs_besides_its_content(ends):
    ends.put("a", "b", size_bytes=100)
    assert ends.mailbox.held_bytes == 2 * (100 + MESSAGE_OVERHEAD_BYTES)

    ends.mailbox.take(0)
    assert ends.mailbox.held_bytes == 100 + MESSAGE_OVERHEAD_BYTES

    ends.mailbox.take(0)
    assert ends.mailbox.held_bytes == 0


@pytest.mark.parametrize(
    ("size_bytes", "is_full"),
    [pytest.param(FILLING_BYTES - 1, False, id="at the mark"), pytest.param(FILLING_BYTES, True, id="over the mark")],
)
def test_the_message_that_goes_over_the_mark_is_taken_in_and_said_to_be_the_last(ends, size_bytes, is_full):
    assert ends.put("m", size_bytes=size_bytes) == [not is_full]

    assert ends.mailbox.is_full == is_full
    assert ends.take_all() == ["m"]


def test_empty_messages_fill_it_too():
    ends = Ends(10 * MESSAGE_OVERHEAD_BYTES)

    assert ends.put(*[""] * 11) == [True] * 10 + [False]


def test_there_is_room_when_half_of_it_has_been_taken_and_not_before():
    ends = Ends(10 * MESSAGE_OVERHEAD_BYTES)
    ends.put(*range(1, 12))

    for left in range(10, 5, -1):
        ends.mailbox.take(0)
        assert (ends.mailbox.is_full, ends.rooms) == (True, 0), f"{left} left"
    ends.mailbox.take(0)

    assert (ends.mailbox.is_full, ends.rooms) == (False, 1)


def test_room_is_told_of_once_for_each_filling(ends):
    for filling in range(1, 4):
        ends.put("a", "b", "c", size_bytes=HIGH_BYTES)

        assert ends.take_all() == ["a", "b", "c"]
        assert (ends.rooms, ends.mailbox.is_full) == (filling, False)


def test_nothing_is_told_of_room_where_it_was_never_full(ends):
    for _ in range(5):
        ends.put("a", "b", size_bytes=10)
        ends.take_all()

    assert ends.rooms == 0


def test_it_stays_full_until_room_is_told_of_although_more_is_put_in():
    """A loop that has been told to stop may have the rest of a piece in its hands; it still waits for the call."""
    ends = Ends(10 * MESSAGE_OVERHEAD_BYTES)
    assert ends.put(*range(1, 12))[-1] is False
    for _ in range(3):
        ends.mailbox.take(0)

    assert ends.put("the rest") == [False]

    assert (ends.mailbox.is_full, ends.rooms) == (True, 0)
    ends.take_all()
    assert (ends.mailbox.is_full, ends.rooms) == (False, 1)


def test_more_may_be_put_in_by_who_is_told_of_room():
    put_in: list[bool] = []
    ends = Ends()
    ends.mailbox = Mailbox(HIGH_BYTES, ends, lambda: put_in.append(ends.mailbox.put("more", 0)))
    ends.put("first", size_bytes=FILLING_BYTES)

    thread = Helper(lambda: ends.mailbox.take(0))

    assert thread.join() == "first"
    assert put_in == [True]
    assert ends.take_all() == ["more"]


# ---- Endings ----------------------------------------------------------------------------------------------------


def test_the_reason_comes_after_the_messages_and_stays(ends):
    reason = GoneError("gone")
    ends.put("a", "b")

    ends.mailbox.close(reason)

    assert [ends.mailbox.take(None), ends.mailbox.take(0)] == ["a", "b"]
    for timeout_s in (None, 0):
        with pytest.raises(GoneError) as raised:
            ends.mailbox.take(timeout_s)
        assert raised.value is reason


def test_closing_wakes_every_thread_with_the_reason(ends):
    threads = [ends.taking() for _ in range(3)]
    reason = GoneError("gone")

    ends.mailbox.close(reason)

    for thread in threads:
        with pytest.raises(GoneError):
            thread.join()
        assert thread.error is reason


def test_threads_that_wait_get_what_was_put_before_closing(ends):
    threads = [ends.taking() for _ in range(3)]

    ends.put("last")
    ends.mailbox.close(GoneError("gone"))

    until(lambda: all(thread.is_done for thread in threads))
    assert sorted(str(thread.error or thread.result) for thread in threads) == ["gone", "gone", "last"]


def test_the_first_reason_stays(ends):
    first = GoneError("first")

    ends.mailbox.close(first)
    ends.mailbox.close(GoneError("second"))

    with pytest.raises(GoneError) as raised:
        ends.mailbox.take(0)
    assert raised.value is first


def test_what_is_put_after_closing_is_dropped(ends):
    ends.mailbox.close(GoneError("gone"))

    ends.put("late", size_bytes=FILLING_BYTES)

    assert (ends.mailbox.held_bytes, ends.mailbox.is_full) == (0, False)
    with pytest.raises(GoneError):
        ends.mailbox.take(0)


def test_a_thread_notices_that_the_loop_has_ended(ends, monkeypatch):
    monkeypatch.setattr(links, "_LOOK_EVERY_S", 0.005)
    thread = ends.taking()

    ends.loop_runs = False

    with pytest.raises(LostError):
        thread.join()


def test_what_is_there_is_taken_although_the_loop_has_ended(ends):
    ends.put("a")
    ends.loop_runs = False

    assert ends.mailbox.take(None) == "a"


# ---- Under stress -----------------------------------------------------------------------------------------------


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let the interpreter switch between threads as often as it can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("takers", [1, 4])
def test_under_stress_each_message_is_taken_once_in_order_and_the_loop_is_always_called_back(takers):
    count, high_bytes = 1500, 4 * MESSAGE_OVERHEAD_BYTES
    room = threading.Event()
    calls = Counter[str]()

    def on_room() -> None:
        calls["room"] += 1  # there is no second one before the next filling, so nobody else counts now
        room.set()

    mailbox: Mailbox[int] = Mailbox(high_bytes, Ends(), on_room)

    def put_all() -> None:
        for number in range(count):
            if not mailbox.put(number, 0):
                calls["full"] += 1
                assert room.wait(TIMEOUT_S), "nobody has told of room"
                room.clear()
        mailbox.close(GoneError("all of it"))

    def take_all() -> list[int]:
        taken: list[int] = []
        try:
            while (number := mailbox.take(TIMEOUT_S)) is not None:
                assert mailbox.held_bytes <= high_bytes + MESSAGE_OVERHEAD_BYTES
                taken.append(number)
        except GoneError:
            return taken
        raise AssertionError("a message was late")

    threads = [Helper(take_all) for _ in range(takers)]
    Helper(put_all).join()
    parts = [thread.join() for thread in threads]

    assert all(part == sorted(part) for part in parts)
    assert sorted(number for part in parts for number in part) == list(range(count))
    assert calls["room"] == calls["full"] > 0
    assert mailbox.held_bytes == 0
