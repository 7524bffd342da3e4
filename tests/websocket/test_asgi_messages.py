"""Messages of a WebSocket of an ASGI application on a WSGI server, and what holds them back.

A-135, A-136, A-143, A-144.
"""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import time
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, ClientDisconnected, Limits
from tests.backends import ASYNCIO
from tests.gateway import QUICK, hosted
from tests.integration.raw_websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, frame
from tests.meeting import Flag, Helper, Hold
from tests.websocket.gateway import ACCEPT, Heard, Visit, accepting, disconnect, echoing, listening

KIB = 1024
QUEUE_BYTES = 64 * KIB
MIB = 1024 * KIB


def limits(**changes: Any) -> Limits:
    return dataclasses.replace(QUICK, **{"websocket_queue_bytes": QUEUE_BYTES, "websocket_close_s": 2.0, **changes})


def on_loop(app: Any, backend: Any, **changes: Any) -> Any:
    return hosted(app, event_loop=backend.name, lifespan="off", limits=limits(**changes))


# ---- What a message is ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-135")
@pytest.mark.parametrize(
    ("opcode", "payload", "key", "data"),
    [
        pytest.param(TEXT, b"hello", "text", "hello", id="text"),
        pytest.param(TEXT, b"", "text", "", id="empty text"),
        pytest.param(TEXT, "grün \U0001f600".encode(), "text", "grün \U0001f600", id="text beyond ASCII"),
        pytest.param(BINARY, b"\x00\xff", "bytes", b"\x00\xff", id="binary"),
        pytest.param(BINARY, b"", "bytes", b"", id="empty binary"),
        pytest.param(BINARY, b"x" * 70_000, "bytes", b"x" * 70_000, id="a long one"),
    ],
)
def test_a_message_is_text_or_bytes_and_comes_back_as_it_was(opcode, payload, key, data):
    heard = Heard()

    async def app(receive, send):
        event = await receive()
        heard.note(event)
        await send({"type": "websocket.send", key: event[key]})

    with hosted(accepting(app), lifespan="off") as adapter, Visit(adapter) as visit:
        visit.opened().send(opcode, payload)
        event = heard.next()
        assert event.pop("type") == "websocket.receive"
        assert event.pop(key) == data
        assert list(event.values()) in ([], [None])
        got = visit.read()
        assert (got.opcode, got.payload, got.is_final) == (opcode, payload, True)


@pytest.mark.requirement("A-135", "A-138")
def test_fragments_are_joined_and_the_control_frames_between_them_are_handled(backend):
    heard = Heard()
    with on_loop(listening(heard), backend) as adapter, Visit(adapter) as visit:
        visit.opened()
        visit.send(TEXT, b"gr\xc3", is_final=False)
        visit.send(PING, b"still there?")
        assert visit.read().payload == b"still there?"
        visit.send(PONG, b"nobody asked")
        visit.send(CONT, b"\xbcn", is_final=False)
        assert heard.is_empty
        visit.send(CONT)
        assert heard.next()["text"] == "grün"
        visit.send(CLOSE, close_payload(1000))
        assert heard.next() == disconnect(1000)


@pytest.mark.requirement("A-136")
@pytest.mark.parametrize(
    "content",
    [
        pytest.param({}, id="neither"),
        pytest.param({"text": None, "bytes": None}, id="none and none"),
        pytest.param({"text": "a", "bytes": b"a"}, id="both"),
        pytest.param({"text": b"a"}, id="bytes as text"),
        pytest.param({"bytes": "a"}, id="text as bytes"),
        pytest.param({"text": 1}, id="a number"),
        pytest.param({"text": "\ud800"}, id="text that is no UTF-8"),
    ],
)
def test_a_wrong_message_raises_and_the_connection_stays_open(content):
    heard = Heard()

    async def app(receive, send):
        try:
            await send({"type": "websocket.send", **content})
        except Exception as error:
            heard.note(error)
        await send({"type": "websocket.send", "text": "and now a right one"})

    with hosted(accepting(app), lifespan="off") as adapter, Visit(adapter) as visit:
        assert visit.opened().read().payload == b"and now a right one"
        assert isinstance(heard.next(), ApplicationError)


