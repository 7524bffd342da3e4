"""Request fields from an environ: which keys are fields, what they are called, and what they say of the body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadRequest
from bridge.translate import content_length_from_environ, environ_key_from_name, request_headers_from_environ
from tests.strategies import PROPERTY, header_names


@pytest.mark.requirement("A-026")
def test_fields_come_out_in_the_order_of_the_environ_with_lower_case_names():
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_HOST": "shop.example",
        "CONTENT_TYPE": "text/plain",
        "HTTP_X_FOO": "1",
        "CONTENT_LENGTH": "5",
        "HTTP_X_REQUEST_ID_2": "abc",
        "HTTP_COOKIE": "a=1; b=2",
        "wsgi.version": (1, 0),
    }

    assert request_headers_from_environ(environ) == [
        (b"host", b"shop.example"),
        (b"content-type", b"text/plain"),
        (b"x-foo", b"1"),
        (b"content-length", b"5"),
        (b"x-request-id-2", b"abc"),
        (b"cookie", b"a=1; b=2"),
    ]


@pytest.mark.requirement("A-026", "A-029")
@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("HTTP_ACCEPT", b"accept"),
        ("HTTP_USER_AGENT", b"user-agent"),
        ("HTTP_X", b"x"),
        ("HTTP_2", b"2"),
        pytest.param("HTTP__X", b"-x", id="a name that begins with a dash"),
        pytest.param("HTTP_X_", b"x-", id="a name that ends with a dash"),
        pytest.param("HTTP_HTTP_X", b"http-x", id="the prefix twice"),
        pytest.param("HTTP_!#$%&'*+^`|~", b"!#$%&'*+^`|~", id="every sign a token may have"),
        pytest.param("HTTP_x_foo", b"x-foo", id="a server that keeps the case"),
        pytest.param("HTTP_TRANSFER_ENCODING", b"transfer-encoding", id="GA-18: kept if the server gives it"),
    ],
)
def test_a_key_becomes_a_name_with_dashes(key, name):
    assert request_headers_from_environ({key: "v"}) == [(name, b"v")]


@pytest.mark.requirement("A-029")
@pytest.mark.parametrize(
    "key",
    [
        *["HTTPS", "HTTP", "HTTP_", "http_x", "XHTTP_X", "REMOTE_USER", "AUTH_TYPE", "SERVER_NAME", "PATH", ""],
        pytest.param("HTTP_X.Y", id="a server's own key"),
        pytest.param("http.client", id="a key with a dot"),
        pytest.param("HTTP_X Y", id="a space"),
        pytest.param("HTTP_X:", id="a colon"),
        pytest.param("HTTP_:PATH", id="a pseudo field"),
        pytest.param("HTTP_X\r\nY", id="a line break"),
        pytest.param("HTTP_X\n", id="a line break at the end"),
        pytest.param("HTTP_\0", id="a NUL"),
        pytest.param('HTTP_"X"', id="quotes"),
        pytest.param("HTTP_(X)", id="parentheses"),
        pytest.param("HTTP_\xe9", id="latin-1"),
        pytest.param("HTTP_\ud800", id="a lone surrogate"),
        pytest.param("HTTP_\u212a", id="the Kelvin sign, whose lower case is an ASCII k"),
        pytest.param("HTTP_X_FORWARDED_\u212aEY", id="the Kelvin sign in the middle"),
        pytest.param("HTTP_\u0130", id="a dotted I, whose lower case is an ASCII i and a dot"),
        pytest.param("HTTP_\uff21", id="a wide A"),
        pytest.param(b"HTTP_X", id="octets"),
        pytest.param(1, id="a number"),
        pytest.param(None, id="None"),
        pytest.param(("HTTP_X",), id="a tuple"),
    ],
)
def test_a_key_that_is_no_field_makes_no_pair(key):
    assert request_headers_from_environ({key: "v"}) == []


@pytest.mark.requirement("A-008", "A-029")
@pytest.mark.parametrize("key", ["HTTP_X_FOO", "HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH"])
@pytest.mark.parametrize(
    "value", [None, 5, b"v", True, ["v"], ("v",), object()], ids=lambda value: type(value).__name__
)
def test_a_value_that_is_no_text_makes_no_pair(key, value):
    assert request_headers_from_environ({key: value}) == []


@pytest.mark.requirement("A-027")
@pytest.mark.parametrize("key", ["CONTENT_TYPE", "CONTENT_LENGTH"])
def test_an_empty_content_type_or_length_is_no_field(key):
    assert request_headers_from_environ({key: ""}) == []


@pytest.mark.requirement("A-027")
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "5"}, id="the variables alone"),
        pytest.param(
            {"HTTP_CONTENT_TYPE": "c/d", "HTTP_CONTENT_LENGTH": "6", "CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "5"},
            id="stray fields first",
        ),
        pytest.param(
            {"CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "5", "HTTP_CONTENT_TYPE": "a/b", "HTTP_CONTENT_LENGTH": "5"},
            id="stray fields last",
        ),
        pytest.param(
            {"CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "5", "HTTP_Content_Type": "c/d", "HTTP_CONTENT-LENGTH": "6"},
            id="stray fields in another spelling",
        ),
    ],
)
def test_stray_prefixed_variables_make_no_second_pair(environ):
    assert request_headers_from_environ(environ) == [(b"content-type", b"a/b"), (b"content-length", b"5")]


@pytest.mark.requirement("A-027")
def test_stray_prefixed_variables_make_no_pair_at_all():
    assert request_headers_from_environ({"HTTP_CONTENT_TYPE": "c/d", "HTTP_CONTENT_LENGTH": "6"}) == []


EVERY_OCTET = bytes(octet for octet in range(256) if octet not in b"\r\n\0")


@pytest.mark.requirement("A-028")
@pytest.mark.parametrize(
    ("value", "octets"),
    [
        pytest.param("", b"", id="empty"),
        pytest.param("a, b", b"a, b", id="joined with a comma"),
        pytest.param("a=1; b=2", b"a=1; b=2", id="joined with a semicolon"),
        pytest.param("\xe9", b"\xe9", id="latin-1"),
        pytest.param("\xc3\xa9", b"\xc3\xa9", id="UTF-8 octets"),
        pytest.param("".join(map(chr, EVERY_OCTET)), EVERY_OCTET, id="every octet that may be there"),
        pytest.param("\u20ac", b"\xe2\x82\xac", id="text of a careless server"),
        pytest.param("\u20ac\xe9", b"\xe2\x82\xac\xc3\xa9", id="all of it is text then"),
        pytest.param("a\ud800", b"a\xef\xbf\xbd", id="a lone surrogate"),
    ],
)
@pytest.mark.parametrize("key", ["HTTP_X_FOO", "HTTP_COOKIE", "HTTP_ACCEPT"])
def test_a_value_is_its_octets_and_stays_one_pair(key, value, octets):
    assert [value for _, value in request_headers_from_environ({key: value})] == [octets]


@pytest.mark.requirement("A-028")
@pytest.mark.parametrize("value", ["a\r\n b", "a\nb", "a\rb", "a\0b", "\n"], ids=ascii)
@pytest.mark.parametrize("key", ["HTTP_X_FOO", "HTTP_COOKIE", "CONTENT_TYPE"])
def test_a_value_that_no_field_may_have_is_refused(key, value):
    with pytest.raises(BadRequest):
        request_headers_from_environ({key: value})


@pytest.mark.requirement("A-030")
@pytest.mark.parametrize(
    ("environ", "pairs"),
    [
        pytest.param({"SERVER_NAME": "shop.example", "SERVER_PORT": "80"}, [], id="HTTP/1.0 without Host"),
        pytest.param({"HTTP_HOST": ""}, [], id="granian's empty one"),
        pytest.param({"HTTP_HOST": "shop.example:81"}, [(b"host", b"shop.example:81")], id="as sent"),
        pytest.param({"HTTP_X_FORWARDED_HOST": "evil"}, [(b"x-forwarded-host", b"evil")], id="not from another field"),
    ],
)
def test_host_is_what_the_client_sent_and_is_not_invented(environ, pairs):
    assert request_headers_from_environ(environ) == pairs


@pytest.mark.requirement("A-009")
def test_the_environ_is_only_read():
    environ = {"HTTP_HOST": "", "CONTENT_TYPE": "", "HTTP_X": "\xe9", "CONTENT_LENGTH": "5"}
    before = dict(environ)

    request_headers_from_environ(environ)
    content_length_from_environ(environ)

    assert list(environ.items()) == list(before.items())


@pytest.mark.requirement("A-026")
@given(name=header_names())
@PROPERTY
def test_each_name_that_reaches_an_environ_comes_back_in_lower_case(name):
    key = environ_key_from_name(name)

    expected = [] if b"." in name else [(name.lower(), b"v")]
    assert request_headers_from_environ({key: "v"}) == expected


# ---- The length of the body -------------------------------------------------------------------------------------


@pytest.mark.requirement("A-031")
@pytest.mark.parametrize(
    ("environ", "length"),
    [
        pytest.param({}, None, id="missing"),
        pytest.param({"CONTENT_LENGTH": ""}, None, id="empty"),
        pytest.param({"CONTENT_LENGTH": None}, None, id="None"),
        pytest.param({"HTTP_CONTENT_LENGTH": "5"}, None, id="a stray field"),
        pytest.param({"CONTENT_LENGTH": "0"}, 0, id="0"),
        pytest.param({"CONTENT_LENGTH": "5"}, 5, id="5"),
        pytest.param({"CONTENT_LENGTH": "005"}, 5, id="leading zeros are digits"),
        pytest.param({"CONTENT_LENGTH": "9" * 18}, 10**18 - 1, id="as much as 64 bits hold"),
        pytest.param({"CONTENT_LENGTH": 5}, 5, id="a number"),
        pytest.param({"CONTENT_LENGTH": 0}, 0, id="the number 0"),
    ],
)
def test_a_length_is_digits(environ, length):
    assert content_length_from_environ(environ) == length


@pytest.mark.requirement("A-031")
@pytest.mark.parametrize(
    "text",
    [
        *["+5", "1_0", "-1", "5,6", "5, 5", "5.0", "0x5", "5e1", "abc", " 5", "5 ", " ", "5\n", "\r\n", "5\0"],
        *["\u0665", "\uff15", "\xb2", "9" * 19, "9" * 5000, -1, 1.0, True, False, b"5", ["5"], ("5",)],
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_a_length_that_is_no_digits_is_a_bad_request(text):
    with pytest.raises(BadRequest) as caught:
        content_length_from_environ({"CONTENT_LENGTH": text})

    assert caught.value.status == 400
    assert caught.value.reason == "The request's Content-Length is not a number."  # without the client's text


@pytest.mark.requirement("A-031")
@given(text=st.text(max_size=8) | st.integers(-(10**20), 10**20).map(str))
@PROPERTY
def test_any_text_is_ascii_digits_or_a_bad_request(text):
    try:
        length = content_length_from_environ({"CONTENT_LENGTH": text})
    except BadRequest:
        assert not (text.isascii() and text.isdigit() and len(text) <= 18)
    else:
        assert length == (int(text) if text else None)
