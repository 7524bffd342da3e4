"""RFC 6455 over real connections and loops: what clients may and may not send, and what comes of it (A-137, A-138).

In the spirit of the Autobahn test suite: each case is the octets of one client, and what is to be seen on both sides.
Each is sent whole, octet by octet, and in pieces of random size: what comes of it must be the same. The application
sends back what it gets, so the answers are part of it.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from bridge import ASGIToWSGI
from tests.backends import BACKENDS
from tests.gateway import QUICK, hosted
from tests.integration.raw_websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, frame
from tests.websocket.gateway import Heard, Visit, disconnect, echoing

LIMIT_BYTES = 100_000
NORMAL = close_payload(1000)
_CUTS = 12


@dataclass
class Case:
    """What a client sends, and what is to come of it.

    Attributes:
        name: of the test.
        begin: the octets before the answers.
        answers: the frames that come back then: opcode and payload.
        end: the octets after which the connection ends.
        code: of the disconnect.
        reason: likewise; None if it does not matter.
        closing: the payload of the closing frame; None if the code is that of the server.
        is_large: too large to be sent octet by octet.
    """

    name: str
    begin: bytes
    answers: list[tuple[int, bytes]]
    end: bytes
    code: int
    reason: str | None = None
    closing: bytes | None = None
    is_large: bool = False


def ok(name: str, sent: bytes, *answers: tuple[int, bytes], is_large: bool = False) -> Case:
    """Return a case that breaks no rule; it ends with a close."""
    return Case(name, sent, list(answers), frame(CLOSE), 1005, "", b"", is_large)


def fails(
    name: str, code: int, sent: bytes, *answers: tuple[int, bytes], after: bytes = b"", is_large: bool = False
) -> Case:
    """Return a case that breaks a rule, after something right; what comes after it is not looked at."""
    return Case(name, after, list(answers), sent + frame(TEXT, b"not looked at"), code, is_large=is_large)


def closes(name: str, payload: bytes, code: int, reason: str = "") -> Case:
    """Return a case that is a close, which is echoed."""
    return Case(name, b"", [], frame(CLOSE, payload) + frame(TEXT, b"not looked at"), code, reason, payload)


def pieces(opcode: int, *payloads: bytes) -> bytes:
    """Return a message in fragments."""
    last = len(payloads) - 1
    return b"".join(
        frame(CONT if number else opcode, payload, is_final=number == last) for number, payload in enumerate(payloads)
    )


def announced(opcode: int, length: int) -> bytes:
    """Return the head of a long frame."""
    return struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length) + b"\0\0\0\0"


KOSME = "κόσμε".encode()
BAD_UTF_8 = {
    "a lone continuation octet": b"\x80",
    "a lone start octet": b"\xc3 ",
    "an octet that never is": b"\xff",
    "another that never is": b"\xfe",
    "an overlong slash": b"\xc0\xaf",
    "an overlong slash in three": b"\xe0\x80\xaf",
    "an overlong slash in four": b"\xf0\x80\x80\xaf",
    "the largest overlong": b"\xf0\x8f\xbf\xbf",
    "a surrogate": b"\xed\xa0\x80",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "a sequence of five": b"\xf8\x88\x80\x80\x80",
    "a sequence that is cut": KOSME[:-1],
}
GOOD_UTF_8 = {
    "Greek": KOSME,
    "nothing": b"",
    "a zero": b"\0",
    "the last of one": b"\x7f",
    "the last of two": b"\xdf\xbf",
    "the last before the surrogates": b"\xed\x9f\xbf",
    "the first after the surrogates": b"\xee\x80\x80",
    "a non-character": b"\xef\xbf\xbf",
    "the first of four": b"\xf0\x90\x80\x80",
    "the last of all": b"\xf4\x8f\xbf\xbf",
    "a byte order mark": b"\xef\xbb\xbfa",
}

CASES = [
    # Framing (5.2)
    *(
        ok(f"{kind} of {size} octets", frame(opcode, b"*" * size), (opcode, b"*" * size), is_large=size > 1000)
        for kind, opcode in (("text", TEXT), ("binary", BINARY))
        for size in (0, 1, 125, 126, 127, 128, 65535, 65536, LIMIT_BYTES)
    ),
    ok("all octets", frame(BINARY, bytes(range(256))), (BINARY, bytes(range(256)))),
    fails("a frame that is not masked", 1002, frame(TEXT, b"hello", is_masked=False)),
    fails("a ping that is not masked", 1002, frame(PING, b"hello", is_masked=False)),
    fails("a close that is not masked", 1002, frame(CLOSE, close_payload(1000), is_masked=False)),
    # Reserved bits (5.2)
    *(
        fails(f"reserved bits {rsv} on {kind}", 1002, frame(opcode, b"x", rsv=rsv))
        for rsv in range(1, 8)
        for kind, opcode in (("text", TEXT), ("a ping", PING))
    ),
    fails("a reserved bit on a close", 1002, frame(CLOSE, close_payload(1000), rsv=4)),
    fails("a reserved bit on a continuation", 1002, frame(TEXT, b"x", is_final=False) + frame(CONT, b"x", rsv=2)),
    fails("a reserved bit after a message", 1002, frame(TEXT, b"b", rsv=1), (TEXT, b"a"), after=frame(TEXT, b"a")),
    # Opcodes (5.2)
    *(fails(f"opcode {opcode}", 1002, frame(opcode, b"x")) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    fails("opcode 3 after a message", 1002, frame(3), (TEXT, b"a"), after=frame(TEXT, b"a")),
    # Pings and pongs (5.5.2, 5.5.3)
    *(
        ok(f"a ping of {len(payload)} octets", frame(PING, payload), (PONG, payload))
        for payload in (b"", b"hello", b"\x00\xff\xfe", b"\xfe" * 125)
    ),
    ok("ten pings", b"".join(frame(PING, b"%d" % n) for n in range(10)), *((PONG, b"%d" % n) for n in range(10))),
    ok("pongs that nobody asked for", frame(PONG) + frame(PONG, b"unasked"), *[]),
    ok("a pong and a ping", frame(PONG, b"a") + frame(PING, b"b"), (PONG, b"b")),
    fails("a ping of 126 octets", 1002, frame(PING, b"x" * 126)),
    fails("a pong of 126 octets", 1002, frame(PONG, b"x" * 126)),
    fails("a ping of 65536 octets", 1002, frame(PING, b"x" * 65536), is_large=True),
    fails("a ping in fragments", 1002, frame(PING, b"x", is_final=False)),
    fails("a pong in fragments", 1002, frame(PONG, b"x", is_final=False)),
    # Fragmentation (5.4)
    ok("two fragments", pieces(TEXT, b"hel", b"lo"), (TEXT, b"hello")),
    ok("empty fragments", pieces(BINARY, b"", b"", b"a", b"", b""), (BINARY, b"a")),
    ok("only empty fragments", pieces(TEXT, b"", b"", b""), (TEXT, b"")),
    ok(
        "a hundred fragments",
        pieces(BINARY, *(b"%d," % n for n in range(100))),
        (BINARY, b"".join(b"%d," % n for n in range(100))),
    ),
    ok(
        "a ping between fragments",
        frame(TEXT, b"hel", is_final=False) + frame(PING, b"in between") + frame(CONT, b"lo"),
        (PONG, b"in between"),
        (TEXT, b"hello"),
    ),
    ok(
        "two messages in fragments",
        pieces(TEXT, b"a", b"b", b"c") + pieces(BINARY, b"d", b"e"),
        (TEXT, b"abc"),
        (BINARY, b"de"),
    ),
    fails("a continuation of nothing", 1002, frame(CONT, b"x")),
    fails("an unfinished continuation of nothing", 1002, frame(CONT, b"x", is_final=False)),
    fails("a continuation after the end", 1002, frame(CONT, b"c"), (TEXT, b"ab"), after=pieces(TEXT, b"a", b"b")),
    fails("a message in a message", 1002, frame(TEXT, b"a", is_final=False) + frame(TEXT, b"b")),
    fails("binary in text", 1002, frame(TEXT, b"a", is_final=False) + frame(BINARY, b"b", is_final=False)),
    Case("a close in a message", frame(TEXT, b"a", is_final=False), [], frame(CLOSE, NORMAL), 1000, "", NORMAL),
    # Text (5.6, 8.1)
    *(ok(f"text: {name}", frame(TEXT, text), (TEXT, text)) for name, text in GOOD_UTF_8.items()),
    *(
        ok(f"text octet by octet: {name}", pieces(TEXT, *(bytes([octet]) for octet in text)), (TEXT, text))
        for name, text in GOOD_UTF_8.items()
        if text
    ),
    *(fails(f"text: {name}", 1007, frame(TEXT, b"good " + octets)) for name, octets in BAD_UTF_8.items()),
    *(
        fails(f"text octet by octet: {name}", 1007, pieces(TEXT, *(bytes([octet]) for octet in octets)))
        for name, octets in BAD_UTF_8.items()
    ),
    fails("bad text is noticed before the message ends", 1007, frame(TEXT, KOSME + b"\xff", is_final=False)),
    fails(
        "bad text is noticed in the middle of a code point",
        1007,
        frame(TEXT, b"\xf4", is_final=False) + frame(CONT, b"\x90", is_final=False),
    ),
    fails("a code point is cut by the end", 1007, pieces(TEXT, b"\xf0\x9f", b"\x98")),
    ok("binary that is no UTF-8", frame(BINARY, b"\xff\xfe\xed\xa0\x80"), (BINARY, b"\xff\xfe\xed\xa0\x80")),
    ok(
        "a code point over fragments and a ping",
        frame(TEXT, b"\xf0\x9f", is_final=False) + frame(PING, b"\xff") + frame(CONT, b"\x98\x80"),
        (PONG, b"\xff"),
        (TEXT, b"\xf0\x9f\x98\x80"),
    ),
    # Closes (5.5.1, 7.4)
    closes("a close without a code", b"", 1005),
    *(
        closes(f"close {code}", close_payload(code), code)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    ),
    closes("a close with a reason", close_payload(1000, "bye"), 1000, "bye"),
    closes("a close with the longest reason", close_payload(1000, "x" * 123), 1000, "x" * 123),
    closes("a close with a reason beyond ASCII", close_payload(4000, "κόσμε"), 4000, "κόσμε"),
    *(
        fails(f"close {code}", 1002, frame(CLOSE, close_payload(code)))
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    fails("a close of one octet", 1002, frame(CLOSE, b"\x03")),
    fails("a close of 126 octets", 1002, frame(CLOSE, close_payload(1000, "x" * 124))),
    fails("a close in fragments", 1002, frame(CLOSE, close_payload(1000), is_final=False)),
    *(fails(f"close: {name}", 1007, frame(CLOSE, close_payload(1000) + octets)) for name, octets in BAD_UTF_8.items()),
    Case("a close after a message", frame(TEXT, b"a"), [(TEXT, b"a")], frame(CLOSE, NORMAL), 1000, "", NORMAL),
    Case("a ping after a close", b"", [], frame(CLOSE, NORMAL) + frame(PING), 1000, "", NORMAL),
    Case("a second close", b"", [], frame(CLOSE, NORMAL) + frame(CLOSE, close_payload(4001)), 1000, "", NORMAL),
    # Limits (10.4)
    fails("a message one octet too large", 1009, frame(BINARY, b"x" * (LIMIT_BYTES + 1)), is_large=True),
    fails("fragments that are too large together", 1009, pieces(BINARY, b"x" * LIMIT_BYTES, b"x"), is_large=True),
    fails("a frame that announces too much", 1009, announced(BINARY, 1 << 40)),
    fails("a frame that announces as much as there can be", 1009, announced(BINARY, (1 << 63) - 1)),
    fails("a frame that announces more than there can be", 1009, announced(BINARY, 1 << 63)),
]


async def echo(scope, receive, send):
    """Send back what comes; tell the disconnect to the visit's own listener, which its environ leads to."""
    heard = scope["bridge.environ"]["test.heard"]
    await echoing(heard)(scope, receive, send)


