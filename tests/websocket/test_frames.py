"""`FrameEnd`: what the octets of a connection amount to, what is answered, and who ends the connection.

The octets are made and read here by hand, so that nothing of what is tested is its own judge.
"""

from __future__ import annotations

import struct

import pytest

from bridge.errors import ApplicationValueError
from bridge.websocket.frames import Closed, EndName, FrameEnd, Ponged, Received

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = b"\x37\xfa\x21\x3d"
LIMIT = 200

both_ends = pytest.mark.parametrize("name", ["client", "server"])


def open_end(name: EndName, max_message_bytes: int | None = LIMIT) -> FrameEnd:
    return FrameEnd(name, max_message_bytes=max_message_bytes)


def mask(octets: bytes, key: bytes) -> bytes:
    return bytes(octet ^ key[index % 4] for index, octet in enumerate(octets))


def frame(
    name: EndName, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, wrong_mask: bool = False
) -> bytes:
    """Make a frame for this end: masked if that is the server, or the other way round."""
    is_masked = (name == "server") != wrong_mask
    mask_bit = 0x80 if is_masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += struct.pack("!BH", mask_bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", mask_bit | 127, len(payload))
    return head + (KEY + mask(payload, KEY) if is_masked else payload)


def close_frame(name: EndName, code: int, reason: bytes = b"") -> bytes:
    return frame(name, CLOSE, struct.pack("!H", code) + reason)


def written(end: FrameEnd, name: EndName) -> tuple[list[tuple[int, bytes]], bool]:
    """Return the frames that this end wants written, and whether it ends the connection after them.

    Each is whole, has no reserved bit, and is masked if the client has made it, and only then (A-137).
    """
    octets, is_last = end.octets_to_send()
    frames: list[tuple[int, bytes]] = []
    while octets:
        first, second = octets[0], octets[1]
        assert first & 0xF0 == 0x80
        assert (second & 0x80 != 0) == (name == "client")
        length, start = second & 0x7F, 2
        if length == 126:
            length, start = struct.unpack("!H", octets[2:4])[0], 4
        elif length == 127:
            length, start = struct.unpack("!Q", octets[2:10])[0], 10
        key = b"\0\0\0\0"
        if name == "client":
            key, start = octets[start : start + 4], start + 4
        payload = octets[start : start + length]
        assert len(payload) == length
        frames.append((first & 0x0F, mask(payload, key)))
        octets = octets[start + length :]
    return frames, is_last


def code_of(payload: bytes) -> int:
    return struct.unpack("!H", payload[:2])[0]


# ---- Messages ---------------------------------------------------------------------------------------------------


def pieces(name: EndName, opcode: int, *payloads: bytes) -> bytes:
    """Make one message of several fragments."""
    last = len(payloads) - 1
    return b"".join(
        frame(name, CONT if index else opcode, payload, fin=index == last) for index, payload in enumerate(payloads)
    )


@both_ends
@pytest.mark.parametrize(
    ("opcode", "payloads", "data"),
    [
        pytest.param(TEXT, [b"Hello"], "Hello", id="text"),
        pytest.param(TEXT, [b""], "", id="empty text"),
        pytest.param(BINARY, [b""], b"", id="empty binary"),
        pytest.param(BINARY, [b"\x00\xff\xc0"], b"\x00\xff\xc0", id="binary that is not UTF-8"),
        pytest.param(TEXT, ["Grüße \U0001f600 \x00".encode()], "Grüße \U0001f600 \x00", id="text beyond ASCII"),
        pytest.param(TEXT, [b"\xef\xbb\xbfa"], "\ufeffa", id="a byte order mark is kept"),
        pytest.param(TEXT, [b"Hel", b"lo"], "Hello", id="text in two fragments"),
        pytest.param(TEXT, [b"", b"", b""], "", id="text of empty fragments"),
        pytest.param(BINARY, [b"", b"a", b"", b"\xff"], b"a\xff", id="binary with empty fragments"),
        pytest.param(TEXT, [b"\xf0", b"\x9f\x98", b"\x80!"], "\U0001f600!", id="a code point in three fragments"),
        pytest.param(BINARY, [b"x" * 125], b"x" * 125, id="the longest short length"),
        pytest.param(BINARY, [b"x" * 126], b"x" * 126, id="the shortest 16-bit length"),
        pytest.param(BINARY, [b"x" * LIMIT], b"x" * LIMIT, id="one frame exactly at the limit"),
        pytest.param(BINARY, [b"x" * 100, b"y" * 100], b"x" * 100 + b"y" * 100, id="fragments exactly at the limit"),
    ],
)
def test_a_message_is_reported_whole_and_as_what_it_is(name, opcode, payloads, data):
    """A-135."""
    end = open_end(name)

    assert end.feed(pieces(name, opcode, *payloads)) == [Received(data)]

    assert type(data) is type(Received(data).data)
    assert end.octets_to_send() == (b"", False)
    assert end.is_open


@both_ends
def test_binary_data_is_bytes_and_nothing_else(name):
    (message,) = open_end(name).feed(frame(name, BINARY, b"abc"))

    assert type(message.data) is bytes


@both_ends
def test_a_64_bit_length_is_read_where_there_is_no_limit(name):
    end = open_end(name, None)
    data = b"x" * 70_000

    assert end.feed(frame(name, BINARY, data)) == [Received(data)]


@both_ends
def test_fragmented_messages_do_not_run_into_each_other(name):
    end = open_end(name)

    events = end.feed(pieces(name, TEXT, b"a", b"b") + pieces(name, BINARY, b"c", b"d") + frame(name, TEXT, b"e"))

    assert events == [Received("ab"), Received(b"cd"), Received("e")]


@both_ends
def test_the_limit_is_for_each_message_by_itself(name):
    end = open_end(name)

    events = end.feed(pieces(name, BINARY, b"x" * 150, b"y" * 50) + frame(name, BINARY, b"z" * LIMIT))

    assert [len(event.data) for event in events] == [LIMIT, LIMIT]


@both_ends
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_what_is_sent_goes_out_as_one_frame(name, opcode):
    end = open_end(name)

    assert end.send("Grüße" if opcode == TEXT else b"\xff\x00")

    assert written(end, name) == ([(opcode, "Grüße".encode() if opcode == TEXT else b"\xff\x00")], False)
    assert end.octets_to_send() == (b"", False)


@both_ends
def test_text_that_has_no_utf_8_is_the_applications_error_and_nothing_is_sent(name):
    end = open_end(name)

    with pytest.raises(ApplicationValueError):
        end.send("\ud800")

    assert end.octets_to_send() == (b"", False)
    assert end.send("after")


# ---- Signs of life ----------------------------------------------------------------------------------------------


@both_ends
@pytest.mark.parametrize("payload", [b"", b"ab", b"\x00\xff" * 62, b"x" * 125], ids=["empty", "short", "124", "125"])
def test_a_ping_is_answered_with_its_payload_and_not_shown(name, payload):
    """A-138."""
    end = open_end(name)

    assert end.feed(frame(name, PING, payload)) == []

    assert written(end, name) == ([(PONG, payload)], False)


@both_ends
def test_control_frames_between_fragments_do_not_touch_the_message(name):
    """A-135."""
    end = open_end(name)

    events = end.feed(
        frame(name, TEXT, b"Gr\xc3", fin=False)
        + frame(name, PING, b"?")
        + frame(name, CONT, b"\xbc", fin=False)
        + frame(name, PONG, b"!")
        + frame(name, CONT, b"n")
    )

    assert events == [Ponged(b"!"), Received("Grün")]
    assert written(end, name) == ([(PONG, b"?")], False)


@both_ends
def test_control_frames_do_not_count_against_the_size_of_a_message(name):
    """A message may have 200 bytes; it has 199 so far, and the ping is no part of it (RFC 6455, section 5.4)."""
    end = open_end(name)

    events = end.feed(frame(name, BINARY, b"x" * 199, fin=False) + frame(name, PING, b"four") + frame(name, CONT, b"x"))

    assert events == [Received(b"x" * 200)]
    assert written(end, name) == ([(PONG, b"four")], False)


@both_ends
def test_a_pong_is_reported_with_its_payload_and_not_answered(name):
    end = open_end(name)

    assert end.feed(frame(name, PONG, b"here")) == [Ponged(b"here")]

    assert end.octets_to_send() == (b"", False)


@both_ends
def test_a_ping_is_sent_with_its_payload(name):
    end = open_end(name)

    assert end.ping(b"there?")

    assert written(end, name) == ([(PING, b"there?")], False)


@both_ends
def test_no_ping_is_sent_once_this_end_has_closed(name):
    end = open_end(name)
    end.close(1000)
    end.octets_to_send()

    assert not end.ping(b"late")

    assert end.octets_to_send() == (b"", False)


@both_ends
def test_no_ping_is_sent_once_the_other_end_has_closed(name):
    """And the mark of the end stays the last thing that is written."""
    end = open_end(name)
    end.feed(close_frame(name, 1000))

    assert not end.ping(b"late")

    assert written(end, name) == ([(CLOSE, b"\x03\xe8")], name == "server")


# ---- Broken rules -----------------------------------------------------------------------------------------------


@both_ends
@pytest.mark.parametrize(
    ("code", "frames"),
    [
        pytest.param(1002, [(TEXT, b"a", {"wrong_mask": True})], id="masked the wrong way"),
        *[pytest.param(1002, [(opcode, b"", {})], id=f"reserved opcode {opcode:#x}") for opcode in (3, 7, 0xB, 0xF)],
        *[pytest.param(1002, [(TEXT, b"a", {"rsv": rsv})], id=f"reserved bits {rsv:03b}") for rsv in (1, 2, 4, 7)],
        pytest.param(1002, [(PING, b"", {"rsv": 4})], id="reserved bit in a ping"),
        *[
            pytest.param(1002, [(opcode, b"", {"fin": False})], id=f"fragmented control frame {opcode:#x}")
            for opcode in (CLOSE, PING, PONG)
        ],
        *[
            pytest.param(1002, [(opcode, b"x" * 126, {})], id=f"over-long control frame {opcode:#x}")
            for opcode in (PING, PONG)
        ],
        pytest.param(1002, [(CLOSE, b"\x03\xe8" + b"x" * 124, {})], id="over-long close"),
        pytest.param(1002, [(CONT, b"a", {})], id="continuation of nothing"),
        pytest.param(1002, [(CONT, b"a", {"fin": False})], id="continuation of nothing, to be continued"),
        pytest.param(1002, [(TEXT, b"a", {"fin": False}), (TEXT, b"b", {})], id="a new text inside a message"),
        pytest.param(1002, [(BINARY, b"a", {"fin": False}), (BINARY, b"b", {})], id="a new binary inside a message"),
        pytest.param(1002, [(CLOSE, b"\x03", {})], id="a close of one byte"),
        *[
            pytest.param(1002, [(CLOSE, struct.pack("!H", code), {})], id=f"a close with {code}")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
        ],
        pytest.param(1007, [(CLOSE, b"\x03\xe8\xff", {})], id="a close whose reason is not UTF-8"),
        pytest.param(1007, [(TEXT, b"\xff", {})], id="text that is not UTF-8"),
        pytest.param(1007, [(TEXT, b"a\xc3", {})], id="text that ends inside a code point"),
        pytest.param(1007, [(TEXT, b"\xc0\xaf", {})], id="text with an over-long sequence"),
        pytest.param(1007, [(TEXT, b"\xed\xa0\x80", {})], id="text with a surrogate"),
        pytest.param(1007, [(TEXT, b"\xf4\x90\x80\x80", {})], id="text beyond the last code point"),
        pytest.param(1007, [(TEXT, b"\xff", {"fin": False})], id="a first fragment that is not UTF-8"),
        pytest.param(
            1007, [(TEXT, b"a", {"fin": False}), (CONT, b"\xff", {"fin": False})], id="a later fragment, not UTF-8"
        ),
        pytest.param(
            1007, [(TEXT, b"\xc3", {"fin": False}), (CONT, b"", {})], id="fragments that end inside a code point"
        ),
        pytest.param(
            1007,
            [(TEXT, b"\xc3", {"fin": False}), (CONT, b"a", {"fin": False})],
            id="a code point that the next fragment spoils",
        ),
        pytest.param(1009, [(BINARY, b"x" * (LIMIT + 1), {})], id="one frame over the limit"),
        pytest.param(
            1009,
            [(BINARY, b"x" * LIMIT, {"fin": False}), (CONT, b"x", {"fin": False})],
            id="fragments over the limit",
        ),
    ],
)
def test_a_broken_rule_closes_the_connection_with_the_code_for_it(name, code, frames):
    """A-137, A-139: once reported, once answered; the server ends the connection at once, the client waits."""
    end = open_end(name)
    octets = b""
    for opcode, payload, options in frames:
        octets += frame(name, opcode, payload, **options)

    (event,) = end.feed(octets)

    assert isinstance(event, Closed)
    assert event.code == code
    answers, is_last = written(end, name)
    assert answers == [(CLOSE, struct.pack("!H", code) + event.reason.encode())]
    assert is_last == (name == "server")
    assert (end.is_open, end.has_ended) == (False, True)
    assert end.feed(frame(name, TEXT, b"late") + close_frame(name, 1000)) == []
    assert end.feed_end() == []
    assert written(end, name)[0] == []
    assert not end.send("late")
    assert not end.close(1000)


@both_ends
def test_what_is_too_big_is_refused_by_its_announced_length(name):
    """The payload need not come: nobody makes room for it."""
    end = open_end(name)
    head = frame(name, BINARY, b"x" * (1 << 16))[:10]

    (event,) = end.feed(head)

    assert (type(event), event.code) == (Closed, 1009)


@both_ends
def test_what_came_before_a_broken_rule_is_reported_before_it(name):
    end = open_end(name)

    first, second = end.feed(frame(name, TEXT, b"good") + frame(name, 3) + frame(name, TEXT, b"after"))

    assert first == Received("good")
    assert (type(second), second.code) == (Closed, 1002)


@both_ends
@pytest.mark.parametrize(
    "after",
    [
        pytest.param((CLOSE, b"\x03\xe8"), id="a close"),
        pytest.param((PING, b"?"), id="a ping"),
        pytest.param((3, b""), id="another broken rule"),
        pytest.param((TEXT, b"good"), id="a message"),
    ],
)
def test_text_that_is_not_utf_8_is_refused_whatever_comes_along_with_it(name, after):
    """What follows belongs to a connection that has failed: it is neither answered nor believed."""
    end = open_end(name)

    (event,) = end.feed(frame(name, TEXT, b"\xff") + frame(name, *after))

    assert (type(event), event.code) == (Closed, 1007)
    answers, is_last = written(end, name)
    assert [(opcode, code_of(payload)) for opcode, payload in answers] == [(CLOSE, 1007)]
    assert is_last == (name == "server")


# ---- The other end closes ---------------------------------------------------------------------------------------


@both_ends
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        pytest.param(b"", 1005, "", id="no code"),
        *[
            pytest.param(struct.pack("!H", code), code, "", id=str(code))
            for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
        ],
        pytest.param(b"\x03\xe8Gr\xc3\xbc\xc3\x9fe", 1000, "Grüße", id="a reason"),
        pytest.param(b"\x0f\xa0" + b"x" * 123, 4000, "x" * 123, id="the longest reason"),
    ],
)
def test_a_close_is_echoed_and_reported_with_its_code_and_reason(name, payload, code, reason):
    """A-139: the server ends the connection at once, the client waits for that."""
    end = open_end(name)

    events = end.feed(frame(name, CLOSE, payload))

    assert events == [Closed(code, reason)]
    assert type(events[0].code) is int
    assert written(end, name) == ([(CLOSE, payload)], name == "server")
    assert (end.is_open, end.has_ended) == (False, True)


