"""Gates under all schedules: who waits at one sees all news, and it is opened once for each time it is passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.pools import Site
from tests.interleavings.primitives import Event, Semaphore
from tests.interleavings.scenes import Loop
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

_real = copy_of("bridge._runtime.gates")
_wrong = copy_of("tests.interleavings.mutants.gates")
ThreadGate: Any = _real.ThreadGate
_descriptors = copy_of("bridge._runtime.descriptor_gates")


class Hub:
    """The hub of gevent, as far as gates use it: a watcher that other threads may wake, any number of times at once."""

    def __init__(self, execution: Execution) -> None:
        self.loop = self
        self._sent = Semaphore(0)
        execution.start(self._run, "hub", is_background=True)

    def async_(self, *, ref: bool) -> Hub:
        return self

    def start(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def send(self) -> None:
        self._sent.release()

    def _run(self) -> None:
        while True:
            self._sent.acquire()
            while self._sent.acquire(blocking=False):
                pass  # several calls of `send` may be one
            self._callback()


def gevent_gate(execution: Execution) -> Any:
    return _real.GeventGate(_real._Hub(Hub(execution)), Event())


class Doorbell:
    """What the gates that have descriptors are woken by: several rings may be one."""

    def __init__(self) -> None:
        self._rung = Semaphore(0)
        self.ring = self._rung.release

    def sleep(self, timeout_s: float, _: int) -> bool:
        has_rung = self._rung.acquire(timeout=timeout_s)
        while self._rung.acquire(blocking=False):
            pass
        return has_rung


def descriptor_gate(_: Execution) -> Any:
    return _descriptors.DescriptorGate(Doorbell())


def telling(new_gate: Callable[[Execution], Any], *, news: int = 2, timeouts: int = 0) -> Scenario:
    """A loop that has news, one after the other, and a thread that waits until it has seen all of them."""

    def scenario(execution: Execution) -> None:
        gate = new_gate(execution)
        there: list[int] = []
        subject = execution.subject(there, "contents", "the news")

        def tell() -> None:
            for number in range(news):
                execution.announce(subject.touch)
                there.append(number)
                gate.open()

        def wait() -> None:
            seen = 0
            while seen < news:
                gate.wait(0.25)
                execution.announce(subject.look)
                seen = len(there)

        execution.start(tell, "loop")
        execution.start(wait, "thread", timeouts=timeouts)

    return scenario


GATES = [
    pytest.param(lambda _: ThreadGate(), id="thread"),
    pytest.param(descriptor_gate, id="descriptor"),
    pytest.param(gevent_gate, id="gevent"),
]


@pytest.mark.parametrize("timeouts", [0, 1, 2])
@pytest.mark.parametrize("news", [1, 2, 3])
@pytest.mark.parametrize("new_gate", GATES)
def test_a_thread_at_a_gate_sees_all_news(new_gate: Any, news: int, timeouts: int) -> None:
    is_large = new_gate is not GATES[0].values[0] and news + timeouts > 3
    explore(telling(new_gate, news=news, timeouts=timeouts), preemptions=(3 if DEEP else 2) if is_large else None)


def test_a_coroutine_gets_what_a_function_on_a_worker_returns() -> None:
    def scenario(execution: Execution) -> None:
        site = Site(execution, workers=1)
        loop = Loop(execution)
        port = copy_of("bridge._runtime.loops").AsyncioPort(loop)
        waiting = copy_of("bridge._runtime.waiting")

        async def ask(number: int) -> None:
            assert await waiting.run_in_worker(site.pool, port, lambda: number + 1) == number + 1

        loop.spawn(ask(1))
        loop.spawn(ask(2))
        execution.start(loop.run, "loop")

    explore(scenario, preemptions=3)  # without sleep sets, which would give coroutines up in the middle


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------

WRONG = [
    pytest.param("ClosesFirst", "unlocked|deadlock", id="is closed before it is passed"),
    pytest.param("ReleasesFirst", "unlocked|deadlock", id="is noted as open after it was passed"),
]


WRONG_WITH_DESCRIPTORS = ["LooksFirst", "LooksForSleepersFirst", "ClosesLate"]


@pytest.mark.parametrize("fault", WRONG_WITH_DESCRIPTORS)
def test_a_gate_with_descriptors_that_is_made_wrong_is_found_out(fault: str) -> None:
    with pytest.raises(ScheduleError, match="deadlock"):
        explore(telling(lambda _: getattr(_wrong, fault)(Doorbell()), news=3), preemptions=3)


@pytest.mark.parametrize(("fault", "what"), WRONG)
def test_a_gate_made_wrong_is_found_out(fault: str, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(telling(lambda _: getattr(_wrong, fault)(), news=3))
