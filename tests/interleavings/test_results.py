"""From worker to loop under all schedules: no result is held back by a job that blocks, and all of them arrive."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.pools import Site
from tests.interleavings.scenes import ClosedError, Loop
from tests.interleavings.schedules import DEEP, Scenario, ScheduleError, explore

AsyncioPort: Any = copy_of("bridge._runtime.loops").AsyncioPort
Outflow: Any = copy_of("bridge._runtime.outflow").Outflow
_wrong = copy_of("tests.interleavings.mutants.pools")


def blocked_by_its_result(pool_type: Any = None, *, workers: int = 2, loops: int = 1, between: int = 0) -> Scenario:
    """The last job waits until the result of the first has arrived."""

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, pool_type, workers=workers)
        site.others = loops
        ports = []
        for _ in range(loops):
            loop = Loop(execution)
            ports.append(AsyncioPort(loop))
            execution.start(loop.run_for_ever, "loop", is_background=True)
        wait, arrive = site.hold()
        came: list[int] = []

        def deliver(number: int) -> Callable[[], None]:
            def result() -> None:
                came.append(number)
                if number == 0:
                    arrive()

            def work() -> None:
                port = ports[number % loops]
                port.add(result)
                site.pool.deliver_soon(port)

            return work

        jobs = [site.job(f"job {number}", deliver(number)) for number in range(between + 1)]
        site.submitter(*jobs, site.job("blocked", wait))

        def look() -> None:
            assert sorted(came) == list(range(between + 1)), f"came: {came}"
            site.check()

        return look

    return scenario


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("between", [0, 1])
def test_a_result_is_not_held_back_by_a_job_that_blocks(between: int, workers: int) -> None:
    preemptions = (3 if DEEP else 2) if workers > 1 and between else None
    explore(blocked_by_its_result(workers=workers, between=between), preemptions=preemptions)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_for_two_loops_do_not_wait_for_each_other(workers: int) -> None:
    preemptions = 2 if workers > 1 and not DEEP else None
    explore(blocked_by_its_result(workers=workers, between=1, loops=2), preemptions=preemptions)


def test_a_result_arrives_if_the_worker_that_was_to_deliver_it_cannot_be_started() -> None:
    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=2, threads_left=1)
        site.others = 1
        loop = Loop(execution)
        port = AsyncioPort(loop)
        execution.start(loop.run_for_ever, "loop", is_background=True)
        wait, arrive = site.hold()

        def work() -> None:
            port.add(arrive)
            site.pool.deliver_soon(port)

        site.submitter(site.job("a", work), site.job("blocked", wait))
        return site.check

    explore(scenario)


def waiting_for_its_own_result(
    pool_type: Any = None, others: int = 0, workers: int = 1, threads_left: int | None = None
) -> Scenario:
    """As ``close()`` of a response that is complete, which may wait for its client."""

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, pool_type, workers=workers, threads_left=threads_left)
        site.others = 1
        loop = Loop(execution)
        port = AsyncioPort(loop)
        execution.start(loop.run_for_ever, "loop", is_background=True)
        wait, arrive = site.hold()

        def work() -> None:
            port.add(arrive)
            site.pool.deliver_shortly(port)
            wait()

        site.submitter(*[site.job(f"other {number}", lambda: None) for number in range(others)], site.job("a", work))
        if others:
            site.submitter(site.job("late", lambda: None))
        return site.check

    return scenario


@pytest.mark.parametrize(("workers", "threads_left"), [(1, None), (2, None), (2, 1)])
@pytest.mark.parametrize("others", [0, 1])
def test_a_result_is_not_held_back_by_what_its_own_job_does_next(
    others: int, workers: int, threads_left: int | None
) -> None:
    explore(waiting_for_its_own_result(None, others, workers, threads_left), preemptions=2 if others else None)


class Request:
    """One request: a job that sends blocks, and the coroutine on the loop that takes them, as an exchange does."""

    def __init__(self, site: Site, port: Any, name: str, blocks: int) -> None:
        self.name = name
        self._site = site
        self._port = port
        self._signal = port.new_signal()
        self._blocks = blocks
        self.outflow = Outflow(0, self)
        self.job = site.job(name, self._work)
        self.got: list[bytes] = []
        self.is_cancelled = False

    def _work(self) -> None:
        try:
            for number in range(self._blocks):
                put = self.outflow.put if number < self._blocks - 1 else self.outflow.put_last
                put((b"%d" % number,), 1)
                self.outflow.wait_for_room(None, self._site.pool)
        except ClosedError:
            pass
        self.outflow.finish(None)

    async def respond(self) -> None:
        is_finished = False
        while not is_finished:
            await self._signal.wait()
            if self.is_cancelled:
                if self._site.pool.discard(self.job):
                    self._site.accepted.remove(self.name)
                    return
                self.outflow.close(ClosedError("the request is cancelled"))
            items, is_finished = self.outflow.take()
            self.got += items
            self.outflow.sent(len(items), len(items))
        self.outflow.detach()

    def notify(self) -> None:
        self._port.post(self._signal.set)

    def notify_soon(self) -> None:
        self._port.add(self._signal.set)
        self._site.pool.deliver_soon(self._port)

    def notify_shortly(self) -> None:
        self._port.add(self._signal.set)
        self._site.pool.deliver_shortly(self._port)

    def is_loop_running(self) -> bool:
        return True

    def loop_is_gone(self) -> Exception:
        return AssertionError("the loop still runs")

    def leave(self) -> None:
        """The client leaves, at this turn of the loop."""
        self.outflow.close(ClosedError("the client has left"))
        self._signal.set()

    def cancel(self) -> None:
        """The server cancels the request, at this turn of the loop."""
        self.is_cancelled = True
        self._signal.set()


def requests(*blocks: int, workers: int = 1, ends_by: str | None = None, timeouts: int = 0, spare: int = 0) -> Scenario:
    """Requests with so many blocks each; the first one may come to another end."""

    def scenario(execution: Execution) -> Callable[[], None]:
        site = Site(execution, workers=workers, timeouts=timeouts, spare=spare)
        loop = Loop(execution)
        port = AsyncioPort(loop)
        all_requests = [Request(site, port, f"request {n}", count) for n, count in enumerate(blocks)]

        async def respond(request: Request) -> None:
            site.submit(request.job)
            await request.respond()

        for request in all_requests:
            loop.spawn(respond(request))
        execution.start(loop.run, "loop")
        if ends_by is not None:

            def end() -> None:
                with suppress(RuntimeError):  # the loop has ended before
                    port.post(getattr(all_requests[0], ends_by))

            execution.start(end, ends_by)

        def look() -> None:
            for number, request in enumerate(all_requests):
                whole = [b"%d" % each for each in range(blocks[number])]
                assert request.got == (whole[: len(request.got)] if ends_by and not number else whole)
            site.check()

        return look

    return scenario


REQUESTS = [
    pytest.param((0,), None, id="one without blocks"),
    pytest.param((2,), None, id="one with two blocks"),
    pytest.param((0, 0), None if DEEP else 2, id="two without blocks"),
    pytest.param((1, 0), 2 if DEEP else 1, id="one with a block and one without"),
    pytest.param((0, 0, 0), 2 if DEEP else 1, id="three without blocks"),
]


@pytest.mark.parametrize(("blocks", "preemptions"), REQUESTS)
def test_every_request_is_answered(blocks: tuple[int, ...], preemptions: int | None) -> None:
    explore(requests(*blocks, workers=2), preemptions=preemptions)


@pytest.mark.parametrize("ends_by", ["leave", "cancel"])
def test_a_request_ends_whenever_its_client_leaves_or_the_server_cancels_it(ends_by: str) -> None:
    explore(requests(0, ends_by=ends_by), preemptions=3 if DEEP else 2)
    explore(requests(1, ends_by=ends_by), preemptions=2 if DEEP else 1)


def test_a_request_whose_worker_has_stepped_aside_is_answered() -> None:
    explore(requests(1, 0, timeouts=1, spare=1), preemptions=2 if DEEP else 1)


def test_a_pool_that_holds_results_back_is_found_out() -> None:
    with pytest.raises(ScheduleError, match=r"came|done"):
        explore(blocked_by_its_result(_wrong.HoldsResultsBack, workers=1))
    with pytest.raises(ScheduleError, match="done"):
        explore(waiting_for_its_own_result(_wrong.LeavesResultsToNobody))
