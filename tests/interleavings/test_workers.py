"""`WorkerPool` under all schedules: every job runs once, nobody is forgotten, one worker is woken at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.pools import Site
from tests.interleavings.schedules import Scenario, ScheduleError, explore

_wrong = copy_of("tests.interleavings.mutants.pools")


def plain(*names: str, pool_type: Any = None, threads: int = 1, **options: Any) -> Scenario:
    """Jobs that do nothing, submitted by one thread or by one each."""

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, pool_type, **options)
        jobs = [site.job(name) for name in names]
        if threads == 1:
            site.submitter(*jobs)
        else:
            for job in jobs:
                site.submitter(job)
        return site.check

    return scenario


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_every_job_runs_once(names: str, workers: int) -> None:
    explore(plain(*names, workers=workers))


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_that_two_threads_submit_run_once(workers: int) -> None:
    explore(plain("a", "b", workers=workers, threads=2))


def test_a_job_that_meets_a_worker_about_to_end_for_want_of_work_runs() -> None:
    explore(plain("a", "b", workers=2, timeouts=1))


@pytest.mark.parametrize("queue", [0, 1])
def test_a_job_runs_if_and_only_if_it_was_accepted(queue: int) -> None:
    explore(plain("a", "b", "c", workers=1, threads=3, queue=queue))


def waiting_for_each_other(pool_type: Any = None) -> Scenario:
    """The first job ends when the second has run; both have to be on workers at the same time."""

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, pool_type, workers=2)
        wait, go = site.hold()
        site.submitter(site.job("a", wait), site.job("b", go))
        return site.check

    return scenario


def test_a_job_that_blocks_keeps_no_other_from_a_worker() -> None:
    explore(waiting_for_each_other())


def test_a_job_that_is_taken_back_never_runs_and_one_that_is_not_runs() -> None:
    seen = set()

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=1)
        first, second = site.job("a"), site.job("b")
        taken_back: list[bool] = []

        def submit_and_regret() -> None:
            site.submit(first)
            site.submit(second)
            taken_back.append(site.pool.discard(second))

        execution.start(submit_and_regret, "regretting")

        def look() -> None:
            if taken_back[0]:
                site.accepted.remove("b")
            seen.add(taken_back[0])
            site.check()

        return look

    explore(scenario)

    assert seen == {True, False}


# ---- The end of a pool -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeouts", [0, 1])
def test_closing_ends_every_worker_and_loses_no_job(timeouts: int) -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=2, timeouts=timeouts)
        site.submitter(site.job("a"), site.job("b"))
        execution.start(lambda: site.pool.close(5.0), "closer")
        return site.check

    explore(scenario)


def test_a_pool_that_has_been_closed_works_again() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=1)

        def run() -> None:
            site.submit(site.job("a"))
            assert site.pool.close(5.0)
            assert site.done == ["a"]
            site.submit(site.job("b"))

        execution.start(run, "user")
        return site.check

    explore(scenario)


def test_two_who_close_at_once_are_both_released() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=1)
        wait, go = site.hold()

        def use_and_close() -> None:
            site.submit(site.job("a", wait))
            site.pool.close(0.0)  # of an application that does not wait
            go()

        execution.start(use_and_close, "one")
        execution.start(lambda: site.pool.close(5.0), "two")
        return site.check

    explore(scenario)


# ---- No thread is left -----------------------------------------------------------------------------------------------


def test_a_job_runs_on_the_workers_there_are_if_no_further_one_can_be_started() -> None:
    explore(plain("a", "b", "c", workers=2, threads_left=1))


def test_a_job_that_comes_while_a_start_fails_is_not_forgotten() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=3, threads_left=1)
        wait, go = site.hold()
        site.submitter(site.job("a", wait), site.job("b"))

        def let_go() -> None:
            go()
            site.submit(site.job("c"))

        execution.start(let_go, "with c")
        return site.check

    explore(scenario)


# ---- The scenarios are able to fail ----------------------------------------------------------------------------------


def regretting(pool_type: Any) -> Scenario:
    """A job that is taken back while a worker takes it."""

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, pool_type, workers=1)
        job = site.job("a")

        def run() -> None:
            site.submit(job)
            if site.pool.discard(job):
                site.accepted.remove("a")

        execution.start(run, "regretting")
        return site.check

    return scenario


WRONG = [
    pytest.param(
        "WakesNobodyElse",
        waiting_for_each_other,
        r"run: \['a', 'b'\]|accepted",
        id="wakes no other worker for what is left",
    ),
    pytest.param(
        "LooksBeforeItLocks",
        lambda kind: plain("a", "b", pool_type=kind),
        "accepted|on its way",
        id="looks before it locks",
    ),
    pytest.param(
        "RestsWithoutALook",
        lambda kind: plain("a", "b", pool_type=kind, timeouts=1),
        "accepted",
        id="ends although it has been woken",
    ),
    pytest.param("DiscardsInTwoSteps", regretting, "accepted", id="takes a job back in two steps"),
]


@pytest.mark.parametrize(("fault", "scenario", "what"), WRONG)
def test_a_pool_made_wrong_is_found_out(fault: str, scenario: Any, what: str) -> None:
    with pytest.raises(ScheduleError, match=what):
        explore(scenario(getattr(_wrong, fault)))
