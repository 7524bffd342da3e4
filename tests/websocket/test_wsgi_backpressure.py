"""WebSockets of WSGI applications: who is slow holds back the other side, in bytes (S-008)."""

from __future__ import annotations

import threading

import anyio
import pytest

from bridge import Limits
from tests.conformance.driver import (
    block,
    on_both_loops,
    on_each_backend,
    until,
)
from tests.websocket.by_hand import BINARY, CLOSE, HandWritten, frame
from tests.websocket.driver import AppThread, Socket, converse
from tests.websocket.echoes import echo, simple_echo

KIB = 1024
QUEUE_BYTES = 64 * KIB
MESSAGE_BYTES = 8 * KIB
MANY = 200
"""Messages of that size: far more than the queues and the system hold together."""


@pytest.mark.requirement("S-008")
@on_each_backend
def test_a_slow_client_holds_the_application_back(backend):
    thread = AppThread()
    handed_over = []

    def app(environ, start_response):
        thread.note()
        ws = environ["wsgi.websocket"]
        for number in range(MANY):
            ws.send(bytes([number]) * MESSAGE_BYTES)
            handed_over.append(number)
        return []

    async def script(socket, adapter):
        await until(lambda: socket.said)
        await thread.until_blocked_in("wait_for_room")
        held = len(handed_over) - len(socket.said)
        assert QUEUE_BYTES // MESSAGE_BYTES // 2 <= held <= 2 * QUEUE_BYTES // MESSAGE_BYTES
        await anyio.sleep(0.02)
        assert len(handed_over) - len(socket.said) == held
        socket.release()
        await until(lambda: socket.closed)

    socket = Socket()
    socket_on_hold(socket)
    converse(app, script, socket=socket, backend=backend, limits=Limits(websocket_queue_bytes=QUEUE_BYTES))

    assert socket.said == [bytes([number]) * MESSAGE_BYTES for number in range(MANY)]
    assert socket.closed == (1000, "")


def socket_on_hold(socket: Socket) -> None:
    """Let the client take the accept and one message, and then nothing until it is released."""
    plain = socket._tell

    def tell():
        plain()
        if len(socket.said) == 1:
            socket.hold()

    socket._tell = tell


@pytest.mark.requirement("S-008")
@on_both_loops
def test_text_is_weighed_in_bytes(backend):
    """A character may be four of them."""
    thread = AppThread()
    handed_over = []
    text = "\U0001f600" * (MESSAGE_BYTES // 4)

    def app(environ, start_response):
        thread.note()
        for _ in range(MANY):
            environ["wsgi.websocket"].send(text)
            handed_over.append(text)
        return []

    async def script(socket, adapter):
        await until(lambda: socket.said)
        await thread.until_blocked_in("wait_for_room")
        assert len(handed_over) - len(socket.said) <= 2 * QUEUE_BYTES // MESSAGE_BYTES
        socket.release()

    socket = Socket()
    socket_on_hold(socket)
    converse(app, script, socket=socket, backend=backend, limits=Limits(websocket_queue_bytes=QUEUE_BYTES))

    assert len(socket.said) == MANY


@pytest.mark.requirement("S-008")
@on_each_backend
def test_a_slow_client_holds_the_application_back_on_the_wire(backend):
    handed_over = []

    def app(environ, start_response):
        wire = HandWritten(environ).accept()
        for number in range(MANY):
            wire.write(frame(BINARY, bytes([number]) * MESSAGE_BYTES))
            handed_over.append(number)
        return []

    async def script(socket, adapter):
        await until(lambda: socket.said)
        # The queue is full, and so is what the system holds for a pair of sockets.
        with anyio.fail_after(10):
            before = -1
            while before != len(handed_over):
                before = len(handed_over)
                await anyio.sleep(0.03)
        assert before < MANY
        socket.release()

    socket = Socket()
    socket_on_hold(socket)
    converse(app, script, socket=socket, backend=backend, limits=Limits(websocket_queue_bytes=QUEUE_BYTES))

    assert socket.said == [bytes([number]) * MESSAGE_BYTES for number in range(MANY)]
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-008")
@on_each_backend
def test_an_application_that_does_not_read_stops_the_reading(backend):
    go = threading.Event()
    messages = [bytes([number]) * MESSAGE_BYTES for number in range(MANY)]
    received = []

    def app(environ, start_response):
        ws = environ["wsgi.websocket"]
        ws.accept()
        block(go)
        received.extend(ws.receive() for _ in range(MANY))
        return []

    async def script(socket, adapter):
        socket.say(*messages)
        await until(lambda: socket.taken)
        await settled(socket)
        assert QUEUE_BYTES // MESSAGE_BYTES - 1 <= socket.taken <= 2 * QUEUE_BYTES // MESSAGE_BYTES
        go.set()

    converse(app, script, backend=backend, limits=Limits(websocket_queue_bytes=QUEUE_BYTES))

    assert received == messages


async def settled(socket: Socket) -> None:
    """Wait until the adapter takes no further message."""
    before = -1
    while before != socket.taken:
        before = socket.taken
        await anyio.sleep(0.02)


@pytest.mark.requirement("S-008")
@on_each_backend
def test_an_application_that_does_not_read_from_the_wire_stops_the_reading(backend):
    go = threading.Event()
    messages = [bytes([number]) * MESSAGE_BYTES for number in range(MANY)]
    received = []

    def app(environ, start_response):
        wire = HandWritten(environ).accept()
        block(go)
        received.extend(wire.read().payload for _ in range(MANY))
        return []

    async def script(socket, adapter):
        socket.say(*messages)
        await until(lambda: socket.taken)
        await settled(socket)
        assert socket.taken < MANY
        go.set()

    converse(app, script, backend=backend, limits=Limits(websocket_queue_bytes=QUEUE_BYTES))

    assert received == messages


@pytest.mark.requirement("S-008")
@on_both_loops
@pytest.mark.parametrize("size", [QUEUE_BYTES - 1, QUEUE_BYTES, QUEUE_BYTES + 1, 20 * QUEUE_BYTES])
def test_a_message_larger_than_the_queue_passes_both_ways(size, backend):
    data = b"x" * size

    async def script(socket, adapter):
        socket.say(data, "next")
        await until(lambda: len(socket.said) == 2)
        socket.leave()

    limits = Limits(websocket_queue_bytes=QUEUE_BYTES)
    for app in (echo, simple_echo):
        assert converse(app, script, backend=backend, limits=limits).said == [data, "next"]


@pytest.mark.requirement("S-008")
@on_both_loops
@pytest.mark.parametrize("way", ["native", "wire"])
def test_a_client_that_takes_nothing_is_given_up_after_a_time(way, backend):
    def app(environ, start_response):
        try:
            if way == "native":
                try:
                    for _ in range(MANY):
                        environ["wsgi.websocket"].send(b"x" * MESSAGE_BYTES)
                finally:
                    assert environ["wsgi.websocket"].receive() is None
            else:
                wire = HandWritten(environ).accept()
                for _ in range(MANY):
                    wire.write(frame(BINARY, b"x" * MESSAGE_BYTES))
                while (end := wire.read()) is not None:
                    assert end.opcode == CLOSE
        except OSError as error:
            raised.append(error)
        codes.append(environ["wsgi.websocket"].close_code)
        return []

    raised, codes = [], []
    socket = Socket()
    socket_on_hold(socket)
    converse(
        app,
        socket=socket,
        backend=backend,
        limits=Limits(websocket_queue_bytes=QUEUE_BYTES, response_wait_s=0.05),
    )

    assert codes == [1006]
    if way == "native":
        assert isinstance(raised[0], TimeoutError)
