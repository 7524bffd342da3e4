"""How an ASGI application may end, and what the WSGI server, the log and the next request see of it.

Also what happens when it blocks the event loop for all.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import traceback
from typing import Any

import anyio
import pytest

from bridge import (
    ApplicationError,
    BadRequest,
    ClientDisconnected,
    EventLoopError,
    Limits,
    LoopStalled,
)
from tests.conformance.driver import logged
from tests.gateway import Gateway, hosted, run
from tests.meeting import Flag, Helper, Hold, until

on_each_loop = pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])

START = {"type": "http.response.start", "status": 200, "headers": []}


def body(octets: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


class ViewError(Exception):
    """What goes wrong in the application."""


class Switch:
    """An application that does what the test says for the first request, and answers all others."""

    def __init__(self, first: Any) -> None:
        self._first = first

    async def __call__(self, scope, receive, send):
        first, self._first = self._first, None
        if first is not None:
            return await first(scope, receive, send)
        await send(START)
        await send(body(b"next"))
        return None


def assert_next_is_fine(adapter: Any) -> None:
    assert run(adapter).body == b"next"


def wait_for_end(adapter: Any) -> None:
    """Wait until no application runs any more."""
    until(lambda: (now := adapter.statistics()).requests == now.background == 0, "the end of the application")


# ---- Exceptions ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-081")
@on_each_loop
@pytest.mark.parametrize("messages", [[], [START]], ids=["at once", "after a bare start"])
def test_an_error_before_the_response_leaves_the_call_as_itself(messages, event_loop, caplog):
    error = ViewError("before")

    async def app(scope, receive, send):
        for message in messages:
            await send(message)
        raise error

    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter)
        with pytest.raises(ViewError) as caught:
            gateway.call()
        assert_next_is_fine(adapter)

    assert caught.value is error
    places = [(frame.filename, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    assert (__file__, "app") in places
    assert gateway.starts == []
    assert logged(caplog, logging.ERROR) == []  # the server logs what it gets


@pytest.mark.requirement("A-082")
@on_each_loop
def test_an_error_in_the_content_leaves_the_step_as_itself(event_loop, caplog):
    error = ViewError("in the middle")

    async def app(scope, receive, send):
        await send(START)
        await send(body(b"out", more=True))
        raise error

    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        with pytest.raises(ViewError) as caught:
            gateway.step()
        gateway.close()
        assert_next_is_fine(adapter)

    assert caught.value is error
    assert gateway.blocks == [b"out"]
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("A-081", "A-082")
@pytest.mark.parametrize("pieces", [0, 1])
def test_an_error_that_was_raised_is_not_kept_by_the_adapter(pieces):
    class Cargo:
        """Stands for what a frame of the application holds."""

    async def app(scope, receive, send):
        cargo = Cargo()
        await send(START)
        for _ in range(pieces):
            await send(body(b"out", more=True))
        raise ViewError(repr(cargo))

    with hosted(app, lifespan="off") as adapter:
        with pytest.raises(ViewError):
            run(adapter)
        wait_for_end(adapter)

        def is_gone() -> bool:
            gc.collect()
            return not any(isinstance(item, Cargo) for item in gc.get_objects())

        until(is_gone, "the end of what the frame held")  # the loop may just be leaving the task


@pytest.mark.requirement("A-083", "A-084")
@on_each_loop
@pytest.mark.parametrize(
    ("messages", "delivered", "named"),
    [
        pytest.param([], [], "before http.response.start", id="nothing"),
        pytest.param([START], [], "after http.response.start", id="a bare start"),
        pytest.param([START, body(b"a", True)], [b"a"], "in the middle", id="one block"),
        pytest.param([START, body(b"a", True), body(b"b", True)], [b"a", b"b"], "in the middle", id="two blocks"),
        pytest.param([START, body(b"", True)], [b""], "in the middle", id="an empty block"),
    ],
)
def test_an_application_that_returns_early_is_in_error(messages, delivered, named, event_loop):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter)
        with pytest.raises(ApplicationError, match=named):
            gateway.run()
        assert_next_is_fine(adapter)

    assert gateway.blocks == delivered
    assert bool(gateway.starts) == bool(delivered)


@pytest.mark.requirement("A-084")
@on_each_loop
@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"bc"], [b"abc", b""]])
def test_a_content_length_that_is_satisfied_makes_up_for_a_missing_end(pieces, event_loop):
    async def app(scope, receive, send):
        await send({**START, "headers": [(b"content-length", b"3")]})
        for piece in pieces:
            await send(body(piece, more=True))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        assert run(adapter).blocks == pieces


@pytest.mark.requirement("A-088")
@on_each_loop
@pytest.mark.parametrize("pieces", [0, 1], ids=["before the response", "in the content"])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, BaseException])
def test_what_ends_programs_ends_one_request_only(kind, pieces, event_loop):
    error = kind("from the application")

    async def app(scope, receive, send):
        await send(START)
        for _ in range(pieces):
            await send(body(b"out", more=True))
        raise error

    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter)
        # An Exception: a server's worker must not end by what an application said.
        with pytest.raises(Exception) as caught:
            gateway.run()
        assert_next_is_fine(adapter)

    assert caught.value.__cause__ is error
    assert bool(gateway.starts) == bool(pieces)


@pytest.mark.requirement("A-088", "A-086")
@on_each_loop
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_programs_is_logged_after_the_response(kind, event_loop, caplog):
    async def app(scope, receive, send):
        await send(START)
        await send(body(b"done"))
        raise kind

    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        assert run(adapter).body == b"done"
        wait_for_end(adapter)
        assert_next_is_fine(adapter)

    assert len(logged(caplog, logging.ERROR)) == 1


@pytest.mark.requirement("A-089")
@on_each_loop
@pytest.mark.parametrize("returned", [1, b"body", [b"body"], False])
def test_a_return_value_is_logged_and_does_no_harm(returned, event_loop, caplog):
    async def app(scope, receive, send):
        await send(START)
        await send(body(b"fine"))
        return returned

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        assert run(adapter).body == b"fine"
        wait_for_end(adapter)

    (warning,) = logged(caplog, logging.WARNING)
    assert type(returned).__name__ in warning.getMessage()


# ---- Background work ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-085")
@on_each_loop
@pytest.mark.parametrize("pieces", [[b"all"], [b"a", b"ll"]])
def test_work_after_the_response_goes_on_though_nobody_holds_it(pieces, event_loop):
    hold = Hold("work after the response")
    has_ended = Flag("the work was done")

    async def app(scope, receive, send):
        await send(START)
        for number, piece in enumerate(pieces, start=1):
            await send(body(piece, more=number < len(pieces)))
        await hold.stop_here_on_loop()
        has_ended.set()

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter)
        hold.reached.wait()
        assert gateway.body == b"all"
        del gateway
        gc.collect()
        hold.release()
        has_ended.wait()


@pytest.mark.requirement("A-085", "A-086")
@on_each_loop
@pytest.mark.parametrize("pieces", [[b"all"], [b"a", b"ll"]])
def test_an_error_after_the_response_is_logged_once_and_reaches_nobody(pieces, event_loop, caplog):
    error = ViewError("in the background")

    async def app(scope, receive, send):
        await send(START)
        for number, piece in enumerate(pieces, start=1):
            await send(body(piece, more=number < len(pieces)))
        raise error

    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter)
        wait_for_end(adapter)
        failed = adapter.statistics().failed_in_background
        assert_next_is_fine(adapter)

    assert gateway.body == b"all"
    assert failed == 1
    (record,) = logged(caplog, logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[1] is error


# ---- on_error ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-081")
@on_each_loop
@pytest.mark.parametrize(
    "error", [ViewError("secret"), SystemExit("secret"), BadRequest("secret"), ClientDisconnected("secret")], ids=repr
)
def test_respond_answers_500_and_logs_the_error_once(error, event_loop, caplog):
    async def app(scope, receive, send):
        raise error

    with hosted(Switch(app), lifespan="off", on_error="respond", event_loop=event_loop) as adapter:
        gateway = run(adapter)
        assert_next_is_fine(adapter)

    assert gateway.status == "500 Internal Server Error"
    assert b"secret" not in gateway.body
    (record,) = logged(caplog, logging.ERROR)
    assert record.exc_info is not None
    assert error in (record.exc_info[1], record.exc_info[1].__cause__)


@pytest.mark.requirement("A-082", "A-083")
@on_each_loop
def test_respond_raises_all_the_same_once_the_response_has_begun(event_loop):
    async def app(scope, receive, send):
        await send(START)
        await send(body(b"out", more=True))
        raise ViewError

    with hosted(app, lifespan="off", on_error="respond", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter)
        with pytest.raises(ViewError):
            gateway.run()

    assert (gateway.status, gateway.blocks) == ("200 OK", [b"out"])


@pytest.mark.requirement("A-083")
def test_respond_answers_500_for_an_application_that_says_nothing():
    async def app(scope, receive, send):
        pass

    with hosted(app, lifespan="off", on_error="respond") as adapter:
        assert run(adapter).status == "500 Internal Server Error"


# ---- A loop that is blocked ----------------------------------------------------------------------------------------


@pytest.mark.requirement("A-110", "A-122")
@on_each_loop
def test_a_loop_that_is_blocked_gives_an_error_that_names_the_place(event_loop):
    limits = Limits(loop_wait_s=0.3, shutdown_s=2.0, cancel_s=1.0)
    is_blocked, may_go_on = threading.Event(), threading.Event()

    def a_call_that_blocks() -> None:
        is_blocked.set()
        assert may_go_on.wait(10)

    async def app(scope, receive, send):
        a_call_that_blocks()
        await send(START)
        await send(body(b"late"))

    with hosted(Switch(app), lifespan="off", event_loop=event_loop, limits=limits) as adapter:
        late = Helper(lambda: run(adapter).body)
        assert is_blocked.wait(10)
        try:
            with pytest.raises(LoopStalled) as caught:
                run(adapter)
        finally:
            may_go_on.set()
        assert late.join() == b"late"
        wait_for_end(adapter)
        assert_next_is_fine(adapter)

    assert isinstance(caught.value, EventLoopError)
    assert caught.value.waited_s >= 0.3
    assert a_call_that_blocks.__name__ in caught.value.stack
    assert a_call_that_blocks.__name__ in str(caught.value)


@pytest.mark.requirement("A-090")
def test_a_request_whose_loop_was_blocked_for_too_long_is_not_run_later():
    """Its server has answered 500 by then: to run the application nevertheless would do its work unseen, or twice."""
    limits = Limits(loop_wait_s=0.3, shutdown_s=2.0, cancel_s=1.0)
    is_blocked, may_go_on = threading.Event(), threading.Event()
    served: list[str] = []

    async def app(scope, receive, send):
        served.append(scope["path"])
        if len(served) == 1:
            is_blocked.set()
            assert may_go_on.wait(10)
        else:
            await anyio.sleep(0)
        await send(START)
        await send(body(b"done"))

    with hosted(app, lifespan="off", limits=limits) as adapter:
        first = Helper(lambda: run(adapter).body)
        assert is_blocked.wait(10)
        try:
            with pytest.raises(LoopStalled):
                run(adapter)
        finally:
            may_go_on.set()
        first.join()
        run(adapter)
        wait_for_end(adapter)

    assert len(served) == 2
