"""``call_later`` of a port: one callback, on the loop, not before its time, and nothing left behind."""

from __future__ import annotations

import logging
import threading
import time
from contextvars import ContextVar

import anyio
import pytest

from bridge._runtime.loops import LoopPort, current_port
from tests.backends import Backend
from tests.meeting import TIMEOUT_S


def test_a_callback_runs_once_on_the_loop_and_not_before_its_time(backend: Backend):
    ran: list[tuple[float, int]] = []

    async def main() -> tuple[float, int]:
        port = current_port()
        signal = port.new_signal()
        began_s = time.monotonic()

        def note() -> None:
            ran.append((time.monotonic(), threading.get_ident()))
            signal.set()

        port.call_later(0.03, note)
        assert ran == []
        await signal.wait()
        await anyio.sleep(0.05)
        return began_s, threading.get_ident()

    began_s, thread_id = backend.run(main)

    [(at_s, ran_in)] = ran
    assert at_s - began_s >= 0.029
    assert ran_in == thread_id


def test_timers_run_in_the_order_of_their_time(backend: Backend):
    async def main() -> list[str]:
        port = current_port()
        signal = port.new_signal()
        ran: list[str] = []
        port.call_later(0.06, signal.set)
        port.call_later(0.04, lambda: ran.append("late"))
        port.call_later(0.0, lambda: ran.append("at once"))
        await signal.wait()
        return ran

    assert backend.run(main) == ["at once", "late"]


def test_a_callback_may_start_the_next_timer(backend: Backend):
    async def main() -> int:
        port = current_port()
        signal = port.new_signal()
        left = 3

        def again() -> None:
            nonlocal left
            left -= 1
            if left:
                port.call_later(0.001, again)
            else:
                signal.set()

        port.call_later(0.001, again)
        with anyio.fail_after(TIMEOUT_S):
            await signal.wait()
        return left

    assert backend.run(main) == 0


@pytest.mark.parametrize("delay_s", [3600.0, float("inf")], ids=["an hour", "for ever"])
def test_a_timer_that_is_not_due_does_not_keep_the_loop(backend: Backend, delay_s: float):
    ran: list[bool] = []

    async def main() -> LoopPort:
        port = current_port()
        port.call_later(delay_s, lambda: ran.append(True))
        await anyio.sleep(0)
        return port

    began_s = time.monotonic()
    port = backend.run(main)

    assert not port.is_running()
    assert ran == []
    assert time.monotonic() - began_s < TIMEOUT_S


def test_a_callback_that_fails_ends_neither_the_loop_nor_the_timers_behind_it(
    backend: Backend, caplog: pytest.LogCaptureFixture
):
    def fail() -> None:
        raise LookupError("in a timer")

    async def main() -> None:
        port = current_port()
        signal = port.new_signal()
        port.call_later(0.0, fail)
        port.call_later(0.01, signal.set)
        with anyio.fail_after(TIMEOUT_S):
            await signal.wait()

    backend.run(main)

    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


def test_a_timer_does_not_keep_the_context_of_the_request_that_started_it(backend: Backend):
    """A timer that starts the next one would keep the first request's variables for as long as there are requests."""
    seen: list[str | None] = []
    request: ContextVar[str | None] = ContextVar("request", default=None)

    async def main() -> None:
        request.set("the first one")
        port = current_port()
        signal = port.new_signal()

        def note() -> None:
            seen.append(request.get())
            signal.set()

        port.call_later(0.0, note)
        await signal.wait()

    backend.run(main)

    assert seen == [None]


def test_a_new_port_is_not_watched(backend: Backend):
    async def main() -> bool:
        return current_port().is_watched

    assert backend.run(main) is False
