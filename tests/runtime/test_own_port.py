"""The way into a loop of our own: what is posted is run, in order, and who comes too late is told so."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Iterator

import pytest

from bridge._runtime import own_port as module
from bridge._runtime.loops import AsyncioPort, LoopGoneError
from bridge._runtime.own_port import OwnLoopPort, own_port
from tests.leaks import open_descriptors
from tests.meeting import TIMEOUT_S, Helper

pytestmark = pytest.mark.skipif(not hasattr(os, "eventfd"), reason="there is no eventfd here")


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run yet."""
    made: asyncio.AbstractEventLoop = pytest.importorskip(request.param).new_event_loop()
    yield made
    made.close()


@pytest.fixture
def port(loop: asyncio.AbstractEventLoop) -> Iterator[OwnLoopPort]:
    made = own_port(loop)
    assert isinstance(made, OwnLoopPort)
    yield made
    made.close()


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let the interpreter switch between threads as often as it can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def run_until(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    loop.run_until_complete(asyncio.wait_for(done, TIMEOUT_S))


def test_what_is_posted_comes_after_what_was_ready_before(loop, port):
    """A task that was made before has taken its first step when the loop hears that the client has left."""
    order: list[str] = []
    done = loop.create_future()

    def posted() -> None:
        order.append("posted")
        done.set_result(None)

    def first() -> None:
        loop.call_soon(order.append, "ready")
        Helper(lambda: port.post(posted)).join()

    loop.call_soon(first)
    run_until(loop, done)

    assert order == ["ready", "posted"]


@pytest.mark.usefixtures("frequent_switches")
def test_what_many_threads_post_is_run_once_each_and_in_the_order_of_each(loop, port):
    threads, posts = 4, 300
    ran: list[tuple[int, int]] = []
    done = loop.create_future()

    def note(thread: int, number: int) -> None:
        ran.append((thread, number))
        if len(ran) == threads * posts:
            done.set_result(None)

    def post(thread: int) -> None:
        for number in range(posts):
            port.post(lambda number=number: note(thread, number))

    helpers = [Helper(lambda thread=thread: post(thread)) for thread in range(threads)]
    run_until(loop, done)
    for helper in helpers:
        helper.join()

    for thread in range(threads):
        assert [number for who, number in ran if who == thread] == list(range(posts))


def test_what_a_callback_posts_is_run_in_a_later_turn(loop, port):
    done, order = loop.create_future(), []

    def first() -> None:
        port.post(second)
        order.append("first")

    def second() -> None:
        order.append("second")
        done.set_result(None)

    port.post(first)
    run_until(loop, done)

    assert order == ["first", "second"]


def test_a_callback_that_fails_keeps_nobody_waiting(loop, port, caplog):
    done = loop.create_future()

    def fail() -> None:
        raise LookupError

    port.post(fail)
    port.post(lambda: done.set_result(None))
    run_until(loop, done)

    assert [record.message for record in caplog.records] == ["a callback has failed"]


def test_who_posts_after_the_end_is_told_so_and_nothing_stays_open(loop):
    before = open_descriptors()
    port = OwnLoopPort(loop)
    port.post(lambda: pytest.fail("it was run after the end"))

    port.close()

    with pytest.raises(LoopGoneError):
        port.post(lambda: None)
    assert open_descriptors() == before
    port.close()  # once more is nothing


def test_a_signal_in_the_middle_of_a_post_leaves_the_way_open(loop, port, monkeypatch):
    done = loop.create_future()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "eventfd_write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            port.post(lambda: None)

    port.post(lambda: done.set_result(None))
    run_until(loop, done)


def test_a_loop_that_is_woken_by_somebody_elses_reading_goes_on(loop, port):
    done = loop.create_future()

    port._hear(port._bell.number)  # there is nothing to read
    port.post(lambda: done.set_result(None))
    run_until(loop, done)


@pytest.mark.parametrize("name", ["is_gevent_patched", "is_eventlet_patched"])
def test_where_threads_are_something_else_the_ordinary_way_is_taken(name, loop, monkeypatch):
    monkeypatch.setattr(module, name, lambda: True)

    assert type(own_port(loop)) is AsyncioPort


def test_where_the_system_has_no_eventfd_the_ordinary_way_is_taken(loop, monkeypatch):
    monkeypatch.delattr(os, "eventfd")

    assert type(own_port(loop)) is AsyncioPort


def test_where_no_descriptor_is_left_the_ordinary_way_is_taken(loop, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "eventfd", fail)

    assert type(own_port(loop)) is AsyncioPort