@pytest.fixture(scope="module")
def adapters() -> Iterator[list[ASGIToWSGI]]:
    """One adapter on each kind of loop, for all cases."""
    limits = dataclasses.replace(QUICK, websocket_message_bytes=LIMIT_BYTES)
    with ExitStack() as stack:
        adapters = [
            stack.enter_context(hosted(echo, event_loop=backend.name, lifespan="off", limits=limits))
            for backend in BACKENDS
            if backend.is_installed
        ]
        for adapter in adapters:
            adapter.startup()
        gc.freeze()  # the loops' own tasks are no leaks of the first test
        yield adapters


def cut_at_random(octets: bytes, name: str) -> list[bytes]:
    """Cut into pieces, the same in every run."""
    dice = random.Random(name)
    cuts = sorted(dice.randrange(len(octets) + 1) for _ in range(_CUTS))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


def deliveries(case: Case) -> Iterator[Callable[[bytes], list[bytes]]]:
    """Yield the ways to send a case."""
    yield lambda octets: [octets]
    yield lambda octets: cut_at_random(octets, case.name)
    if not case.is_large:
        yield lambda octets: [octets[index : index + 1] for index in range(len(octets))]


@pytest.mark.requirement("A-137", "A-138", "A-139", "S-029")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_what_a_client_sends_has_the_same_outcome_however_it_is_cut_on_every_loop(adapters, case):
    for adapter, cut in itertools.product(adapters, deliveries(case)):
        check(case, adapter, cut)


def check(case: Case, adapter: ASGIToWSGI, cut: Callable[[bytes], list[bytes]]) -> None:
    heard = Heard()
    with Visit(adapter, **{"test.heard": heard}) as visit:
        visit.opened()
        for piece in cut(case.begin):
            visit.write(piece)
        assert [(got.opcode, got.payload) for got in (visit.read() for _ in case.answers)] == case.answers
        for piece in cut(case.end):
            with suppress(OSError):  # it has ended already
                visit.write(piece)

        got = visit.read()
        assert got.opcode == CLOSE
        if case.closing is None:
            assert got.payload[:2] == struct.pack("!H", case.code)
            got.payload[2:].decode()  # whatever it says, it is text
        else:
            assert got.payload == case.closing
        assert visit.read_rest() == b""

        event = heard.next()
        assert event == disconnect(case.code, event["reason"] if case.reason is None else case.reason)
        assert heard.is_empty
