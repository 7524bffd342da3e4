"""Slow clients and the ends of their responses: who leaves, who counts as gone, and whose the loop is meanwhile."""

from __future__ import annotations

import os
import threading
from typing import Any

import anyio
import pytest

from bridge import WSGIToASGI
from tests.conformance.crowded import (
    BLOCKS,
    Crowded,
    held_from,
    scarce,
    serve_crowded,
    spooled,
    taking_all,
)
from tests.conformance.driver import (
    ClosingBlocks,
    Driver,
    answering,
    block,
    make_scope,
    on_both_loops,
    on_each_backend,
    run,
    until,
)
from tests.meeting import Hold


class BrokenError(Exception):
    """The server has failed."""


# ---- Clients that leave, and servers that cancel ----------------------------------------------------------------


@on_each_backend
@pytest.mark.parametrize("tells", ["receive", "send"])
def test_a_client_that_leaves_while_its_response_is_in_a_file_ends_the_application(backend, tells):
    returned = ClosingBlocks(b"x" * 300 for _ in iter(int, 1))
    driver = Driver(hold_at={1}, raises_when_gone=tells == "send")

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        driver.disconnect()

    serve_crowded(
        answering(lambda: returned), driver, steps, backend=backend, limits=scarce(response_spool_bytes=100_000)
    )

    assert driver.error is None
    assert not driver.is_complete
    assert len(returned.closed_in) == 1


@on_both_loops
def test_a_client_that_leaves_after_the_worker_is_told_by_the_file_that_is_given_back(backend):
    returned = ClosingBlocks(BLOCKS)
    driver = held_from(1)

    async def steps(adapter: WSGIToASGI) -> None:
        await until(lambda: returned.closed_in)
        await spooled(adapter)
        driver.disconnect()

    serve_crowded(answering(lambda: returned), driver, steps, backend=backend)

    assert driver.error is None
    assert not driver.is_complete


@on_both_loops
@pytest.mark.parametrize("has_left_worker", [False, True], ids=["running", "done"])
def test_a_server_that_cancels_gets_its_files_closed(backend, has_left_worker):
    returned = ClosingBlocks(BLOCKS if has_left_worker else (b"x" * 300 for _ in iter(int, 1)))
    driver = held_from(1)
    scopes: list[anyio.CancelScope] = []

    async def cancellable(adapter: WSGIToASGI) -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await Driver.call(driver, adapter)

    driver.call = cancellable  # type: ignore[method-assign, assignment]

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        if has_left_worker:
            await until(lambda: returned.closed_in)
        scopes[0].cancel()

    serve_crowded(
        answering(lambda: returned), driver, steps, backend=backend, limits=scarce(response_spool_bytes=50_000)
    )

    assert len(returned.closed_in) == 1
    assert not driver.is_complete


@on_both_loops
def test_a_server_that_fails_in_send_gets_its_error_and_the_file_is_closed(backend):
    driver = Driver(hold_at={1}, fail_at={2: BrokenError("the server")})

    serve_crowded(answering(lambda: iter(BLOCKS)), driver, taking_all(driver), backend=backend)

    assert isinstance(driver.error, BrokenError)
    assert not driver.is_complete


@on_both_loops
def test_a_client_that_leaves_while_a_file_is_being_begun_leaves_none_behind(backend, monkeypatch):
    hold = Hold("dup")
    real = os.dup

    def dup(descriptor: int) -> int:
        hold.stop_here()
        return real(descriptor)

    returned = ClosingBlocks(BLOCKS)
    driver = held_from(1)
    monkeypatch.setattr(os, "dup", dup)

    async def steps(adapter: WSGIToASGI) -> None:
        await until(hold.reached.is_set)
        exchange = next(exchange for exchange in adapter._hosting.live if exchange.is_started)
        driver.disconnect()
        await until(lambda: exchange.is_gone)
        hold.release()

    serve_crowded(answering(lambda: returned), driver, steps, backend=backend)

    assert len(returned.closed_in) == 1
    assert driver.error is None
    assert not driver.is_complete


# ---- Who counts as gone -----------------------------------------------------------------------------------------


@on_both_loops
def test_a_client_that_takes_nothing_of_its_file_counts_as_gone(backend):
    returned = ClosingBlocks(BLOCKS)
    driver = held_from(1)

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        await until(lambda: driver.is_returned)

    serve_crowded(answering(lambda: returned), driver, steps, backend=backend, limits=scarce(response_wait_s=0.1))

    assert driver.error is None
    assert not driver.is_complete


