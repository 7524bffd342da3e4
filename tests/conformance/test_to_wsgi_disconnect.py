"""The client is gone, or the request thread is called back: the application hears of it, and nothing is left waiting.

A WSGI server tells it by ``close()`` on blocks that are not at their end, by throwing them away, or by an exception in
the thread that waits. None of these may block, and the application is not cancelled unless the deployer wants it.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import anyio
import pytest

from bridge import ApplicationTimeout, ASGIToWSGI, ClientDisconnected, Limits
from tests.conformance.driver import logged
from tests.gateway import Gateway, environ_for, hosted, run
from tests.meeting import TIMEOUT_S, Flag, Helper, Hold, until

on_each_loop = pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])

START = {"type": "http.response.start", "status": 200, "headers": []}


def body(octets: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


class Switch:
    """An application that does what the test says for the first request, and answers all others."""

    def __init__(self, first: Any) -> None:
        self._first = first

    async def __call__(self, scope, receive, send):
        first, self._first = self._first, None
        if first is not None:
            await first(scope, receive, send)
            return
        await send(START)
        await send(body(b"next"))


def assert_next_is_fine(adapter: Any) -> None:
    assert run(adapter).body == b"next"


def wait_for_end(adapter: Any) -> None:
    """Wait until no application runs any more."""
    until(lambda: (now := adapter.statistics()).requests == now.background == 0, "the end of the application")


# ---- The server drops the blocks ----------------------------------------------------------------------------------


def close(gateway: Gateway) -> None:
    gateway.close()


def close_elsewhere(gateway: Gateway) -> None:
    Helper(gateway.close).join()


def fail_between_blocks(gateway: Gateway) -> None:
    """The server cannot write to its socket; like all servers it closes what it iterates over."""
    try:
        for block in gateway.result:
            raise BrokenPipeError(block)
    except BrokenPipeError:
        gateway.result.close()


def throw_into_a_generator(gateway: Gateway) -> None:
    """A middleware passes the blocks on in a generator, and is ended by an exception that is thrown into it."""

    def passing_on():
        try:
            yield from gateway.result
        finally:
            gateway.result.close()

    blocks = passing_on()
    next(blocks)
    with pytest.raises(ConnectionResetError):
        blocks.throw(ConnectionResetError())


def forget(gateway: Gateway) -> None:
    gateway.result = gateway._iterator = None
    gc.collect()


on_each_way_out = pytest.mark.parametrize(
    "leave", [close, close_elsewhere, fail_between_blocks, throw_into_a_generator, forget]
)


@pytest.mark.requirement("A-091", "A-092", "A-093", "A-052", "A-087")
@on_each_loop
@on_each_way_out
def test_whoever_drops_the_blocks_is_gone_for_pending_and_later_calls(leave, event_loop, caplog):
    events: list[str] = []
    is_waiting = Flag("one task sends, one receives")

    async def app(scope, receive, send):
        async def listen() -> None:
            events.append((await receive())["type"])

        async def talk() -> None:
            with pytest.raises(OSError):
                await send(body(b"pending", more=True))
            events.append("send raised")

        await receive()  # the empty body
        await send(START)
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            group.start_soon(talk)
            await anyio.wait_all_tasks_blocked()
            is_waiting.set()
        assert sorted(events) == ["http.disconnect", "send raised"]
        for _ in range(3):
            assert await receive() == {"type": "http.disconnect"}
        for message in (body(b"later", more=True), body(b"last"), START):
            with pytest.raises(ClientDisconnected):
                await send(message)
        events.append("all was tried")
        await send(body(b"out of the application"))

    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        is_waiting.wait()
        leave(gateway)
        wait_for_end(adapter)
        assert adapter.statistics().failed_in_background == 0
        assert_next_is_fine(adapter)

    assert events[-1] == "all was tried"
    assert logged(caplog, logging.WARNING) + logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("A-091", "A-007")
@on_each_loop
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_blocks_may_be_closed_after_any_number_of_steps(blocks, event_loop):
    raised: list[BaseException] = []

    async def app(scope, receive, send):
        await send(START)
        try:
            while True:
                await send(body(b"tick", more=True))
        except OSError as error:
            raised.append(error)
            raise

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        for _ in range(blocks):
            gateway.step()
        gateway.close()
        wait_for_end(adapter)
        assert gateway.step() is None

    assert len(raised) == 1


@pytest.mark.requirement("A-091", "A-007")
@on_each_loop
def test_close_in_another_thread_lets_a_waiting_step_end(event_loop):
    is_silent = Flag("the next block is waited for")
    events: list[str] = []

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send(body(b"out", more=True))
        is_silent.set()
        events.append((await receive())["type"])

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        step = Helper(gateway.step)
        is_silent.wait()
        gateway.close()
        step.join()
        wait_for_end(adapter)

    assert events == ["http.disconnect"]
    assert gateway.blocks == [b"out"]


@pytest.mark.requirement("A-091")
@on_each_loop
def test_an_unread_request_body_is_gone_with_the_client(event_loop):
    hold = Hold("the client leaves")
    events: list[str] = []

    async def app(scope, receive, send):
        await send(START)
        try:
            await send(body(b"out", more=True))
        except OSError:
            await hold.stop_here_on_loop()
        events.append((await receive())["type"])

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        Gateway(adapter, environ_for("POST", body=b"unread")).call().close()
        hold.release()
        wait_for_end(adapter)

    assert events == ["http.disconnect"]


@pytest.mark.requirement("A-093")
def test_what_send_raises_is_public_and_an_error_of_connections():
    import bridge

    assert issubclass(bridge.ClientDisconnected, ConnectionError)
    assert issubclass(bridge.ClientDisconnected, OSError)
    assert "ClientDisconnected" in bridge.__all__


# ---- What comes back out of the application -------------------------------------------------------------------------


def as_itself(error: OSError) -> None:
    raise error


def as_a_cause(error: OSError) -> None:
    raise LookupError("stream broken") from error


def as_a_context(error: OSError) -> None:
    try:
        raise error
    except OSError:
        raise LookupError("while handling")  # noqa: B904 - the point


def as_a_hidden_context(error: OSError) -> None:
    try:
        raise error
    except OSError:
        raise LookupError("while handling") from None


def in_a_group(error: OSError) -> None:
    raise ExceptionGroup("unhandled errors in a task group", [error])


def in_a_nested_group_as_a_cause(error: OSError) -> None:
    cause = LookupError("deep")
    cause.__cause__ = error
    raise ExceptionGroup("outer", [ExceptionGroup("inner", [cause])])


@pytest.mark.requirement("A-087")
@on_each_loop
@pytest.mark.parametrize(
    "rethrow", [as_itself, as_a_cause, as_a_context, as_a_hidden_context, in_a_group, in_a_nested_group_as_a_cause]
)
def test_the_error_of_a_disconnect_is_not_logged_when_it_comes_back(rethrow, event_loop, caplog):
    async def app(scope, receive, send):
        await send(START)
        with pytest.raises(OSError) as caught:
            await send(body(b"out", more=True))
        rethrow(caught.value)  # outside of the handler, which would leave a __context__ on anything

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        Gateway(adapter).call().close()
        wait_for_end(adapter)
        failed = adapter.statistics().failed_in_background

    assert failed == 0
    assert logged(caplog, logging.WARNING) + logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("A-087")
@on_each_loop
def test_another_error_after_a_disconnect_is_logged_once(event_loop, caplog):
    async def app(scope, receive, send):
        await receive()
        await send(START)
        async with anyio.create_task_group() as group:

            async def talk() -> None:
                with pytest.raises(OSError):
                    await send(body(b"out", more=True))

            group.start_soon(talk)
            await receive()
        raise LookupError("something else")

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        Gateway(adapter).call().close()
        wait_for_end(adapter)
        failed = adapter.statistics().failed_in_background

    assert failed == 1
    (record,) = logged(caplog, logging.ERROR)
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "something else"


# ---- Cancellation ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-094")
@on_each_loop
def test_an_application_is_not_cancelled_when_its_client_leaves(event_loop):
    hold = Hold("clean-up")
    outcomes: list[str] = []

    async def app(scope, receive, send):
        await send(START)
        try:
            await send(body(b"out", more=True))
        except OSError:
            await hold.stop_here_on_loop()
            await anyio.sleep(0)
            outcomes.append("cleaned up")

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        Gateway(adapter).call().close()
        hold.reached.wait()
        during = adapter.statistics()
        hold.release()
        wait_for_end(adapter)

    assert (during.requests, during.background) == (0, 1)
    assert outcomes == ["cleaned up"]


@pytest.mark.requirement("A-094")
@on_each_loop
def test_an_application_that_goes_on_is_cancelled_after_the_grace_period(event_loop, caplog):
    outcomes: list[str] = []

    async def app(scope, receive, send):
        await send(START)
        try:
            await send(body(b"out", more=True))
        except OSError:
            outcomes.append("told")
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                outcomes.append("cancelled")
                raise

    limits = Limits(disconnect_grace_s=0.1, shutdown_s=5.0, cancel_s=1.0)
    with hosted(Switch(app), lifespan="off", event_loop=event_loop, limits=limits) as adapter:
        Gateway(adapter).call().close()
        wait_for_end(adapter)
        assert_next_is_fine(adapter)

    assert outcomes == ["told", "cancelled"]
    assert logged(caplog, logging.ERROR) == []
    assert len(logged(caplog, logging.WARNING)) == 1


@pytest.mark.requirement("A-094")
@on_each_loop
def test_the_grace_period_is_not_for_work_after_a_complete_response(event_loop):
    hold = Hold("work after the response")
    outcomes: list[str] = []

    async def app(scope, receive, send):
        await send(START)
        await send(body(b"a", more=True))
        await send(body(b"ll"))
        await hold.stop_here_on_loop()
        outcomes.append("done")

    limits = Limits(disconnect_grace_s=0.0, shutdown_s=5.0, cancel_s=1.0)
    with hosted(app, lifespan="off", event_loop=event_loop, limits=limits) as adapter:
        gateway = run(adapter)
        hold.reached.wait()
        hold.release()
        wait_for_end(adapter)

    assert gateway.body == b"all"
    assert outcomes == ["done"]


# ---- An exception in the request thread -----------------------------------------------------------------------------


class WorkerAbortError(BaseException):
    """Stands for what a server raises in its own thread to get it back, as gunicorn does for a worker that hangs."""


class Waiting:
    """An application that is silent at one point, and notes how it ends."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.is_silent = Flag("the application is silent")
        self.heard = Flag("the application heard of the disconnect")
        self.events: list[str] = []
        self._messages = messages

    async def __call__(self, scope, receive, send):
        await receive()
        for message in self._messages:
            await send(message)
        self.is_silent.set()
        self.events.append((await receive())["type"])
        try:
            await send(self._messages[0] if self._messages else START)
        except OSError as error:
            self.events.append(type(error).__name__)
        self.heard.set()


