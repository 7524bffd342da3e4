"""`Limits` at work on WebSockets of an ASGI application on a WSGI server, pings, and compression (S-026)."""

from __future__ import annotations

import dataclasses
import functools
import socket
import time
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any

import anyio
import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from bridge import Limits
from bridge.websocket.frames import FrameEnd, Received
from tests.backends import ASYNCIO
from tests.gateway import QUICK, hosted
from tests.integration.raw_websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame, handshake_fields
from tests.meeting import Flag, until
from tests.websocket.gateway import Heard, Visit, accepting, echoing, listening

KIB = 1024
MIB = 1024 * KIB
DEFLATE = "permessage-deflate"


def on_loop(app: Any, backend: Any, *, websocket_compression: bool = False, **changes: Any) -> Any:
    limits: Limits = dataclasses.replace(QUICK, **changes)
    return hosted(
        app, event_loop=backend.name, lifespan="off", limits=limits, websocket_compression=websocket_compression
    )


# ---- How many -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-026")
def test_one_connection_too_many_is_answered_503_until_another_is_closed(backend):
    with on_loop(echoing(), backend, websockets=2) as adapter, Visit(adapter) as first, Visit(adapter) as second:
        first.opened()
        second.opened()
        with Visit(adapter) as third:
            head = third.read_head()
            assert head.status == 503
            assert head.all("retry-after") == ["1"]
            assert third.finish_call().error is None
        assert adapter.statistics().refused == 1
        assert adapter.statistics().websockets == 2

        first.send(CLOSE)
        first.read_close()
        first.client.close()
        until(lambda: adapter.statistics().websockets == 1)
        with Visit(adapter) as fourth:
            fourth.opened().send(TEXT, b"room for one")
            assert fourth.read().payload == b"room for one"


@pytest.mark.requirement("S-026")
def test_with_no_connection_allowed_the_upgrade_is_ignored(backend):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    with on_loop(app, backend, websockets=0) as adapter, Visit(adapter) as visit:
        assert visit.read_head().status == 200


# ---- How large ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-026", "A-137")
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(frame(BINARY, b"x" * (KIB + 1)), id="one frame"),
        pytest.param(frame(BINARY, b"x" * 2 * KIB)[:8], id="as soon as it is announced"),
        pytest.param(frame(TEXT, b"x" * KIB, is_final=False) + frame(CONT, b"x"), id="fragments"),
        pytest.param(
            frame(TEXT, b"x" * 600, is_final=False) + frame(PING) + frame(CONT, b"x" * 425, is_final=False),
            id="fragments that are not all there",
        ),
    ],
)
def test_a_message_over_the_limit_closes_with_1009(backend, frames):
    heard = Heard()
    with on_loop(listening(heard), backend, websocket_message_bytes=KIB) as adapter, Visit(adapter) as visit:
        visit.opened().write(frames)
        while (got := visit.read()).opcode == PONG:
            pass
        assert (got.opcode, got.payload[:2]) == (CLOSE, b"\x03\xf1")
        event = heard.next()
        assert (event["type"], event["code"]) == ("websocket.disconnect", 1009)


@pytest.mark.requirement("S-026")
def test_messages_at_the_limit_and_control_frames_between_are_no_matter(backend):
    heard = Heard()
    with on_loop(listening(heard), backend, websocket_message_bytes=KIB) as adapter, Visit(adapter) as visit:
        visit.opened()
        visit.send(BINARY, b"x" * KIB)
        visit.write(frame(TEXT, b"x" * 1000, is_final=False) + frame(PING, b"y" * 125) + frame(CONT, b"x" * 24))
        assert [len(heard.next()["bytes"]), len(heard.next()["text"])] == [KIB, KIB]


@pytest.mark.requirement("S-026")
def test_a_message_may_be_larger_than_the_queue(backend):
    with on_loop(echoing(), backend, websocket_queue_bytes=KIB) as adapter, Visit(adapter) as visit:
        visit.opened()
        for _ in range(3):
            visit.send(BINARY, b"x" * 64 * KIB)
            assert visit.read().payload == b"x" * 64 * KIB


@pytest.mark.requirement("S-026", "A-143")
def test_a_message_of_endless_empty_fragments_takes_no_memory():
    end = FrameEnd("server", max_message_bytes=KIB)
    end.feed(frame(TEXT, b"begun", is_final=False) + frame(CONT, is_final=False))
    empty = frame(CONT, is_final=False) * 100
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        for _ in range(50):
            assert end.feed(empty) == []
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after_bytes - before_bytes < 5000
    assert end.feed(frame(CONT, b"!")) == [Received("begun!")]


