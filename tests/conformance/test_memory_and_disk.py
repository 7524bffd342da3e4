"""What all requests of an adapter may take of memory and disk together, and that all of it is given back."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from bridge import Limits, WSGIToASGI
from bridge._runtime.outflow import Outflow
from bridge._runtime.spooled import Backlog
from bridge._wsgi_hosting.call import WSGICall
from bridge._wsgi_hosting.exchange import Exchange
from tests import meeting
from tests.conformance.crowded import BLOCKS, Crowded, call_crowded, nameless_files, scarce, serve_crowded, spooled
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    answering,
    body_events,
    make_scope,
    on_both_loops,
    run,
    until,
    without_gc,
)

KIB = 1024


def digest(octets: bytes) -> bytes:
    return b"%d %d" % (len(octets), sum(octets))


def reader(environ: Any, start_response: Any) -> Any:
    octets = environ["wsgi.input"].read()
    start_response("200 OK", list(TEXT))
    return [digest(octets)]


class Upload(Driver):
    """A body of pieces of 10 KiB, so many at first, and the rest when it is told to."""

    def __init__(self, first: int, rest: int = 1) -> None:
        pieces = [bytes([number]) * 10 * KIB for number in range(first + rest)]
        events = body_events(*pieces)
        super().__init__(make_scope("POST", headers=[(b"transfer-encoding", b"chunked")]), events=events[:first])
        self._rest = events[first:]
        self.whole = digest(b"".join(pieces))

    def go_on(self) -> None:
        self.feed(*self._rest)

    @property
    def waits(self) -> bool:
        return not self._events and self._is_receiving


def books_are_even(adapter: WSGIToASGI) -> bool:
    return adapter.statistics().bytes_spooled == 0 and adapter._hosting.memory.taken_bytes == 0


# ---- Memory of request bodies -------------------------------------------------------------------------------------


@on_both_loops
def test_bodies_that_are_collected_share_their_memory_and_go_to_disk_beyond_it(backend):
    """Ten times 200 KiB, of which memory is for 500."""
    adapter = WSGIToASGI(reader, limits=Limits(body_memory_total_bytes=500 * KIB), large_body="spool")
    uploads = [Upload(20) for _ in range(10)]
    before = nameless_files()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for upload in uploads:
                tasks.start_soon(upload.call, adapter)
            await until(lambda: all(upload.waits for upload in uploads))
            held_bytes = adapter._hosting.memory.taken_bytes
            assert held_bytes <= 500 * KIB
            assert adapter.statistics().bytes_spooled >= 10 * 200 * KIB - held_bytes - 10 * 64 * KIB
            assert nameless_files() > before
            for upload in uploads:
                upload.go_on()
        assert books_are_even(adapter)
        await until(lambda: nameless_files() == before)  # the worker closes it, after the response
        await adapter.drain()

    run(main, backend)
    assert [upload.body for upload in uploads] == [upload.whole for upload in uploads]


@on_both_loops
def test_small_bodies_stay_in_memory_whatever_others_take(backend):
    adapter = WSGIToASGI(reader, limits=Limits(body_memory_total_bytes=0), large_body="spool")
    uploads = [Upload(5) for _ in range(10)]

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for upload in uploads:
                tasks.start_soon(upload.call, adapter)
            await until(lambda: all(upload.waits for upload in uploads))
            assert adapter.statistics().bytes_spooled == 0
            for upload in uploads:
                upload.go_on()
        assert books_are_even(adapter)
        await adapter.drain()

    run(main, backend)
    assert [upload.body for upload in uploads] == [upload.whole for upload in uploads]


# ---- Disk for request bodies --------------------------------------------------------------------------------------


SPOOLING = {"body_memory_bytes": 20 * KIB}


@on_both_loops
@pytest.mark.requirement("W-138")
def test_a_body_that_finds_no_room_on_disk_is_answered_503_and_the_others_are_unharmed(backend):
    adapter = WSGIToASGI(reader, limits=Limits(**SPOOLING, spool_bytes=150 * KIB, retry_after_s=9), large_body="spool")
    first, second, third = Upload(10), Upload(10), Upload(10)
    before = nameless_files()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.call, adapter)
            await until(lambda: first.waits)
            await second.call(adapter)
            assert second.status == 503
            assert second.header(b"retry-after") == b"9"
            assert second.is_complete
            await until(lambda: nameless_files() == before + 1)
            first.go_on()
        assert books_are_even(adapter)
        third.go_on()
        await third.call(adapter)
        assert books_are_even(adapter)
        await until(lambda: nameless_files() == before)
        await adapter.drain()

    run(main, backend)
    assert first.body == first.whole
    assert third.body == third.whole


def fails(_environ: Any, _start_response: Any) -> Any:
    raise LookupError


def ignores(_environ: Any, start_response: Any) -> Any:
    start_response("200 OK", list(TEXT))
    return [b"ignored"]


async def leaves(driver: Upload, _cancel: Callable[[], None]) -> None:
    driver.disconnect()


async def cancels(_driver: Upload, cancel: Callable[[], None]) -> None:
    cancel()


async def goes_on(driver: Upload, _cancel: Callable[[], None]) -> None:
    driver.go_on()


async def waits(driver: Upload, _cancel: Callable[[], None]) -> None:
    await until(lambda: driver.is_returned)


@pytest.mark.parametrize(
    ("app", "ending", "limits"),
    [
        pytest.param(reader, goes_on, {}, id="read"),
        pytest.param(ignores, goes_on, {}, id="ignored"),
        pytest.param(fails, goes_on, {}, id="application fails"),
        pytest.param(reader, leaves, {}, id="client leaves"),
        pytest.param(reader, cancels, {}, id="server cancels"),
        pytest.param(reader, waits, {"body_wait_s": 0.1}, id="408"),
        pytest.param(reader, goes_on, {"body_max_bytes": 105 * KIB}, id="413"),
        pytest.param(reader, goes_on, {"spool_bytes": 105 * KIB}, id="503"),
    ],
)
@pytest.mark.parametrize(
    ("is_large", "backend"),
    [
        pytest.param(False, "asyncio", id="in memory"),
        pytest.param(True, "asyncio", id="on disk"),
        pytest.param(True, "trio", id="on disk under trio"),
    ],
)
def test_in_every_ending_an_upload_gives_memory_disk_and_descriptors_back(app, ending, limits, is_large, backend):
    all_limits = Limits(**limits, **(SPOOLING if is_large else {}))
    adapter = WSGIToASGI(app, limits=all_limits, large_body="spool")
    before = nameless_files()
    driver = Upload(10)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(lambda: driver.waits)
            assert (adapter.statistics().bytes_spooled > 0) is is_large
            await ending(driver, tasks.cancel_scope.cancel)
        assert books_are_even(adapter)
        await until(lambda: nameless_files() == before)
        await adapter.drain()

    run(main, backend)


# ---- Disk for responses ---------------------------------------------------------------------------------------------


@on_both_loops
def test_a_response_that_finds_no_room_beside_uploads_holds_its_application_back(backend):
    """An upload has taken all the disk there may be; the slow client's response is whole all the same."""
    made: list[bytes] = []

    def blocks() -> Any:
        for octets in BLOCKS:
            made.append(octets)
            yield octets

    limits = scarce(body_memory_bytes=1, spool_bytes=100 * KIB + 500)
    crowded = Crowded(answering(blocks))
    adapter = WSGIToASGI(crowded, limits=limits, large_body="spool")
    upload, slow = Upload(10), Driver(hold_at={1})

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(upload.call, adapter)
            await until(lambda: adapter.statistics().bytes_spooled == 100 * KIB)
            tasks.start_soon(slow.call, adapter)
            await until(crowded.entered.is_set)
            other = Driver(make_scope(path="/other"))
            tasks.start_soon(other.call, adapter)
            await until(lambda: adapter.statistics().waiting)
            crowded.is_crowded.set()
            await until(lambda: adapter.statistics().bytes_held > 1000)
            await anyio.sleep(0.05)
            assert len(made) < 10
            assert adapter.statistics().bytes_spooled == 100 * KIB
            slow.release(1)
            await until(lambda: slow.is_returned)
            upload.disconnect()
        assert books_are_even(adapter)
        await adapter.drain()

    run(main, backend)
    assert slow.error is None
    assert slow.body == b"".join(BLOCKS)
    assert slow.is_complete


