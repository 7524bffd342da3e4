"""A bell wakes everybody who waits for a change, and nobody else."""

from __future__ import annotations

import anyio
import pytest

from bridge._runtime.bells import Bell
from bridge._runtime.loops import current_port
from tests.backends import Backend


async def let_them_wait(bell: Bell, count: int) -> None:
    while len(bell._signals) < count:
        await anyio.sleep(0)


def test_a_ring_wakes_all_who_wait(backend: Backend):
    woken: list[int] = []

    async def main() -> None:
        bell = Bell(current_port().new_signal)

        async def wait(number: int) -> None:
            await bell.wait()
            woken.append(number)

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(wait, number)
            await let_them_wait(bell, 5)
            assert not woken
            bell.ring()
        assert not bell._signals

    backend.run(main)

    assert sorted(woken) == [0, 1, 2, 3, 4]


def test_a_ring_that_nobody_hears_is_not_kept(backend: Backend):
    """The bell says "look again"; who comes later looks first anyway."""

    async def main() -> bool:
        bell = Bell(current_port().new_signal)
        bell.ring()
        with anyio.move_on_after(0.02) as limit:
            await bell.wait()
        return limit.cancelled_caught

    assert backend.run(main)


def test_who_was_woken_waits_for_the_next_ring(backend: Backend):
    async def main() -> list[str]:
        bell = Bell(current_port().new_signal)
        heard: list[str] = []

        async def wait_twice() -> None:
            await bell.wait()
            heard.append("first")
            await bell.wait()
            heard.append("second")

        async with anyio.create_task_group() as group:
            group.start_soon(wait_twice)
            await let_them_wait(bell, 1)
            bell.ring()
            bell.ring()  # before the waiter could run: one change seen twice is one
            while heard != ["first"]:
                await anyio.sleep(0)
            await let_them_wait(bell, 1)
            for _ in range(5):
                await anyio.sleep(0)
            assert heard == ["first"]
            bell.ring()
        return heard

    assert backend.run(main) == ["first", "second"]


@pytest.mark.parametrize("has_rung", [False, True], ids=["before the ring", "after the ring"])
def test_a_cancelled_waiter_is_forgotten_and_the_others_are_woken(backend: Backend, has_rung: bool):
    async def main() -> list[str]:
        bell = Bell(current_port().new_signal)
        woken: list[str] = []

        async def wait(name: str, limit: anyio.CancelScope) -> None:
            with limit:
                await bell.wait()
                woken.append(name)

        leaving, staying = anyio.CancelScope(), anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(wait, "leaving", leaving)
            group.start_soon(wait, "staying", staying)
            await let_them_wait(bell, 2)
            if has_rung:
                bell.ring()
                leaving.cancel()
            else:
                leaving.cancel()
                while len(bell._signals) > 1:
                    await anyio.sleep(0)
                bell.ring()
        assert not bell._signals
        return woken

    assert "staying" in backend.run(main)