# ---- Pings ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-026", "A-138")
def test_clients_are_pinged_and_who_answers_stays(backend):
    heard = Heard()
    with on_loop(listening(heard), backend, websocket_ping_s=0.05, websocket_pong_s=1.0) as adapter:
        with Visit(adapter) as visit:
            visit.opened()
            payloads = set()
            since_s = time.monotonic()
            for _ in range(25):  # longer than it may take to answer
                got = visit.read()
                assert got.opcode == PING
                payloads.add(got.payload)
                visit.send(PONG, got.payload)
            assert time.monotonic() - since_s >= 0.5  # not all at once
            assert len(payloads) == 25
            assert heard.is_empty  # the application sees none of it


@pytest.mark.requirement("S-026", "A-138")
def test_a_client_that_does_not_answer_pings_is_closed_with_1011_and_lost_to_the_application(backend):
    heard = Heard()
    with on_loop(listening(heard), backend, websocket_ping_s=0.05, websocket_pong_s=0.1) as adapter:
        with Visit(adapter) as visit:
            visit.opened()
            while (got := visit.read()).opcode == PING:
                pass
            assert (got.opcode, got.payload[:2]) == (CLOSE, b"\x03\xf3")
            event = heard.next()
            assert (event["type"], event["code"]) == ("websocket.disconnect", 1006)
            assert visit.read() is None


@pytest.mark.requirement("S-026", "A-143")
def test_a_client_that_pings_and_reads_nothing_is_lost_in_time(backend):
    """It is not read any more, so its answers could lie unread; but it takes nothing either."""
    heard = Heard()
    octets = frame(PING, b"x" * 125) * 500
    with on_loop(
        listening(heard),
        backend,
        websocket_queue_bytes=16 * KIB,
        websocket_ping_s=0.1,
        websocket_pong_s=0.3,
        websocket_close_s=0.1,
    ) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            with suppress(OSError):
                visit.opened().fill(octets, 8 * MIB)
            assert heard.next()["code"] == 1006
            visit.wait_until_hung_up()


@pytest.mark.requirement("S-026")
def test_a_client_that_reads_slowly_is_not_blamed_for_a_ping_that_it_has_not_got_to(backend):
    message = b"x" * MIB

    async def app(receive, send):
        await send({"type": "websocket.send", "bytes": message})
        await receive()

    with on_loop(accepting(app), backend, websocket_ping_s=0.05, websocket_pong_s=1.0) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            came = visit.opened().read_whole(10)
            for _ in range(28):  # 1.4 s
                came += visit.read_whole(16 * KIB)
                time.sleep(0.05)
            came += visit.read_whole(len(message) + 10 - len(came))
            assert came.endswith(message)
            visit.send(TEXT, b"that was a lot")
            while (got := visit.read()).opcode == PING:
                visit.send(PONG, got.payload)
            assert (got.opcode, got.payload[:2]) == (CLOSE, b"\x03\xe8")


@pytest.mark.requirement("S-026", "A-139")
def test_a_client_that_stops_sending_and_then_leaves_with_much_unread_disturbs_nobody(backend):
    """There is one timer for all: it must survive each of them."""
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/much":
            await send({"type": "websocket.send", "bytes": b"x" * MIB})
        heard.note((await receive())["type"])

    with on_loop(app, backend, websocket_ping_s=0.1, websocket_pong_s=5.0) as adapter:
        with Visit(adapter) as other, Visit(adapter, PATH_INFO="/much", send_buffer_bytes=16 * KIB) as visit:
            other.opened()
            visit.opened().client.shutdown(socket.SHUT_WR)
            assert heard.next() == "websocket.disconnect"
            visit.client.close()
            until(lambda: adapter.statistics().websockets == 1)
            for _ in range(3):
                assert other.read().opcode == PING
                other.send(PONG)


@pytest.mark.requirement("S-026")
def test_without_an_interval_there_are_no_pings(backend):
    async def app(receive, send):
        await anyio.sleep(0.3)

    with on_loop(accepting(app), backend, websocket_ping_s=None, websocket_pong_s=0.0) as adapter:
        with Visit(adapter) as visit:
            assert visit.opened().read_close() == (1000, "")


