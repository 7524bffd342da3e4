"""What request threads and the loop share without a lock, under threads that switch at every chance.

The same tests hold on a build of Python without the GIL, where the threads truly run at once.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import ASGIToWSGI, ClientDisconnected, Limits
from bridge.websocket.asgi_hosting.exchange import TakeOver
from bridge.websocket.asgi_hosting.objects import ObjectCarrier
from bridge.websocket.frames import FrameEnd
from bridge.websocket.wsgi_hosting.native import WebSocket
from tests.forking import run_program
from tests.gateway import Gateway, answering, environ_for, hosted, run
from tests.meeting import TIMEOUT_S, Helper, until

THREADS = 4
START = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Let the interpreter switch between threads as often as it can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """Call each function in a thread of its own, all together; return the results in order."""
    begin = threading.Barrier(len(functions))

    def run_one(function: Callable[[], Any]) -> Any:
        begin.wait(TIMEOUT_S)
        return function()

    helpers = [Helper(lambda function=function: run_one(function)) for function in functions]  # type: ignore[misc]
    return [helper.join(3 * TIMEOUT_S) for helper in helpers]


def is_idle(adapter: ASGIToWSGI) -> bool:
    now = adapter.statistics()
    return now.requests == now.background == 0


# ---- The books ------------------------------------------------------------------------------------------------------


def test_each_of_many_refusals_at_once_is_counted():
    adapter = ASGIToWSGI(answering(), limits=Limits(body_max_bytes=1), lifespan="off")
    refusals = 100

    def refuse() -> None:
        for _ in range(refusals):
            assert run(adapter, environ_for("POST", body=b"too much")).status.startswith("413")

    try:
        at_once(*[refuse] * THREADS)
        assert adapter.statistics().refused == THREADS * refusals
    finally:
        adapter.shutdown()


@pytest.mark.parametrize("event_loop", ["asyncio", "trio"])
def test_a_snapshot_can_be_taken_while_requests_come_and_go(event_loop):
    with hosted(answering(), lifespan="off", event_loop=event_loop) as adapter:

        def serve() -> None:
            for _ in range(100):
                assert run(adapter).body == b"hello"

        serving = [Helper(serve) for _ in range(THREADS)]
        looks = 0
        while not all(helper.is_done for helper in serving):
            now = adapter.statistics()
            assert 0 <= now.requests <= THREADS
            assert "ASGIToWSGI" in repr(adapter)
            looks += 1
        for helper in serving:
            helper.join()
        until(lambda: is_idle(adapter), "the end of the applications")

    assert looks


# ---- One response, two threads --------------------------------------------------------------------------------------


@pytest.mark.requirement("A-007", "A-110")
@pytest.mark.parametrize("event_loop", ["asyncio", "trio"])
def test_a_response_that_is_closed_while_another_thread_steps_ends_for_both_and_for_the_application(event_loop):
    rounds = 50
    outcomes: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send(START)
            for _ in range(5):
                await send({"type": "http.response.body", "body": b"block", "more_body": True})
            await send({"type": "http.response.body"})
            outcomes.append("completed")
        except ClientDisconnected:
            outcomes.append("told")

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        for _ in range(rounds):
            gateway = Gateway(adapter).call()
            body, _ = at_once(gateway.drain, gateway.close)
            assert body == b"block" * (len(body) // 5)
        until(lambda: is_idle(adapter), "the end of the applications")
        failures = adapter.statistics().failed_in_background

    assert len(outcomes) == rounds
    assert not failures


@pytest.mark.requirement("A-092")
def test_what_is_left_at_the_end_of_the_interpreter_is_collected_without_a_word():
    """By then modules are empty; which objects are that late is another matter without the GIL."""
    program = """
    import sys
    from bridge._asgi_hosting import blocks
    from bridge._runtime import wakers

    class Servant:
        def leave(self):
            pass

    # A module that somebody has is emptied in order: what came last goes last.
    sys.kept = wakers, blocks
    wakers.last = wakers.new_waker()
    blocks.last = blocks.Blocks(Servant(), b"")
    """
    run_program("", program)


# ---- WebSockets -----------------------------------------------------------------------------------------------------


def test_a_connection_that_is_given_up_while_it_is_taken_is_closed_once_and_never_twice():
    """Closed twice, its number might be somebody else's by then."""
    closes: list[object] = []

    class Counted:
        def close(self) -> None:
            closes.append(self)

    for number in range(1, 301):
        errand = TakeOver()
        servant: Any = SimpleNamespace(take_over=Counted)

        def take(errand: TakeOver = errand, servant: Any = servant) -> None:
            with suppress(ClientDisconnected):
                errand.run(servant)
                return
            closes.append(None)  # not even taken

        at_once(take, errand.forget)

        assert errand.take() is None
        assert len(closes) == number


def over(native: Callable[[], object]) -> str | None:
    try:
        return "lost or told" if native() is None else "something else"
    except ClientDisconnected:
        return "error"


@pytest.mark.requirement("S-004")
def test_of_threads_that_find_a_websocket_over_one_is_told_by_none_and_one_message_is_lost():
    gone = ClientDisconnected("over")

    def fail(*_: object) -> None:
        raise gone

    for _ in range(100):
        session = SimpleNamespace(
            mailbox=SimpleNamespace(take=fail),
            outflow=SimpleNamespace(put=fail),
            hosting=SimpleNamespace(limits=Limits()),
            close_code=1001,
        )
        native = WebSocket(session, {})  # type: ignore[arg-type]
        native._has_accepted = True

        received = at_once(*[lambda native=native: over(native.receive)] * THREADS)  # type: ignore[misc]
        sent = at_once(*[lambda native=native: over(lambda: native.send("late"))] * THREADS)  # type: ignore[misc]

        expected = ["error"] * (THREADS - 1) + ["lost or told"]
        assert sorted(map(str, received)) == expected
        assert sorted(map(str, sent)) == expected


class Talker:
    """A server's WebSocket object: gives some messages, then the end; takes any."""

    def __init__(self) -> None:
        self.given = 0
        self.taken: list[object] = []

    def receive(self) -> str | None:
        self.given += 1
        return f"message {self.given}" if self.given <= 3 else None

    def send(self, message: object) -> None:
        self.taken.append(message)

    def close(self, code: int, reason: str) -> None:
        self.taken.append((code, reason))


@pytest.mark.requirement("A-146")
def test_the_socket_between_a_websocket_object_and_its_session_is_closed_when_both_threads_have_left():
    for _ in range(50):
        carrier = ObjectCarrier(Talker())
        own: socket.socket = carrier.take()
        frames = FrameEnd("server", max_message_bytes=None)
        frames.send("hello")
        own.send(frames.octets_to_send()[0])

        at_once(lambda carrier=carrier: carrier.end({}, lambda *_: lambda _: None), own.close)  # type: ignore[misc]

        until(lambda carrier=carrier: carrier._between.fileno() == -1, "the end of the socket")  # type: ignore[misc]
        assert carrier._leaving == []
