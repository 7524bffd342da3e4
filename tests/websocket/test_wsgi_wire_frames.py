"""``environ["werkzeug.socket"]``: the frames between a WSGI application and the bridge."""

from __future__ import annotations

import socket as sockets
import threading

import pytest

from bridge.errors import ApplicationError
from tests.conformance.driver import on_both_loops
from tests.websocket.by_hand import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    by_hand,
    close_frame,
    frame,
)
from tests.websocket.driver import (
    converse,
)

# ---- By hand: frames ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-002")
@on_both_loops
def test_the_clients_messages_are_whole_masked_frames(backend):
    frames = []

    def use(wire):
        wire.accept()
        frames.extend(wire.read() for _ in range(4))

    async def script(socket, adapter):
        socket.say("grün", b"octets", "", b"x" * 70_000)

    converse(by_hand(use), script, backend=backend)

    assert [(read.opcode, read.payload) for read in frames] == [
        (TEXT, "grün".encode()),
        (BINARY, b"octets"),
        (TEXT, b""),
        (BINARY, b"x" * 70_000),
    ]
    assert all(read.is_masked and read.is_final for read in frames)


@pytest.mark.requirement("S-002")
@on_both_loops
def test_fragments_of_the_application_become_one_message_and_its_pings_are_answered(backend):
    def use(wire):
        wire.accept()
        euro = "€".encode()
        wire.write(frame(TEXT, b"a" + euro[:1], is_final=False) + frame(PING, b"are you there?"))
        answer = wire.read()
        wire.write(frame(PONG, b"unasked") + frame(CONTINUATION, euro[1:], is_final=False) + frame(CONTINUATION, b"z"))
        return answer

    app = by_hand(use)
    socket = converse(app, backend=backend)

    assert (app.result.opcode, app.result.payload) == (PONG, b"are you there?")
    assert socket.said == ["a€z"]


@pytest.mark.requirement("S-002", "S-005")
@pytest.mark.parametrize(
    ("written", "code"),
    [
        pytest.param(bytes([0x81, 0x80, 0, 0, 0, 0]), 1002, id="a masked frame"),
        pytest.param(frame(3, b""), 1002, id="a reserved opcode"),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="text that is none"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="a fragment of nothing"),
    ],
)
@on_both_loops
def test_frames_that_break_the_rules_close_both_ends(written, code, backend):
    def use(wire):
        wire.accept()
        wire.write(written)
        ends = [wire.read(), wire.read()]
        return ends[0], ends[1]

    app = by_hand(use)
    socket = converse(app, backend=backend)

    close, end = app.result
    assert (close.opcode, close.code) == (CLOSE, code)
    assert end is None
    assert socket.closed is not None
    assert socket.closed[0] == code


@pytest.mark.requirement("S-005")
@pytest.mark.parametrize(
    ("written", "closed"),
    [
        pytest.param(close_frame(1000), (1000, ""), id="1000"),
        pytest.param(close_frame(4321, "grün"), (4321, "grün"), id="code and reason"),
        pytest.param(frame(CLOSE), (1000, ""), id="no code"),
        pytest.param(close_frame(1011), (1011, ""), id="1011"),
    ],
)
@on_both_loops
def test_a_close_frame_of_the_application_is_answered_and_reaches_the_client(written, closed, backend):
    def use(wire):
        wire.accept()
        wire.write(written)
        return wire.read()

    app = by_hand(use)
    socket = converse(app, backend=backend)

    assert app.result.opcode == CLOSE
    assert app.result.payload == written[2:]
    assert socket.types == ["accept", "close"]
    assert socket.closed == closed


@pytest.mark.requirement("S-005")
@on_both_loops
def test_an_application_that_closes_its_end_without_a_word_has_ended_normally(backend):
    def use(wire):
        wire.accept()
        wire.write(frame(TEXT, b"last"))
        wire.socket.close()

    socket = converse(by_hand(use), backend=backend)

    assert socket.said == ["last"]
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-005", "S-006")
@on_both_loops
def test_what_was_written_before_the_call_ends_is_sent_all_of_it(backend):
    count, size = 40, 30_000  # more than the system keeps

    def use(wire):
        wire.accept()
        for number in range(count):
            wire.write(frame(BINARY, bytes([number]) * size))

    socket = converse(by_hand(use), backend=backend)

    assert socket.said == [bytes([number]) * size for number in range(count)]
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-002")
@on_both_loops
def test_reading_and_writing_in_two_threads_at_the_same_time_loses_nothing(backend):
    count, size = 60, 20_000

    def use(wire):
        wire.accept()
        received = []
        reader = threading.Thread(target=lambda: received.extend(wire.read().payload for _ in range(count)))
        reader.start()
        for number in range(count):
            wire.write(frame(BINARY, bytes([number]) * size))
        reader.join(20)
        assert not reader.is_alive()
        return received

    async def script(socket, adapter):
        socket.say(*(bytes([number + 100]) * size for number in range(count)))

    app = by_hand(use)
    socket = converse(app, script, backend=backend)

    assert app.result == [bytes([number + 100]) * size for number in range(count)]
    assert socket.said == [bytes([number]) * size for number in range(count)]


@pytest.mark.requirement("S-003")
def test_whoever_has_used_the_socket_cannot_use_the_object():
    def use(wire):
        wire.accept().write(frame(PING))
        assert wire.read() is not None  # by now the 101 has been understood
        with pytest.raises(ApplicationError, match="both"):
            wire.environ["wsgi.websocket"].send("native")
        wire.write(frame(TEXT, b"still here"))

    socket = converse(by_hand(use))

    assert socket.said == ["still here"]
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-002")
@on_both_loops
def test_a_copy_of_the_socket_that_somebody_keeps_is_at_its_end_when_the_call_is_over(backend):
    kept: list[sockets.socket] = []

    def use(wire):
        wire.accept()
        kept.append(wire.socket.dup())

    converse(by_hand(use), backend=backend)

    with kept[0] as copy:
        copy.settimeout(10)
        while octets := copy.recv(4096):
            assert octets[0] == 0x80 | CLOSE
