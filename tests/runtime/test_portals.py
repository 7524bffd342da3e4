"""The portals of one process: shared, own, and closed at its end."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge._runtime import portals as module
from bridge._runtime.portal import Portal
from bridge._runtime.portals import own_portal, shared_portal
from bridge._runtime.processes import PerProcess
from tests.meeting import TIMEOUT_S, Helper
from tests.runtime.guests import Guest


@pytest.fixture
def exit_hooks(monkeypatch) -> Iterator[list[Callable[[], None]]]:
    """A process without portals; what it wants to be run at its end is run after the test."""
    hooks: list[Callable[[], None]] = []
    monkeypatch.setattr(module, "_processes", PerProcess(module._Process))
    monkeypatch.setattr(module, "_register_exit_hook", hooks.append)
    yield hooks
    for hook in hooks:
        hook()


@pytest.mark.requirement("A-108")
def test_threads_that_ask_at_once_share_one_portal_of_each_kind(backend, exit_hooks):
    together = threading.Barrier(8)

    def ask() -> Portal:
        together.wait(TIMEOUT_S)
        return shared_portal(backend.name)

    found = [Helper(ask) for _ in range(8)]

    assert len({id(helper.join()) for helper in found}) == 1
    assert shared_portal("asyncio") is not shared_portal("trio")
    assert len(exit_hooks) == 1


def test_after_the_end_of_the_shared_portal_there_is_another_one(backend, exit_hooks):
    first = shared_portal(backend.name)
    guest = Guest(first)
    assert first.enter(guest)
    first.leave(guest)

    second = shared_portal(backend.name)

    assert second is not first
    assert second.enter(guest)
    assert first.wait_for_end()


def test_an_own_portal_is_shared_with_nobody(backend, exit_hooks):
    portals = [own_portal(backend.name), own_portal(backend.name), shared_portal(backend.name)]

    assert len({id(portal) for portal in portals}) == 3


@pytest.mark.requirement("A-118")
def test_at_the_end_of_the_process_all_tenants_are_closed(backend, exit_hooks):
    guests = [Guest(portal) for portal in (shared_portal(backend.name), own_portal(backend.name))]
    for guest in guests:
        assert guest.portal.enter(guest)

    exit_hooks[0]()

    assert [guest.closes for guest in guests] == [1, 1]
    assert not any(guest.portal.is_running for guest in guests)


@pytest.mark.requirement("A-119")
def test_the_end_of_another_process_closes_nothing(backend, exit_hooks, monkeypatch):
    guest = Guest(shared_portal(backend.name))
    assert guest.portal.enter(guest)

    with monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: -1)
        exit_hooks[0]()

    assert guest.closes == 0
    assert guest.portal.is_running


@pytest.mark.requirement("A-120")
@pytest.mark.parametrize("why", ["it is past", "there is none"])
def test_without_an_earlier_time_the_end_is_that_of_atexit(monkeypatch, why):
    hooks: list[Any] = []

    def too_late(hook: Any) -> None:
        raise RuntimeError("can't register atexit after shutdown")

    if why == "it is past":
        monkeypatch.setattr(threading, "_register_atexit", too_late)
    else:
        monkeypatch.delattr(threading, "_register_atexit")
    monkeypatch.setattr(atexit, "register", hooks.append)

    module._register_exit_hook(print)

    assert hooks == [print]
