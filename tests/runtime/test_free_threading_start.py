"""Threads that wait for the start of a loop, and one of them gives up: the others are not left with a dead loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge._runtime import portal as module
from bridge._runtime.portal import NoThreadError, Portal, PortalError
from tests.backends import Backend
from tests.meeting import Flag, Helper, Hold, until
from tests.runtime.guests import Guest


@pytest.fixture
def portal(backend: Backend) -> Iterator[Portal]:
    """A portal of each kind, ended after the test."""
    made = Portal(backend.name)
    yield made
    made.end()
    assert made.wait_for_end()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Where the thread that starts the loop stands."""
    hold, begin = Hold("the start"), module.start_native_thread

    def start_later(run: Callable[[], None], name: str) -> Any:
        hold.stop_here()
        return begin(run, name)

    monkeypatch.setattr(module, "start_native_thread", start_later)
    return hold


@pytest.mark.requirement("A-122")
def test_who_gives_up_takes_the_loop_from_nobody_who_waits_on(portal: Portal, start: Hold):
    patient, answered = Guest(portal), Flag("the loop's answer")
    waiting = Helper(lambda: portal.enter(patient))
    start.reached.wait()

    with pytest.raises(NoThreadError):
        portal.enter(Guest(portal), 0.01)
    start.release()

    assert waiting.join() is True
    portal.port.post(answered.set)
    answered.wait()
    assert not portal.is_over
    assert repr(portal) == f"<Portal {portal.kind}, running, 1 tenants>"


@pytest.mark.requirement("A-122")
def test_a_loop_that_nobody_waits_for_ends_as_it_comes_to_life_and_who_comes_late_is_told_so(
    portal: Portal, start: Hold
):
    """The threads of one host are one tenant: with the first that gives up, all of them do."""
    guest = Guest(portal)
    starting = Helper(lambda: portal.enter(guest))
    start.reached.wait()

    with pytest.raises(NoThreadError):
        portal.enter(guest, 0.01)
    assert portal.is_over
    assert portal.enter(guest) is False  # who is told so looks for another portal
    start.release()

    assert starting.join() is False
    assert portal.wait_for_end()


@pytest.mark.requirement("A-122")
def test_all_who_wait_for_a_loop_that_cannot_be_started_are_told_why(portal: Portal, monkeypatch: pytest.MonkeyPatch):
    hold = Hold("the start")

    def fail(_run: object, _name: str) -> None:
        hold.stop_here()
        raise RuntimeError("no thread is left")

    monkeypatch.setattr(module, "start_native_thread", fail)
    waiting = [Helper(lambda: portal.enter(Guest(portal)))]
    hold.reached.wait()
    waiting.append(Helper(lambda: portal.enter(Guest(portal))))
    until(lambda: len(portal._starters) == 2, "both wait")
    hold.release()

    for helper in waiting:
        with pytest.raises(PortalError, match="no thread is left"):
            helper.join()
    assert portal.is_over
