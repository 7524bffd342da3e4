"""WebSockets of WSGI applications whose server cancels them or shuts down, and their coroutines (S-006)."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from typing import Any

import anyio
import pytest

from bridge import ClientDisconnected, Limits, RequestCancelled, call_async
from tests.conformance.driver import block, hosted, logged, on_both_loops, on_each_backend, run, until
from tests.websocket.by_hand import CLOSE, TEXT, by_hand, frame
from tests.websocket.driver import (
    AppThread,
    Quirks,
    Socket,
    converse,
    on_each_server,
    using,
)

pytestmark = pytest.mark.requirement("S-006")

KIB = 1024
AT_ONCE_S = 4.5
"""Far more than a wake-up takes, less than any limit of the bridge here."""


def block_until_gone(environ) -> None:
    tick = threading.Event()
    for _ in range(10_000):
        if environ["bridge.client_disconnected"]():
            return
        tick.wait(0.001)
    raise AssertionError("the client never left")


# ---- Cancelled by the server ----------------------------------------------------------------------------------------


async def cancelled(socket: Socket, adapter: Any, is_ready) -> None:
    """Serve a socket, and cancel that once it is ready."""
    async with anyio.create_task_group() as group:
        group.start_soon(socket.call, adapter)
        await until(is_ready)
        group.cancel_scope.cancel()


@on_each_backend
@pytest.mark.parametrize("is_accepted", [True, False], ids=["after the accept", "before the accept"])
def test_a_cancellation_ends_a_blocked_application_and_is_waited_for(is_accepted, backend, caplog):
    caplog.set_level(logging.INFO, "bridge")
    done = threading.Event()
    started = threading.Event()

    def app(environ, start_response):
        ws = environ["wsgi.websocket"]
        started.set()
        if not is_accepted:
            block_until_gone(environ)
        codes.append((ws.receive(), ws.close_code))
        done.set()
        return []

    codes: list[Any] = []
    socket = Socket()

    async def main():
        await cancelled(
            socket, adapter, lambda: socket.is_receiving and socket.accepted if is_accepted else started.is_set()
        )
        assert done.is_set(), "the application was not waited for"

    with hosted(app) as adapter:
        run(main, backend)

    assert socket.is_cancelled
    assert codes == [(None, 1006)]
    assert logged(caplog, logging.ERROR) == []
    assert any("cancelled" in record.getMessage() for record in logged(caplog, logging.INFO))


@on_each_backend
def test_a_cancellation_ends_a_blocked_read_from_the_wire(backend):
    socket = Socket()
    app = by_hand(lambda wire: (wire.accept().read(), "the end"))

    async def main():
        await cancelled(socket, adapter, lambda: socket.is_receiving and socket.accepted)
        assert app.result == (None, "the end")

    with hosted(app) as adapter:
        run(main, backend)

    assert socket.is_cancelled


@on_each_backend
def test_an_application_that_does_not_notice_a_cancellation_is_given_up_and_named(backend, caplog):
    go = threading.Event()
    started = threading.Event()

    def stubborn(environ, start_response):
        environ["wsgi.websocket"].accept()
        started.set()
        block(go)
        return []

    socket = Socket()

    async def main():
        await cancelled(socket, adapter, lambda: started.is_set() and socket.accepted)
        assert socket.is_cancelled
        go.set()

    try:
        with hosted(stubborn, limits=Limits(cancel_s=0.05)) as adapter:
            run(main, backend)
    finally:
        go.set()

    (record,) = logged(caplog, logging.ERROR)
    assert "still runs" in record.getMessage()
    assert "stubborn" in record.getMessage()


@on_each_backend
def test_a_cancellation_at_any_moment_is_a_cancellation(backend):
    """Also before the wire is open, and while a thread is only being started."""

    def app(environ, start_response):
        ws = environ["wsgi.websocket"]
        while ws.receive() is not None:
            pass
        return []

    async def main():
        for turns in range(25):
            socket = Socket()
            async with anyio.create_task_group() as group:
                group.start_soon(socket.call, adapter)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert socket.error is None
            assert socket.is_cancelled or turns == 0
            assert adapter.statistics().websockets == 0

    with hosted(app) as adapter:
        run(main, backend)


# ---- Shutdown -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-005")
@on_each_server
@on_both_loops
def test_a_drain_closes_with_1001_and_the_application_is_told(quirks: Quirks, backend):
    def use(ws):
        assert [ws.receive(), ws.receive()] == ["hello", None]
        return ws.close_code

    async def script(socket, adapter):
        socket.say("hello")
        await until(lambda: socket.taken)
        with anyio.fail_after(AT_ONCE_S):
            await adapter.drain()
        assert socket.closed == (1001, "")

    app = using(use)
    socket = converse(app, script, socket=Socket(quirks=quirks), backend=backend)

    assert app.result == 1001
    assert socket.types == ["accept", "close"]


@on_both_loops
def test_a_drain_ends_a_send_that_is_held_back(backend):
    thread = AppThread()

    def use(ws):
        thread.note()
        with pytest.raises(ClientDisconnected):
            while True:
                ws.send(b"x" * 8 * KIB)

    async def script(socket, adapter):
        await until(lambda: socket.said)
        socket.hold()
        await thread.until_blocked_in("wait_for_room")
        with anyio.fail_after(AT_ONCE_S):
            async with anyio.create_task_group() as group:
                group.start_soon(adapter.drain)
                await anyio.sleep(0.02)
                socket.release()

    app = using(use)
    socket = converse(app, script, backend=backend, limits=Limits(websocket_queue_bytes=64 * KIB))

    assert socket.closed == (1001, "")


@on_both_loops
def test_a_drain_closes_the_wire_with_1001(backend):
    def use(wire):
        wire.accept().write(frame(TEXT, b"ready"))
        close = wire.read()
        return close.opcode, close.code, wire.read()

    async def script(socket, adapter):
        await until(lambda: socket.said)
        with anyio.fail_after(AT_ONCE_S):
            await adapter.drain()

    app = by_hand(use)
    socket = converse(app, script, backend=backend)

    assert app.result == (CLOSE, 1001, None)
    assert socket.closed == (1001, "")


@on_both_loops
def test_a_handshake_that_is_accepted_during_a_drain_is_closed_with_1001(backend):
    draining = threading.Event()

    def use(ws):
        block(draining)
        return ws.receive(), ws.close_code

    async def script(socket, adapter):
        await until(lambda: adapter.statistics().websockets)
        async with anyio.create_task_group() as group:
            group.start_soon(adapter.drain)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            draining.set()

    app = using(use)
    socket = converse(app, script, backend=backend, limits=Limits(shutdown_s=30))

    assert app.result == (None, 1001)
    assert socket.closed == (1001, "")


@on_both_loops
def test_a_lifespan_shutdown_closes_with_1001_before_the_hooks_run(backend):
    order = []

    def use(ws):
        ws.receive()
        order.append(ws.close_code)

    async def script(socket, adapter):
        await until(lambda: socket.is_receiving and socket.accepted)
        events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        answers = []

        async def receive():
            return events.pop(0)

        async def send(message):
            answers.append(message["type"])

        with anyio.fail_after(AT_ONCE_S):
            await adapter({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
        assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    socket = converse(using(use), script, backend=backend, on_shutdown=lambda: order.append("hook"))

    assert order == [1001, "hook"]
    assert socket.closed == (1001, "")


def test_a_drain_on_another_loop_closes_too():
    """One adapter serves any number of loops; whichever drains, all sockets are told, each on its own loop."""
    accepted = threading.Event()
    socket = Socket()
    app = using(lambda ws: (ws.accept(), accepted.set(), ws.receive(), ws.close_code)[-1])

    with hosted(app, limits=Limits(shutdown_s=30)) as adapter:
        serving = threading.Thread(target=run, args=(functools.partial(socket.call, adapter),))
        serving.start()
        try:
            block(accepted)
            asyncio.run(asyncio.wait_for(adapter.drain(), AT_ONCE_S), debug=True)
        finally:
            if not socket.is_returned:
                socket.leave()
            serving.join(20)

    assert app.result == 1001
    assert socket.closed == (1001, "")


def test_an_application_that_does_not_end_is_named_when_the_time_is_up(caplog):
    go = threading.Event()

    def use(ws):
        ws.accept()
        block(go)

    async def script(socket, adapter):
        await until(lambda: socket.is_receiving)
        await adapter.drain()
        assert socket.closed == (1001, "")
        go.set()

    converse(using(use), script, limits=Limits(shutdown_s=0.05))

    texts = [record.getMessage() for record in logged(caplog, logging.ERROR)]
    assert len(texts) == 2
    assert "still running" in texts[0]
    assert "block(go)" in texts[1]


# ---- Coroutines -----------------------------------------------------------------------------------------------------


@on_each_backend
def test_a_coroutine_runs_on_the_sockets_loop(backend):
    async def double(text):
        await anyio.sleep(0)
        return text * 2, threading.get_ident()

    async def script(socket, adapter):
        socket.say("ab")
        await until(lambda: socket.said)
        socket.leave()

    def use(ws):
        text, thread_id = call_async(double, ws.receive())
        ws.send(text)
        return thread_id

    app = using(use)
    socket = converse(app, script, backend=backend)

    assert socket.said == ["abab"]
    assert app.result == threading.get_ident()


@on_both_loops
def test_a_coroutine_may_be_called_before_the_accept(backend):
    async def allowed():
        return False

    def app(environ, start_response):
        start_response("200 OK" if call_async(allowed) else "403 Forbidden", [])
        return []

    socket = converse(app, backend=backend)

    assert socket.error is None
    assert socket.messages == [{"type": "websocket.close"}]


@on_both_loops
@pytest.mark.parametrize("how", ["leaves", "is cancelled"])
def test_a_coroutine_is_cancelled_when_the_connection_is_over(how, backend):
    started = threading.Event()
    ended = threading.Event()

    async def forever():
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    def use(ws):
        ws.accept()
        with pytest.raises(ClientDisconnected) as caught:
            call_async(forever)
        assert isinstance(caught.value, RequestCancelled) or how == "leaves"
        with pytest.raises(ClientDisconnected):
            call_async(anyio.sleep, 0)

    socket = Socket()
    app = using(use)

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(socket.call, adapter)
            await until(started.is_set)
            if how == "leaves":
                socket.leave()
            else:
                group.cancel_scope.cancel()
        assert ended.is_set()

    with hosted(app) as adapter:
        run(main, backend)

    assert app.failure is None
    assert app.raised is None
