"""What an application may send on a websocket scope: every pair of phase and message, and the content of each."""

from __future__ import annotations

import copy
import itertools
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate.asgi_response import ASGIResponse, SendPhase
from bridge.translate.asgi_websocket import (
    TRANSITIONS,
    Accept,
    ASGIWebSocket,
    Close,
    Data,
    Denial,
    Refuse,
    WebSocketPhase,
)
from tests.strategies import PROPERTY

CONNECTING, OPEN, CLOSED, REFUSED, DENYING = WebSocketPhase
ACCEPT, SEND, CLOSE = "websocket.accept", "websocket.send", "websocket.close"
DENIAL_START, DENIAL_BODY = "websocket.http.response.start", "websocket.http.response.body"

LEGAL = {
    (CONNECTING, ACCEPT): OPEN,
    (CONNECTING, CLOSE): REFUSED,
    (CONNECTING, DENIAL_START): DENYING,
    (OPEN, SEND): OPEN,
    (OPEN, CLOSE): CLOSED,
    (DENYING, DENIAL_BODY): DENYING,
}
"""The table once more, so that a row lost there is missed here."""

NEVER_LEGAL = [
    *["websocket.connect", "websocket.receive", "websocket.disconnect", "websocket.http.response", "websocket.ping"],
    *["http.response.start", "http.response.body", "lifespan.startup.complete", "WEBSOCKET.ACCEPT", "accept", ""],
]
KINDS = [ACCEPT, SEND, CLOSE, DENIAL_START, DENIAL_BODY, *NEVER_LEGAL]
ILLEGAL = [pair for pair in itertools.product(WebSocketPhase, KINDS) if pair not in LEGAL]

CONTENTS: dict[str, dict[str, Any]] = {
    SEND: {"text": "hello"},
    DENIAL_START: {"status": 401, "headers": []},
    DENIAL_BODY: {"body": b"no"},
}
WAYS: dict[WebSocketPhase, list[str]] = {
    CONNECTING: [],
    OPEN: [ACCEPT],
    CLOSED: [ACCEPT, CLOSE],
    REFUSED: [CLOSE],
    DENYING: [DENIAL_START],
}


def name_of(value: object) -> str:
    return value.name if isinstance(value, WebSocketPhase) else str(value)


def message_of(kind: str, **keys: Any) -> dict[str, Any]:
    return {"type": kind, **CONTENTS.get(kind, {}), **keys}


def websocket_in(phase: WebSocketPhase, *, offers_denial: bool = True) -> ASGIWebSocket:
    """Return a connection that legal messages have brought to ``phase``."""
    websocket = ASGIWebSocket(["chat", "v2.chat"], offers_denial=offers_denial)
    for kind in WAYS[phase]:
        websocket.take(message_of(kind))
    assert websocket.phase is phase
    return websocket


def accept(**keys: Any) -> Accept:
    """Return the step of an accept with these keys."""
    step = websocket_in(CONNECTING).take({"type": ACCEPT, **keys})
    assert isinstance(step, Accept)
    return step


def error_of(phase: WebSocketPhase, kind: str, keys: dict[str, Any]) -> ApplicationError:
    """Return what a message raises; it must not be taken."""
    websocket = websocket_in(phase)
    with pytest.raises(ApplicationError) as caught:
        websocket.take({"type": kind, **keys})
    assert websocket.phase is phase
    return caught.value


# ---- The order --------------------------------------------------------------------------------------------------


def test_the_table_has_these_rows_and_no_others():
    assert TRANSITIONS == LEGAL


@pytest.mark.requirement("A-129", "A-133", "A-134", "A-136", "A-140")
@pytest.mark.parametrize(("phase", "kind"), LEGAL, ids=name_of)
def test_a_legal_message_leads_to_the_phase_in_the_table(phase, kind):
    websocket = websocket_in(phase)

    websocket.take(message_of(kind))

    assert websocket.phase is LEGAL[phase, kind]


@pytest.mark.requirement("A-134", "A-136")
@pytest.mark.parametrize(("phase", "kind"), ILLEGAL, ids=name_of)
def test_a_message_that_is_not_in_the_table_raises_and_changes_nothing(phase, kind):
    websocket = websocket_in(phase)
    before = copy.deepcopy(vars(websocket))

    with pytest.raises(ApplicationError) as caught:
        websocket.take(message_of(kind))

    assert vars(websocket) == before
    expected = [repr(legal) for earlier, legal in LEGAL if earlier is phase]
    sentence = str(caught.value)
    assert all(name in sentence for name in [repr(kind), *expected])
    assert expected or "nothing may be sent" in sentence
    assert caught.value.rule.startswith(("ASGI WebSocket", "ASGI Extensions"))