@on_both_loops
def test_a_silent_application_is_not_taken_for_a_client_that_takes_nothing(backend):
    """The client has taken all there was; it waits as long as the application does."""
    goes_on = threading.Event()
    limit_s = 0.2
    driver = held_from(1)

    def blocks() -> Any:
        yield from BLOCKS[:10]
        block(goes_on)
        yield b"the last"

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        driver.release(1)
        await until(lambda: driver.body == b"".join(BLOCKS[:10]) or driver.is_returned)
        await anyio.sleep(3 * limit_s)
        goes_on.set()

    serve_crowded(answering(blocks), driver, steps, backend=backend, limits=scarce(response_wait_s=limit_s))

    assert driver.error is None
    assert driver.body.endswith(b"the last")
    assert driver.is_complete


@on_both_loops
def test_a_long_close_is_not_taken_for_a_client_that_takes_nothing(backend, caplog):
    caplog.set_level("INFO")
    closes = threading.Event()
    limit_s = 0.2
    driver = held_from(1)
    returned = ClosingBlocks(BLOCKS, lambda: block(closes))

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        driver.release(1)
        await until(lambda: driver.is_complete)
        await anyio.sleep(3 * limit_s)
        closes.set()

    serve_crowded(answering(lambda: returned), driver, steps, backend=backend, limits=scarce(response_wait_s=limit_s))

    assert driver.error is None
    assert driver.is_complete
    assert "aborted" not in caplog.text


@on_both_loops
def test_a_client_that_takes_its_file_steadily_is_waited_for_although_memory_stays_full(backend):
    """The file is full, and memory behind it; nobody waits for the worker any more. All of it takes longer than the
    limit, each piece a fraction of it."""
    limit_s = 0.6
    blocks = [bytes([65 + number]) * 60_000 for number in range(9)]
    driver = Driver(hold_at=set(range(1, 50)))
    is_alone = threading.Event()

    def made() -> Any:
        yield from blocks[:4]
        block(is_alone)
        yield from blocks[4:]

    crowded = Crowded(answering(made))
    limits = scarce(response_memory_bytes=70_000, response_spool_bytes=340_000, response_wait_s=limit_s)
    adapter = WSGIToASGI(crowded, limits=limits)
    other = Driver(make_scope(path="/other"))

    waiting: list[anyio.CancelScope] = []

    async def wait_impatiently() -> None:
        with anyio.CancelScope() as scope:
            waiting.append(scope)
            await other.call(adapter)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(crowded.entered.is_set)
            tasks.start_soon(wait_impatiently)
            await until(lambda: adapter.statistics().waiting)
            crowded.is_crowded.set()
            await spooled(adapter)
            waiting[0].cancel()  # whoever has waited for the worker leaves
            await until(lambda: not adapter.statistics().waiting)
            is_alone.set()
            for number in range(1, 50):
                await until(lambda number=number: driver.attempts > number or driver.is_returned)
                if driver.is_returned:
                    break
                await anyio.sleep(limit_s / 4)
                driver.release(number)
        await adapter.drain()

    run(main, backend)
    assert driver.error is None
    assert driver.body == b"".join(blocks)
    assert driver.is_complete


# ---- The loop belongs to everybody ------------------------------------------------------------------------------


@on_both_loops
def test_a_quick_client_of_a_quick_application_does_not_keep_others_off_the_loop(backend):
    """The server's ``send`` takes all at once and waits for nothing, and there is always more to send."""
    count = 120
    made = 0
    turns = 0
    received = 0

    def blocks() -> Any:
        nonlocal made
        for _ in range(count):
            made += 1
            yield b"x" * 65_536

    async def send(message: Any) -> None:
        nonlocal received
        received += len(message.get("body", b"")) // 65_536
        if 0 < received < count - 2:  # stand still, as a busy loop does, until the worker is ahead again
            held = threading.Event()
            for _ in range(2000):
                if made > received + 1:
                    break
                held.wait(0.001)

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def ticker() -> None:
        nonlocal turns
        while received < count:
            turns += received > 0
            await anyio.sleep(0)

    adapter = WSGIToASGI(answering(blocks))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ticker)
            await anyio.sleep(0)
            await adapter(make_scope(), receive, send)
        await adapter.drain()

    run(main, backend)
    assert received == count
    assert turns >= count // 20
