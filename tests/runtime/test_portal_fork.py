"""Portals and fork: what a process inherits is left alone, whatever its parent was doing at that moment."""

from __future__ import annotations

import os

import pytest

from tests.backends import Backend
from tests.forking import run_program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

PRELUDE = """
import ctypes, os, signal, sys, threading, time, traceback
from bridge._runtime import portal as starting
from bridge._runtime import portals as module
from bridge._runtime.portals import own_portal, shared_portal
from tests.forking import child_says, use
from tests.meeting import Helper, Hold

KIND, FORK = sys.argv[1:]

class Guest:
    closes = 0
    def __init__(self, portal):
        self.portal = portal
        assert portal.enter(self)
    def close(self):
        self.closes += 1
        self.portal.leave(self)

def answers(portal):
    '''Tell whether the loop of the portal does something.'''
    done = threading.Event()
    portal.port.post(done.set)
    return done.wait(10)

use(FORK)

def serve_anew():
    portal = shared_portal(KIND)
    guest = Guest(portal)
    has_answered = answers(portal)
    portal.leave(guest)
    return has_answered and portal.wait_for_end()
"""


@pytest.fixture(params=["os", "C"])
def run_script(request: pytest.FixtureRequest, backend: Backend):
    """Return what runs a script, for each loop, with ``os.fork()`` and with a fork that runs no Python hook."""

    def run(body: str) -> None:
        run_program(PRELUDE, body, backend.name, request.param)

    return run


@pytest.mark.requirement("A-116", "A-117")
def test_parent_and_child_each_have_their_own_portal(run_script):
    run_script(
        """
        parents = shared_portal(KIND)
        guest = Guest(parents)

        def in_child():
            return shared_portal(KIND) is not parents and serve_anew() and serve_anew() and guest.closes == 0

        assert child_says(in_child) and child_says(in_child)
        assert shared_portal(KIND) is parents and answers(parents)
        parents.leave(guest)
        assert parents.wait_for_end()
        """
    )


@pytest.mark.requirement("A-117")
def test_locks_that_were_held_during_the_fork_do_not_stop_the_child(run_script):
    run_script(
        """
        parents = shared_portal(KIND)
        guest = Guest(parents)
        hold = Hold("all locks")

        def keep():
            with module._processes.get().lock, parents._lock:
                hold.stop_here()

        helper = Helper(keep)
        hold.reached.wait()
        assert child_says(serve_anew)
        hold.release()
        helper.join()
        parents.leave(guest)
        assert parents.wait_for_end()
        """
    )


@pytest.mark.requirement("A-116", "A-117")
def test_a_fork_while_the_loop_is_being_started_leaves_both_in_order(run_script):
    run_script(
        """
        hold, start = Hold("the start"), starting.start_native_thread

        def start_later(run, name):
            hold.stop_here()
            return start(run, name)

        starting.start_native_thread = start_later
        parents = shared_portal(KIND)
        helper = Helper(lambda: Guest(parents))
        hold.reached.wait()

        def in_child():
            starting.start_native_thread = start
            return serve_anew()

        assert child_says(in_child)
        hold.release()
        guest = helper.join()
        assert answers(parents)
        parents.leave(guest)
        assert parents.wait_for_end()
        """
    )


@pytest.mark.requirement("A-119")
def test_the_end_of_the_child_closes_its_own_tenants_only(run_script):
    run_script(
        """
        parents = Guest(shared_portal(KIND))

        def in_child():
            own = Guest(own_portal(KIND))
            threading._shutdown()  # what the interpreter does first at its end
            return parents.closes == 0 and own.closes == 1 and not own.portal.is_running

        assert child_says(in_child)
        assert answers(parents.portal)
        parents.close()
        assert parents.portal.wait_for_end()
        """
    )