@both_ends
def test_a_close_between_two_fragments_is_a_close(name):
    """It is a control frame, and those may stand inside a message (RFC 6455, section 5.4)."""
    end = open_end(name)

    events = end.feed(frame(name, TEXT, b"half", fin=False) + close_frame(name, 1001, b"away"))

    assert events == [Closed(1001, "away")]
    assert written(end, name) == ([(CLOSE, b"\x03\xe9away")], name == "server")


@both_ends
def test_what_comes_after_a_close_is_ignored(name):
    end = open_end(name)

    events = end.feed(close_frame(name, 1000) + frame(name, TEXT, b"late") + frame(name, PING))

    assert events == [Closed(1000, "")]
    assert end.feed(frame(name, TEXT, b"later") + b"\xff" * 20) == []
    assert end.feed_end() == []
    assert written(end, name)[0] == [(CLOSE, b"\x03\xe8")]


@both_ends
def test_nothing_can_be_sent_after_the_other_end_has_closed(name):
    end = open_end(name)
    end.feed(close_frame(name, 1000))
    end.octets_to_send()

    assert not end.send("late")
    assert not end.send(b"late")
    assert not end.close(1000)
    end.fail()

    assert end.octets_to_send() == (b"", False)


@both_ends
def test_an_end_without_a_word_is_1006(name):
    """A-139: no close is sent to somebody who is gone."""
    end = open_end(name)

    assert end.feed_end() == [Closed(1006, "")]

    assert written(end, name) == ([], True)
    assert (end.is_open, end.has_ended) == (False, True)
    assert end.feed_end() == []
    assert end.feed(frame(name, TEXT, b"late")) == []
    assert not end.send("late")


