"""`Inflow` under all schedules: octets come in order, once, are asked for once, and whoever waits is released."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.primitives import Event
from tests.interleavings.scenes import ClosedError, LateError, LostError, Owner
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

Inflow: Any = copy_of("bridge._runtime.inflow").Inflow
_wrong = copy_of("tests.interleavings.mutants.inflows")

PIECES = [b"ab", b"c", b"de", b"f"]


class Upload:
    """An inflow, the loop's side of it, and what was read."""

    def __init__(self, inflow_type: Any, pieces: list[bytes], low_water_bytes: int, timeout_s: float | None) -> None:
        self.owner = Owner()
        self.inflow = inflow_type(timeout_s, self.owner, low_water_bytes)
        self.is_closing = Event()
        self.read: list[bytes] = []
        self.errors: list[Exception] = []
        self._left = list(pieces)
        self._low_water_bytes = low_water_bytes

    def feed(self) -> None:
        """Be the loop side: a piece when asked; with a low-water mark, as long as less than twice that is there."""
        inflow, low_water_bytes = self.inflow, self._low_water_bytes
        while True:
            self.owner.bell.acquire()
            if self.is_closing.is_set():
                inflow.close(ClosedError("gone"))
                return
            while inflow.held_bytes < max(1, 2 * low_water_bytes):
                if not self._left:
                    inflow.end()
                    return
                inflow.feed(self._left.pop(0))
                if not low_water_bytes:
                    break

    def read_all(self, size: int = 2) -> None:
        """Read to the end, or until it is said why there is none."""
        buffer = bytearray(size)
        try:
            while count := self.inflow.readinto(memoryview(buffer)):
                self.read.append(bytes(buffer[:count]))
        except (ClosedError, LateError, LostError) as error:
            self.errors.append(error)

    def close_by_the_loop(self) -> None:
        self.is_closing.set()
        self.owner.bell.release()


def reading(
    inflow_type: Any = Inflow,
    *,
    pieces: int = 2,
    readers: int = 1,
    low_water: int = 0,
    size: int = 2,
    closes: bool = False,
) -> Scenario:
    """Readers, and a loop that feeds what they ask for; the body may be cut off."""

    def scenario(execution: Execution) -> Callable[[], None]:
        upload = Upload(inflow_type, PIECES[:pieces], low_water, None)
        for number in range(readers):
            execution.start(lambda: upload.read_all(size), f"reader {number}")
        execution.start(upload.feed, "loop", is_background=closes)
        if closes:
            execution.start(upload.close_by_the_loop, "closer")

        def look() -> None:
            whole = b"".join(PIECES[:pieces])
            read = b"".join(upload.read)
            if closes:
                assert len(upload.errors) in (0, readers)
            else:
                assert not upload.errors
            if readers == 1:
                assert read == (whole if not upload.errors else whole[: len(read)]), f"read: {upload.read}"
                assert upload.errors or upload.inflow.held_bytes == 0
            elif not closes:
                assert sorted(read) == sorted(whole), f"read: {upload.read}"
            assert upload.owner.notifications <= pieces + 1 + closes, "asked too often"

        return look

    return scenario


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("low_water", [0, 3])
@pytest.mark.parametrize("pieces", [0, 1, 2, 3, 4] if DEEP else [0, 1, 2])
def test_one_reader_gets_all_octets_in_order(pieces: int, low_water: int, size: int) -> None:
    explore(reading(pieces=pieces, low_water=low_water, size=size))


@pytest.mark.parametrize("pieces", [0, 1])
def test_two_readers_get_each_octet_once_and_both_see_the_end(pieces: int) -> None:
    explore(reading(pieces=pieces, readers=2))


@pytest.mark.parametrize(("readers", "pieces"), [(1, 0), (1, 1), (1, 2), (2, 0)])
def test_a_body_that_is_cut_off_at_any_moment_releases_every_reader(readers: int, pieces: int) -> None:
    explore(reading(pieces=pieces, readers=readers, closes=True))


def test_a_reader_that_has_waited_too_long_is_told_unless_a_piece_came() -> None:
    outcomes = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        upload = Upload(Inflow, PIECES[:1], 0, 0.25)
        reader = execution.start(upload.read_all, "reader", timeouts=1)
        execution.start(upload.feed, "loop", is_background=True)

        def look() -> None:
            outcomes.add((b"".join(upload.read), *map(type, upload.errors)))
            assert not upload.errors or reader.now_s >= 1000.25

        return look

    explore(scenario)

    assert outcomes == {(b"ab",), (b"", LateError), (b"ab", LateError)}


@pytest.mark.parametrize("looks", [0, 2])
def test_a_reader_whose_loop_ends_without_a_word_is_told(looks: int) -> None:
    outcomes = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        upload = Upload(Inflow, PIECES[:1], 0, None)
        upload.owner = owner = Owner(looks)
        upload.inflow = Inflow(None, owner)
        execution.start(upload.read_all, "reader", timeouts=looks + 8)  # for two waits
        # A loop that has fed one piece, perhaps.
        execution.start(lambda: upload.inflow.feed(b"ab"), "loop")
        return lambda: outcomes.add((b"".join(upload.read), *map(type, upload.errors)))

    explore(scenario)

    assert (b"ab", LostError) in outcomes
    assert outcomes <= {(b"ab", LostError), (b"", LostError)}


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------

WRONG = [
    pytest.param("FeedsSilently", reading, "deadlock: reader", id="says nothing of a piece"),
    pytest.param("ClosesSilently", partial(reading, closes=True), "deadlock: reader", id="says nothing of its end"),
    pytest.param("WakesOne", partial(reading, pieces=0, readers=2), "deadlock: reader", id="wakes one of two"),
    pytest.param("AsksUnlocked", reading, "deadlock|too often", id="notes without the lock"),
]


@pytest.mark.parametrize(("fault", "scenario", "what"), WRONG)
def test_an_inflow_made_wrong_is_found_out(fault: str, scenario: Any, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(scenario(getattr(_wrong, fault)))
