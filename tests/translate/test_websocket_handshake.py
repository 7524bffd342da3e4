"""What asks for a WebSocket, what is refused on the way, and the head that answers a right handshake."""

from __future__ import annotations

import base64
import copy
from dataclasses import FrozenInstanceError
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.server import ServerProtocol

from bridge.errors import BadRequest, RequestRefused
from bridge.translate import scope_from_environ
from bridge.translate.websocket_handshake import (
    Handshake,
    accept_value,
    asks_for_websocket,
    handshake_from_environ,
    switching_head,
)
from tests.strategies import PROPERTY

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The key of RFC 6455 section 1.3 and what it is answered with."""

BROWSER: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/chat",
    "QUERY_STRING": "",
    "SERVER_NAME": "shop.example",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "CONTENT_TYPE": "",
    "CONTENT_LENGTH": "",
    "HTTP_HOST": "shop.example:8000",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": KEY,
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_PROTOCOL": "chat, v2.chat",
    "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate; client_max_window_bits",
    "wsgi.url_scheme": "http",
}
"""A browser's handshake, as gunicorn hands it over."""

HANDSHAKE = Handshake(KEY, ["chat", "v2.chat"], "permessage-deflate; client_max_window_bits")


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """Return a browser's handshake with other values; a key whose value is None is left out."""
    return {key: value for key, value in {**BROWSER, **changes}.items() if value is not None}


def refusal(**changes: Any) -> RequestRefused:
    """Return what refuses a handshake."""
    with pytest.raises(RequestRefused) as caught:
        handshake_from_environ(changed(changes))
    return caught.value


# ---- Does it ask? -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-126")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="a browser"),
        pytest.param({"HTTP_CONNECTION": "Upgrade"}, id="Connection: Upgrade"),
        pytest.param({"HTTP_CONNECTION": "UPGRADE"}, id="Connection in capitals"),
        pytest.param({"HTTP_CONNECTION": "close,\tupgrade , x"}, id="Connection: a list with spaces"),
        pytest.param({"HTTP_UPGRADE": "WebSocket"}, id="Upgrade in mixed case"),
        pytest.param({"HTTP_UPGRADE": "h2c, websocket"}, id="Upgrade: a list"),
        pytest.param({"HTTP_UPGRADE": ",,websocket,"}, id="Upgrade: a list with empty elements"),
        pytest.param({"HTTP_UPGRADE": "\xfc, websocket"}, id="Upgrade: beside something strange"),
        pytest.param({"HTTP_SEC_WEBSOCKET_KEY": None}, id="no key: wrong, but it asks"),
        pytest.param({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, id="another version: wrong, but it asks"),
    ],
)
def test_a_get_that_wants_to_upgrade_to_websocket_asks_for_one(changes):
    assert asks_for_websocket(changed(changes)) is True


@pytest.mark.requirement("A-126")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"REQUEST_METHOD": "POST"}, id="POST"),
        pytest.param({"REQUEST_METHOD": "HEAD"}, id="HEAD"),
        pytest.param({"REQUEST_METHOD": "get"}, id="methods have a case"),
        pytest.param({"REQUEST_METHOD": "CONNECT", "SERVER_PROTOCOL": "HTTP/2"}, id="RFC 8441"),
        pytest.param({"HTTP_UPGRADE": None}, id="no Upgrade"),
        pytest.param({"HTTP_UPGRADE": ""}, id="an empty Upgrade"),
        pytest.param({"HTTP_UPGRADE": "h2c"}, id="Upgrade: h2c"),
        pytest.param({"HTTP_UPGRADE": "websockets"}, id="Upgrade: websockets"),
        pytest.param({"HTTP_UPGRADE": "web socket"}, id="Upgrade: web socket"),
        pytest.param({"HTTP_UPGRADE": "web\u017focket"}, id="Upgrade: a long s, which is no s in ASCII"),
        pytest.param({"HTTP_UPGRADE": "websoc\u212aet"}, id="Upgrade: a Kelvin sign, which is no k in ASCII"),
        pytest.param({"HTTP_UPGRADE": b"websocket"}, id="Upgrade: bytes"),
        pytest.param({"HTTP_CONNECTION": None}, id="no Connection"),
        pytest.param({"HTTP_CONNECTION": "keep-alive"}, id="Connection: keep-alive"),
        pytest.param({"HTTP_CONNECTION": "upgrade-insecure"}, id="Connection: upgrade-insecure"),
        pytest.param({"HTTP_CONNECTION": 1}, id="Connection: a number"),
    ],
)
def test_a_request_that_lacks_one_of_the_four_does_not_ask(changes):
    assert asks_for_websocket(changed(changes)) is False


