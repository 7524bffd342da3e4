"""`Inflow`: octets from a loop to threads, asked for one piece at a time."""

from __future__ import annotations

import pytest

from bridge._runtime.inflow import Inflow
from tests.meeting import Helper, until


class LostError(Exception):
    """The loop has ended."""


class LateError(Exception):
    """No octet came in time."""


class GoneError(Exception):
    """The reason of a test."""


class Ends:
    """An inflow and its owner, which counts the questions; its loop runs until it is told not to."""

    def __init__(self, timeout_s: float | None = None) -> None:
        self.questions = 0
        self.loop_runs = True
        self.inflow = Inflow(timeout_s, self)

    def ask(self) -> None:
        self.questions += 1

    def is_loop_running(self) -> bool:
        return self.loop_runs

    def loop_is_gone(self) -> Exception:
        return LostError("lost")

    def body_is_late(self) -> Exception:
        return LateError("late")

    def read(self, size: int = 100) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: self.inflow.readinto(memoryview(buffer))])

    def reading(self, size: int = 100) -> Helper:
        """Start a thread that reads; it waits when this returns."""
        before = self._waiters()
        helper = Helper(lambda: self.read(size))
        until(lambda: self._waiters() == before + 1, "the thread waits")
        return helper

    def _waiters(self) -> int:
        return len(self.inflow._condition._waiters)


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_nothing_is_asked_for_before_somebody_reads(ends):
    assert ends.questions == 0


def test_the_first_read_asks_once_and_waits_for_the_answer(ends):
    thread = ends.reading()
    assert ends.questions == 1
    assert not thread.is_done

    ends.inflow.feed(b"answer")

    assert thread.join() == b"answer"


def test_several_readers_ask_one_question(ends):
    first, second = ends.reading(3), ends.reading(3)
    assert ends.questions == 1

    ends.inflow.feed(b"abc")
    until(lambda: first.is_done or second.is_done)
    assert ends.questions == 2  # the answer has been used up: the next one is asked for
    ends.inflow.feed(b"def")

    assert {first.join(), second.join()} == {b"abc", b"def"}


def test_one_piece_is_asked_for_ahead_when_the_last_one_has_been_used_up(ends):
    ends.inflow.feed(b"abcd")

    assert ends.read(3) == b"abc"
    assert ends.questions == 0
    assert ends.read(3) == b"d"
    assert ends.questions == 1


def test_no_second_piece_is_asked_for_before_the_first_one_has_come(ends):
    ends.inflow.feed(b"ab")
    ends.inflow.feed(b"cd")

    assert (ends.read(), ends.read()) == (b"ab", b"cd")
    assert ends.questions == 1


def test_a_read_takes_what_is_there_and_no_more_than_it_has_room_for(ends):
    ends.inflow.feed(b"abcdef")

    assert (ends.read(4), ends.inflow.held_bytes) == (b"abcd", 2)
    assert (ends.read(4), ends.inflow.held_bytes) == (b"ef", 0)


def test_a_read_of_nothing_neither_waits_nor_asks(ends):
    assert ends.read(0) == b""
    assert ends.questions == 0


def test_the_end_comes_after_the_octets_and_stays(ends):
    ends.inflow.feed(b"ab")
    ends.inflow.end()

    assert [ends.read(), ends.read(), ends.read()] == [b"ab", b"", b""]
    assert ends.questions == 0


def test_the_end_wakes_a_reader(ends):
    thread = ends.reading()

    ends.inflow.end()

    assert thread.join() == b""


def test_the_reason_comes_after_the_octets_and_stays(ends):
    ends.inflow.feed(b"ab")
    ends.inflow.feed(b"cd")
    ends.inflow.close(GoneError("gone"))

    assert (ends.read(1), ends.read(), ends.read()) == (b"a", b"b", b"cd")
    for _ in range(2):
        with pytest.raises(GoneError):
            ends.read()
    assert ends.questions == 0  # nobody is there to answer


def test_closing_wakes_every_reader_with_the_reason(ends):
    threads = [ends.reading() for _ in range(3)]
    reason = GoneError("gone")

    ends.inflow.close(reason)

    for thread in threads:
        with pytest.raises(GoneError):
            thread.join()
        assert thread.error is reason


def test_the_first_reason_stays(ends):
    first = GoneError("first")

    ends.inflow.close(first)
    ends.inflow.close(GoneError("second"))

    with pytest.raises(GoneError) as raised:
        ends.read()
    assert raised.value is first


def test_a_body_that_has_ended_is_not_cut_by_closing(ends):
    ends.inflow.feed(b"ab")
    ends.inflow.end()

    ends.inflow.close(GoneError("the request is over"))

    assert (ends.read(), ends.read()) == (b"ab", b"")


def test_a_reader_gives_up_when_no_octet_comes_in_time():
    ends = Ends(timeout_s=0.02)

    with pytest.raises(LateError):
        ends.read()
    assert ends.questions == 1
    with pytest.raises(LateError):  # the question is still open: it is not asked again
        ends.read()
    assert ends.questions == 1
    ends.inflow.feed(b"late")
    assert ends.read() == b"late"


def test_a_reader_notices_that_the_loop_has_ended(ends):
    thread = ends.reading()

    ends.loop_runs = False

    with pytest.raises(LostError):
        thread.join()


def test_a_question_that_fails_is_the_readers_error_and_takes_no_octets_with_it(ends):
    """The octets are there; that no more will come is for the next read to say."""

    def fail():
        raise LostError("the loop has ended")

    ends.ask = fail
    ends.inflow.feed(b"ab")

    assert ends.read() == b"ab"


def test_a_detached_inflow_asks_nobody_and_nobody_waits_for_ever():
    ends = Ends(timeout_s=0.02)
    ends.inflow.detach()

    with pytest.raises(RuntimeError, match="over"):
        ends.read()

    assert ends.questions == 0