@pytest.mark.requirement("S-026", "A-143")
def test_a_client_that_is_not_read_is_not_blamed_for_answers_that_lie_unread(backend):
    heard = Heard()
    go_on = Flag("go on")

    async def app(receive, send):
        await go_on.wait_on_loop()
        for _ in range(4):
            heard.note(len((await receive()).get("bytes", b"")))
        await send({"type": "websocket.send", "text": "still here"})

    with on_loop(
        accepting(app), backend, websocket_queue_bytes=KIB, websocket_ping_s=0.05, websocket_pong_s=0.5
    ) as adapter:
        with Visit(adapter) as visit:
            try:
                visit.opened()
                for _ in range(4):
                    visit.send(BINARY, b"x" * KIB)
                for _ in range(20):  # more than the time for an answer
                    got = visit.read()
                    assert got.opcode == PING
                    visit.send(PONG, got.payload)
            finally:
                go_on.set()
            assert [heard.next() for _ in range(4)] == [KIB] * 4
            while (got := visit.read()).opcode == PING:
                visit.send(PONG, got.payload)
            assert got.payload == b"still here"


@pytest.mark.requirement("S-026")
def test_a_client_is_not_blamed_for_a_loop_that_was_busy_while_its_answer_lay_there(backend):
    answered = Flag("answered")
    heard = Heard()

    async def app(receive, send):
        heard.note("open")
        await answered.wait_on_loop()
        # Nothing turns while this sleeps; the last answer came in time, and nobody has looked at it.
        time.sleep(0.8)
        heard.note(await receive())

    with on_loop(accepting(app), backend, websocket_ping_s=0.05, websocket_pong_s=0.5) as adapter:
        with Visit(adapter) as visit:
            visit.opened()
            assert heard.next() == "open"
            got = visit.read()
            assert got.opcode == PING
            answered.set()
            visit.send(PONG, got.payload)
            visit.send(TEXT, b"still here")
            assert heard.next().get("text") == "still here"


@pytest.mark.requirement("S-026", "A-140")
@pytest.mark.parametrize("close_s", [0.0, 0.1])
def test_the_time_for_the_answer_to_a_close_is_as_said(backend, close_s):
    async def app(receive, send):
        pass

    since_s = time.monotonic()
    with on_loop(accepting(app), backend, websocket_close_s=close_s) as adapter, Visit(adapter) as visit:
        visit.opened()
        visit.wait_until_hung_up()
        assert close_s <= time.monotonic() - since_s < Limits().websocket_close_s


@pytest.mark.requirement("S-026", "A-140")
def test_the_time_for_the_answer_to_a_close_begins_when_a_slow_client_has_got_to_it():
    message = b"x" * MIB

    async def app(receive, send):
        await send({"type": "websocket.send", "bytes": message})

    with on_loop(accepting(app), ASYNCIO, websocket_close_s=0.5) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            came = visit.opened().read_whole(10)
            for _ in range(20):  # 1 s
                came += visit.read_whole(16 * KIB)
                time.sleep(0.05)
            came += visit.read_whole(len(message) + 10 - len(came))
            assert came.endswith(message)
            assert visit.read_close() == (1000, "")


# ---- Compression ----------------------------------------------------------------------------------------------------


class Compressing:
    """A client that compresses, by the Sans-I/O layer of `websockets`."""

    def __init__(self, visit: Visit, **options: Any) -> None:
        self.visit = visit
        self.protocol = ClientProtocol(parse_uri("ws://testserver/"), state=State.OPEN)
        factory = ClientPerMessageDeflateFactory(**options)
        (name_and_parameters,) = visit.read_head().all("sec-websocket-extensions")
        name, *parameters = [part.strip() for part in name_and_parameters.split(";")]
        assert name == DEFLATE
        pairs = [(key, value or None) for key, _, value in (parameter.partition("=") for parameter in parameters)]
        self.protocol.extensions = [factory.process_response_params(pairs, [])]

    def send(self, data: bytes) -> int:
        """Send a message; return how many bytes that took."""
        self.protocol.send_binary(data)
        octets = b"".join(self.protocol.data_to_send())
        self.visit.write(octets)
        return len(octets)

    def read(self) -> LibraryFrame:
        while True:
            for event in self.protocol.events_received():
                assert isinstance(event, LibraryFrame)
                return event
            octets = self.visit.client.recv(65536)
            assert octets
            self.protocol.receive_data(octets)


def offering(offer: str) -> list[tuple[str, str]]:
    return [*handshake_fields(), ("Sec-WebSocket-Extensions", offer)]


