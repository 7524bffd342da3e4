"""``environ`` of a WebSocket handshake: that of a GET, and the fields of the inner leg (S-001)."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import pytest

from bridge.errors import BadRequest
from bridge.translate import EnvironOptions, environ_from_scope
from bridge.translate.websocket_environ import environ_from_websocket_scope

CLIENT_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
OUR_KEY = "x3JJHMbDL1EzLkh9GBhXDw=="
OPTIONS = EnvironOptions()

HTTP_1: dict[str, Any] = {
    "type": "websocket",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "scheme": "ws",
    "path": "/chat/room",
    "raw_path": b"/chat/room",
    "query_string": b"a=1&b=%C3%BC",
    "root_path": "",
    "headers": [
        (b"host", b"shop.example:8000"),
        (b"upgrade", b"websocket"),
        (b"connection", b"keep-alive, Upgrade"),
        (b"sec-websocket-key", CLIENT_KEY),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-protocol", b"chat, v2.chat"),
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
        (b"origin", b"https://shop.example"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
    ],
    "client": ("192.0.2.7", 5000),
    "server": ("192.0.2.1", 8000),
    "subprotocols": ["chat", "v2.chat"],
    "state": {},
    "extensions": {"websocket.http.response": {}},
}
"""What a browser's handshake is under uvicorn."""

HTTP_2: dict[str, Any] = HTTP_1 | {
    "http_version": "2",
    "scheme": "wss",
    "headers": [
        (b":protocol", b"websocket"),
        (b"host", b"shop.example"),
        (b"sec-websocket-version", b"13"),
        (b"origin", b"https://shop.example"),
    ],
    "subprotocols": [],
}
"""An extended CONNECT (RFC 8441): it has neither Upgrade nor Connection nor a key."""


def environ_of(scope: dict[str, Any] = HTTP_1, options: EnvironOptions = OPTIONS, **keys: Any) -> dict[str, Any]:
    return environ_from_websocket_scope(scope | keys, key=OUR_KEY, options=options)


def environ_with(*headers: tuple[bytes, bytes], **keys: Any) -> dict[str, Any]:
    """Return the environ of a handshake which has these fields, and no others but Host."""
    return environ_of(headers=[(b"host", b"shop.example"), *headers], **keys)


# ---- S-001, row by row ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [pytest.param(HTTP_1, id="HTTP/1.1"), pytest.param(HTTP_2, id="HTTP/2")])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("REQUEST_METHOD", "GET"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_UPGRADE", "websocket"),
        ("HTTP_CONNECTION", "Upgrade"),
        ("HTTP_SEC_WEBSOCKET_VERSION", "13"),
        ("HTTP_SEC_WEBSOCKET_EXTENSIONS", None),
        ("HTTP_ORIGIN", "https://shop.example"),
        ("PATH_INFO", "/chat/room"),
        ("QUERY_STRING", "a=1&b=%C3%BC"),
        ("CONTENT_LENGTH", None),
        ("HTTP_CONTENT_LENGTH", None),
    ],
)
def test_the_handshake_looks_the_same_over_every_version_of_http(scope, key, value):
    """S-001: HTTP/2 has no upgrade; the inner leg has one."""
    assert environ_of(scope).get(key) == value


@pytest.mark.parametrize("version", [None, "1.1", "2", "2.0", "3"])
def test_a_connection_is_upgraded_in_http_1_1_only(version):
    assert environ_of(http_version=version)["SERVER_PROTOCOL"] == "HTTP/1.1"


@pytest.mark.parametrize(
    ("scheme", "url_scheme", "https", "port"),
    [
        pytest.param("ws", "http", None, "80", id="ws"),
        pytest.param("wss", "https", "on", "443", id="wss"),
        pytest.param(None, "http", None, "80", id="not told: ws is the default"),
    ],
)
def test_the_scheme_is_that_of_http(scheme, url_scheme, https, port):
    """S-001: Werkzeug makes ws and wss of it by itself."""
    environ = environ_with(scheme=scheme, server=None)

    assert (environ["wsgi.url_scheme"], environ.get("HTTPS"), environ["SERVER_PORT"]) == (url_scheme, https, port)


