"""A file between a worker and a slow reader under all schedules: no octet is lost, and it is given back once."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.modules import File
from tests.interleavings.points import copy_of
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

_real = copy_of("bridge._runtime.spooled")
_wrong = copy_of("tests.interleavings.mutants.backlogs")
_real.tempfile = SimpleNamespace(TemporaryFile=lambda **_: File())
Allowance: Any = copy_of("bridge._runtime.allowance").Allowance
Backlog: Any = _real.Backlog

PIECES = [b"ab", b"c", b"de", b"f"]


def through_a_file(
    backlog_type: Any = Backlog, *, pieces: int = 2, closes: bool = False, most_bytes: int = 100
) -> Scenario:
    """A worker that appends, a reader that reads to the end, and perhaps a client that leaves."""

    def scenario(execution: Execution) -> Callable[[], None]:
        disk = Allowance(None)
        backlog = backlog_type(most_bytes, disk)
        file = backlog._file._descriptor
        assert backlog.write(PIECES[0])  # handed over with something in it
        accepted, read = [PIECES[0]], []

        def write() -> None:
            for piece in PIECES[1:pieces]:
                if not backlog.write(piece):
                    return
                accepted.append(piece)

        def read_all() -> None:
            while octets := backlog.read():
                read.append(octets)

        execution.start(write, "worker")
        execution.start(read_all, "reader")
        if closes:
            execution.start(backlog.close, "closer")

        def look() -> None:
            whole = b"".join(accepted)
            got = b"".join(read)
            assert got == (whole[: len(got)] if closes else whole), f"accepted: {accepted}, read: {read}"
            assert backlog.is_closed
            assert file.closings == 1, f"closed {file.closings} times"
            assert disk.taken_bytes == 0, f"{disk.taken_bytes} bytes are not given back"

        return look

    return scenario


@pytest.mark.parametrize("most_bytes", [2, 100])
@pytest.mark.parametrize("pieces", [1, 2, 3, 4] if DEEP else [1, 2, 3])
def test_what_was_accepted_is_read_before_the_end(pieces: int, most_bytes: int) -> None:
    explore(through_a_file(pieces=pieces, most_bytes=most_bytes), preemptions=None if pieces < 3 + DEEP else 2)


@pytest.mark.parametrize("pieces", [1, 2])
def test_closing_at_any_moment_gives_everything_back_once(pieces: int) -> None:
    explore(through_a_file(pieces=pieces, closes=True), preemptions=None if DEEP or pieces == 1 else 1)


def test_a_file_that_is_being_read_is_closed_when_that_is_done() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        file = File(b"abc")
        rest = _real.RestOfFile(file, 1, None)
        read: list[bytes] = []

        def read_all() -> None:
            while octets := rest.read():
                read.append(octets)

        execution.start(read_all, "reader")
        execution.start(rest.close, "closer")

        def look() -> None:
            assert b"".join(read) in (b"", b"bc")
            assert file.closings == 1

        return look

    explore(scenario)


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------

WRONG = [
    pytest.param("LooksOnce", False, "accepted: |given back", id="looks once whether the reader has caught up"),
    pytest.param("ClosesAtOnce", True, "closed", id="closes at once"),
]


@pytest.mark.parametrize(("fault", "closes", "what"), WRONG)
def test_a_file_made_wrong_is_found_out(fault: str, closes: bool, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(through_a_file(getattr(_wrong, fault), closes=closes), preemptions=3)