@pytest.mark.requirement("S-026", "A-132")
@pytest.mark.parametrize(
    "options",
    [{}, {"client_max_window_bits": True}, {"server_no_context_takeover": True}, {"client_no_context_takeover": True}],
    ids=str,
)
def test_messages_are_compressed_both_ways_where_both_want_it(backend, options):
    factory = ClientPerMessageDeflateFactory(**options)
    offer = "; ".join([DEFLATE, *(f"{key}={value}" if value else key for key, value in factory.get_request_params())])
    with on_loop(echoing(), backend, websocket_compression=True) as adapter:
        with Visit(adapter, fields=offering(offer)) as visit:
            client = Compressing(visit, **options)
            for number in range(3):
                message = b"what repeats itself is short " * 1000 + b"%d" % number
                assert client.send(message) < len(message) // 10
                got = client.read()
                assert (got.opcode, bytes(got.data)) == (Opcode.BINARY, message)


@pytest.mark.requirement("S-026", "A-132")
@pytest.mark.parametrize("is_wanted", [False, True], ids=["off", "on"])
@pytest.mark.parametrize(
    "offer",
    [
        pytest.param(None, id="none"),
        pytest.param("x-webkit-deflate-frame", id="another"),
        pytest.param(f"{DEFLATE}; unheard_of", id="unknown parameter"),
        pytest.param(f"{DEFLATE}; server_max_window_bits=99", id="a window too large"),
        pytest.param("permessage-deflate; =", id="malformed"),
    ],
)
def test_without_an_offer_that_is_understood_nothing_is_compressed(offer, is_wanted):
    fields = handshake_fields() if offer is None else offering(offer)
    with hosted(echoing(), lifespan="off", websocket_compression=is_wanted) as adapter:
        with Visit(adapter, fields=fields) as visit:
            head = visit.read_head()
            assert (head.status, head.all("sec-websocket-extensions")) == (101, [])
            visit.send(TEXT, b"as it is")
            assert visit.read().payload == b"as it is"


@pytest.mark.requirement("S-026", "A-132")
def test_compression_is_off_unless_asked_for():
    with hosted(echoing(), lifespan="off") as adapter, Visit(adapter, fields=offering(DEFLATE)) as visit:
        assert visit.read_head().all("sec-websocket-extensions") == []


@functools.cache
def compressed_zeros() -> bytes:
    """Return 16 MiB of nothing, as they are on the wire."""
    compressor = zlib.compressobj(wbits=-12)
    octets = b"".join(compressor.compress(bytes(MIB)) for _ in range(16)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(octets) < 64 * KIB
    return octets.removesuffix(b"\0\0\xff\xff")


@pytest.mark.requirement("S-026", "A-137")
@pytest.mark.parametrize("is_fragmented", [False, True], ids=["whole", "fragments"])
def test_a_message_that_is_too_large_when_it_is_decompressed_closes_with_1009(backend, is_fragmented):
    bomb = compressed_zeros()
    heard = Heard()
    with on_loop(listening(heard), backend, websocket_compression=True, websocket_message_bytes=64 * KIB) as adapter:
        with Visit(adapter, fields=offering(DEFLATE)) as visit:
            visit.opened()
            if is_fragmented:
                visit.write(frame(BINARY, bomb[:1000], rsv=4, is_final=False) + frame(CONT, bomb[1000:]))
            else:
                visit.send(BINARY, bomb, rsv=4)
            assert visit.read_close()[0] == 1009
            assert heard.next()["code"] == 1009


@pytest.mark.requirement("S-026", "A-137")
@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param(frame(BINARY, b"\xff" * 20, rsv=4), 1002, id="what cannot be decompressed"),
        pytest.param(frame(TEXT, b"\x4a\x04\x00", rsv=4), None, id="what can"),
        pytest.param(frame(BINARY, b"x", rsv=2), 1002, id="the second bit"),
        pytest.param(frame(BINARY, b"x", rsv=1), 1002, id="the third bit"),
        pytest.param(frame(PING, b"x", rsv=4), 1002, id="the bit on a control frame"),
        pytest.param(
            frame(TEXT, b"x", is_final=False) + frame(CONT, b"x", rsv=4), 1002, id="the bit on a continuation"
        ),
    ],
)
def test_the_bit_of_compression_is_understood_only_where_it_belongs(octets, code):
    heard = Heard()
    with hosted(listening(heard), lifespan="off", websocket_compression=True) as adapter:
        with Visit(adapter, fields=offering(DEFLATE)) as visit:
            visit.opened().write(octets)
            if code is None:
                assert heard.next()["text"] == "a"
            else:
                assert visit.read_close()[0] == code
                assert heard.next()["code"] == code