@pytest.mark.requirement("A-126")
@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        *[("HTTP/1.1", True), ("http/1.1", True), ("HTTP/1.0", False), ("HTTP/1", False), ("http/1.0 ", False)],
        *[("HTTP/2", False), ("HTTP/2.0", False), ("HTTP/3", False), ("HTTP/3.0", False)],
        *[("HTTP/9.9", True), ("INCLUDED", True), ("", True), (None, True)],
    ],
)
def test_only_http_1_1_is_upgraded_and_what_is_unknown_counts_as_in_every_scope(protocol, answer):
    environ = changed({"SERVER_PROTOCOL": protocol})

    assert asks_for_websocket(environ) is answer
    assert (scope_from_environ(environ)["http_version"] == "1.1") is answer


def test_an_empty_environ_asks_for_nothing():
    assert asks_for_websocket({}) is False


def in_any_case(text: str) -> st.SearchStrategy[str]:
    letters = st.tuples(*(st.sampled_from((letter.lower(), letter.upper())) for letter in text))
    return letters.map("".join)


def lists_of(*tokens: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(["", "h2c", "keep-alive", "close", "TLS/1.0", *tokens]), max_size=4)


def joined(items: list[str], spaces: list[str]) -> str:
    return ",".join(
        before + item + after for item, before, after in zip(items, spaces[::2], spaces[1::2], strict=False)
    )


SPACES = st.lists(st.sampled_from(["", " ", "\t", "  "]), min_size=20, max_size=20)


@pytest.mark.requirement("A-126")
@PROPERTY
@given(in_any_case("websocket"), in_any_case("upgrade"), lists_of(), lists_of(), st.data(), SPACES)
def test_the_tokens_are_found_in_any_case_at_any_place_with_any_space(token, option, others, options, data, spaces):
    upgrade = data.draw(st.permutations([token, *others]))
    connection = data.draw(st.permutations([option, *options]))

    environ = changed({"HTTP_UPGRADE": joined(upgrade, spaces), "HTTP_CONNECTION": joined(connection, spaces[::-1])})

    assert asks_for_websocket(environ)


@pytest.mark.requirement("A-126")
@PROPERTY
@given(lists_of("websockets", "web", "xwebsocket"), SPACES)
def test_no_list_without_the_token_asks(others, spaces):
    assert not asks_for_websocket(changed({"HTTP_UPGRADE": joined(others, spaces)}))


# ---- What it says -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-126")
def test_a_handshake_is_the_key_the_subprotocols_in_order_and_the_extensions_as_they_came():
    environ = MappingProxyType(copy.deepcopy(BROWSER))

    assert handshake_from_environ(environ) == HANDSHAKE
    assert dict(environ) == BROWSER


def test_a_handshake_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        HANDSHAKE.key = "another"


@pytest.mark.requirement("A-126", "A-128")
@pytest.mark.parametrize(
    ("value", "subprotocols"),
    [
        pytest.param(None, [], id="none"),
        pytest.param("", [], id="an empty field"),
        pytest.param("chat", ["chat"], id="one"),
        pytest.param("b, a,c", ["b", "a", "c"], id="not sorted"),
        pytest.param(" , a ,,\tb,", ["a", "b"], id="empty elements say nothing"),
        pytest.param("chat, Chat", ["chat", "Chat"], id="names have a case"),
        pytest.param("v10.stomp, wamp.2.json!#$%&'*+-^_`|~", ["v10.stomp", "wamp.2.json!#$%&'*+-^_`|~"], id="tokens"),
        pytest.param(7, [], id="no text"),
    ],
)
def test_the_subprotocols_are_a_list_in_the_clients_order(value, subprotocols):
    assert handshake_from_environ(changed({"HTTP_SEC_WEBSOCKET_PROTOCOL": value})).subprotocols == subprotocols


@pytest.mark.parametrize("value", [None, "", " "])
def test_no_extensions_are_an_empty_text(value):
    assert handshake_from_environ(changed({"HTTP_SEC_WEBSOCKET_EXTENSIONS": value})).offered_extensions == ""


@pytest.mark.requirement("A-126")
@pytest.mark.parametrize(
    "key",
    [
        pytest.param("AAAAAAAAAAAAAAAAAAAAAA==", id="zeros"),
        pytest.param("//////////////////////==", id="bits that stand for nothing are not looked at"),
        pytest.param(f" {KEY}\t", id="with space around"),
    ],
)
def test_a_key_of_sixteen_bytes_is_taken(key):
    assert handshake_from_environ(changed({"HTTP_SEC_WEBSOCKET_KEY": key})).key == key.strip()


@pytest.mark.requirement("A-126")
@given(st.binary(max_size=40))
def test_a_key_is_taken_if_it_is_sixteen_bytes_in_base64_and_only_then(octets):
    environ = changed({"HTTP_SEC_WEBSOCKET_KEY": base64.b64encode(octets).decode()})

    if len(octets) == 16:
        assert base64.b64decode(handshake_from_environ(environ).key) == octets
    else:
        with pytest.raises(BadRequest):
            handshake_from_environ(environ)