def no_space(*_args: Any) -> Any:
    raise OSError(errno.ENOSPC, "no space left on device")


def no_descriptor(*_args: Any, **_options: Any) -> Any:
    raise OSError(errno.EMFILE, "too many open files")


def space_for(count: int) -> Callable[..., int]:
    real, writes = os.pwrite, []

    def pwrite(descriptor: int, octets: Any, offset: int) -> int:
        writes.append(offset)
        return real(descriptor, octets, offset) if len(writes) <= count else no_space()

    return pwrite


@on_both_loops
@pytest.mark.parametrize(
    ("module", "name", "make"),
    [
        pytest.param(os, "pwrite", lambda: no_space, id="no space at all"),
        pytest.param(os, "pwrite", lambda: space_for(1), id="no space for the second block"),
        pytest.param(os, "pwrite", lambda: space_for(10), id="no space for the eleventh block"),
        pytest.param(tempfile, "TemporaryFile", lambda: no_descriptor, id="no file"),
        pytest.param(os, "dup", lambda: no_descriptor, id="no descriptor"),
    ],
)
def test_a_disk_that_fails_holds_the_application_back_and_no_octet_is_lost(module, name, make, backend, monkeypatch):
    driver = Driver(hold_at={1})
    tried = threading.Event()
    replacement = make()

    def replaced(*args: Any, **options: Any) -> Any:
        tried.set()
        return replacement(*args, **options)

    async def steps(adapter: WSGIToASGI) -> None:
        await until(tried.is_set)
        await until(lambda: adapter.statistics().bytes_held > 1000)
        driver.release(1)
        await until(lambda: driver.is_returned)
        monkeypatch.undo()

    monkeypatch.setattr(module, name, replaced)
    serve_crowded(answering(lambda: iter(BLOCKS)), driver, steps, backend=backend)

    assert driver.error is None
    assert driver.body == b"".join(BLOCKS)
    assert driver.is_complete