def test_the_scheme_may_be_missing():
    scope = {key: value for key, value in HTTP_1.items() if key != "scheme"}

    assert environ_of(scope)["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        pytest.param([(b"sec-websocket-key", CLIENT_KEY)], CLIENT_KEY.decode(), id="the client's"),
        pytest.param([(b"Sec-WebSocket-Key", CLIENT_KEY)], CLIENT_KEY.decode(), id="the client's, in any case"),
        pytest.param([], OUR_KEY, id="ours, where there is none"),
        pytest.param([(b"sec_websocket_key", b"spoofed")], OUR_KEY, id="ours, not an underscored one"),
    ],
)
def test_there_is_always_a_key(headers, key):
    """S-001."""
    assert environ_with(*headers)["HTTP_SEC_WEBSOCKET_KEY"] == key


@pytest.mark.parametrize(
    ("subprotocols", "value"),
    [
        pytest.param(["chat"], "chat", id="one"),
        pytest.param(["v2.chat", "chat", "soap"], "v2.chat, chat, soap", id="several, in the client's order"),
        pytest.param(("a", "b"), "a, b", id="a tuple"),
        pytest.param([], None, id="none"),
        pytest.param(None, None, id="not told"),
    ],
)
def test_subprotocols_come_from_the_scope(subprotocols, value):
    """S-001: the server has parsed them, and middleware may have changed them."""
    environ = environ_with((b"sec-websocket-protocol", b"from, the, client"), subprotocols=subprotocols)

    assert environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL") == value


@pytest.mark.parametrize(
    "subprotocol",
    [
        pytest.param("a\r\nx-admin: 1", id="CR and LF"),
        pytest.param("a\0", id="NUL"),
        pytest.param("✓", id="no latin-1"),
    ],
)
def test_a_subprotocol_that_cannot_be_a_field_is_refused(subprotocol):
    """Like any other field: what WSGI allows as a value is kept to, whatever the server has let through."""
    with pytest.raises(BadRequest):
        environ_of(subprotocols=["chat", subprotocol])


# ---- Fields -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        pytest.param(b"upgrade", b"h2c", "HTTP_UPGRADE", "websocket", id="upgrade to something else"),
        pytest.param(b"Upgrade", b"h2c", "HTTP_UPGRADE", "websocket", id="upgrade, upper case"),
        pytest.param(b"connection", b"close", "HTTP_CONNECTION", "Upgrade", id="connection"),
        pytest.param(b"CONNECTION", b"close", "HTTP_CONNECTION", "Upgrade", id="connection, upper case"),
        pytest.param(b"sec-websocket-version", b"8", "HTTP_SEC_WEBSOCKET_VERSION", "13", id="another version"),
        pytest.param(b"sec_websocket_version", b"8", "HTTP_SEC_WEBSOCKET_VERSION", "13", id="version, underscored"),
        pytest.param(b"sec-websocket-extensions", b"x", "HTTP_SEC_WEBSOCKET_EXTENSIONS", None, id="extensions"),
        pytest.param(b"Sec-WebSocket-Extensions", b"x", "HTTP_SEC_WEBSOCKET_EXTENSIONS", None, id="in any case"),
        pytest.param(b"sec_websocket_extensions", b"x", "HTTP_SEC_WEBSOCKET_EXTENSIONS", None, id="underscored"),
        pytest.param(b"sec-websocket-protocol", b"x", "HTTP_SEC_WEBSOCKET_PROTOCOL", None, id="a subprotocol"),
        pytest.param(b"sec_websocket_protocol", b"x", "HTTP_SEC_WEBSOCKET_PROTOCOL", None, id="the same, underscored"),
        pytest.param(b"content-length", b"5", "CONTENT_LENGTH", None, id="a length"),
        pytest.param(b"content-length", b"5", "HTTP_CONTENT_LENGTH", None, id="a length as a field"),
        pytest.param(b"content-length", b"nonsense", "CONTENT_LENGTH", None, id="a length that is none"),
        pytest.param(b"transfer-encoding", b"chunked", "HTTP_TRANSFER_ENCODING", None, id="a transfer coding"),
        pytest.param(b"expect", b"100-continue", "HTTP_EXPECT", None, id="an expectation"),
    ],
)
def test_fields_of_the_outer_leg_do_not_reach_the_inner_one(name, value, key, expected):
    environ = environ_with((name, value), (name, value), subprotocols=[])

    assert environ.get(key) == expected


