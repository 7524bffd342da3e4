"""Slow clients while workers are scarce: their responses go through files, whole, in order, and with the right end."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge import WSGIToASGI
from tests.conformance.crowded import (
    BLOCKS,
    HIGH_BYTES,
    Crowded,
    held_from,
    scarce,
    serve_crowded,
    spooled,
    taking_all,
)
from tests.conformance.driver import (
    BOTH_LOOPS,
    TEXT,
    ClosingBlocks,
    Driver,
    answering,
    block,
    make_scope,
    offering,
    on_both_loops,
    on_each_backend,
    run,
    until,
)
from tests.meeting import Hold

TRAILERS = "http.response.trailers"


class BrokenError(Exception):
    """The application has failed."""


# ---- Whole and in order -----------------------------------------------------------------------------------------


@on_each_backend
def test_a_response_goes_through_a_file_while_somebody_waits_for_its_worker(backend):
    returned = ClosingBlocks(BLOCKS)
    driver = held_from(1)

    async def steps(adapter: WSGIToASGI) -> None:
        await until(lambda: returned.closed_in)  # the worker is free although nothing was taken
        assert driver.attempts == 2
        assert adapter.statistics().bytes_held < HIGH_BYTES + 1000
        assert adapter.statistics().bytes_spooled > 20_000
        driver.release(1)

    serve_crowded(answering(lambda: returned), driver, steps, backend=backend)

    assert driver.error is None
    assert driver.body == b"".join(BLOCKS)
    assert driver.is_complete
    assert driver.types.count("start") == 1
    assert len(returned.closed_in) == 1


@pytest.mark.parametrize("backend", BOTH_LOOPS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.sampled_from([1, 50, 400, 999, 1000, 1001, 3000, 70_000]), min_size=1, max_size=12),
    pauses=st.sets(st.integers(1, 12), max_size=6),
    room=st.sampled_from([0, 500, 2000, 100_000, 10_000_000]),
    by_write=st.integers(0, 4),
)
def test_whatever_the_sizes_and_the_pauses_all_octets_arrive_in_order(backend, sizes, pauses, room, by_write):
    """The client stops at some events until the loop has nothing else to do; the file may be too small for all."""
    blocks = [bytes([number]) * size for number, size in enumerate(sizes)]
    driver = Driver(hold_at=pauses)

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", list(TEXT))
        for octets in blocks[:by_write]:
            write(octets)
        return iter(blocks[by_write:])

    async def steps(_adapter: WSGIToASGI) -> None:
        while not driver.is_returned:
            if driver.attempts - 1 in pauses:
                await anyio.sleep(0.001)
                driver.release(driver.attempts - 1)
            await anyio.sleep(0)

    serve_crowded(app, driver, steps, backend=backend, limits=scarce(response_spool_bytes=room))

    assert driver.error is None
    assert driver.body == b"".join(blocks)
    assert driver.is_complete
    assert driver.violations == []


@on_both_loops
def test_when_the_client_has_caught_up_memory_is_used_again_and_later_another_file(backend):
    second, third = threading.Event(), threading.Event()

    def blocks() -> Any:
        yield from BLOCKS[:10]
        block(second)
        yield b"through memory"
        block(third)
        yield from BLOCKS[10:]

    driver = Driver(hold_at={1})
    waiting = [Driver(make_scope(path="/other")) for _ in range(2)]

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        driver.release(1)
        await until(lambda: adapter.statistics().bytes_spooled == 0 and adapter.statistics().bytes_held == 0)
        second.set()
        await until(lambda: driver.body.endswith(b"through memory"))
        assert adapter.statistics().bytes_spooled == 0
        driver.hold_at = {driver.attempts}
        third.set()
        await spooled(adapter)
        driver.release(*driver.hold_at)

    serve_crowded(answering(blocks), driver, steps, backend=backend)

    assert driver.error is None
    assert driver.body == b"".join(BLOCKS[:10]) + b"through memory" + b"".join(BLOCKS[10:])
    assert driver.is_complete
    assert all(not other.sent for other in waiting)


@on_both_loops
def test_a_full_file_holds_the_application_back_and_what_follows_comes_after_it(backend):
    driver = held_from(1)
    made: list[bytes] = []

    def blocks() -> Any:
        for octets in BLOCKS:
            made.append(octets)
            yield octets

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        await until(lambda: adapter.statistics().bytes_held > HIGH_BYTES)  # behind the file, memory is full again
        assert adapter.statistics().bytes_spooled <= 5000
        assert len(made) < len(BLOCKS)
        driver.release(1)

    serve_crowded(answering(blocks), driver, steps, backend=backend, limits=scarce(response_spool_bytes=5000))

    assert driver.error is None
    assert driver.body == b"".join(BLOCKS)
    assert driver.is_complete


@on_both_loops
def test_while_nobody_waits_the_disk_is_left_alone(backend):
    driver = held_from(1)
    adapter = WSGIToASGI(answering(lambda: iter(BLOCKS)), limits=scarce())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(lambda: adapter.statistics().bytes_held > HIGH_BYTES)
            await anyio.sleep(0.3)  # more than one look at whether somebody waits
            assert adapter.statistics().bytes_spooled == 0
            assert adapter.statistics().workers_busy == 1
            driver.release(1)
        await adapter.drain()

    run(main, backend)
    assert driver.body == b"".join(BLOCKS)


@on_both_loops
def test_somebody_who_comes_later_gets_the_worker_of_a_slow_client(backend):
    driver, other = held_from(1), Driver(make_scope(path="/other"))
    app = Crowded(answering(lambda: iter(BLOCKS)))
    app.is_crowded.set()
    adapter = WSGIToASGI(app, limits=scarce())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(lambda: adapter.statistics().bytes_held > HIGH_BYTES)
            await other.call(adapter)
            assert other.body == b"other"
            assert not driver.is_complete
            driver.release(1)
        await adapter.drain()

    run(main, backend)
    assert driver.body == b"".join(BLOCKS)


# ---- The right end ----------------------------------------------------------------------------------------------


@on_both_loops
@pytest.mark.requirement("W-120")
def test_content_that_is_too_short_does_not_look_complete_after_a_file_either(backend):
    driver = held_from(1)
    length = sum(map(len, BLOCKS)) + 1
    app = answering(lambda: iter(BLOCKS), headers=[*TEXT, ("Content-Length", str(length))])

    serve_crowded(app, driver, taking_all(driver), backend=backend)

    assert "Content-Length" in str(driver.error)
    assert driver.body == b"".join(BLOCKS)
    assert not driver.is_complete


@on_both_loops
def test_content_of_exactly_its_length_is_complete_after_a_file(backend):
    driver = held_from(1)
    length = sum(map(len, BLOCKS))
    app = answering(lambda: iter(BLOCKS), headers=[*TEXT, ("Content-Length", str(length))])

    serve_crowded(app, driver, taking_all(driver), backend=backend)

    assert driver.error is None
    assert driver.body == b"".join(BLOCKS)
    assert driver.is_complete


@on_both_loops
@pytest.mark.parametrize("on_error", ["raise", "respond"])
def test_an_application_that_fails_after_a_file_was_begun_leaves_the_response_open(backend, on_error):
    driver = held_from(1)

    def blocks() -> Any:
        yield from BLOCKS
        raise BrokenError

    serve_crowded(answering(blocks), driver, taking_all(driver), backend=backend, on_error=on_error)

    assert isinstance(driver.error, BrokenError)
    assert driver.body == b"".join(BLOCKS)  # what was made before goes out
    assert not driver.is_complete


@on_both_loops
def test_a_failing_close_does_not_spoil_a_response_in_a_file(backend, caplog):
    def fail() -> None:
        raise BrokenError

    driver = held_from(1)

    serve_crowded(answering(ClosingBlocks(BLOCKS, fail)), driver, taking_all(driver), backend=backend)

    assert driver.error is None
    assert driver.body == b"".join(BLOCKS)
    assert driver.is_complete
    assert "close() of the application's iterable failed" in caplog.text


@on_both_loops
@pytest.mark.requirement("W-148")
def test_trailers_follow_what_was_in_a_file(backend):
    driver = Driver(make_scope(**offering(TRAILERS)), hold_at={1})

    def app(environ: Any, start_response: Any) -> Any:
        environ["bridge.trailers"]([("X-Digest", "abc")])
        start_response("200 OK", list(TEXT))
        return iter(BLOCKS)

    serve_crowded(app, driver, taking_all(driver), backend=backend)

    assert driver.error is None
    assert driver.body == b"".join(BLOCKS)
    assert driver.types[-2:] == ["body", "trailers"]
    assert driver.messages[-1]["headers"] == [(b"x-digest", b"abc")]
    assert driver.is_complete


@on_both_loops
@pytest.mark.requirement("W-148")
@pytest.mark.parametrize("over_bytes", [-200, 0, 64, 100, 200])
def test_trailers_arrive_although_the_content_fills_what_is_taken_at_once(backend, over_bytes):
    """What the loop takes at once may end between the end of the content and the trailers."""
    content = b"x" * (65_280 + over_bytes)
    hold = Hold("close")
    returned = ClosingBlocks([content], hold.stop_here)
    driver = Driver(make_scope(**offering(TRAILERS)))

    def app(environ: Any, start_response: Any) -> Any:
        environ["bridge.trailers"]([("X-Digest", "abc")])
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(content)))])
        return returned

    adapter = WSGIToASGI(app)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            try:
                await until(lambda: driver.is_complete, 2)
            finally:
                hold.release()
        await adapter.drain()

    run(main, backend)
    assert driver.error is None
    assert driver.body == content
    assert driver.is_complete


@on_both_loops
def test_under_head_nothing_goes_into_a_file(backend):
    driver = Driver(make_scope("HEAD"))

    async def steps(_adapter: WSGIToASGI) -> None:
        return

    serve_crowded(answering(lambda: iter(BLOCKS)), driver, steps, backend=backend)

    assert driver.error is None
    assert driver.body == b""
    assert driver.is_complete