# ---- What is refused --------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-127")
@pytest.mark.parametrize("version", ["8", "0", "14", "13.0", "013", "13, 8", "13, 13", "thirteen", "", None, 13])
def test_another_version_is_answered_426_with_the_version_there_is(version):
    refused = refusal(HTTP_SEC_WEBSOCKET_VERSION=version)

    assert refused.status == 426
    assert refused.headers == (("Sec-WebSocket-Version", "13"),)
    assert "Sec-WebSocket-Version: 13" in refused.reason


@pytest.mark.requirement("A-127")
def test_the_version_is_judged_first_because_another_one_may_have_no_such_key():
    assert refusal(HTTP_SEC_WEBSOCKET_VERSION="0", HTTP_SEC_WEBSOCKET_KEY=None).status == 426


@pytest.mark.requirement("A-126", "A-127")
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("dGhlIHNhbXBsZSBub25j", id="15 bytes"),
        pytest.param("dGhlIHNhbXBsZSBub25jZSE=", id="17 bytes"),
        pytest.param("dGhlIHNhbXBsZSBub25jZQ", id="no padding"),
        pytest.param("dGhlIHNhbXBsZSBub25jZQ==\n", id="a line break after it"),
        pytest.param("dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==", id="two of them"),
        pytest.param("dGhlIHNhbXBs ZSBub25jZQ==", id="a space in it"),
        pytest.param("dGhlIHNhbXBsZSBub25j_-==", id="the URL alphabet"),
        pytest.param("dGhlIHNhbXBsZSBub25j\xb2\xb3==", id="not ASCII"),
        pytest.param(KEY.encode(), id="bytes"),
    ],
)
def test_a_key_that_is_not_sixteen_bytes_in_base64_is_a_bad_request(key):
    refused = refusal(HTTP_SEC_WEBSOCKET_KEY=key)

    assert isinstance(refused, BadRequest)
    assert refused.status == 400
    assert "Sec-WebSocket-Key" in refused.reason


@pytest.mark.parametrize(
    ("value", "word"),
    [
        *[pytest.param(value, "token", id=value) for value in ("a b", "chat/2", "a;b=c", '"a"', "(a)", "caf\xe9")],
        pytest.param("a\r\nSet-Cookie: x", "token", id="a line break"),
        pytest.param("a, b, a", "twice", id="repeated"),
    ],
)
def test_a_subprotocol_that_is_no_token_or_is_repeated_is_a_bad_request(value, word):
    """RFC 6455 sections 4.1 and 11.3.4."""
    refused = refusal(HTTP_SEC_WEBSOCKET_PROTOCOL=value)

    assert isinstance(refused, BadRequest)
    assert word in refused.reason


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"CONTENT_LENGTH": "5"}, "body", id="Content-Length"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "chunked"}, "body", id="Transfer-Encoding"),
        pytest.param({"CONTENT_LENGTH": "-1"}, "Content-Length", id="no length"),
    ],
)
def test_a_handshake_with_a_body_is_a_bad_request_because_the_body_would_be_read_as_frames(changes, word):
    refused = refusal(**changes)

    assert isinstance(refused, BadRequest)
    assert word in refused.reason


def test_a_length_of_zero_is_no_body():
    assert handshake_from_environ(changed({"CONTENT_LENGTH": "0"})) == HANDSHAKE


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_SEC_WEBSOCKET_VERSION": "<script>"},
        {"HTTP_SEC_WEBSOCKET_KEY": "<script>"},
        {"HTTP_SEC_WEBSOCKET_PROTOCOL": "<script>"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_answer_holds_no_value_of_the_request(changes):
    assert "script" not in refusal(**changes).reason


# ---- The answer -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-130")
def test_the_sample_key_is_answered_as_in_the_rfc():
    assert accept_value(KEY) == ACCEPT


@pytest.mark.requirement("A-130", "A-132")
def test_the_head_is_the_four_lines_of_the_handshake_and_an_empty_one():
    assert switching_head(HANDSHAKE, subprotocol=None, headers=[]) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


@pytest.mark.requirement("A-130")
def test_what_was_agreed_on_comes_next_and_the_applications_fields_come_last_in_their_order():
    head = switching_head(
        HANDSHAKE,
        subprotocol="v2.chat",
        headers=[("set-cookie", "b=2"), ("X-Name", "J\xfcrgen"), ("set-cookie", "a=1"), ("x-empty", "")],
        extensions="permessage-deflate; server_no_context_takeover",
    )

    assert head.partition(ACCEPT.encode() + b"\r\n")[2] == (
        b"Sec-WebSocket-Protocol: v2.chat\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
        b"set-cookie: b=2\r\n"
        b"X-Name: J\xfcrgen\r\n"
        b"set-cookie: a=1\r\n"
        b"x-empty: \r\n"
        b"\r\n"
    )


@pytest.mark.requirement("A-130")
@given(st.binary(min_size=16, max_size=16))
def test_every_key_is_answered_as_the_websockets_library_answers_it(octets):
    key = base64.b64encode(octets).decode()
    server = ServerProtocol()
    server.receive_data(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
    )
    (request,) = server.events_received()

    assert server.accept(request).headers["Sec-WebSocket-Accept"] == accept_value(key)