def assert_left(app: Waiting, adapter: Any) -> None:
    app.heard.wait()
    wait_for_end(adapter)
    assert app.events == ["http.disconnect", ClientDisconnected.__name__]


@pytest.mark.requirement("A-090")
@on_each_loop
@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal to raise")
def test_a_signal_handler_that_raises_in_the_waiting_main_thread_ends_the_request(event_loop):
    assert threading.current_thread() is threading.main_thread()

    def handler(number: int, frame: Any) -> None:
        raise WorkerAbortError

    app = Waiting([])
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
            main = threading.main_thread().ident

            def abort() -> None:
                app.is_silent.wait()
                signal.pthread_kill(main, signal.SIGUSR1)

            aborter = Helper(abort)
            with pytest.raises(WorkerAbortError):
                run(adapter)
            aborter.join()
            assert_left(app, adapter)
            assert_next_is_fine(adapter)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.requirement("A-090")
@on_each_loop
@pytest.mark.parametrize("waits_for", ["the response", "the next block"])
def test_an_exception_put_into_a_waiting_thread_ends_the_request(waits_for, event_loop):
    # In the second case the send of the first block is over, because the next one is waited for.
    app = Waiting([] if waits_for == "the response" else [START, body(b"out", more=True)])
    with hosted(Switch(app), lifespan="off", event_loop=event_loop) as adapter:
        request = Helper(lambda: run(adapter))
        app.is_silent.wait()
        put = ctypes.pythonapi.PyThreadState_SetAsyncExc
        assert put(ctypes.c_ulong(request.thread.ident or 0), ctypes.py_object(WorkerAbortError)) == 1
        with pytest.raises(WorkerAbortError):
            request.join()
        assert_left(app, adapter)
        assert_next_is_fine(adapter)