@both_ends
@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param((TEXT, b"Hello", True), id="inside a frame"),
        pytest.param((TEXT, b"Hello", False), id="inside a message"),
    ],
)
def test_a_message_that_is_cut_off_is_not_reported(name, beginning):
    opcode, payload, fin = beginning
    end = open_end(name)
    octets = frame(name, opcode, payload, fin=fin)

    assert end.feed(octets[:-1] if fin else octets) == []
    assert end.feed_end() == [Closed(1006, "")]


# ---- This end closes --------------------------------------------------------------------------------------------


@both_ends
@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        pytest.param(None, "", b"", id="no code"),
        pytest.param(1000, "", b"\x03\xe8", id="a code"),
        pytest.param(4321, "Grüße", b"\x10\xe1" + "Grüße".encode(), id="code and reason"),
        pytest.param(1000, "ü" * 61, b"\x03\xe8" + "ü".encode() * 61, id="a reason that just fits"),
    ],
)
def test_a_close_is_sent_once_and_the_answer_is_waited_for(name, code, reason, payload):
    """A-140: not even the server ends the connection before the other end has answered."""
    end = open_end(name)

    assert end.close(code, reason)

    assert written(end, name) == ([(CLOSE, payload)], False)
    assert (end.is_open, end.has_ended) == (False, False)
    assert not end.close(1001)
    assert not end.send("late")
    assert end.octets_to_send() == (b"", False)