@pytest.mark.requirement("A-136")
@pytest.mark.parametrize(
    ("before", "wrong"),
    [
        pytest.param([], {"type": "websocket.send", "text": "a"}, id="a message before the accept"),
        pytest.param([ACCEPT], ACCEPT, id="a second accept"),
        pytest.param([ACCEPT], {"type": "http.response.start", "status": 200}, id="a response"),
        pytest.param([ACCEPT], {"type": "websocket.unheard-of"}, id="an unknown message"),
        pytest.param(
            [ACCEPT, {"type": "websocket.close"}],
            {"type": "websocket.send", "text": "a"},
            id="a message after the close",
        ),
        pytest.param([ACCEPT, {"type": "websocket.close"}], {"type": "websocket.close"}, id="a second close"),
    ],
)
def test_a_message_out_of_order_raises(before, wrong):
    heard = Heard()

    async def app(scope, receive, send):
        for message in before:
            await send(message)
        try:
            await send(wrong)
        except Exception as error:
            heard.note(error)

    with hosted(app, lifespan="off") as adapter, Visit(adapter):
        assert isinstance(heard.next(), ApplicationError)


@pytest.mark.requirement("A-136")
@pytest.mark.parametrize(
    "content", [{"text": None, "bytes": b"a"}, {"bytes": bytearray(b"a")}, {"bytes": memoryview(b"a")}]
)
def test_a_key_that_is_none_counts_as_left_out_and_any_buffer_is_bytes(content):
    async def app(receive, send):
        await send({"type": "websocket.send", **content})

    with hosted(accepting(app), lifespan="off") as adapter, Visit(adapter) as visit:
        got = visit.opened().read()
        assert (got.opcode, got.payload) == (BINARY, b"a")


@pytest.mark.requirement("A-136")
def test_a_buffer_may_be_used_again_as_soon_as_send_returns(backend):
    async def app(receive, send):
        buffer = bytearray(b"first!")
        await send({"type": "websocket.send", "bytes": buffer})
        buffer[:] = b"second"
        await send({"type": "websocket.send", "bytes": buffer})

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        assert [visit.opened().read().payload, visit.read().payload] == [b"first!", b"second"]


# ---- Held back: from the client -------------------------------------------------------------------------------------


