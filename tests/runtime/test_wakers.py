"""Waking a thread: over a descriptor where there is one to be had, else over a lock; both keep the same contract."""

from __future__ import annotations

import os
import time

import pytest

from bridge._runtime import wakers
from tests.meeting import Helper

A_MOMENT_S = 0.02


@pytest.fixture(params=["descriptor", "no eventfd here", "no descriptor left"])
def new_waker(request, monkeypatch):
    """Return what makes one; a fixture that were one itself would keep its descriptor for longer than its test."""
    if request.param == "descriptor":
        if not hasattr(os, "eventfd"):
            pytest.skip("there is no eventfd on this system")
    elif request.param == "no eventfd here":
        monkeypatch.delattr(os, "eventfd", raising=False)
    else:

        def refuse(*_arguments):
            raise OSError("too many open files")

        monkeypatch.setattr(os, "eventfd", refuse, raising=False)
    return wakers.new_waker


def test_a_thread_waits_until_it_is_woken(new_waker):
    waker = new_waker()
    helper = Helper(lambda: waker.acquire(True, 10.0), "waiting")
    waker.release()

    assert helper.join() is True


def test_a_thread_that_is_woken_before_it_waits_does_not_wait(new_waker):
    waker = new_waker()
    waker.release()

    assert waker.acquire(True, 10.0)


def test_one_wake_up_is_for_one_wait(new_waker):
    waker = new_waker()
    waker.release()

    assert waker.acquire(True, 10.0)
    assert not waker.acquire(True, A_MOMENT_S)


def test_the_time_is_kept(new_waker):
    waker = new_waker()
    began_s = time.monotonic()

    assert not waker.acquire(True, A_MOMENT_S)
    assert time.monotonic() - began_s >= A_MOMENT_S / 2


def test_a_waker_can_be_used_again_and_again(new_waker):
    waker = new_waker()
    for _ in range(3):
        waker.release()
        assert waker.acquire(True, 10.0)


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="there is no eventfd on this system")
def test_the_descriptor_is_given_back_with_the_last_reference():
    waker = wakers.new_waker()
    descriptor = waker._descriptor
    os.fstat(descriptor)

    del waker

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
