"""The end of a WebSocket, as the WSGI application learns it from the client (S-006)."""

from __future__ import annotations

import logging
import threading

import anyio
import pytest
import simple_websocket

from bridge import ClientDisconnected, Limits
from tests.conformance.driver import logged, on_both_loops, on_each_backend, until
from tests.websocket.by_hand import BINARY, CLOSE, TEXT, by_hand, frame
from tests.websocket.driver import (
    PLAIN,
    UVICORN,
    AppThread,
    Quirks,
    Socket,
    converse,
    is_blocked,
    on_each_server,
    using,
)

pytestmark = pytest.mark.requirement("S-006")

KIB = 1024
AT_ONCE_S = 4.5
"""Far more than a wake-up takes, less than any limit of the bridge here."""

on_each_code = pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1000, "bye"), (1001, ""), (1005, ""), (1006, ""), (3000, ""), (4321, "grün")],
)


# ---- Codes ----------------------------------------------------------------------------------------------------------


@on_each_code
@on_both_loops
def test_the_clients_code_and_reason_reach_the_object(code, reason, backend):
    def use(ws):
        assert ws.receive() is None
        return ws.closed, ws.close_code, ws.close_reason, ws.environ["bridge.client_disconnected"]()

    async def script(socket, adapter):
        socket.leave(code, reason)

    app = using(use)
    socket = converse(app, script, backend=backend)

    assert app.result == (True, code, reason, True)
    assert socket.types == ["accept"]


@on_each_server
def test_on_each_server_the_code_reaches_the_object(quirks: Quirks):
    async def script(socket, adapter):
        socket.say("hello")
        await until(lambda: socket.taken)
        socket.leave(4321, "grün")

    app = using(lambda ws: (ws.receive(), ws.receive(), ws.close_code))
    converse(app, script, socket=Socket(quirks=quirks))

    assert app.result == ("hello", None, 4321)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({}, id="no code and no reason"),
        pytest.param({"code": None, "reason": None}, id="None for both"),
    ],
)
def test_a_disconnect_without_a_code_is_1005(event):
    async def script(socket, adapter):
        socket.give({"type": "websocket.disconnect", **event})

    app = using(lambda ws: (ws.receive(), ws.close_code, ws.close_reason))
    converse(app, script)

    assert app.result == (None, 1005, "")


@on_each_code
@on_each_backend
def test_the_clients_code_and_reason_reach_the_wire(code, reason, backend):
    def use(wire):
        wire.accept()
        close = wire.read()
        return close, close and wire.read()

    async def script(socket, adapter):
        await until(lambda: socket.is_receiving)
        socket.leave(code, reason)

    app = by_hand(use)
    converse(app, script, backend=backend)

    close, end = app.result
    assert end is None
    if code == 1006:
        assert close is None  # lost: an end without a word
    else:
        assert close.opcode == CLOSE
        assert close.code == (None if code == 1005 else code)
        assert close.payload[2:].decode() == reason


@pytest.mark.parametrize(("code", "seen"), [(1000, 1000), (1001, 1001), (1005, 1005), (4321, 4321)])
@on_both_loops
def test_the_clients_code_reaches_a_library_on_the_wire(code, seen, backend):
    codes = []

    def app(environ, start_response):
        ws = simple_websocket.Server.accept(environ)
        try:
            while True:
                ws.receive()
        except simple_websocket.ConnectionClosed as closed:
            codes.append(int(closed.reason))
        return []

    async def script(socket, adapter):
        socket.say("hello")
        socket.leave(code)

    converse(app, script, backend=backend)

    assert codes == [seen]


@on_both_loops
def test_what_the_client_said_before_it_left_is_still_received(backend):
    messages = [str(number) for number in range(50)]

    def use(ws):
        ws.accept()
        while not ws.closed:
            pass_time.wait(0.001)
        received = []
        while (message := ws.receive()) is not None:
            received.append(message)
        return received

    pass_time = threading.Event()

    async def script(socket, adapter):
        socket.say(*messages)
        socket.leave()

    app = using(use)
    converse(app, script, backend=backend)

    assert app.result == messages


@on_both_loops
def test_what_the_client_said_before_it_left_is_still_read_from_the_wire(backend):
    def use(wire):
        wire.accept()
        wire.environ["bridge.client_disconnected"]()
        block_until_gone(wire.environ)
        return [wire.read().payload for _ in range(50)]

    async def script(socket, adapter):
        socket.say(*(str(number) for number in range(50)))
        socket.leave()

    app = by_hand(use)
    converse(app, script, backend=backend)

    assert app.result == [str(number).encode() for number in range(50)]


def block_until_gone(environ) -> None:
    tick = threading.Event()
    for _ in range(10_000):
        if environ["bridge.client_disconnected"]():
            return
        tick.wait(0.001)
    raise AssertionError("the client never left")


