"""What threads share without a lock, under threads that switch at every chance.

The same tests hold on a build of Python without the GIL, where the threads truly run at once.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from tempfile import TemporaryFile
from typing import Any

import pytest

from bridge._runtime.body import BodyStream, FileSource, LazySource, MemorySource, Source
from bridge._runtime.loops import LoopGoneError
from bridge._runtime.portal import Portal
from bridge._runtime.portals import own_portal, shared_portal
from bridge._runtime.processes import PerProcess
from bridge._runtime.workers import WorkerPool
from bridge.observing import Record, RequestReport
from tests.backends import Backend
from tests.meeting import TIMEOUT_S, Flag, Helper
from tests.runtime.guests import Guest
from tests.runtime.jobs import Job

THREADS = 4
BODY = bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let the interpreter switch between threads as often as it can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def at_once(function: Callable[[int], Any], threads: int = THREADS) -> list[Any]:
    """Call the function in that many threads, which begin together; return the results in the threads' order."""
    begin = threading.Barrier(threads)

    def run(number: int) -> Any:
        begin.wait(TIMEOUT_S)
        return function(number)

    helpers = [Helper(lambda number=number: run(number)) for number in range(threads)]  # type: ignore[misc]
    return [helper.join(3 * TIMEOUT_S) for helper in helpers]


# ---- Processes ------------------------------------------------------------------------------------------------------


def test_threads_that_come_first_in_a_new_process_get_one_value_and_keep_what_was_inherited_once(
    monkeypatch: pytest.MonkeyPatch,
):
    values: PerProcess[object] = PerProcess(object)
    rounds = 200
    older: list[object] = []
    for pid in range(1, rounds + 1):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)

        got = at_once(lambda _: values.get())

        assert len({id(value) for value in got}) == 1
        assert values.peek() is got[0]
        assert got[0] not in older
        older.append(got[0])
    assert list(values._inherited) == older[:-1]


def test_jobs_that_come_first_in_a_new_process_are_all_run(monkeypatch: pytest.MonkeyPatch):
    """Each of the threads finds out that the pool is of another process; one of them starts anew."""
    for round_ in range(100):
        monkeypatch.setattr(os, "getpid", lambda pid=2 * round_: pid)
        pool = WorkerPool(workers=THREADS, idle_s=0.01)
        monkeypatch.setattr(os, "getpid", lambda pid=2 * round_ + 1: pid)
        jobs = [Job() for _ in range(THREADS)]

        at_once(lambda number, pool=pool, jobs=jobs: pool.submit(jobs[number]))  # type: ignore[misc]

        for job in jobs:
            job.done.wait()
        assert pool.close(TIMEOUT_S)
        assert [job.runs for job in jobs] == [1] * THREADS


# ---- The way into a loop --------------------------------------------------------------------------------------------


def test_what_many_threads_post_is_run_once_each_and_in_the_order_of_each(backend: Backend):
    count = 500
    portal = Portal(backend.name)
    guest = Guest(portal)
    assert portal.enter(guest)
    came: list[tuple[int, int]] = []
    last = Flag("the last callback")

    def note(thread: int, number: int) -> None:
        came.append((thread, number))
        if len(came) == THREADS * count:
            last.set()

    def post_all(thread: int) -> None:
        for number in range(count):
            # The last one wakes the loop by itself: a wake-up that was lost would leave it there.
            portal.port.post(lambda number=number: note(thread, number))  # type: ignore[misc]

    try:
        at_once(post_all)
        last.wait()
    finally:
        portal.leave(guest)
        assert portal.wait_for_end()

    assert sorted(came) == [(thread, number) for thread in range(THREADS) for number in range(count)]
    for thread in range(THREADS):
        assert [number for who, number in came if who == thread] == list(range(count))


def test_who_posts_to_a_loop_that_ends_is_told_so_in_the_end(backend: Backend):
    """Each thread waits for its callbacks now and then, as those that serve do.

    Else each turn of the loop has more callbacks to run than the one before, and it needs several to end.
    """
    for _ in range(10):
        portal = Portal(backend.name)
        guest = Guest(portal)
        assert portal.enter(guest)

        def post_until_it_is_gone(number: int, portal: Portal = portal, guest: Guest = guest) -> None:
            if number == 0:
                portal.leave(guest)
            deadline_s = time.monotonic() + TIMEOUT_S
            posted, ran = 0, 0

            def note() -> None:
                nonlocal ran
                ran += 1

            with pytest.raises(LoopGoneError):
                while time.monotonic() < deadline_s:
                    portal.port.post(note)
                    posted += 1
                    if posted - ran > 20:
                        time.sleep(0)

        at_once(post_until_it_is_gone)
        assert portal.wait_for_end()