@pytest.mark.requirement("A-134")
@pytest.mark.parametrize("kind", [DENIAL_START, DENIAL_BODY])
@pytest.mark.parametrize("phase", [CONNECTING, OPEN, CLOSED, REFUSED], ids=name_of)
def test_a_denial_that_was_not_offered_raises_and_is_not_recommended(phase, kind):
    websocket = websocket_in(phase, offers_denial=False)

    with pytest.raises(ApplicationError, match="does not offer") as caught:
        websocket.take(message_of(kind))

    assert websocket.phase is phase
    assert caught.value.rule == 'ASGI 3.0, "Extensions"'
    assert all(repr(legal) in str(caught.value) for earlier, legal in LEGAL if earlier is phase and "http" not in legal)
    assert str(caught.value).count("websocket.http.response") == 1


@pytest.mark.parametrize("phase", WebSocketPhase, ids=name_of)
@pytest.mark.parametrize(
    ("message", "word"),
    [
        pytest.param({}, "without a type", id="no type"),
        pytest.param({"type": None}, "without a type", id="None"),
        pytest.param({"type": b"websocket.accept"}, "bytes", id="bytes"),
        pytest.param({"type": ["websocket.accept"]}, "list", id="unhashable"),
    ],
)
def test_a_message_has_a_type_that_is_a_str(phase, message, word):
    websocket = websocket_in(phase)

    with pytest.raises(ApplicationTypeError, match=word) as caught:
        websocket.take(message)

    assert caught.value.rule == 'ASGI 3.0, "Events"'
    assert websocket.phase is phase


@PROPERTY
@given(st.lists(st.sampled_from(KINDS), max_size=8))
def test_whatever_comes_in_whatever_order_the_phase_is_the_tables(kinds):
    websocket = ASGIWebSocket([])
    phase = CONNECTING

    for kind in kinds:
        following = LEGAL.get((phase, kind))
        if following is None:
            with pytest.raises(ApplicationError):
                websocket.take(message_of(kind))
        else:
            websocket.take(message_of(kind))
            phase = following
        assert websocket.phase is phase


# ---- Accept -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-130", "A-131")
@pytest.mark.parametrize(
    ("keys", "step"),
    [
        pytest.param({}, Accept(None, []), id="nothing"),
        pytest.param({"subprotocol": None, "headers": []}, Accept(None, []), id="Starlette's nothing"),
        pytest.param({"subprotocol": "v2.chat"}, Accept("v2.chat", []), id="a subprotocol that was offered"),
        pytest.param(
            {"headers": [(b"set-cookie", b"b=2"), (b"X-Name", b"J\xfcrgen"), (b"set-cookie", b"a=1")]},
            Accept(None, [("set-cookie", "b=2"), ("X-Name", "J\xfcrgen"), ("set-cookie", "a=1")]),
            id="headers in their order",
        ),
        pytest.param({"headers": ([b"x-a", b"1"],)}, Accept(None, [("x-a", "1")]), id="a tuple of lists"),
        pytest.param({"headers": iter([iter([b"x-a", b"1"])])}, Accept(None, [("x-a", "1")]), id="iterators"),
        pytest.param(
            {"headers": [(b"keep-alive", b"timeout=5"), (b"x-a", b"1")]}, Accept(None, [("x-a", "1")]), id="hop"
        ),
    ],
)
def test_an_accept_is_a_subprotocol_and_native_fields(keys, step):
    assert accept(**keys) == step


@pytest.mark.requirement("A-131")
@pytest.mark.parametrize("subprotocol", ["mqtt", "Chat", "chat, v2.chat", "chat ", ""])
def test_a_subprotocol_the_client_did_not_offer_raises_and_those_it_did_are_named(subprotocol):
    error = error_of(CONNECTING, ACCEPT, {"subprotocol": subprotocol})

    assert isinstance(error, ApplicationValueError)
    assert repr(subprotocol) in str(error)
    assert "'chat', 'v2.chat'" in str(error)


@pytest.mark.requirement("A-131")
def test_a_client_that_offers_none_gets_none():
    with pytest.raises(ApplicationValueError, match="none"):
        ASGIWebSocket([]).take({"type": ACCEPT, "subprotocol": "chat"})


@pytest.mark.requirement("A-131")
@pytest.mark.parametrize("subprotocol", [b"chat", 1, ["chat"], True], ids=repr)
def test_a_subprotocol_is_a_str(subprotocol):
    error = error_of(CONNECTING, ACCEPT, {"subprotocol": subprotocol})

    assert isinstance(error, ApplicationTypeError)
    assert type(subprotocol).__name__ in str(error)