# ---- Blocked calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1006])
@on_each_backend
def test_a_blocked_receive_wakes_at_once(code, backend):
    thread = AppThread()

    def use(ws):
        thread.note()
        return ws.receive()

    async def script(socket, adapter):
        await thread.until_blocked_in("take")
        await until(lambda: socket.is_receiving)
        socket.leave(code)
        with anyio.fail_after(AT_ONCE_S):
            await until(lambda: socket.is_returned)

    app = using(use)
    converse(app, script, backend=backend)

    assert app.result is None


@pytest.mark.parametrize("code", [1000, 1006])
@on_each_backend
def test_a_blocked_send_wakes_at_once(code, backend):
    thread = AppThread()

    def use(ws):
        ws.accept()
        thread.note()
        with pytest.raises(ClientDisconnected):
            while True:
                ws.send(b"x" * 8 * KIB)
        return ws.close_code

    async def script(socket, adapter):
        await until(lambda: socket.accepted)
        socket.hold()
        await thread.until_blocked_in("wait_for_room")
        socket.leave(code)
        with anyio.fail_after(AT_ONCE_S):
            await until(lambda: socket.is_returned)

    app = using(use)
    socket = converse(app, script, backend=backend, limits=Limits(websocket_queue_bytes=64 * KIB))

    assert app.result == code
    assert socket.closed is None


@pytest.mark.parametrize("code", [1000, 1006])
@on_each_backend
def test_a_blocked_read_from_the_wire_wakes_at_once_and_comes_to_an_end(code, backend):
    def use(wire):
        wire.accept().write(frame(TEXT, b"ready"))
        reads = [wire.read()]
        while reads[-1] is not None:
            reads.append(wire.read())
        return len(reads)

    async def script(socket, adapter):
        await until(lambda: socket.said)
        socket.leave(code)
        with anyio.fail_after(AT_ONCE_S):
            await until(lambda: socket.is_returned)

    app = by_hand(use)
    converse(app, script, backend=backend)

    assert app.result == (1 if code == 1006 else 2)


@pytest.mark.parametrize("code", [1000, 1006])
@on_each_backend
def test_a_blocked_write_to_the_wire_wakes_at_once(code, backend):
    """Which is an error only where the client is lost; else what is written goes nowhere."""

    def use(wire):
        wire.accept().write(frame(TEXT, b"ready"))
        try:
            for _ in range(64):
                wire.write(frame(BINARY, b"x" * 64 * KIB))
        except OSError as error:
            assert not isinstance(error, TimeoutError)  # that would be the test's own

    async def script(socket, adapter):
        await until(lambda: socket.said)
        socket.hold()
        await until(lambda: socket.is_receiving)
        await anyio.sleep(0.02)  # that it is blocked makes the test sharper, not right
        socket.leave(code)
        with anyio.fail_after(AT_ONCE_S):
            await until(lambda: socket.is_returned)

    app = by_hand(use)
    socket = converse(app, script, backend=backend, limits=Limits(websocket_queue_bytes=64 * KIB))

    assert socket.error is None


@on_both_loops
def test_all_threads_of_an_application_wake(backend):
    """One of them is told that it is the end; to the others it is an error."""
    count = 3
    results = []
    readers_ids = []

    def use(ws):
        ws.accept()
        readers = [threading.Thread(target=read, args=(ws,)) for _ in range(count)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(20)
        return any(reader.is_alive() for reader in readers)

    def read(ws):
        readers_ids.append(threading.get_ident())
        try:
            results.append(ws.receive())
        except ClientDisconnected:
            results.append("error")

    async def script(socket, adapter):
        await until(lambda: len(readers_ids) == count and all(is_blocked(reader, "take") for reader in readers_ids))
        await until(lambda: socket.is_receiving)
        socket.leave()

    app = using(use)
    converse(app, script, backend=backend)

    assert app.result is False
    assert len(results) == count
    assert set(results) <= {None, "error"}
    assert None in results


# ---- Late sends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quirks", [pytest.param(PLAIN, id="plain"), pytest.param(UVICORN, id="like uvicorn")])
@on_both_loops
def test_the_first_late_message_is_lost_and_the_second_is_an_error(quirks: Quirks, backend, caplog):
    def use(ws):
        assert ws.receive() is None
        ws.send("lost")
        with pytest.raises(ClientDisconnected, match="4000"):
            ws.send("refused")
        ws.close(4001)
        return ws.close_code

    async def script(socket, adapter):
        socket.leave(4000)

    app = using(use)
    socket = converse(app, script, socket=Socket(quirks=quirks), backend=backend)

    assert app.result == 4000
    assert socket.error is None
    assert socket.types == ["accept"]
    assert socket.swallowed == []
    assert logged(caplog, logging.ERROR) == []


@on_both_loops
def test_late_frames_on_the_wire_are_lost(backend, caplog):
    def use(wire):
        wire.accept()
        assert wire.read().opcode == CLOSE
        for _ in range(3):
            wire.write(frame(TEXT, b"late"))

    async def script(socket, adapter):
        await until(lambda: socket.is_receiving)
        socket.leave()

    socket = converse(by_hand(use), script, backend=backend)

    assert socket.error is None
    assert socket.types == ["accept"]
    assert socket.swallowed == []
    assert logged(caplog, logging.ERROR) == []
