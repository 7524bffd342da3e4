"""`FrameEnd`, for all messages: fragments, pings between them and the cuts of the network make no difference."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from bridge.websocket.frames import Closed, EndName, FrameEnd, Ponged, Received
from tests.strategies import PROPERTY

OTHER: dict[EndName, EndName] = {"client": "server", "server": "client"}

both_ends = pytest.mark.parametrize("name", ["client", "server"])

Wire = tuple[Opcode, bytes, bool]
"""One frame: opcode, payload, whether it is the last of its message."""


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def messages() -> st.SearchStrategy[str | bytes]:
    return st.one_of(texts(), st.binary(max_size=200))


@st.composite
def fragmented(draw: st.DrawFn) -> tuple[list[Wire], list[object]]:
    """Frames of one message, with pings and pongs between them; and the events that they are."""
    data = draw(messages())
    octets = data.encode() if isinstance(data, str) else data
    cuts = sorted(draw(st.lists(st.integers(0, len(octets)), max_size=4)))
    frames: list[Wire] = []
    events: list[object] = []
    bounds = [0, *cuts, len(octets)]
    for index, (start, end) in enumerate(pairwise(bounds)):
        for payload in draw(st.lists(st.binary(max_size=8), max_size=2)):
            opcode = draw(st.sampled_from([Opcode.PING, Opcode.PONG]))
            frames.append((opcode, payload, True))
            if opcode is Opcode.PONG:
                events.append(Ponged(payload))
        kind = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        frames.append((Opcode.CONT if index else kind, octets[start:end], index == len(bounds) - 2))
    return frames, [*events, Received(data)]


ENDINGS: dict[str, list[Wire]] = {
    "none": [],
    "a close": [(Opcode.CLOSE, b"\x03\xe8bye", True)],
    "a close without a code": [(Opcode.CLOSE, b"", True)],
    "a continuation of nothing": [(Opcode.CONT, b"x", True)],
    "text that is not UTF-8": [(Opcode.TEXT, b"ab\xff", True)],
    "a fragment that is not UTF-8": [(Opcode.TEXT, b"ab\xff", False), (Opcode.CONT, b"c", True)],
    "a wrong close code": [(Opcode.CLOSE, b"\x03\xed", True)],
    "too much": [(Opcode.BINARY, b"x" * 201, True)],
}


def octets_of(frames: list[Wire], name: EndName) -> bytes:
    """Return the frames as the other end of ``name`` writes them."""
    return b"".join(Frame(opcode, data, fin).serialize(mask=name == "server") for opcode, data, fin in frames)


@st.composite
def cut(draw: st.DrawFn, octets: bytes) -> list[bytes]:
    """Octets as the network delivers them."""
    bounds = sorted(draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    return [octets[start:end] for start, end in pairwise([0, *bounds, len(octets)])]


def outcome(name: EndName, chunks: list[bytes]) -> tuple[list[object], list[Frame], bool]:
    """Return the events of these octets and of the end after them, and what was written in answer."""
    end = FrameEnd(name, max_message_bytes=200)
    events: list[object] = []
    written, ends = b"", 0
    for chunk in chunks:
        events += end.feed(chunk)
        octets, is_last = end.octets_to_send()
        assert not (octets and ends)  # nothing after the end
        written += octets
        ends += is_last
    events += end.feed_end()
    assert ends <= 1
    return events, frames_in(written, name), bool(ends)


def frames_in(octets: bytes, name: EndName) -> list[Frame]:
    """Parse what this end has written; the keys of a client's masks are random, so frames are compared."""
    rest = bytearray(octets)

    def read(size: int):
        assert len(rest) >= size
        piece = bytes(rest[:size])
        del rest[:size]
        yield from ()
        return piece

    frames: list[Frame] = []
    while rest:
        try:
            next(Frame.parse(read, mask=name == "client"))
        except StopIteration as stop:
            frames.append(stop.value)
    return frames


@both_ends
@given(sent=st.lists(fragmented(), max_size=3), data=st.data())
@settings(PROPERTY, max_examples=100)
def test_a_message_comes_out_whole_in_whatever_fragments_it_is_sent(name, sent, data):
    """A-135: with pings and pongs between them, and cut anywhere; each ping is answered in its turn."""
    frames = [each for of_message, _ in sent for each in of_message]
    expected = [event for _, events in sent for event in events]

    events, answers, is_last = outcome(name, data.draw(cut(octets_of(frames, name))))

    assert events == [*expected, Closed(1006, "")]
    pings = [payload for opcode, payload, _ in frames if opcode is Opcode.PING]
    assert [(answer.opcode, bytes(answer.data)) for answer in answers] == [(Opcode.PONG, ping) for ping in pings]
    assert not is_last


@both_ends
@pytest.mark.parametrize("ending", [pytest.param(frames, id=title) for title, frames in ENDINGS.items()])
@given(before=fragmented(), after=fragmented(), data=st.data())
@settings(PROPERTY, max_examples=20)
def test_where_the_network_cuts_makes_no_difference(name, ending, before, after, data):
    """Neither to what is reported nor to what is answered, even if more comes after the end."""
    octets = octets_of([*before[0], *ending, *after[0]], name)

    by_octet = outcome(name, [octets[index : index + 1] for index in range(len(octets))])

    assert outcome(name, data.draw(cut(octets))) == by_octet
    assert sum(isinstance(event, Closed) for event in by_octet[0]) == 1
    assert isinstance(by_octet[0][-1], Closed)


@both_ends
@given(sent=st.lists(messages(), max_size=5), data=st.data())
@settings(PROPERTY, max_examples=50)
def test_what_one_end_sends_the_other_receives(name, sent, data):
    here, there = FrameEnd(name, max_message_bytes=None), FrameEnd(OTHER[name], max_message_bytes=None)

    assert all(here.send(message) for message in sent)
    assert here.close(4000, "all of it")
    octets, _ = here.octets_to_send()
    received = [event for chunk in data.draw(cut(octets)) for event in there.feed(chunk)]

    assert received == [*map(Received, sent), Closed(4000, "all of it")]
    answer, _ = there.octets_to_send()
    assert here.feed(answer) == [Closed(4000, "all of it")]
