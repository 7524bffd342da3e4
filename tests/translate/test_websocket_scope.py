"""The ``websocket`` scope of a handshake: that of the GET it is, with a few keys changed."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.translate import scope_from_environ
from bridge.translate.websocket_handshake import Handshake
from bridge.translate.websocket_scope import websocket_scope_from_environ
from tests.strategies import PROPERTY

HANDSHAKE = Handshake("dGhlIHNhbXBsZSBub25jZQ==", ["v2.chat", "chat"], "permessage-deflate")

ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "/shop",
    "PATH_INFO": "/chat/caf\xc3\xa9",
    "QUERY_STRING": "room=1&x=%C3%BC",
    "REQUEST_URI": "/shop/chat/caf%C3%A9?room=1&x=%C3%BC",
    "SERVER_NAME": "shop.example",
    "SERVER_PORT": "8443",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "192.0.2.7",
    "REMOTE_PORT": "50000",
    "CONTENT_TYPE": "",
    "CONTENT_LENGTH": "",
    "HTTP_HOST": "shop.example:8443",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_PROTOCOL": "v2.chat, chat",
    "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate",
    "HTTP_COOKIE": "a=1; b=2",
    "HTTP_ORIGIN": "https://shop.example",
    "wsgi.url_scheme": "https",
}
CHANGED = {"type", "scheme", "http_version", "subprotocols", "extensions"}
"""The keys that are not those of the ``http`` scope."""


@pytest.mark.requirement("A-128")
def test_a_browsers_handshake_gives_exactly_this_scope():
    environ = MappingProxyType(copy.deepcopy(ENVIRON))

    assert websocket_scope_from_environ(environ, HANDSHAKE) == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "wss",
        "path": "/shop/chat/caf\xe9",
        "raw_path": b"/shop/chat/caf%C3%A9",
        "query_string": b"room=1&x=%C3%BC",
        "root_path": "/shop",
        "headers": [
            (b"host", b"shop.example:8443"),
            (b"upgrade", b"websocket"),
            (b"connection", b"keep-alive, Upgrade"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-protocol", b"v2.chat, chat"),
            (b"sec-websocket-extensions", b"permessage-deflate"),
            (b"cookie", b"a=1; b=2"),
            (b"origin", b"https://shop.example"),
        ],
        "client": ("192.0.2.7", 50000),
        "server": ("shop.example", 8443),
        "subprotocols": ["v2.chat", "chat"],
        "extensions": {"websocket.http.response": {}},
    }
    assert dict(environ) == ENVIRON


@pytest.mark.requirement("A-128")
@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("http", "ws"), ("https", "wss"), ("ws", "ws"), ("wss", "wss"), ("", "ws"), (None, "ws")],
)
def test_the_scheme_is_that_of_the_connection(scheme, expected):
    scope = websocket_scope_from_environ({**ENVIRON, "wsgi.url_scheme": scheme}, HANDSHAKE)

    assert scope["scheme"] == expected


@pytest.mark.requirement("A-128")
@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2.0", "INCLUDED", "", None])
def test_the_version_is_1_1_whatever_the_server_calls_it(protocol):
    scope = websocket_scope_from_environ({**ENVIRON, "SERVER_PROTOCOL": protocol}, HANDSHAKE)

    assert scope["http_version"] == "1.1"


@pytest.mark.requirement("A-128")
def test_a_client_that_offers_no_subprotocol_gives_an_empty_list():
    scope = websocket_scope_from_environ(ENVIRON, Handshake("key", [], ""))

    assert scope["subprotocols"] == []


def test_what_an_application_changes_in_its_scope_is_seen_nowhere_else():
    handshake = Handshake("key", ["chat"], "")
    scope = websocket_scope_from_environ(ENVIRON, handshake)

    scope["subprotocols"].append("another")
    scope["extensions"]["another"] = {}
    scope["extensions"]["websocket.http.response"]["another"] = {}
    scope["asgi"]["version"] = "9"

    assert handshake.subprotocols == ["chat"]
    again = websocket_scope_from_environ(ENVIRON, handshake)
    assert again["subprotocols"] == ["chat"]
    assert again["extensions"] == {"websocket.http.response": {}}
    assert again["asgi"] == {"version": "3.0", "spec_version": "2.5"}


# ---- The rules of http hold -------------------------------------------------------------------------------------


@pytest.mark.requirement("A-019", "A-150")
@pytest.mark.parametrize(
    ("script_name", "path_info", "path", "root_path"),
    [
        pytest.param("", "/chat", "/chat", "", id="no mount"),
        pytest.param("/shop", "/chat", "/shop/chat", "/shop", id="a mount"),
        pytest.param("/shop/", "/chat", "/shop/chat", "/shop", id="a mount with a slash"),
        pytest.param("/shop", "", "/shop", "/shop", id="the mount itself"),
        pytest.param("", "", "/", "", id="nothing"),
        pytest.param("/caf\xc3\xa9", "/\xff", "/caf\xe9/\ufffd", "/caf\xe9", id="octets are text, or replaced"),
    ],
)
def test_the_path_has_the_root_path_in_front(script_name, path_info, path, root_path):
    scope = websocket_scope_from_environ(
        {**ENVIRON, "SCRIPT_NAME": script_name, "PATH_INFO": path_info, "REQUEST_URI": ""}, HANDSHAKE
    )

    assert (scope["path"], scope["root_path"]) == (path, root_path)


@pytest.mark.requirement("A-026", "A-150")
def test_header_names_are_lower_case_with_dashes_and_values_are_octets():
    scope = websocket_scope_from_environ({"HTTP_X_FORWARDED_FOR": "192.0.2.9", "HTTP_X_NAME": "J\xfcrgen"}, HANDSHAKE)

    assert scope["headers"] == [(b"x-forwarded-for", b"192.0.2.9"), (b"x-name", b"J\xfcrgen")]


@pytest.mark.requirement("A-032", "A-150")
def test_the_state_is_the_adapters_to_add():
    assert "state" not in websocket_scope_from_environ(ENVIRON, HANDSHAKE)


@pytest.mark.requirement("A-150")
@PROPERTY
@given(
    st.dictionaries(
        st.sampled_from([*ENVIRON, "RAW_URI", "HTTP_X_A", "HTTPS"]),
        st.one_of(
            st.none(),
            st.text(st.characters(exclude_characters="\r\n\0"), max_size=12),
            st.integers(-1, 70000),
            st.sampled_from(list(ENVIRON.values())),
        ),
    )
)
def test_every_other_key_is_that_of_the_http_scope_of_the_same_request(changes):
    environ = {**ENVIRON, **changes}

    scope = websocket_scope_from_environ(environ, HANDSHAKE)
    http_scope = scope_from_environ(environ)

    assert scope.keys() == (http_scope.keys() - {"method"}) | {"subprotocols"}
    assert {key: scope[key] for key in scope.keys() - CHANGED} == {
        key: http_scope[key] for key in http_scope.keys() - CHANGED - {"method"}
    }