@on_both_loops
@pytest.mark.parametrize("reads", [0, 1])
def test_a_file_that_cannot_be_read_back_fails_the_response_which_does_not_look_complete(reads, backend, monkeypatch):
    real, count = os.pread, 0

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal count
        count += 1
        return real(descriptor, min(size, 1000), offset) if count <= reads else no_space()

    driver = Driver(hold_at={1})
    returned = ClosingBlocks(BLOCKS)

    async def steps(_adapter: WSGIToASGI) -> None:
        await until(lambda: returned.closed_in)  # all of it is in the file
        monkeypatch.setattr(os, "pread", pread)
        driver.release(1)
        await until(lambda: driver.is_returned)
        monkeypatch.undo()

    serve_crowded(answering(lambda: returned), driver, steps, backend=backend)

    assert "cannot be read back" in str(driver.error)
    assert not isinstance(driver.error, OSError)
    assert not driver.is_complete
    assert b"".join(BLOCKS).startswith(driver.body)


@on_both_loops
@pytest.mark.parametrize("ending", ["whole", "client leaves", "application fails"])
def test_nothing_of_a_response_that_went_through_a_file_is_kept_alive(ending, backend):
    kinds = (Exchange, WSGICall, Outflow, Backlog)

    def blocks() -> Any:
        yield from BLOCKS
        if ending == "application fails":
            raise LookupError

    crowded = Crowded(answering(blocks))
    adapter = WSGIToASGI(crowded, limits=scarce())

    def left() -> list[object]:
        return [thing for thing in gc.get_objects() if isinstance(thing, kinds)]

    async def main() -> None:
        driver = Driver(hold_at={1})

        async def steps(adapter: WSGIToASGI) -> None:
            await spooled(adapter)
            if ending == "client leaves":
                driver.disconnect()
            else:
                driver.release(1)

        await call_crowded(adapter, crowded, driver, steps)
        driver.error = None
        await adapter.drain()

    with without_gc():
        before = len(left())
        run(main, backend)
        if ending != "whole":  # something was cancelled, which leaves work for the collector
            gc.collect()
        assert len(left()) == before


def test_a_loop_that_ends_in_the_middle_leaves_no_file_and_no_worker_behind():
    """As servers end that do not wait: what still runs is cancelled, and then the loop is closed."""
    before = nameless_files()
    crowded = Crowded(answering(lambda: (b"x" * 300 for _ in iter(int, 1))))
    adapter = WSGIToASGI(crowded, limits=scarce(response_spool_bytes=100_000))
    tasks: list[Any] = []

    async def main() -> None:
        tasks.append(asyncio.ensure_future(Driver(hold_at={1}).call(adapter)))
        await until(crowded.entered.is_set)
        tasks.append(asyncio.ensure_future(Driver(make_scope(path="/other")).call(adapter)))
        await until(lambda: adapter.statistics().waiting)
        crowded.is_crowded.set()
        await spooled(adapter)

    asyncio.run(main())

    assert all(task.cancelled() for task in tasks)
    assert adapter.statistics().requests == 0
    meeting.until(lambda: adapter.statistics().workers_busy == 0, "the worker is free")
    meeting.until(lambda: books_are_even(adapter), "all is given back")
    meeting.until(lambda: nameless_files() == before, "the file is closed")
    run(adapter.drain)
