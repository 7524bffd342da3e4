"""The way into a loop under all schedules: callbacks run once, in order, and nobody who waits is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.scenes import Loop
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

_loops = copy_of("bridge._runtime.loops")
_wrong = copy_of("tests.interleavings.mutants.ports")
Bell: Any = copy_of("bridge._runtime.bells").Bell
AsyncioPort: Any = _loops.AsyncioPort
TrioPort: Any = _loops.TrioPort


class RunFinishedError(Exception):
    """``trio.RunFinishedError``."""


class TrioToken:
    """``trio.lowlevel.TrioToken``: what was handed in and has not begun yet is not handed in again."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: set[Callable[[], object]] = set()

    def run_sync_soon(self, callback: Callable[[], object], *, idempotent: bool) -> None:
        assert idempotent

        def run() -> None:
            self._waiting.discard(callback)
            callback()

        def hand_in() -> bool:
            if self._loop.has_closed:
                raise RunFinishedError
            is_new = callback not in self._waiting
            self._waiting.add(callback)
            return is_new

        self._loop.hand_in(run, hand_in)


def trio_port(loop: Loop) -> Any:
    token = TrioToken(loop)
    trio = SimpleNamespace(
        sleep=None,
        Event=None,
        RunFinishedError=RunFinishedError,
        lowlevel=SimpleNamespace(current_trio_token=lambda: token),
    )
    return TrioPort(trio)


PORTS = [pytest.param(AsyncioPort, id="asyncio"), pytest.param(trio_port, id="trio")]


def posting(new_port: Any = AsyncioPort, *, threads: int = 2, posts: int = 2, adds: bool = False) -> Scenario:
    """Threads that post callbacks, and a loop that runs for ever."""

    def scenario(execution: Execution) -> Callable[[], None]:
        loop = Loop(execution)
        port = new_port(loop)
        ran: list[str] = []

        def post(name: str) -> Callable[[], None]:
            def run() -> None:
                for number in range(posts):
                    callback = lambda number=number: ran.append(f"{name}{number}")
                    if adds:
                        port.add(callback)
                    else:
                        port.post(callback)
                if adds:
                    port.flush()

            return run

        execution.start(loop.run_for_ever, "loop", is_background=True)
        for name in "abc"[:threads]:
            execution.start(post(name), name)

        def look() -> None:
            for name in "abc"[:threads]:
                mine = [each for each in ran if each.startswith(name)]
                assert mine == [f"{name}{number}" for number in range(posts)], f"run: {ran}"

        return look

    return scenario


@pytest.mark.parametrize("adds", [False, True], ids=["posted one by one", "added, then flushed"])
@pytest.mark.parametrize("new_port", PORTS)
def test_callbacks_of_two_threads_run_once_and_in_order(new_port: Any, adds: bool) -> None:
    explore(posting(new_port, adds=adds), preemptions=3 if DEEP else 2)


@pytest.mark.parametrize("new_port", PORTS)
def test_callbacks_of_three_threads_run(new_port: Any) -> None:
    preemptions = 1 if new_port is AsyncioPort and not DEEP else None
    explore(posting(new_port, threads=3, posts=1), preemptions=preemptions)


@pytest.mark.parametrize("new_port", PORTS)
def test_callbacks_that_post_callbacks_are_not_forgotten(new_port: Any) -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        loop = Loop(execution)
        port = new_port(loop)
        ran: list[str] = []

        def again() -> None:
            ran.append("first")
            port.post(lambda: ran.append("second"))

        execution.start(loop.run_for_ever, "loop", is_background=True)
        execution.start(lambda: port.post(again), "a")
        execution.start(lambda: port.post(lambda: ran.append("other")), "b")

        def look() -> None:
            assert sorted(ran) == ["first", "other", "second"], f"run: {ran}"

        return look

    explore(scenario)


def test_a_callback_that_fails_holds_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        loop = Loop(execution)
        port = AsyncioPort(loop)
        ran: list[str] = []

        def fail() -> None:
            raise ValueError("of a callback")

        execution.start(loop.run_for_ever, "loop", is_background=True)
        execution.start(lambda: port.post(fail), "a")
        execution.start(lambda: port.post(lambda: ran.append("b")), "b")

        def look() -> None:
            assert ran == ["b"]

        return look

    explore(scenario)

    assert "of a callback" in caplog.text


def closing(new_port: Any = AsyncioPort) -> Scenario:
    """Threads that post while the loop closes, and once more when it is closed."""

    def scenario(execution: Execution) -> None:
        loop = Loop(execution)
        port = new_port(loop)

        def post() -> None:
            try:
                port.post(lambda: None)
            except _loops.LoopGoneError:
                assert loop.has_closed

        def close_and_post() -> None:
            loop.close()
            for _ in range(2):
                with pytest.raises(_loops.LoopGoneError):
                    port.post(lambda: None)

        execution.start(post, "a")
        execution.start(close_and_post, "b")

    return scenario


@pytest.mark.parametrize("new_port", PORTS)
def test_whoever_posts_to_a_loop_that_is_gone_is_told(new_port: Any) -> None:
    explore(closing(new_port))


# ---- Coroutines that wait for threads --------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_a_coroutine_that_waits_for_a_signal_sees_what_each_thread_has_done(threads: int) -> None:
    def scenario(execution: Execution) -> None:
        loop = Loop(execution)
        port = AsyncioPort(loop)
        signal = port.new_signal()
        done: list[int] = []

        async def wait() -> None:
            while len(done) < threads:
                await signal.wait()

        def tell(number: int) -> Callable[[], None]:
            def run() -> None:
                execution.announce(execution.subject(done, "contents", "what is done").touch)
                done.append(number)
                with suppress(_loops.LoopGoneError):  # the coroutine has seen it, and the loop has ended
                    port.post(signal.set)

            return run

        loop.spawn(wait())
        execution.start(loop.run, "loop")
        for number in range(threads):
            execution.start(tell(number), f"thread {number}")

    explore(scenario)


def test_a_bell_wakes_all_who_wait_and_those_who_come_later_look_first() -> None:
    def scenario(execution: Execution) -> None:
        loop = Loop(execution)
        port = AsyncioPort(loop)
        bell = Bell(port.new_signal)
        done: list[int] = []

        async def wait(count: int) -> None:
            while len(done) < count:
                await bell.wait()

        def ring() -> None:
            done.append(1)
            bell.ring()

        def post() -> None:
            with suppress(_loops.LoopGoneError):  # the other thread's delivery has brought this one, too
                port.post(ring)

        loop.spawn(wait(1))
        loop.spawn(wait(2))
        execution.start(loop.run, "loop")
        for number in range(2):
            execution.start(post, f"thread {number}")

    explore(scenario, preemptions=3)  # without sleep sets, which would give coroutines up before they begin


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------

WRONG = [
    pytest.param("ClearsLate", posting, "run: ", id="clears the flag late"),
    pytest.param("LooksFirst", posting, "run: ", id="looks before it adds"),
    pytest.param("CopiesAndClears", posting, "run: ", id="throws away what has come since"),
    pytest.param("StaysScheduled", closing, "DID NOT RAISE|RuntimeError", id="forgets that nobody was woken"),
]


@pytest.mark.parametrize(("fault", "scenario", "what"), WRONG)
def test_a_port_made_wrong_is_found_out(fault: str, scenario: Any, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(scenario(getattr(_wrong, fault)))
