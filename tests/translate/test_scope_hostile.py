"""Any environ at all, from servers and middleware that keep no rule: a scope of the right types, or `BadRequest`.

The application below trusts the types of its scope, and frameworks serialise it, log it and sort by it. So whatever
stands in an environ, a scope has the types of the ASGI specification, and text that can be encoded.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadRequest
from bridge.translate import content_length_from_environ, request_headers_from_environ, scope_from_environ
from tests.strategies import PROPERTY, hostile_texts

TOKEN = re.compile(rb"[!#$%&'*+^`|~0-9a-z-]+").fullmatch


class OddText(str):
    """What a middleware may put in the place of a ``str``."""

    __slots__ = ()


KEYS = [
    *["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "SERVER_PROTOCOL"],
    *["SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "CONTENT_TYPE", "CONTENT_LENGTH"],
]
FIELD_KEYS = [
    *["HTTP_HOST", "HTTP_COOKIE", "HTTP_X_FOO", "HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_", "HTTP__", "HTTP"],
    *[
        "HTTP_content_length",
        "HTTP_CONTENT-TYPE",
        "HTTPS",
        "http_host",
        "HTTP_x_foo",
        "HTTP_X-FOO",
        "HTTP_X.FOO",
        "HTTP_X FOO",
        "HTTP_X:",
        "HTTP_\xe9",
    ],
    *["HTTP_\u212a", "HTTP_\u0130", "HTTP_\ud800", "HTTP_X\r\nY", "HTTP_\0", "wsgi.HTTP_X", "", 1, None, b"HTTP_X"],
]
NO_TEXT = [None, 0, 5, -1, True, 1.5, 10**30, b"", b"/x", bytearray(b"/x"), (), ("GET",), [], ["/x"], {}, {1}, object]
TEXT_THAT_MEANS_SOMETHING = [
    *[
        "",
        "/",
        "*",
        "app",
        "/app/",
        "//",
        "/caf\xc3\xa9",
        "/\xff",
        "/\u20ac",
        "/\ud800",
        "\udcff",
        "GET",
        "\xdf",
        "get",
    ],
    *["http", "HTTPS", "http://h/p", "http://", "://", "[", "]", "[]", "[::1]", "None", "-1", "5", "65536", "\u0665"],
    *["HTTP/2", "HTTP/", "9" * 5000, "a\r\nb", "\0", "a?b#c", "?", "#", "%", "%ff", "%zz"],
]


def values() -> st.SearchStrategy[Any]:
    """Return values of any type; half of them are text."""
    text = st.one_of(st.sampled_from(TEXT_THAT_MEANS_SOMETHING), hostile_texts())
    return st.one_of(text, text.map(OddText), st.sampled_from(NO_TEXT))


def hostile_environs() -> st.SearchStrategy[dict[Any, Any]]:
    """Return environs with any value under any key, those that mean something above all."""
    fields = st.dictionaries(st.sampled_from(FIELD_KEYS), values(), max_size=4)
    known = st.fixed_dictionaries({}, optional={key: values() for key in KEYS})
    return st.builds(lambda known, fields: known | fields, known, fields)


def assert_text(value: object) -> None:
    assert isinstance(value, str)
    value.encode("utf-8")  # no lone surrogate


def assert_address(value: object, port_types: tuple[type, ...]) -> None:
    """A pair of text and port, or None."""
    if value is None:
        return
    assert type(value) is tuple
    host, port = value
    assert_text(host)
    assert type(port) in port_types
    assert port is None or 0 <= port <= 65535


def assert_is_http_scope(scope: dict[str, Any]) -> None:
    """Check each key against ASGI HTTP, "HTTP Connection Scope"."""
    assert type(scope) is dict
    required = ["type", "asgi", "http_version", "method", "scheme", "path", "query_string", "root_path", "headers"]
    assert scope.keys() - {"raw_path"} == {*required, "client", "server", "extensions"}
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] in {"1.0", "1.1", "2", "3"}
    for key in ("method", "scheme", "path", "root_path"):
        assert_text(scope[key])
    assert scope["method"]
    assert scope["scheme"]
    assert scope["path"]
    assert scope["root_path"][-1:] != "/"
    assert type(scope["query_string"]) is bytes
    assert type(scope.get("raw_path", b"")) is bytes
    assert type(scope["headers"]) is list
    for pair in scope["headers"]:
        assert type(pair) is tuple
        name, value = pair
        assert type(name) is bytes
        assert type(value) is bytes
        assert TOKEN(name)
    names = [name for name, _ in scope["headers"]]
    for name in (b"content-type", b"content-length", b"host"):
        assert names.count(name) <= 1
    assert_address(scope["client"], (int,))
    assert_address(scope["server"], (int, type(None)))
    assert scope["extensions"] == {}
    json.dumps(scope, default=bytes.hex)


@pytest.mark.requirement("A-008", "A-010", "A-012", "A-014", "A-016", "A-017", "A-022", "A-029")
@given(environ=hostile_environs())
@PROPERTY
def test_any_environ_gives_a_scope_of_the_right_types_or_a_bad_request(environ):
    before = copy.copy(environ)

    try:
        scope = scope_from_environ(environ)
    except BadRequest:
        return
    finally:
        assert environ == before

    assert_is_http_scope(scope)


@pytest.mark.requirement("A-008", "A-010")
@pytest.mark.parametrize("value", NO_TEXT, ids=repr)
@pytest.mark.parametrize("key", KEYS)
def test_a_value_that_is_no_text_gives_a_scope_of_the_right_types_or_a_bad_request(key, value):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/x", "SERVER_NAME": "h", "REMOTE_ADDR": "127.0.0.1"}

    try:
        scope = scope_from_environ(environ | {key: value})
    except BadRequest:
        return

    assert_is_http_scope(scope)


@pytest.mark.requirement("A-010", "A-022")
@pytest.mark.parametrize("key", [*KEYS, "HTTP_X_FOO"])
@pytest.mark.parametrize("value", ["/\ud800", "\udcff/", "/\u20ac\udfff"], ids=ascii)
def test_a_lone_surrogate_never_reaches_the_application(key, value):
    try:
        scope = scope_from_environ({key: value})
    except BadRequest:
        return

    assert_is_http_scope(scope)


@pytest.mark.requirement("A-027", "A-028", "A-029", "A-031")
@given(environ=hostile_environs())
@PROPERTY
def test_any_environ_gives_pairs_of_octets_and_a_length_or_a_bad_request(environ):
    try:
        pairs = request_headers_from_environ(environ)
    except BadRequest:
        assert any(isinstance(value, str) and set(value) & set("\r\n\0") for value in environ.values())
        return

    assert all(type(name) is bytes and type(value) is bytes and TOKEN(name) for name, value in pairs)
    try:
        length = content_length_from_environ(environ)
    except BadRequest:
        assert environ["CONTENT_LENGTH"] not in ("", None)
        return
    assert length is None or (type(length) is int and length >= 0)