@pytest.mark.parametrize(
    ("headers", "key", "value"),
    [
        pytest.param([(b"cookie", b"a=1"), (b"cookie", b"b=2")], "HTTP_COOKIE", "a=1; b=2", id="cookies"),
        pytest.param([(b"x-a", b"1"), (b"X-A", b"2")], "HTTP_X_A", "1, 2", id="repeated, in any case"),
        pytest.param([(b"x-a", b" \t\xe9 ")], "HTTP_X_A", "\xe9", id="octets that are not ASCII"),
        pytest.param([(b"x-a", b"")], "HTTP_X_A", "", id="an empty value"),
        pytest.param([(b"x_forwarded_for", b"1")], "HTTP_X_FORWARDED_FOR", None, id="an underscored name"),
        pytest.param([(b":protocol", b"websocket")], "HTTP_:PROTOCOL", None, id="a pseudo field"),
        pytest.param([(b"content-type", b"text/plain")], "CONTENT_TYPE", "text/plain", id="a type"),
    ],
)
def test_other_fields_are_those_of_any_request(headers, key, value):
    assert environ_with(*headers).get(key) == value


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"host", b"other.example")], id="two hosts"),
        pytest.param([(b"x-a", b"1\r\nx-b: 2")], id="CR and LF in a value"),
        pytest.param([(b"sec-websocket-key", b"a\0b")], id="NUL in the key"),
    ],
)
def test_a_handshake_that_cannot_be_translated_is_refused(headers):
    with pytest.raises(BadRequest):
        environ_with(*headers)


# ---- As a whole -------------------------------------------------------------------------------------------------


def test_all_the_rest_is_what_the_same_get_would_have():
    """S-001: mounted, with options, with addresses: nothing is translated twice."""
    options = EnvironOptions(multithread=False, underscore_names=frozenset({b"x_user"}), extra={"app.name": "shop"})
    scope = HTTP_1 | {"root_path": "/chat", "headers": [*HTTP_1["headers"], (b"x_user", b"ann")]}
    names_of_the_handshake = {name for name, _ in HTTP_1["headers"][1:7]}
    ordinary = environ_from_scope(
        scope
        | {"method": "GET", "scheme": "http"}
        | {"headers": [pair for pair in scope["headers"] if pair[0] not in names_of_the_handshake]},
        options=options,
    )

    assert (ordinary["SCRIPT_NAME"], ordinary["PATH_INFO"]) == ("/chat", "/room")
    assert environ_of(scope, options) == ordinary | {
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": CLIENT_KEY.decode(),
        "HTTP_SEC_WEBSOCKET_PROTOCOL": "chat, v2.chat",
    }


def test_a_scope_with_nothing_optional_will_do():
    environ = environ_from_websocket_scope({"type": "websocket"}, key=OUR_KEY, options=OPTIONS)

    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["wsgi.url_scheme"]) == ("GET", "/", "http")
    assert environ["HTTP_SEC_WEBSOCKET_KEY"] == OUR_KEY
    assert None not in environ.values()


def test_headers_may_be_a_one_shot_iterator():
    headers = iter([[b"host", b"h"], [b"sec-websocket-key", CLIENT_KEY]])

    environ = environ_of(headers=headers)

    assert (environ["HTTP_HOST"], environ["HTTP_SEC_WEBSOCKET_KEY"]) == ("h", CLIENT_KEY.decode())


@pytest.mark.parametrize("scope", [pytest.param(HTTP_1, id="HTTP/1.1"), pytest.param(HTTP_2, id="HTTP/2")])
def test_the_scope_is_only_read(scope):
    before = copy.deepcopy(scope)

    environ_from_websocket_scope(MappingProxyType(scope), key=OUR_KEY, options=OPTIONS)

    assert scope == before


def test_the_base_is_copied_and_kept():
    base = OPTIONS.base() | {"app.more": "1"}
    before = dict(base)

    environ = environ_from_websocket_scope(HTTP_1, key=OUR_KEY, options=OPTIONS, base=base)

    assert environ == environ_of() | {"app.more": "1"}
    assert base == before