@pytest.mark.requirement("A-131", "A-132")
@pytest.mark.parametrize(
    "name",
    [
        *[b"sec-websocket-protocol", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-version"],
        *[b"sec-websocket-key", b"upgrade", b"connection", b"content-length", b"transfer-encoding"],
        *[b"Sec-WebSocket-Protocol", b"UPGRADE", b":status", b":path"],
    ],
)
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda name: [(b"x-a", b"1"), (name, b"1")], id="list"),
        pytest.param(lambda name: iter([iter([name, b"1"])]), id="iterator"),
    ],
)
def test_a_field_of_the_handshake_or_of_a_body_and_a_pseudo_field_raise(name, shape):
    error = error_of(CONNECTING, ACCEPT, {"headers": shape(name)})

    assert isinstance(error, ApplicationValueError)
    assert repr(name) in str(error)


@pytest.mark.requirement("A-131")
def test_who_sets_the_field_of_the_subprotocol_is_told_the_key():
    error = error_of(CONNECTING, ACCEPT, {"headers": [(b"sec-websocket-protocol", b"chat")], "subprotocol": "chat"})

    assert "use its key 'subprotocol'" in str(error)


@pytest.mark.requirement("A-130")
@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        pytest.param([(b"x-a", b"1\r\nx-b: 2")], ApplicationValueError, id="a line break"),
        pytest.param([(b"x a", b"1")], ApplicationValueError, id="a space in the name"),
        pytest.param([("x-a", "1")], ApplicationTypeError, id="text"),
        pytest.param([(b"x-a", b"1", b"2")], ApplicationTypeError, id="three"),
        pytest.param([b"ab"], ApplicationTypeError, id="no pair"),
        pytest.param({b"x-a": b"1"}, ApplicationTypeError, id="a dict"),
        pytest.param(None, ApplicationTypeError, id="None"),
        pytest.param(b"x-a: 1", ApplicationTypeError, id="bytes"),
        pytest.param(7, ApplicationTypeError, id="a number"),
    ],
)
def test_headers_are_checked_as_those_of_a_response(headers, kind):
    assert isinstance(error_of(CONNECTING, ACCEPT, {"headers": headers}), kind)


def test_headers_are_neither_kept_nor_changed():
    headers = [(b"x-a", b"1")]

    step = accept(headers=headers)
    headers.append((b"x-b", b"2"))

    assert step.headers == [("x-a", "1")]


# ---- Send -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-136")
@pytest.mark.parametrize(
    ("keys", "data"),
    [
        pytest.param({"text": "h\xe9"}, "h\xe9", id="text"),
        pytest.param({"text": ""}, "", id="empty text"),
        pytest.param({"bytes": b"\xff\x00"}, b"\xff\x00", id="bytes"),
        pytest.param({"bytes": b""}, b"", id="no bytes"),
        pytest.param({"text": "a", "bytes": None}, "a", id="text and None"),
        pytest.param({"text": None, "bytes": b"a"}, b"a", id="None and bytes"),
        pytest.param({"bytes": bytearray(b"a")}, b"a", id="bytearray"),
        pytest.param({"bytes": memoryview(b"abc")[::2]}, b"ac", id="memoryview"),
    ],
)
def test_a_message_is_exactly_one_of_text_and_bytes(keys, data):
    step = websocket_in(OPEN).take({"type": SEND, **keys})

    assert step == Data(data)
    assert type(step.data) is type(data)


def test_a_buffer_may_be_used_again():
    buffer = bytearray(b"one")

    step = websocket_in(OPEN).take({"type": SEND, "bytes": buffer})
    buffer[:] = b"two"

    assert step == Data(b"one")


@pytest.mark.requirement("A-136")
@pytest.mark.parametrize(
    ("keys", "kind", "word"),
    [
        pytest.param({}, ApplicationValueError, "neither", id="nothing"),
        pytest.param({"text": None, "bytes": None}, ApplicationValueError, "neither", id="two None"),
        pytest.param({"text": "a", "bytes": b"a"}, ApplicationValueError, "both", id="both"),
        pytest.param({"text": "", "bytes": b""}, ApplicationValueError, "both", id="both, empty"),
        pytest.param({"text": b"a"}, ApplicationTypeError, "bytes", id="bytes in text"),
        pytest.param({"text": 1}, ApplicationTypeError, "int", id="a number in text"),
        pytest.param({"bytes": "a"}, ApplicationTypeError, "str", id="str in bytes"),
        pytest.param({"bytes": [1]}, ApplicationTypeError, "list", id="a list in bytes"),
        pytest.param({"bytes": 5}, ApplicationTypeError, "int", id="a number in bytes"),
    ],
)
def test_both_neither_and_wrong_types_raise(keys, kind, word):
    error = error_of(OPEN, SEND, keys)

    assert type(error) is kind
    assert word in str(error)
    assert error.rule == 'ASGI WebSocket, "Send - send event"'