@both_ends
def test_what_is_on_its_way_is_still_reported_before_the_answer_to_our_close(name):
    end = open_end(name)
    end.close(1000, "bye")
    end.octets_to_send()

    events = end.feed(frame(name, TEXT, b"on its way") + close_frame(name, 1000, b"bye"))

    assert events == [Received("on its way"), Closed(1000, "bye")]
    assert written(end, name) == ([], name == "server")


@both_ends
def test_a_close_that_is_never_answered_is_1006(name):
    end = open_end(name)
    end.close(1000)
    end.octets_to_send()

    assert end.feed_end() == [Closed(1006, "")]
    assert written(end, name) == ([], True)


@both_ends
def test_a_broken_rule_after_our_close_is_reported_once_and_gets_no_second_close(name):
    end = open_end(name)
    end.close(1000)
    end.octets_to_send()

    (event,) = end.feed(frame(name, 3))

    assert isinstance(event, Closed)
    assert written(end, name) == ([], name == "server")
    assert end.feed_end() == []


def test_the_client_ends_the_connection_after_the_server_has():
    end = open_end("client")
    end.feed(close_frame("client", 1000))
    assert written(end, "client") == ([(CLOSE, b"\x03\xe8")], False)

    assert end.feed_end() == []

    assert written(end, "client") == ([], True)