@pytest.mark.requirement("A-143")
@pytest.mark.parametrize("payload", [pytest.param(b"x" * KIB, id="long"), pytest.param(b"", id="empty")])
def test_a_client_is_read_no_further_than_the_queue_while_the_application_does_not_receive(backend, payload):
    heard = Heard()
    go_on = Flag("go on")

    async def app(receive, send):
        await go_on.wait_on_loop()
        count = 0
        while (await receive())["type"] == "websocket.receive":
            count += 1
        heard.note(count)

    octets = frame(BINARY, payload)
    most_bytes = 200 * QUEUE_BYTES // KIB * len(octets) if payload else 4 * MIB
    with on_loop(accepting(app), backend) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            try:
                sent_bytes = visit.opened().fill(octets, most_bytes)
                assert sent_bytes < 2 * QUEUE_BYTES + 512 * KIB  # the queue, and what the system holds
            finally:
                go_on.set()
            visit.write(octets[sent_bytes % len(octets) :] if sent_bytes % len(octets) else b"")
            visit.send(CLOSE, close_payload(1000))
            assert visit.read_close() == (1000, "")
            assert heard.next() == -(-sent_bytes // len(octets))


@pytest.mark.requirement("A-143")
def test_what_was_held_back_comes_whole_and_in_order(backend):
    heard = Heard()

    async def app(receive, send):
        digest = hashlib.sha256()
        while (event := await receive())["type"] == "websocket.receive":
            digest.update(event["bytes"])
            await anyio.lowlevel.checkpoint()  # slower than the client
        heard.note(digest.digest())

    blocks = [bytes([number % 256]) * (number * 37 % 5000) for number in range(600)]
    with on_loop(accepting(app), backend, websocket_queue_bytes=2000) as adapter, Visit(adapter) as visit:
        visit.opened()
        for block in blocks:
            visit.send(BINARY, block)
        visit.send(CLOSE)
        assert heard.next() == hashlib.sha256(b"".join(blocks)).digest()


@pytest.mark.requirement("A-143", "S-008")
def test_a_client_that_sends_pings_and_reads_no_answer_is_read_no_further(backend):
    """The answers would pile up: nobody waits in ``send`` for them."""
    octets = frame(PING, b"x" * 125) * 500
    heard = Heard()
    with on_loop(listening(heard), backend) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            assert visit.opened().fill(octets, 8 * MIB) < 4 * QUEUE_BYTES + 512 * KIB
            reading = Helper(lambda: list(iter(visit.read, None)))  # once it reads, all goes on
            visit.client.shutdown(socket.SHUT_WR)
            assert {(got.opcode, got.payload) for got in reading.join()} == {(PONG, b"x" * 125)}
            assert heard.next() == disconnect(1006)


# ---- Held back: from the application --------------------------------------------------------------------------------


@pytest.mark.requirement("A-143", "S-008")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_the_application_is_held_back_by_a_client_that_does_not_read_and_goes_on_when_it_does(backend, is_tcp):
    heard = Heard()
    block, count = b"x" * 64 * KIB, 500
    held_back = Flag("held back")
    sent: list[int] = []

    async def app(receive, send):
        for number in range(count):
            with anyio.move_on_after(None if held_back.is_set() else 0.2) as scope:
                await send({"type": "websocket.send", "bytes": block})
            sent.append(number)
            if scope.cancelled_caught:
                held_back.set()
        heard.note("all sent")

    with on_loop(accepting(app), backend) as adapter:
        with Visit(adapter, is_tcp=is_tcp) as visit:
            visit.opened()
            held_back.wait()
            assert len(sent) * len(block) < QUEUE_BYTES + 16 * MIB  # the queue, and what the system holds
            for _ in range(count):  # also the one whose sender was cancelled: it had been taken
                assert visit.read().payload == block
            assert heard.next() == "all sent"
            assert visit.read_close() == (1000, "")


@pytest.mark.requirement("A-143", "A-141")
def test_a_client_that_takes_nothing_for_too_long_is_given_up(backend):
    heard = Heard()

    async def app(receive, send):
        try:
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 16 * KIB})
        except OSError as error:
            heard.note(error)
        heard.note(await receive())

    with on_loop(accepting(app), backend, response_wait_s=0.2) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened()
            assert isinstance(heard.next(), ClientDisconnected)
            assert heard.next() == disconnect(1006)
            visit.wait_until_hung_up()


@pytest.mark.requirement("A-143", "A-141")
def test_a_client_that_reads_slower_than_is_written_is_not_given_up():
    """What is unsent grows all the time, and yet the client takes something all the time."""
    senders, block = 40, b"x" * 64 * KIB

    async def app(receive, send):
        async with anyio.create_task_group() as tasks:
            for _ in range(senders):
                tasks.start_soon(send, {"type": "websocket.send", "bytes": block})
                await anyio.sleep(0.02)

    with on_loop(accepting(app), ASYNCIO, response_wait_s=1.0) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened()
            came = bytearray()
            for _ in range(28):  # slowly at first: 1.4 s
                came += visit.client.recv(16 * KIB)
                time.sleep(0.05)
            came += visit.read_whole(senders * (len(block) + 10) - len(came))
            assert came.count(b"x") == senders * len(block)
            assert visit.read_close() == (1000, "")


@pytest.mark.requirement("A-143", "A-139")
def test_a_client_that_leaves_sets_the_held_back_application_free(backend):
    heard = Heard()
    is_sending = Flag("sending")

    async def app(receive, send):
        try:
            while True:
                is_sending.set()
                await send({"type": "websocket.send", "bytes": b"x" * 256 * KIB})
        except OSError as error:
            heard.note(error)
        heard.note(await receive())

    with on_loop(accepting(app), backend, response_wait_s=None) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened()
            is_sending.wait()
            visit.client.close()
            assert isinstance(heard.next(), ClientDisconnected)
            assert heard.next() == disconnect(1006)


