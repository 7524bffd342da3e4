"""Ports and signals: one way into asyncio, uvloop and trio, and one wake-up for all that is there."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge._runtime.loops import AsyncioPort, LoopGoneError, LoopPort, current_port
from tests.backends import Backend
from tests.meeting import TIMEOUT_S, Helper


def counting_port() -> tuple[LoopPort, list[int]]:
    """Return a port of the running loop's kind, and a list that grows by one per delivery (that is, wake-up)."""
    deliveries: list[int] = []
    kind: Any = type(current_port())

    class Counting(kind):
        def _deliver(self) -> None:
            deliveries.append(len(self._callbacks))
            super()._deliver()

    if issubclass(kind, AsyncioPort):
        return Counting(asyncio.get_running_loop()), deliveries
    import trio

    return Counting(trio), deliveries


async def let_the_loop_turn(turns: int = 20) -> None:
    for _ in range(turns):
        await anyio.sleep(0)


def test_a_callback_runs_on_the_loop_in_the_order_of_posting(backend: Backend):
    ran: list[tuple[int, int]] = []
    done = threading.Event()

    async def main() -> int:
        port = current_port()
        signal = port.new_signal()

        def post_all() -> None:
            for number in range(100):
                port.post(lambda number=number: ran.append((number, threading.get_ident())))
            port.post(signal.set)
            done.set()

        helper = Helper(post_all)
        await signal.wait()
        helper.join()
        return threading.get_ident()

    loop_thread = backend.run(main)

    assert ran == [(number, loop_thread) for number in range(100)]


def test_what_many_threads_post_while_the_loop_is_busy_costs_one_wake_up(backend: Backend):
    async def main() -> tuple[int, list[int]]:
        port, deliveries = counting_port()
        ran: list[int] = []

        def post_some() -> None:
            for number in range(25):
                port.post(lambda: ran.append(number))

        # The loop's thread waits here for all of them: it cannot deliver before all is there.
        for helper in [Helper(post_some) for _ in range(8)]:
            helper.join()
        await let_the_loop_turn()
        return len(ran), deliveries

    ran, deliveries = backend.run(main)

    assert ran == 200
    assert [count for count in deliveries if count] == [200]


def test_nothing_is_lost_while_posting_and_delivering_overlap(backend: Backend):
    async def main() -> int:
        port = current_port()
        signal = port.new_signal()
        ran: list[int] = []

        def note() -> None:
            ran.append(1)
            if len(ran) == 4 * 500:
                signal.set()

        def post_some() -> None:
            for _ in range(500):
                port.post(note)

        helpers = [Helper(post_some) for _ in range(4)]
        with anyio.fail_after(TIMEOUT_S):
            await signal.wait()
        for helper in helpers:
            helper.join()
        return len(ran)

    assert backend.run(main) == 2000


def test_what_a_callback_posts_waits_for_the_next_turn(backend: Backend):
    """Else a callback that posts itself again would never let the loop go."""

    async def main() -> tuple[int, list[int]]:
        port, deliveries = counting_port()
        left = 5

        def again() -> None:
            nonlocal left
            left -= 1
            if left:
                port.post(again)

        port.post(again)
        await let_the_loop_turn()
        return left, deliveries

    left, deliveries = backend.run(main)

    assert left == 0
    assert [count for count in deliveries if count] == [1] * 5


def test_posting_to_a_loop_that_has_ended_raises_every_time(backend: Backend):
    async def main() -> LoopPort:
        return current_port()

    port = backend.run(main)

    for _ in range(3):
        with pytest.raises(LoopGoneError):
            port.post(lambda: None)


def test_a_port_knows_whether_its_loop_runs(backend: Backend):
    async def main() -> tuple[LoopPort, object]:
        port = current_port()
        assert port.is_running()
        return port, Helper(port.is_running).join()

    port, seen_by_another_thread = backend.run(main)

    assert seen_by_another_thread is True
    assert not port.is_running()


def test_a_port_knows_whether_the_caller_is_on_its_loop(backend: Backend):
    async def main() -> tuple[LoopPort, bool, object]:
        port = current_port()
        return port, port.is_current(), Helper(port.is_current).join()

    async def elsewhere(port: LoopPort) -> bool:
        return port.is_current()

    port, on_the_loop, in_a_thread = backend.run(main)

    assert (on_the_loop, in_a_thread) == (True, False)
    assert port.is_current() is False
    assert backend.run(elsewhere, port) is False


def test_without_a_loop_there_is_no_port():
    with pytest.raises(RuntimeError, match="runs on asyncio"):
        current_port()


def test_a_signal_that_is_up_lets_one_wait_pass(backend: Backend):
    async def main() -> bool:
        signal = current_port().new_signal()
        signal.set()
        signal.set()  # up is up
        await signal.wait()
        with anyio.move_on_after(0.01) as limit:
            await signal.wait()
        return limit.cancelled_caught

    assert backend.run(main) is True


def test_a_signal_wakes_the_one_who_waits(backend: Backend):
    async def main() -> list[str]:
        signal = current_port().new_signal()
        seen: list[str] = []

        async def wait() -> None:
            await signal.wait()
            seen.append("woken")

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await let_the_loop_turn()
            seen.append("raised")
            signal.set()
            signal.set()
        return seen

    assert backend.run(main) == ["raised", "woken"]


def test_a_signal_posted_from_a_thread_wakes_the_one_who_waits(backend: Backend):
    async def main() -> None:
        port = current_port()
        signal = port.new_signal()
        helper = Helper(lambda: port.post(signal.set))
        await signal.wait()
        helper.join()

    backend.run(main)


def test_a_signal_can_be_waited_for_again_after_a_cancelled_wait(backend: Backend):
    async def main() -> None:
        signal = current_port().new_signal()
        for _ in range(2):
            with anyio.move_on_after(0):
                await signal.wait()
        signal.set()
        with anyio.fail_after(TIMEOUT_S):
            await signal.wait()

    backend.run(main)


def test_on_trio_as_a_guest_of_asyncio_the_port_leads_to_trio():
    trio = pytest.importorskip("trio")

    async def in_trio() -> str:
        port = current_port()
        signal = port.new_signal()
        helper = Helper(lambda: port.post(signal.set))
        await signal.wait()
        helper.join()
        return type(port).__name__

    async def in_asyncio() -> str:
        loop = asyncio.get_running_loop()
        outcome = loop.create_future()
        trio.lowlevel.start_guest_run(
            in_trio,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=outcome.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        async with asyncio.timeout(TIMEOUT_S):
            return (await outcome).unwrap()

    assert asyncio.run(in_asyncio()) == "TrioPort"