@both_ends
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        *[pytest.param(code, "", id=str(code)) for code in (999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)],
        pytest.param(1000, "x" * 124, id="a reason too long"),
        pytest.param(None, "a reason", id="a reason without a code"),
    ],
)
def test_a_close_that_must_not_be_sent_is_refused_and_the_connection_stays_open(name, code, reason):
    """A-140."""
    end = open_end(name)

    with pytest.raises(ApplicationValueError):
        end.close(code, reason)

    assert end.octets_to_send() == (b"", False)
    assert end.is_open


@both_ends
def test_a_failure_of_this_end_is_1011(name):
    """A-142."""
    end = open_end(name)

    end.fail()

    assert written(end, name) == ([(CLOSE, b"\x03\xf3")], name == "server")
    assert not end.is_open
    assert not end.send("late")
    end.fail()
    assert written(end, name)[0] == []


@both_ends
def test_nothing_more_is_received_after_a_failure_of_this_end(name):
    end = open_end(name)
    end.fail()

    events = [*end.feed(frame(name, TEXT, b"late")), *end.feed(close_frame(name, 1011)), *end.feed_end()]

    assert [event for event in events if not isinstance(event, Closed)] == []
    assert len(events) <= 1
    assert end.has_ended
    assert end.feed(frame(name, TEXT, b"later")) == []