@pytest.mark.requirement("A-141", "A-143")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_an_application_that_sends_on_and_on_learns_that_its_client_has_just_left(backend, is_tcp):
    """The loop has had no turn to find out: were there no wait in ``send``, it would never have one."""
    heard = Heard()
    hold = Hold("before sending")

    async def app(receive, send):
        hold.stop_here()  # the loop stands still
        try:
            while True:
                await send({"type": "websocket.send", "text": "anybody?"})
        except OSError as error:
            heard.note(error)

    with on_loop(accepting(app), backend) as adapter, Visit(adapter, is_tcp=is_tcp) as visit:
        try:
            visit.opened()
            hold.reached.wait()
            visit.client.close()
        finally:
            hold.release()
        assert isinstance(heard.next(), ClientDisconnected)


@pytest.mark.requirement("A-143", "A-144")
def test_input_is_not_held_up_by_output_that_nobody_takes(backend):
    heard = Heard()

    async def app(receive, send):
        async def talk():
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 256 * KIB})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk)
            heard.note((await receive())["text"])
            tasks.cancel_scope.cancel()

    with on_loop(accepting(app), backend) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened().send(TEXT, b"stop, please")
            assert heard.next() == "stop, please"


# ---- Whole and in order ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-144")
def test_a_message_of_which_the_system_takes_little_at_a_time_arrives_whole(backend):
    message = bytes(range(256)) * 4 * KIB * 3

    async def app(receive, send):
        await send({"type": "websocket.send", "bytes": message})

    with on_loop(accepting(app), backend) as adapter:
        with Visit(adapter, send_buffer_bytes=4 * KIB) as visit:
            assert visit.opened().read().payload == message
            assert visit.read_close() == (1000, "")


@pytest.mark.requirement("A-144")
def test_messages_of_several_senders_do_not_run_into_each_other(backend):
    senders, each = 8, 12

    async def app(receive, send):
        async def talk(letter):
            for size in range(each):
                await send({"type": "websocket.send", "bytes": bytes([letter]) * (size * 7000 + 1)})

        async with anyio.create_task_group() as tasks:
            for letter in range(senders):
                tasks.start_soon(talk, letter)

    with on_loop(accepting(app), backend) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened()
            came = [visit.read().payload for _ in range(senders * each)]
            assert visit.read_close() == (1000, "")

    assert all(len(set(payload)) == 1 for payload in came)
    for letter in range(senders):
        assert [len(payload) for payload in came if payload[0] == letter] == [size * 7000 + 1 for size in range(each)]


@pytest.mark.requirement("A-144")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_both_directions_go_on_at_once(backend, is_tcp):
    block = bytes(range(256)) * 256
    count = 40
    with on_loop(echoing(), backend) as adapter, Visit(adapter, is_tcp=is_tcp) as visit:
        visit.opened()
        reading = Helper(lambda: [visit.read().payload for _ in range(count)])
        for _ in range(count):
            visit.send(BINARY, block)
        assert reading.join() == [block] * count


@pytest.mark.requirement("A-135")
def test_each_message_goes_to_one_of_several_receivers_and_the_disconnect_to_all(backend):
    heard = Heard()

    async def app(receive, send):
        async def listen():
            while (event := await receive())["type"] == "websocket.receive":
                heard.note(event["text"])
            heard.note(event["code"])

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(listen)

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        visit.opened()
        for number in range(5):
            visit.send(TEXT, b"%d" % number)
        assert sorted(heard.next() for _ in range(5)) == ["0", "1", "2", "3", "4"]
        visit.send(CLOSE, close_payload(4000))
        assert [heard.next() for _ in range(3)] == [4000] * 3


@pytest.mark.requirement("A-135")
def test_a_receive_that_is_given_up_loses_no_message(backend):
    heard = Heard()

    async def app(receive, send):
        with anyio.move_on_after(0.01) as scope:
            await receive()
        heard.note(scope.cancelled_caught)
        heard.note(await receive())

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        visit.opened()
        assert heard.next() is True
        visit.send(TEXT, b"hello")
        assert heard.next()["text"] == "hello"
