"""`FairJobs`: the owners of waiting jobs are served in turn; and the pool that several of them share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge._runtime.fair_jobs import FairJobs, owner_of
from bridge._runtime.workers import WorkerPool
from tests.forking import run_program
from tests.meeting import TIMEOUT_S
from tests.runtime.jobs import HeldJob, Job


class OwnedJob(Job):
    """A job of somebody; notes when it ran."""

    def __init__(self, owner: object, number: int = 0, log: list[Any] | None = None) -> None:
        super().__init__(lambda: None if log is None else log.append((owner, number)), f"{owner}{number}")
        self.owner = owner
        self.number = number


class Ownerless:
    """A job that says nothing about itself."""

    context = copy_context()

    def run(self) -> None:
        return


def names(jobs: FairJobs) -> str:
    """Take all jobs; return their names."""
    return " ".join(jobs.popleft().name for _ in range(len(jobs)))  # type: ignore[attr-defined]


def filled(order: str) -> FairJobs:
    """Jobs of the owners that the letters name, each numbered."""
    jobs, counts = FairJobs(), dict.fromkeys(order, 0)
    for owner in order:
        jobs.append(OwnedJob(owner, counts[owner]))
        counts[owner] += 1
    return jobs


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        pytest.param("", "", id="nobody"),
        pytest.param("aaa", "a0 a1 a2", id="one owner: first come, first served"),
        pytest.param("aaaab", "a0 b0 a1 a2 a3", id="one job beside a flood"),
        pytest.param("baaaa", "b0 a0 a1 a2 a3", id="before a flood"),
        pytest.param("aaabbc", "a0 b0 c0 a1 b1 a2", id="three"),
        pytest.param("abab", "a0 b0 a1 b1", id="in turn already"),
    ],
)
def test_the_owners_are_served_in_turn(order, expected):
    assert names(filled(order)) == expected


def test_an_owner_who_comes_back_stands_behind_the_others():
    jobs = filled("aab")
    assert jobs.popleft().name == "a0"
    assert jobs.popleft().name == "b0"
    jobs.append(OwnedJob("b", 1))
    jobs.append(OwnedJob("c", 0))

    assert names(jobs) == "a1 b1 c0"


def test_jobs_that_say_nothing_have_one_owner_together():
    jobs = FairJobs()
    first, second = Ownerless(), Ownerless()
    for job in (first, second, OwnedJob("a")):
        jobs.append(job)

    assert owner_of(first) is None
    taken = [jobs.popleft() for _ in range(3)]
    assert taken[0] is first
    assert taken[2] is second


def test_without_a_job_nothing_can_be_taken():
    with pytest.raises(IndexError):
        FairJobs().popleft()


@pytest.mark.parametrize(("taken", "expected"), [("a0", "a1 b0"), ("a1", "a0 b0"), ("b0", "a0 a1")])
def test_a_job_that_is_taken_out_does_not_run_and_no_turn_is_lost(taken, expected):
    jobs = FairJobs()
    made = {job.name: job for job in [OwnedJob("a"), OwnedJob("a", 1), OwnedJob("b")]}
    for job in made.values():
        jobs.append(job)

    jobs.remove(made[taken])

    assert len(jobs) == 2
    with pytest.raises(ValueError, match="not"):
        jobs.remove(made[taken])
    assert len(jobs) == 2
    assert names(jobs) == expected
    assert not jobs


def test_an_owner_without_a_job_is_forgotten():
    jobs = filled("ab")
    job = OwnedJob("c")
    jobs.append(job)

    jobs.remove(job)
    jobs.popleft()
    jobs.popleft()

    assert jobs._lines == {}


@given(steps=st.lists(st.sampled_from(["a", "b", "c", "take", "remove first", "remove last"]), max_size=60))
def test_any_sequence_of_steps_serves_each_owner_in_order_and_nobody_twice_before_another(steps):
    jobs = FairJobs()
    waiting: list[OwnedJob] = []
    counts = {"a": 0, "b": 0, "c": 0}
    passed: dict[object, int] = {}  # how often others were served while this owner was waiting
    for step in steps:
        if step == "take" and waiting:
            job = jobs.popleft()
            owners = {other.owner for other in waiting}
            assert job is next(other for other in waiting if other.owner == job.owner)
            waiting.remove(job)
            for owner in owners - {job.owner}:
                passed[owner] = passed.get(owner, 0) + 1
                assert passed[owner] <= 2  # the two others, once each
            passed[job.owner] = 0
        elif step.startswith("remove") and waiting:
            job = waiting.pop(0 if step.endswith("first") else -1)
            jobs.remove(job)
        elif step in counts:
            job = OwnedJob(step, counts[step])
            counts[step] += 1
            if all(other.owner != step for other in waiting):
                passed[step] = 0
            waiting.append(job)
            jobs.append(job)
        assert len(jobs) == len(waiting)
        assert bool(jobs) is bool(waiting)


@pytest.mark.parametrize(
    ("order", "owner", "expected"),
    [
        pytest.param("aaaaaaaa", "a", False, id="the flooded one itself"),
        pytest.param("aaaaaaaa", "b", True, id="its neighbour"),
        pytest.param("aaaaaaaabbb", "b", True, id="its neighbour with less than half"),
        pytest.param("aaaaaaaabbbb", "b", False, id="its neighbour with half"),
        pytest.param("aaaaaaaabbbb", "c", True, id="a third"),
        pytest.param("aaaaaaaabbbbcc", "c", False, id="a third with a third"),
        pytest.param("aaaaaaaabbbbccdd", "e", False, id="twice the limit is the end"),
    ],
)
def test_beyond_the_limit_only_those_with_less_than_an_equal_share_may_wait(order, owner, expected):
    assert filled(order).may_wait(OwnedJob(owner), 8) is expected


# ---- In a pool ------------------------------------------------------------------------------------------------


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(workers=1, queue=4, idle_s=30)
    yield made
    assert made.close(TIMEOUT_S)


def test_a_pool_whose_jobs_wait_already_serves_them_in_turn_from_now_on(pool):
    log: list[Any] = []
    holder = HeldJob()
    assert pool.submit(holder)
    holder.wait_until_running()
    jobs = [OwnedJob(owner, number, log) for owner, number in [("a", 0), ("a", 1), ("a", 2), ("b", 0)]]
    for job in jobs:
        assert pool.submit(job)

    pool.serve_in_turn()
    pool.serve_in_turn()
    holder.release()
    for job in jobs:
        job.done.wait()

    assert log == [("a", 0), ("b", 0), ("a", 1), ("a", 2)]


def test_a_flooded_owner_is_refused_and_its_neighbour_is_not(pool):
    pool.serve_in_turn()
    log: list[Any] = []
    holder = HeldJob()
    assert pool.submit(holder)
    holder.wait_until_running()
    flood = [OwnedJob("a", number, log) for number in range(10)]
    neighbours = [OwnedJob("b", number, log) for number in range(3)]

    assert [pool.submit(job) for job in flood] == [True] * 4 + [False] * 6
    assert [pool.submit(job) for job in neighbours] == [True, True, False]
    assert pool.discard(neighbours[1])
    holder.release()
    for job in [*flood[:4], neighbours[0]]:
        job.done.wait()

    assert log == [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("a", 3)]
    assert all(not job.runs for job in [*flood[4:], *neighbours[1:]])


PRELUDE = """
from bridge import WorkerPool
from tests.forking import child_says, use
from tests.runtime.jobs import HeldJob, Job

use("os")
pool = WorkerPool(workers=1)
pool.serve_in_turn()

def order_of(*owners):
    log, holder = [], HeldJob()
    assert pool.submit(holder)
    holder.wait_until_running()
    jobs = [Job(lambda owner=owner: log.append(owner)) for owner in owners]
    for owner, job in zip(owners, jobs):
        job.owner = owner
        assert pool.submit(job)
    holder.release()
    for job in jobs:
        job.done.wait()
    return "".join(log)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_the_child_of_a_fork_serves_in_turn_too():
    """Also while jobs of the parent are waiting: those are the parent's."""
    run_program(
        PRELUDE,
        """
        holder, waiting = HeldJob(), [Job(), Job()]
        assert pool.submit(holder)
        holder.wait_until_running()
        for job in waiting:
            assert pool.submit(job)

        assert child_says(lambda: order_of("a", "a", "b") == "aba")

        holder.release()
        for job in waiting:
            job.done.wait()
        assert order_of("a", "a", "b") == "aba"
        """,
    )
