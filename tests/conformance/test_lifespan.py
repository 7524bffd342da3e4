"""The lifespan on behalf of an application that knows none (W-150)."""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

import anyio
import pytest

from bridge import Limits, ServerError
from tests.conformance.driver import (
    TEXT,
    Driver,
    answering,
    block,
    hosted,
    logged,
    make_scope,
    on_both_loops,
    on_each_backend,
    run,
    until,
)

STARTUP = {"type": "lifespan.startup"}
SHUTDOWN = {"type": "lifespan.shutdown"}


def lifespan(*events: Any, **scope: Any) -> Driver:
    return Driver({"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, **scope}, events=events)


def live(driver: Driver, backend: str = "asyncio", **options: Any) -> Driver:
    """Run one whole lifespan."""
    with hosted(answering([b"body"]), **options) as adapter:
        run(functools.partial(driver.call, adapter), backend)
    return driver


@pytest.mark.requirement("W-150")
@on_each_backend
@pytest.mark.parametrize("extra", [{}, {"state": {}}, {"state": None}], ids=["no state", "state", "state is None"])
def test_startup_and_shutdown_are_answered(extra, backend):
    driver = live(lifespan(STARTUP, SHUTDOWN, **extra), backend)

    assert driver.error is None
    assert driver.messages == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert driver.is_returned


@pytest.mark.requirement("W-150")
def test_the_state_is_left_to_the_user():
    state = {"kept": object()}
    before = dict(state)

    live(lifespan(STARTUP, SHUTDOWN, state=state))

    assert state == before


@pytest.mark.requirement("W-150")
@on_both_loops
def test_requests_work_when_the_lifespan_never_ran(backend):
    driver = Driver()

    live(driver, backend)

    assert driver.body == b"body"


# ---- Hooks ------------------------------------------------------------------------------------------------------


class Calls:
    """Hooks of every form, and what was called where."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any, bool]] = []
        self._loop_thread = threading.get_ident()

    def note(self, name: str, state: Any = None) -> None:
        self.seen.append((name, state, threading.get_ident() == self._loop_thread))

    def plain(self) -> None:
        self.note("plain")

    def plain_with_state(self, state: Any) -> None:
        self.note("plain with state", state)

    async def coroutine(self) -> None:
        await anyio.sleep(0)
        self.note("coroutine")

    async def coroutine_with_state(self, state: Any) -> None:
        await anyio.sleep(0)
        self.note("coroutine with state", state)

    def plain_with_optional(self, unused: Any = "default") -> None:
        self.note("optional", unused)


@pytest.mark.requirement("W-150")
@on_each_backend
def test_hooks_run_in_order_on_the_loop_or_a_worker_with_the_state_if_they_take_it(backend):
    calls = Calls()
    state = {"db": "pool"}
    hooks = [
        calls.plain,
        calls.plain_with_state,
        calls.coroutine,
        calls.coroutine_with_state,
        functools.partial(calls.coroutine_with_state, state),
        lambda unused=None: calls.coroutine(),
        calls.plain_with_optional,
    ]

    driver = live(lifespan(STARTUP, SHUTDOWN, state=state), backend, on_startup=hooks, on_shutdown=hooks[::-1])

    expected = [
        ("plain", None, False),
        ("plain with state", state, False),
        ("coroutine", None, True),
        ("coroutine with state", state, True),
        ("coroutine with state", state, True),
        ("coroutine", None, True),
        ("optional", "default", False),
    ]
    assert driver.error is None
    assert calls.seen == expected + expected[::-1]
    assert [message["type"] for message in driver.messages] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.requirement("W-150")
def test_one_hook_need_not_be_in_a_list_and_may_fill_the_state():
    driver = lifespan(STARTUP, SHUTDOWN, state={})
    closed = []

    live(
        driver,
        on_startup=lambda state: state.update(pool="open"),
        on_shutdown=lambda state: closed.append(state["pool"]),
    )

    assert driver.scope["state"] == {"pool": "open"}
    assert closed == ["open"]


@pytest.mark.requirement("W-150")
def test_without_a_state_in_the_scope_startup_and_shutdown_hooks_share_one():
    closed = []

    driver = live(
        lifespan(STARTUP, SHUTDOWN),
        on_startup=lambda state: state.update(pool="open"),
        on_shutdown=lambda state: closed.append(state.get("pool")),
    )

    assert driver.error is None
    assert closed == ["open"]


class HookError(Exception):
    """What goes wrong in a hook."""


def failing_hook() -> None:
    raise HookError("no database")


async def failing_coroutine_hook() -> None:
    raise HookError("no database")


@pytest.mark.requirement("W-150")
@on_each_backend
@pytest.mark.parametrize("hook", [failing_hook, failing_coroutine_hook])
def test_a_failing_startup_hook_is_answered_and_logged_and_ends_the_startup(hook, backend, caplog):
    later = []

    driver = live(lifespan(STARTUP), backend, on_startup=[hook, lambda: later.append(True)])

    assert driver.error is None
    assert [message["type"] for message in driver.messages] == ["lifespan.startup.failed"]
    assert "no database" in driver.messages[0]["message"]
    assert hook.__name__ in driver.messages[0]["message"]
    assert later == []
    assert [isinstance(record.exc_info[1], HookError) for record in logged(caplog, logging.ERROR)] == [True]


@pytest.mark.requirement("W-150")
@on_each_backend
@pytest.mark.parametrize("hook", [failing_hook, failing_coroutine_hook])
def test_a_failing_shutdown_hook_is_answered_after_all_others_have_run(hook, backend, caplog):
    later = []

    driver = live(lifespan(STARTUP, SHUTDOWN), backend, on_shutdown=[hook, lambda: later.append(True)])

    assert driver.error is None
    assert driver.messages[-1]["type"] == "lifespan.shutdown.failed"
    assert "no database" in driver.messages[-1]["message"]
    assert later == [True]
    assert len(logged(caplog, logging.ERROR)) == 1


@pytest.mark.requirement("W-150", "W-135")
@on_both_loops
def test_a_hook_that_exits_fails_the_startup_instead_of_stopping_the_loop(backend, caplog):
    def exiting_hook() -> None:
        raise SystemExit(1)

    driver = live(lifespan(STARTUP), backend, on_startup=exiting_hook)

    assert [message["type"] for message in driver.messages] == ["lifespan.startup.failed"]


@pytest.mark.requirement("W-150")
@pytest.mark.parametrize("events", [[{"type": "lifespan.unknown"}], [STARTUP, STARTUP], [{"type": "http.request"}]])
def test_an_event_that_has_no_place_is_the_servers_error(events):
    driver = live(lifespan(*events))

    assert isinstance(driver.error, ServerError)
    assert events[-1]["type"] in str(driver.error)


# ---- Shutdown ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-150")
@on_each_backend
@pytest.mark.parametrize("is_streaming", [False, True], ids=["waiting", "streaming"])
def test_shutdown_waits_for_a_running_request_and_runs_the_hooks_after_it(is_streaming, backend):
    running, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        if is_streaming:
            yield b"first;"
        running.set()
        block(go_on)
        yield b"last"
        order.append("request")

    request, server = Driver(), lifespan(STARTUP)
    with hosted(app, on_shutdown=lambda: order.append("hook")) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.call, adapter)
                await until(lambda: len(server.sent) == 1)
                tasks.start_soon(request.call, adapter)
                await until(running.is_set)
                server.feed(SHUTDOWN)
                await until(lambda: server.receive_calls == 2 and not server._events)
                for _ in range(50):
                    await anyio.sleep(0.001)
                assert len(server.sent) == 1  # not answered while the request runs
                go_on.set()

        run(main, backend)

    assert request.body == (b"first;" if is_streaming else b"") + b"last"
    assert order == ["request", "hook"]
    assert server.messages[-1] == {"type": "lifespan.shutdown.complete"}


@pytest.mark.requirement("W-150")
@on_both_loops
def test_shutdown_ends_the_worker_threads(backend):
    request, server = Driver(), lifespan(STARTUP)
    with hosted(answering([b"body"]), limits=Limits(worker_idle_s=3600)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.call, adapter)
                await request.call(adapter)
                await until(lambda: adapter.statistics().workers_idle == 1)
                server.feed(SHUTDOWN)

        run(main, backend)
        assert adapter.statistics().workers_idle == 0

    assert server.messages[-1] == {"type": "lifespan.shutdown.complete"}


@pytest.mark.requirement("W-150")
@on_both_loops
def test_a_stuck_request_is_named_in_the_log_and_does_not_hold_the_shutdown_up(backend, caplog):
    running, go_on = threading.Event(), threading.Event()

    def stuck_view(environ, start_response):
        running.set()
        block(go_on)
        start_response("200 OK", list(TEXT))
        return [b"late"]

    request, server = Driver(make_scope(path="/stuck")), lifespan(STARTUP)
    with hosted(stuck_view, limits=Limits(shutdown_s=0.05)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.call, adapter)
                tasks.start_soon(request.call, adapter)
                await until(running.is_set)
                server.feed(SHUTDOWN)
                await until(lambda: server.is_returned)
                assert not go_on.is_set()
                go_on.set()

        run(main, backend)

    text = "\n".join(record.getMessage() for record in logged(caplog, logging.ERROR))
    assert server.messages[-1] == {"type": "lifespan.shutdown.complete"}
    assert "/stuck" in text
    assert "stuck_view" in text  # where it is
    assert request.body == b"late"


@pytest.mark.requirement("W-150")
@on_both_loops
def test_requests_work_again_after_a_shutdown(backend):
    """Test suites and reloaders run one lifespan after the other."""
    requests = [Driver(), Driver()]
    with hosted(answering([b"body"])) as adapter:
        for request in requests:
            server = lifespan(STARTUP, SHUTDOWN)
            run(functools.partial(request.call, adapter), backend)
            run(functools.partial(server.call, adapter), backend)

    assert [request.body for request in requests] == [b"body"] * 2