# ---- Silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-090")
@on_each_loop
@pytest.mark.parametrize("messages", [[], [START], [START, body(b"out", more=True)]], ids=["all", "start", "block"])
def test_an_application_that_is_silent_for_too_long_gives_the_thread_back(messages, event_loop):
    app = Waiting(messages)
    limits = Limits(app_wait_s=0.3, shutdown_s=2.0, cancel_s=1.0)
    with hosted(Switch(app), lifespan="off", event_loop=event_loop, limits=limits) as adapter:
        began_s = time.monotonic()
        with pytest.raises(ApplicationTimeout, match="app_wait_s") as caught:
            run(adapter)
        took_s = time.monotonic() - began_s
        assert_left(app, adapter)
        assert_next_is_fine(adapter)

    assert caught.value.waited_s == 0.3
    assert 0.3 <= took_s < TIMEOUT_S


class Injector:
    """Raises in one thread at the n-th line of the bridge that it comes to: an exception may hit anywhere.

    Attributes:
        place: where it struck, None if the code ended before.
    """

    _functions = frozenset(
        {
            "Blocks.__init__",
            "Blocks.__next__",
            "Servant._raise_failure",
            "Servant._read",
            "Servant._take",
            "Servant.next_block",
            "Servant.serve",
            "serve",
        }
    )

    def __init__(self, number: int) -> None:
        self.place: str | None = None
        self._left = number

    def run(self, function: Callable[[], object]) -> object:
        """Run the function in this thread, with the exception on its way."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return function()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        is_ours = "_asgi_hosting" in code.co_filename and code.co_qualname in self._functions
        return self._strike if is_ours and self.place is None else None

    def _strike(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and self.place is None:
            if self._left == 0:
                self.place = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
                raise WorkerAbortError(self.place)
            self._left -= 1
        return self._strike


@pytest.mark.requirement("A-090")
@pytest.mark.parametrize("body_bytes", [None, b"request"], ids=["no request body", "a request body"])
def test_an_exception_at_any_line_of_the_request_thread_leaves_nothing_behind(body_bytes):
    """Where the exception hits is the server's choice, so each line of the servant is tried in turn."""

    async def app(scope, receive, send):
        await receive()
        await send(START)
        for _ in range(2):
            await send(body(b"out", more=True))
        await send(body())

    def request(adapter: ASGIToWSGI) -> None:
        gateway = Gateway(adapter, environ_for("POST", body=body_bytes)).call()
        try:
            gateway.drain()
        finally:
            gateway.close()

    struck: list[str] = []
    left: list[str] = []
    with hosted(app, lifespan="off", limits=Limits(shutdown_s=0.2, cancel_s=1.0)) as adapter:
        request(adapter)
        for number in range(1000):
            injector = Injector(number)
            try:
                injector.run(lambda: request(adapter))
            except WorkerAbortError:
                pass
            if injector.place is None:
                break
            struck.append(injector.place)
            gc.collect()
            request(adapter)  # the loop takes requests up in order: the one that was hit has begun, if it ever will
            deadline_s = time.monotonic() + TIMEOUT_S
            known = len(left)
            while (now := adapter.statistics()).requests + now.background > known:
                if time.monotonic() > deadline_s:
                    left.append(injector.place)
                    break
                time.sleep(0.001)

    assert len(struck) > 20
    assert not left, f"the application waits for ever after an exception at {left}"