# ---- Close ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-140")
@pytest.mark.parametrize(
    ("keys", "step"),
    [
        pytest.param({}, Close(1000, ""), id="nothing"),
        pytest.param({"code": None, "reason": None}, Close(1000, ""), id="None"),
        pytest.param({"code": 1001}, Close(1001, ""), id="1001"),
        pytest.param({"code": 1011, "reason": "caf\xe9"}, Close(1011, "caf\xe9"), id="1011 with a reason"),
        pytest.param({"code": 3000}, Close(3000, ""), id="3000"),
        pytest.param({"code": 4999, "reason": "\u20ac" * 41}, Close(4999, "\u20ac" * 41), id="4999, 123 bytes"),
        pytest.param({"reason": "why"}, Close(1000, "why"), id="a reason alone"),
    ],
)
def test_the_close_of_an_open_connection_has_the_applications_code_and_reason_or_the_defaults(keys, step):
    assert websocket_in(OPEN).take({"type": CLOSE, **keys}) == step


@pytest.mark.requirement("A-140")
@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        *[
            pytest.param({"code": code}, ApplicationValueError, id=str(code))
            for code in (1004, 1005, 1006, 1015, 0, -1, 999, 2000, 5000, 65536)
        ],
        pytest.param({"code": "1000"}, ApplicationTypeError, id="text for a code"),
        pytest.param({"code": True}, ApplicationTypeError, id="True for a code"),
        pytest.param({"reason": b"why"}, ApplicationTypeError, id="bytes for a reason"),
        pytest.param({"reason": "x" * 124}, ApplicationValueError, id="124 bytes"),
        pytest.param({"reason": "\u20ac" * 42}, ApplicationValueError, id="126 bytes of 42 characters"),
        pytest.param({"reason": "\ud800"}, ApplicationValueError, id="a lone surrogate"),
    ],
)
def test_a_code_or_reason_that_cannot_be_sent_raises_and_the_connection_is_still_open(keys, kind):
    assert type(error_of(OPEN, CLOSE, keys)) is kind


@pytest.mark.requirement("A-133")
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"code": 1008, "reason": "no"}, id="code and reason"),
        pytest.param({"reason": "x" * 500}, id="a reason too long for a frame: there will be none"),
        pytest.param({"code": 1006}, id="a code no frame may have"),
    ],
)
def test_a_close_before_the_accept_refuses_and_its_code_and_reason_go_nowhere(keys):
    assert websocket_in(CONNECTING).take({"type": CLOSE, **keys}) == Refuse()


# ---- Denial -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-134")
def test_a_denial_is_an_http_response_of_the_same_content():
    websocket = websocket_in(CONNECTING)
    headers = [(b"www-authenticate", b"Basic")]

    steps = [
        websocket.take({"type": DENIAL_START, "status": 401, "headers": headers}),
        websocket.take({"type": DENIAL_BODY, "body": b"no ", "more_body": True}),
        websocket.take({"type": DENIAL_BODY, "body": b"entry"}),
    ]

    assert steps == [
        Denial({"type": "http.response.start", "status": 401, "headers": headers}),
        Denial({"type": "http.response.body", "body": b"no ", "more_body": True}),
        Denial({"type": "http.response.body", "body": b"entry"}),
    ]


@pytest.mark.requirement("A-134")
def test_the_applications_own_messages_are_only_read():
    websocket = websocket_in(CONNECTING)

    step = websocket.take(MappingProxyType({"type": DENIAL_START, "status": 401}))

    assert step == Denial({"type": "http.response.start", "status": 401})


@pytest.mark.requirement("A-134")
def test_a_denial_that_announces_trailers_is_whole_with_its_content():
    """Else its end would be waited for: there is no message for them."""
    websocket, response = websocket_in(CONNECTING), ASGIResponse("GET", {"http.response.trailers": {}})

    response.start(websocket.take(message_of(DENIAL_START, trailers=True)).message)
    response.body(websocket.take(message_of(DENIAL_BODY)).message)

    assert response.phase is SendPhase.COMPLETE
    assert response.status == "401 Unauthorized"
