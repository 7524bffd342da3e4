"""A portal: one loop in one thread, started once, ended once, whoever comes and goes meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context, ContextVar
from types import CodeType
from typing import Any

import anyio
import pytest

from bridge._runtime import portal as module
from bridge._runtime import spawning
from bridge._runtime.loops import LoopGoneError
from bridge._runtime.portal import Portal, PortalError
from tests.backends import Backend
from tests.meeting import TIMEOUT_S, Flag, Helper, Hold, until
from tests.runtime.guests import Guest


@pytest.fixture
def portal(backend: Backend) -> Iterator[Portal]:
    """A portal of each kind, ended after the test."""
    made = Portal(backend.name)
    yield made
    made.end()
    assert made.wait_for_end()


def run_there(portal: Portal, function: Callable[[], Any], context: Context | None = None) -> Flag:
    """Run a coroutine function on the loop; return the flag that is raised when it has ended."""
    done = Flag("the work's end")

    async def run() -> None:
        try:
            await function()
        finally:
            done.set()

    portal.port.post(lambda: portal.spawn(run, context or Context()))
    return done


# ---- The start --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-115")
def test_making_a_portal_starts_nothing(backend):
    before = threading.enumerate()

    portal = Portal(backend.name)

    assert threading.enumerate() == before
    assert not portal.is_running
    assert repr(portal) == f"<Portal {backend.name}, not started, 0 tenants>"


@pytest.mark.requirement("A-118")
def test_the_first_tenant_starts_the_loop_in_a_daemon_thread(portal):
    assert portal.enter(Guest(portal))

    [thread] = [thread for thread in threading.enumerate() if thread.ident == portal.thread_id]
    assert thread.daemon
    assert thread.name == "bridge-loop"
    assert repr(portal) == f"<Portal {portal.kind}, running, 1 tenants>"


@pytest.mark.requirement("A-108")
def test_tenants_that_enter_at_once_get_one_loop(portal):
    together = threading.Barrier(8)

    def enter() -> tuple[bool, int]:
        together.wait(TIMEOUT_S)
        return portal.enter(Guest(portal)), portal.thread_id

    helpers = [Helper(enter) for _ in range(8)]

    assert {helper.join() for helper in helpers} == {(True, portal.thread_id)}
    assert [thread.name for thread in threading.enumerate()].count("bridge-loop") == 1


def test_a_tenant_that_enters_twice_leaves_once(portal):
    guest = Guest(portal)
    assert portal.enter(guest)
    assert portal.enter(guest)

    portal.leave(guest)

    assert portal.is_over


FACTORIES = {
    "asyncio": "asyncio.new_event_loop",
    "uvloop": "uvloop.new_event_loop",
    "trio": "trio.run",
}


@pytest.mark.requirement("A-122")
def test_a_loop_that_cannot_be_made_is_an_error_with_its_cause(portal, monkeypatch):
    cause = OSError(24, "Too many open files")

    def fail(*args: Any) -> None:
        raise cause

    monkeypatch.setattr(FACTORIES[portal.kind], fail)

    with pytest.raises(PortalError, match=r"could not be started: OSError.*Too many open files") as caught:
        portal.enter(Guest(portal))
    assert caught.value.__cause__ is cause
    assert not portal.enter(Guest(portal)), "over is over"


@pytest.mark.requirement("A-122")
def test_a_thread_that_the_system_refuses_is_an_error_of_the_portal(portal, monkeypatch):
    """No thread left, an interpreter that shuts down or allows no daemon threads: all come as a RuntimeError."""

    def refuse(run: Any, name: str) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "start_native_thread", refuse)

    with pytest.raises(PortalError, match="can't start new thread"):
        portal.enter(Guest(portal))


@pytest.mark.requirement("A-122")
def test_a_thread_that_never_comes_to_life_is_an_error_after_the_time(portal, monkeypatch):
    monkeypatch.setattr(module, "start_native_thread", lambda run, name: None)

    with pytest.raises(PortalError, match=r"did not come to life within 0\.01 s"):
        portal.enter(Guest(portal), 0.01)
    assert portal.is_over
    assert not portal.enter(Guest(portal), 0.01)


def test_a_thread_that_comes_to_life_too_late_ends_at_once(portal, monkeypatch):
    late: list[Callable[[], None]] = []
    monkeypatch.setattr(module, "start_native_thread", lambda run, name: late.append(run))
    with pytest.raises(PortalError):
        portal.enter(Guest(portal), 0.01)

    Helper(late[0]).join()

    assert not portal.is_running


@pytest.mark.requirement("A-122")
def test_a_start_by_another_thread_is_waited_for_no_longer_than_allowed(portal, monkeypatch):
    hold, start = Hold("the start"), module.start_native_thread

    def start_later(run: Any, name: str) -> Any:
        hold.stop_here()
        return start(run, name)

    monkeypatch.setattr(module, "start_native_thread", start_later)
    first = Helper(lambda: portal.enter(Guest(portal)))
    hold.reached.wait()

    with pytest.raises(PortalError, match="did not come to life"):
        portal.enter(Guest(portal), 0.01)
    hold.release()

    assert first.join() is True


# ---- Coming and going -------------------------------------------------------------------------------------------


def test_the_loop_ends_with_its_last_tenant(portal):
    first, last = Guest(portal), Guest(portal)
    assert portal.enter(first)
    assert portal.enter(last)

    portal.leave(first)
    assert not portal.is_over
    portal.leave(last)

    assert portal.wait_for_end()
    assert repr(portal) == f"<Portal {portal.kind}, over, 0 tenants>"
    assert not portal.enter(first)
    with pytest.raises(LoopGoneError):
        portal.port.post(lambda: None)


def test_a_stranger_that_leaves_changes_nothing(portal):
    assert portal.enter(Guest(portal))

    portal.leave(Guest(portal))

    assert not portal.is_over


def test_a_tenant_may_leave_from_the_loop(portal):
    guest = Guest(portal)
    assert portal.enter(guest)

    portal.port.post(lambda: portal.leave(guest))

    until(lambda: portal.is_over)
    assert portal.wait_for_end()


class Stepper:
    """Runs a function in a thread, and stops it at the nth line that it reaches in some code."""

    def __init__(self, function: Callable[[], object], stop_at: int, *codes: CodeType) -> None:
        self.hold = Hold(f"line {stop_at}")
        self._left = stop_at
        self._codes = codes

        def run() -> object:
            sys.settrace(self._trace)
            try:
                return function()
            finally:
                sys.settrace(None)

        self.helper = Helper(run)
        until(lambda: self.hold.reached.is_set() or self.helper.is_done)

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code not in self._codes:
            return None
        if event == "line":
            self._left -= 1
            if self._left == -1:
                self.hold.stop_here()
        return self._trace


@pytest.mark.parametrize("who_is_held", ["who leaves", "who enters"])
def test_who_enters_while_the_last_one_leaves_is_in_a_running_portal_or_is_told_otherwise(backend, who_is_held):
    """One of them is stopped at each of its lines in turn, the other one goes on meanwhile."""
    enough = 40
    for line in range(enough):
        portal = Portal(backend.name)
        leaving, entering = Guest(portal), Guest(portal)
        assert portal.enter(leaving)
        enter, leave = lambda: portal.enter(entering), lambda: portal.leave(leaving)
        held, free = (leave, enter) if who_is_held == "who leaves" else (enter, leave)

        stepper = Stepper(held, line, Portal.enter.__code__, Portal.leave.__code__, Portal.end.__code__)
        other = Helper(free)
        with suppress(AssertionError):
            until(lambda: other.is_done, timeout_s=0.05)  # if it is not, it waits for the one that is held
        stepper.hold.release()
        results = stepper.helper.join(), other.join()

        has_entered = results[1] if who_is_held == "who leaves" else results[0]
        try:
            assert has_entered is not portal.is_over, f"line {line}: entered {has_entered}, but {portal!r}"
        finally:
            portal.end()
            assert portal.wait_for_end()
        if not stepper.hold.reached.is_set():
            return
    raise AssertionError(f"more than {enough} lines")


# ---- Work -------------------------------------------------------------------------------------------------------


def test_work_runs_on_the_loops_thread_in_the_given_context(portal):
    assert portal.enter(Guest(portal))
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    context = Context()
    context.run(variable.set, "given")
    seen: list[tuple[int, str]] = []

    async def look() -> None:
        await anyio.sleep(0)
        seen.append((threading.get_ident(), variable.get()))

    run_there(portal, look, context).wait()

    assert seen == [(portal.thread_id, "given")]


def test_work_can_be_cancelled(portal):
    assert portal.enter(Guest(portal))
    works: list[Any] = []
    began, cancelled = Flag("the work's beginning"), Flag("its cancellation")

    async def last() -> None:
        began.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.set()
            raise

    portal.port.post(lambda: works.append(portal.spawn(last, Context())))
    began.wait()
    until(lambda: works, "the work is at hand")
    portal.port.post(works[0].cancel)

    cancelled.wait()


def test_work_that_fails_ends_alone(portal, caplog):
    assert portal.enter(Guest(portal))
    hold, gone_on = Hold("other work"), Flag("other work that goes on")

    async def go_on() -> None:
        await hold.stop_here_on_loop()
        gone_on.set()

    async def fail() -> None:
        raise ValueError("a mistake in some work")

    others = run_there(portal, go_on)
    hold.reached.wait()
    run_there(portal, fail).wait()
    hold.release()
    others.wait()
    gc.collect()  # asyncio reports the failure of a task when it is collected

    assert gone_on.is_set()
    assert not portal.is_over
    assert "a mistake in some work" in caplog.text


def test_where_tells_what_the_loop_is_doing(portal):
    assert portal.where() == ""
    assert portal.enter(Guest(portal))
    hold = Hold("a callback")

    def something_that_blocks() -> None:
        hold.stop_here()

    portal.port.post(something_that_blocks)
    hold.reached.wait()

    assert "in something_that_blocks" in portal.where()
    hold.release()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_loop_that_fails_is_reported_and_over(portal, caplog):
    if portal.kind != "trio":
        pytest.skip("asyncio's loop is set going again; see the next test")
    assert portal.enter(Guest(portal))

    def fail() -> None:
        raise SystemExit("a callback gives up")

    portal.port.post(fail)
    until(lambda: portal.is_over)

    assert portal.wait_for_end()
    assert not portal.is_running
    assert "has failed" in caplog.text
    assert not portal.enter(Guest(portal))
    caplog.clear()  # it holds the error, and with that the loop's frames


@pytest.mark.requirement("A-088")
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_task_that_would_end_the_process_does_not_end_the_loop(portal, caplog, error):
    if portal.kind == "trio":
        pytest.skip("trio's tasks end nothing but their nursery")
    guest = Guest(portal)
    assert portal.enter(guest)
    goes_on = Flag("the loop goes on")

    async def exit_there() -> None:
        raise error

    def start() -> None:
        asyncio.get_running_loop().call_soon(lambda: tasks.append(asyncio.ensure_future(exit_there())))

    tasks: list[asyncio.Future[None]] = []
    portal.port.post(start)
    until(lambda: "the event loop goes on" in caplog.text)
    portal.port.post(goes_on.set)

    goes_on.wait()
    assert not portal.is_over
    with suppress(error):
        tasks.pop().exception()
    portal.leave(guest)
    caplog.clear()


# ---- The end ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-113")
def test_the_end_cancels_what_runs_and_closes_generators_and_nothing_is_destroyed_pending(portal, caplog):
    guest = Guest(portal)
    assert portal.enter(guest)
    cleaned: list[str] = []
    begun = [Flag(name) for name in ("work", "generator", "task of the work")]

    async def last(flag: Flag, name: str) -> None:
        flag.set()
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(name)

    async def generate() -> Any:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append("generator")

    async def start_generator() -> None:
        async for _ in generators[0]:
            break
        begun[1].set()

    async def start_group() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(last, begun[2], "task of the work")

    generators = [generate()]
    run_there(portal, lambda: last(begun[0], "work"))
    run_there(portal, start_generator)
    run_there(portal, start_group)
    for flag in begun:
        flag.wait()

    portal.leave(guest)

    assert portal.wait_for_end()
    assert sorted(cleaned) == ["generator", "task of the work", "work"]
    gc.collect()
    assert caplog.records == []


@pytest.mark.requirement("A-113")
def test_the_end_closes_the_default_executor(portal):
    if portal.kind == "trio":
        pytest.skip("trio has none")
    guest = Guest(portal)
    assert portal.enter(guest)
    threads: list[threading.Thread] = []

    run_there(portal, lambda: asyncio.to_thread(lambda: threads.append(threading.current_thread()))).wait()
    portal.leave(guest)

    assert portal.wait_for_end()
    assert not threads[0].is_alive()


@pytest.mark.requirement("A-113", "A-118")
@pytest.mark.filterwarnings("ignore:The executor did not finish:RuntimeWarning")
def test_a_thread_of_the_default_executor_that_hangs_does_not_hold_up_the_end(portal, monkeypatch):
    if portal.kind == "trio":
        pytest.skip("trio has none")
    monkeypatch.setattr(spawning, "_CLEAN_UP_S", 0.05)
    guest, hold = Guest(portal), Hold("a thread of the executor")
    assert portal.enter(guest)
    run_there(portal, lambda: asyncio.to_thread(hold.stop_here))
    hold.reached.wait()

    try:
        portal.leave(guest)
        assert portal.wait_for_end(10)
    finally:
        hold.release()


@pytest.mark.requirement("A-113", "A-118")
def test_work_that_ignores_its_cancellation_is_given_up_by_name(portal, monkeypatch, caplog):
    if portal.kind == "trio":
        pytest.skip("trio waits for all work; see the next test")
    monkeypatch.setattr(spawning, "_CLEAN_UP_S", 0.05)
    guest, began = Guest(portal), Flag("stubborn work")
    assert portal.enter(guest)

    async def stubborn() -> None:
        began.set()
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    run_there(portal, stubborn)
    began.wait()
    portal.leave(guest)

    assert portal.wait_for_end()
    [(level, message)] = [(level, text) for name, level, text in caplog.record_tuples if name == "bridge.portal"]
    assert level == logging.ERROR
    assert "ignores that it was cancelled" in message
    assert "run_there" in message
    caplog.clear()  # it holds the task


@pytest.mark.requirement("A-118")
def test_the_wait_for_the_end_is_bounded_while_work_ignores_its_cancellation(portal):
    """Shielded work keeps trio running, as trio promises; who waits for the end does not wait for ever."""
    if portal.kind != "trio":
        pytest.skip("asyncio gives such work up; see the test before")
    guest, hold = Guest(portal), Hold("shielded work")
    assert portal.enter(guest)

    async def shielded() -> None:
        with anyio.CancelScope(shield=True):
            await hold.stop_here_on_loop()

    run_there(portal, shielded)
    hold.reached.wait()
    portal.leave(guest)

    assert not portal.wait_for_end(0.02)
    hold.release()
    assert portal.wait_for_end()


def test_the_end_of_a_portal_that_never_started_is_the_end(portal):
    portal.end()

    assert not portal.enter(Guest(portal))
    assert portal.wait_for_end()


def test_the_end_is_not_waited_for_before_it_was_asked_for_nor_on_the_loop(portal):
    assert portal.enter(Guest(portal))
    answers: list[bool] = []
    answered = Flag("an answer")

    def end_and_wait() -> None:
        portal.end()
        answers.append(portal.wait_for_end())
        answered.set()

    assert not portal.wait_for_end(0)
    portal.port.post(end_and_wait)
    answered.wait()

    assert answers == [False]


@pytest.mark.requirement("A-118")
def test_the_wait_for_a_blocked_loop_ends_in_time(portal):
    assert portal.enter(Guest(portal))
    hold = Hold("a callback")
    portal.port.post(hold.stop_here)
    hold.reached.wait()

    portal.end()

    assert not portal.wait_for_end(0.02)
    hold.release()
    assert portal.wait_for_end()


def test_all_tenants_are_closed_even_if_one_fails(portal, caplog):
    guests = [Guest(portal), Guest(portal, ValueError("cannot close")), Guest(portal)]
    for guest in guests:
        assert portal.enter(guest)

    portal.close_tenants()

    assert [guest.closes for guest in guests] == [1, 1, 1]
    assert not portal.is_running
    [record] = caplog.records
    assert "could not be closed" in record.getMessage()
    assert "cannot close" in caplog.text