# ---- Portals --------------------------------------------------------------------------------------------------------


def test_a_loop_whose_users_come_and_go_at_once_always_runs_for_who_is_in_and_always_ends(backend: Backend):
    for _ in range(15):
        portal = Portal(backend.name)

        def come_and_go(_: int, portal: Portal = portal) -> bool:
            guest, answered = Guest(portal), Flag("the loop's answer")
            if not portal.enter(guest):
                return False  # the last of those who came before has left
            portal.port.post(answered.set)
            answered.wait()
            portal.leave(guest)
            return True

        came = at_once(come_and_go)

        assert any(came)
        assert portal.is_over
        assert portal.wait_for_end()
        assert not portal.is_running


def test_a_loop_that_is_ended_by_others_while_it_starts_ends(backend: Backend):
    for _ in range(15):
        portal = Portal(backend.name)

        def start_or_end(number: int, portal: Portal = portal) -> None:
            if number == 0:
                portal.enter(Guest(portal))
            else:
                portal.end()

        at_once(start_or_end, 2)

        assert portal.is_over
        assert portal.wait_for_end()


def test_threads_that_ask_at_once_share_one_portal_and_own_ones_are_their_own():
    old = shared_portal("asyncio")
    old.end()  # so that a new one is to be made
    got = at_once(lambda _: (shared_portal("asyncio"), own_portal("asyncio")))
    for shared, own in got:
        shared.end()
        own.end()

    assert {id(shared) for shared, _ in got} == {id(got[0][0])}
    assert got[0][0] is not old
    assert len({id(own) for _, own in got}) == THREADS


# ---- Bodies ---------------------------------------------------------------------------------------------------------


def file_source() -> FileSource:
    file: Any = TemporaryFile(buffering=0)  # noqa: SIM115 - the source closes it
    file.write(BODY)
    return FileSource(file)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: MemorySource(BODY), id="in memory"),
        pytest.param(file_source, id="in a file"),
        pytest.param(lambda: LazySource(lambda: MemorySource(BODY)), id="made when it is read"),
    ],
)
def test_threads_that_read_one_body_from_its_beginning_get_disjoint_octets_that_are_all_of_it(
    make: Callable[[], Source],
):
    piece_bytes = 256  # each begins with a zero, so a piece that were torn would show
    for _ in range(5):
        source = make()
        stream = BodyStream(source)

        def read_all(_: int, stream: BodyStream = stream) -> list[bytes]:
            return list(iter(lambda: stream.read(piece_bytes), b""))

        pieces = [piece for part in at_once(read_all) for piece in part]
        if isinstance(source, FileSource):
            source.close()

        assert len(pieces) == len(BODY) // piece_bytes
        assert set(pieces) == {BODY[:piece_bytes]}


def test_a_source_is_made_once_however_many_threads_read_first():
    made: list[int] = []

    def make() -> Source:
        made.append(1)
        return MemorySource(BODY)

    for number in range(50):
        stream = BodyStream(LazySource(make))
        parts = at_once(lambda _, stream=stream: stream.read())  # type: ignore[misc]
        assert sorted(map(len, parts)) == [0] * (THREADS - 1) + [len(BODY)]
        assert len(made) == number + 1


def test_a_file_that_is_closed_while_it_is_read_gives_whole_pieces_or_says_so():
    for _ in range(50):
        source = file_source()
        stream = BodyStream(source)

        def use(number: int, source: FileSource = source, stream: BodyStream = stream) -> list[bytes]:
            if number == 0:
                source.close()
                return []
            pieces: list[bytes] = []
            with suppress(ValueError):
                while piece := stream.read(256):
                    pieces.append(piece)
            return pieces

        for pieces in at_once(use):
            assert set(pieces) <= {BODY[:256]}
        with pytest.raises(ValueError, match=r"closed file|had ended"):
            stream.read(1)


# ---- Records --------------------------------------------------------------------------------------------------------


def test_of_threads_that_finish_a_record_at_once_one_reports_in_every_round():
    reports: list[RequestReport] = []
    rounds = 200
    records = [Record((reports.append,), "asgi_to_wsgi", "GET", f"/{number}") for number in range(rounds)]

    def finish_all(thread: int) -> None:
        for record in records:
            if thread % 2:
                record.finish("aborted")
            else:
                record.fail(answered=True)

    at_once(finish_all)

    assert sorted(report.path for report in reports) == sorted(f"/{number}" for number in range(rounds))
