"""`Backlog` and `RestOfFile`: octets in files, on their way to slow readers."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge._runtime import spooled
from bridge._runtime.allowance import Allowance
from bridge._runtime.spooled import PIECE_BYTES, Backlog, RestOfFile
from tests.leaks import open_descriptors
from tests.meeting import Helper, Hold

MOST_BYTES = 1000


@pytest.fixture
def disk() -> Allowance:
    return Allowance(None)


def failing(number: int) -> Callable[..., Any]:
    """A system call that fails with this error."""

    def call(*_args: Any, **_options: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return call


def held(monkeypatch: pytest.MonkeyPatch, name: str, hold: Hold) -> None:
    """Let each use of this system call stop at the hold before it is made."""
    real = getattr(os, name)

    def call(*args: Any) -> Any:
        hold.stop_here()
        return real(*args)

    monkeypatch.setattr(os, name, call)


def read_all(source: Backlog | RestOfFile) -> bytes:
    pieces = []
    while piece := source.read():
        pieces.append(piece)
    return b"".join(pieces)


# ---- Backlog: the books -----------------------------------------------------------------------------------------


def test_what_is_written_is_read_in_order_until_the_reader_has_caught_up(disk):
    backlog = Backlog(MOST_BYTES, disk)

    assert backlog.write(b"one ")
    assert backlog.write(b"two")

    assert backlog.read() == b"one two"
    assert backlog.write(b" three")
    assert backlog.read() == b" three"
    assert not backlog.is_closed
    assert disk.taken_bytes == 13
    assert backlog.read() == b""
    assert backlog.is_closed
    assert disk.taken_bytes == 0
    assert not backlog.write(b"late")
    assert backlog.read() == b""
    assert disk.taken_bytes == 0


@given(
    steps=st.lists(
        st.one_of(
            st.binary(max_size=300), st.just("read"), st.sampled_from([PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
        ),
        max_size=25,
    ),
    most_bytes=st.sampled_from([0, 1, 500, 100_000, 10_000_000]),
    limit_bytes=st.sampled_from([None, 0, 700, 150_000]),
)
def test_any_sequence_of_steps_loses_nothing_and_keeps_the_books(steps, most_bytes, limit_bytes):
    """What was taken is what is read, and nothing is taken once something was refused or the reader had caught up."""
    disk = Allowance(limit_bytes)
    backlog = Backlog(most_bytes, disk)
    taken, got = b"", b""
    has_caught_up = False
    for step in steps:
        if step == "read":
            piece = backlog.read()
            assert len(piece) <= PIECE_BYTES
            has_caught_up = has_caught_up or not piece
            got += piece
        else:
            octets = step if isinstance(step, bytes) else b"x" * step
            has_room = len(taken) + len(octets) <= most_bytes and (
                limit_bytes is None or len(taken) + len(octets) <= limit_bytes
            )
            assert backlog.write(octets) is (has_room and not has_caught_up)
            if not has_room or has_caught_up:
                break
            taken += octets
        assert disk.taken_bytes == (0 if has_caught_up else len(taken))

    got += read_all(backlog)

    assert got == taken
    assert backlog.is_closed
    assert disk.taken_bytes == 0


def test_a_reader_that_keeps_up_with_a_writer_gets_each_octet_once(disk):
    """Two threads, blocks of any size; what the file does not take is what would go through memory."""
    numbers = random.Random(7)
    blocks = [bytes([number % 256]) * numbers.choice([1, 100, 5000, 70_000]) for number in range(300)]
    for _ in range(5):
        backlog = Backlog(10**9, disk)
        assert backlog.write(blocks[0])
        reader = Helper(lambda backlog=backlog: read_all(backlog))
        taken = [blocks[0]]
        for octets in blocks[1:]:
            if not backlog.write(octets):
                break
            taken.append(octets)

        assert reader.join() == b"".join(taken)
        assert disk.taken_bytes == 0
        assert not backlog.write(b"more")


# ---- Backlog: refusals and failures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most_bytes", "limit_bytes"), [pytest.param(10, None, id="this file"), pytest.param(10**6, 10, id="all files")]
)
def test_octets_that_find_no_room_are_not_taken_in_part(most_bytes, limit_bytes):
    disk = Allowance(limit_bytes)
    backlog = Backlog(most_bytes, disk)

    assert backlog.write(b"12345678")
    assert not backlog.write(b"901")

    assert disk.taken_bytes == 8
    assert read_all(backlog) == b"12345678"
    assert disk.taken_bytes == 0


def test_room_that_another_file_gives_back_can_be_taken():
    disk = Allowance(10)
    first, second = Backlog(10, disk), Backlog(10, disk)

    assert first.write(b"12345678")
    assert not second.write(b"123")
    first.close()
    third = Backlog(10, disk)

    assert third.write(b"1234567890")
    second.close()
    third.close()
    assert disk.taken_bytes == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_disk_that_takes_nothing_is_like_no_room(disk, number, monkeypatch):
    backlog = Backlog(MOST_BYTES, disk)
    assert backlog.write(b"before")

    monkeypatch.setattr(os, "pwrite", failing(number))

    assert not backlog.write(b"after")
    assert disk.taken_bytes == 6
    assert read_all(backlog) == b"before"
    assert disk.taken_bytes == 0


def test_a_disk_that_becomes_full_in_the_middle_gives_nothing_of_that_block_to_the_reader(disk, monkeypatch):
    backlog = Backlog(MOST_BYTES, disk)
    assert backlog.write(b"before")
    real, writes = os.pwrite, []

    def pwrite(descriptor: int, octets: Any, offset: int) -> int:
        writes.append(len(octets))
        if len(writes) > 1:
            raise OSError(errno.ENOSPC, "no space left")
        return real(descriptor, octets[:2], offset)

    monkeypatch.setattr(os, "pwrite", pwrite)

    assert not backlog.write(b"after")
    assert writes == [5, 3]
    assert read_all(backlog) == b"before"
    assert disk.taken_bytes == 0


def test_a_disk_that_takes_octets_one_by_one_gets_them_all(disk, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, octets, offset: real(descriptor, octets[:1], offset))
    backlog = Backlog(MOST_BYTES, disk)

    assert backlog.write(b"one by one")

    assert read_all(backlog) == b"one by one"


def test_a_disk_that_cannot_be_read_is_an_error_and_not_the_end(disk, monkeypatch):
    backlog = Backlog(MOST_BYTES, disk)
    assert backlog.write(b"octets")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", failing(errno.EIO))
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            backlog.read()

    assert not backlog.is_closed
    backlog.close()
    assert disk.taken_bytes == 0


def test_a_file_that_has_lost_what_was_written_is_an_error_and_not_the_end(disk, monkeypatch):
    backlog = Backlog(MOST_BYTES, disk)
    assert backlog.write(b"octets")
    monkeypatch.setattr(os, "pread", lambda *_args: b"")

    with pytest.raises(OSError, match="shorter than what was written"):
        backlog.read()

    backlog.close()
    assert disk.taken_bytes == 0


@pytest.mark.parametrize(
    ("module", "name"), [pytest.param(tempfile, "TemporaryFile", id="file"), pytest.param(os, "dup", id="dup")]
)
def test_without_a_descriptor_there_is_no_backlog_and_nothing_is_left_open(disk, module, name, monkeypatch):
    before = len(open_descriptors())
    monkeypatch.setattr(module, name, failing(errno.EMFILE))

    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        Backlog(MOST_BYTES, disk)

    assert len(open_descriptors()) == before
    assert disk.taken_bytes == 0


# ---- Backlog: closing ---------------------------------------------------------------------------------------------


def test_closing_gives_the_file_and_the_room_back_once(disk):
    before = len(open_descriptors())
    backlog = Backlog(MOST_BYTES, disk)
    assert backlog.write(b"octets")
    assert len(open_descriptors()) == before + 1

    for _ in range(3):
        backlog.close()

    assert len(open_descriptors()) == before
    assert disk.taken_bytes == 0
    assert backlog.read() == b""
    assert not backlog.write(b"more")
    assert disk.taken_bytes == 0


def test_a_reader_that_catches_up_during_a_write_makes_it_go_another_way(disk, monkeypatch):
    """Else the octets would be in a file that nobody reads any more."""
    backlog = Backlog(MOST_BYTES, disk)
    assert backlog.write(b"first")
    hold = Hold("pwrite")
    held(monkeypatch, "pwrite", hold)
    writer = Helper(lambda: backlog.write(b"second"))
    hold.reached.wait()

    assert read_all(backlog) == b"first"
    hold.release()

    assert writer.join() is False
    assert disk.taken_bytes == 0


@pytest.mark.parametrize("step", ["pwrite", "pread"])
def test_closing_does_not_wait_for_the_disk_and_takes_no_descriptor_away_from_its_user(disk, step, monkeypatch):
    backlog = Backlog(MOST_BYTES, disk)
    assert backlog.write(b"first")
    before = len(open_descriptors())
    hold = Hold(step)
    held(monkeypatch, step, hold)
    user = Helper(lambda: backlog.write(b"second") if step == "pwrite" else backlog.read())
    hold.reached.wait()

    backlog.close()  # returns at once

    assert backlog.is_closed
    assert len(open_descriptors()) == before  # the user has it still
    hold.release()
    assert user.join() == (False if step == "pwrite" else b"first")
    assert len(open_descriptors()) == before - 1
    assert disk.taken_bytes == 0


# ---- RestOfFile ---------------------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    return file


def rest_of(path: Path, offset_bytes: int = 0, left_bytes: int | None = None) -> RestOfFile:
    with path.open("rb") as file:
        return RestOfFile(file.fileno(), offset_bytes, left_bytes)


@pytest.mark.parametrize(
    ("offset", "left"),
    [
        pytest.param(0, None, id="all"),
        pytest.param(0, len(CONTENT), id="all by length"),
        pytest.param(1000, None, id="the rest"),
        pytest.param(1000, 5, id="a few"),
        pytest.param(1000, PIECE_BYTES, id="a piece"),
        pytest.param(1000, PIECE_BYTES + 1, id="a piece and an octet"),
        pytest.param(1000, 0, id="nothing"),
        pytest.param(len(CONTENT), None, id="nothing is there"),
    ],
)
def test_the_part_that_is_meant_is_read_after_its_owner_has_closed_and_deleted_it(path, offset, left):
    rest = rest_of(path, offset, left)
    path.unlink()

    assert read_all(rest) == CONTENT[offset : None if left is None else offset + left]

    assert rest.read() == b""
    rest.close()
    rest.close()
    assert rest.read() == b""


def test_the_position_of_the_owner_is_left_alone(path):
    with path.open("rb") as file:
        file.seek(77)
        rest = RestOfFile(file.fileno(), 1000, 50)

        assert read_all(rest) == CONTENT[1000:1050]

        assert file.tell() == 77
        rest.close()
        assert file.read(1) == CONTENT[77:78]


@pytest.mark.parametrize("left", [0, 1, PIECE_BYTES, len(CONTENT) - 1])
def test_a_file_that_has_become_shorter_is_an_error_and_not_the_end(path, left):
    rest = rest_of(path, 0, len(CONTENT))
    os.truncate(path, left)

    with pytest.raises(OSError, match=f"{len(CONTENT) - left} bytes shorter"):
        read_all(rest)

    rest.close()


def test_without_a_descriptor_there_is_no_rest(path, monkeypatch):
    monkeypatch.setattr(os, "dup", failing(errno.EMFILE))

    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        rest_of(path)


def test_closing_waits_for_no_reader_and_takes_nothing_away_from_it(path, monkeypatch):
    rest = rest_of(path)
    before = len(open_descriptors())
    hold = Hold("pread")
    held(monkeypatch, "pread", hold)
    reader = Helper(rest.read)
    hold.reached.wait()

    rest.close()

    assert len(open_descriptors()) == before
    hold.release()
    assert reader.join() == CONTENT[:PIECE_BYTES]
    assert len(open_descriptors()) == before - 1


def test_files_can_be_read_and_written_by_two_threads_at_once_here():
    assert spooled.can_spool == (os.name == "posix")
