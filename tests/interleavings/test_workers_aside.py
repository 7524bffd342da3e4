"""`WorkerPool` under all schedules: workers that step aside or are replaced, and come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.pools import Site
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

_wrong = copy_of("tests.interleavings.mutants.pools")


def aside(pool_type: Any = None, *, jobs: int = 2, spare: int = 1) -> Scenario:
    """Jobs that wait for the last one, which gets a worker only because they step aside."""

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, pool_type, workers=1, spare=spare)
        wait, go = site.hold()

        def wait_aside() -> None:
            if site.pool.step_aside():
                wait()
                site.pool.step_back()

        waiting = [site.job(name, wait_aside) for name in "abc"[: jobs - 1]]
        site.submitter(*waiting, site.job("last", go))
        return site.check

    return scenario


def test_whoever_steps_aside_makes_way_for_another_worker() -> None:
    explore(aside())


def test_two_step_aside_one_after_the_other() -> None:
    explore(aside(jobs=3, spare=2), preemptions=None if DEEP else 2)


def test_no_more_step_aside_than_there_are_to_spare() -> None:
    explore(aside(jobs=3, spare=1))


def test_a_worker_that_is_stuck_is_replaced_and_ends_when_it_comes_back() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=1, spare=1)
        wait, go = site.hold()
        site.submitter(site.job("stuck", wait), site.job("b"))

        def replace() -> None:
            site.pool.replace_stuck(-1.0)  # all that are busy
            go()

        execution.start(replace, "watch")
        return site.check

    explore(scenario)


def test_a_worker_can_be_replaced_and_step_aside_at_the_same_time() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=1, spare=1)

        def step() -> None:
            if site.pool.step_aside():
                site.pool.step_back()

        site.submitter(site.job("a", step), site.job("b"))
        execution.start(lambda: site.pool.replace_stuck(-1.0), "watch")
        return site.check

    explore(scenario)


def test_a_pool_can_be_closed_while_a_worker_is_aside() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=1, spare=1)
        wait, go = site.hold()

        def wait_aside() -> None:
            is_aside = site.pool.step_aside()
            wait()
            if is_aside:
                site.pool.step_back()

        site.submitter(site.job("a", wait_aside))

        def close() -> None:
            site.pool.close(0.0)
            go()
            site.pool.close(5.0)

        execution.start(close, "closer")
        return site.check

    explore(scenario)


def test_serving_in_turn_can_begin_while_jobs_are_waiting() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=1)
        site.submitter(site.job("a"), site.job("b"))
        execution.start(site.pool.serve_in_turn, "second owner")
        return site.check

    explore(scenario)


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------

WRONG = [
    pytest.param("StaysAside", "aside|too many", id="does not step back"),
    pytest.param("LeavesJobsBehind", "accepted", id="steps aside without a look at what waits"),
]


@pytest.mark.parametrize(("fault", "what"), WRONG)
def test_a_pool_made_wrong_is_found_out(fault: str, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(aside(getattr(_wrong, fault)))
