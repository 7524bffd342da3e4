"""Request fields: names to keys, repeats to one value, and what they say about the body."""

from __future__ import annotations

import re
import time
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadRequest
from bridge.translate import BodyFraming, environ_key_from_name, framing_from_headers
from bridge.translate.headers import add_request_fields
from tests.strategies import FRAMING_NAMES, PROPERTY, header_lists, header_names, header_values, hostile_header_lists


def fields_of(*headers: tuple[bytes, bytes], underscore_names: frozenset[bytes] = frozenset()) -> dict[str, object]:
    """Return what the fields add to an empty environ."""
    environ: dict[str, object] = {}
    add_request_fields(environ, headers, underscore_names)
    return environ


# ---- Names ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-041")
@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param(b"x-foo", "HTTP_X_FOO", id="lower case"),
        pytest.param(b"X-Foo", "HTTP_X_FOO", id="the sender's case"),
        pytest.param(b"accept", "HTTP_ACCEPT", id="well known"),
        pytest.param(b"ACCEPT-Language", "HTTP_ACCEPT_LANGUAGE", id="well known in mixed case"),
        pytest.param(b"content-type", "CONTENT_TYPE", id="Content-Type"),
        pytest.param(b"CONTENT-TYPE", "CONTENT_TYPE", id="Content-Type in upper case"),
        pytest.param(b"content-disposition", "HTTP_CONTENT_DISPOSITION", id="other Content- fields keep the prefix"),
        pytest.param(b"1", "HTTP_1", id="digit"),
        pytest.param(b"!#$%&'*+-.^`|~", "HTTP_!#$%&'*+_.^`|~", id="every special token character"),
    ],
)
def test_a_field_name_becomes_a_key(name, key):
    assert environ_key_from_name(name) == key
    assert fields_of((name, b"v")) == {key: "v"}


@pytest.mark.requirement("W-013", "W-039")
@pytest.mark.parametrize(
    "name",
    [
        *[b"remote-user", b"auth-type", b"script-name", b"path-info", b"https", b"ssl-client-verify", b"wsgi.input"],
        *[b"wsgi.url-scheme", b"server-name", b"request-method", b"http-host", b"bridge.scope", b"gateway-interface"],
    ],
    ids=bytes.decode,
)
def test_a_field_named_like_a_variable_only_makes_an_http_key(name):
    assert list(fields_of((name, b"evil"))) == ["HTTP_" + name.decode().upper().replace("-", "_")]


@pytest.mark.requirement("W-043")
@pytest.mark.parametrize(
    "name",
    [
        *[b"", b":authority", b":path", b"x-\xdf", b"x-\xff", b"x-\xb5", b"\xe9", b"x y", b"x\0", b"x\n", b"x:"],
        *[b" x", b"x ", b"x\tz", b"x(y)", b"x/y", b"x@y", b"x=y", b'"x"', b"x,y", b"x;y", b"{x}", b"x\x7f"],
    ],
    ids=ascii,
)
def test_a_name_that_is_no_token_is_dropped(name):
    assert environ_key_from_name(name) is None
    assert fields_of((name, b"v")) == {}


@pytest.mark.requirement("W-044")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"x-auth-user", b"proxy"), (b"X_Auth_User", b"client")], id="dashed first"),
        pytest.param([(b"X_Auth_User", b"client"), (b"x-auth-user", b"proxy")], id="underscored first"),
        pytest.param([(b"x_auth-user", b"client"), (b"x-auth-user", b"proxy")], id="half underscored"),
    ],
)
def test_an_underscored_name_does_not_reach_the_key_of_a_dashed_one(headers):
    assert fields_of(*headers) == {"HTTP_X_AUTH_USER": "proxy"}


@pytest.mark.requirement("W-044")
@pytest.mark.parametrize("name", [b"Content_Length", b"content_type", b"transfer_encoding", b"_", b"HOST_"], ids=ascii)
def test_underscored_names_are_dropped(name):
    assert fields_of((name, b"5")) == {}
    assert framing_from_headers([(name, b"5")]) == BodyFraming()


@pytest.mark.requirement("W-044")
def test_an_allowed_underscored_name_is_let_through_in_any_case():
    allowed = frozenset({b"x_legacy_id"})

    environ = fields_of((b"X_Legacy_Id", b"7"), (b"x_other", b"8"), underscore_names=allowed)

    assert environ == {"HTTP_X_LEGACY_ID": "7"}


@pytest.mark.requirement("W-041", "W-044", "W-053")
@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"content_length", "HTTP_CONTENT_LENGTH"),
        (b"content_type", "HTTP_CONTENT_TYPE"),
        (b"transfer_encoding", "HTTP_TRANSFER_ENCODING"),
    ],
)
def test_allowing_an_underscored_name_does_not_make_a_key_that_must_not_exist(name, key):
    assert key not in fields_of((name, b"5"), underscore_names=frozenset({name}))


@pytest.mark.requirement("W-041", "W-052", "W-053")
@pytest.mark.parametrize("name", [b"content-length", b"Content-Length", b"transfer-encoding", b"Transfer-Encoding"])
def test_framing_fields_make_no_key_by_themselves(name):
    """CONTENT_LENGTH comes from `BodyFraming`, and a transfer coding has been undone by the server."""
    assert environ_key_from_name(name) is None
    assert fields_of((name, b"5")) == {}


# ---- Values -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-042")
@pytest.mark.parametrize("value", [b"", b" ", b"\t "], ids=ascii)
def test_an_empty_field_is_present_and_empty(value):
    assert fields_of((b"x-a", value)) == {"HTTP_X_A": ""}
    assert fields_of((b"content-type", value)) == {"CONTENT_TYPE": ""}


@pytest.mark.requirement("W-010", "W-045")
@pytest.mark.parametrize("octet", [*range(1, 0x0A), 0x0B, 0x0C, *range(0x0E, 0x100)], ids="0x{:02x}".format)
def test_every_harmless_octet_survives_inside_a_value(octet):
    value = b"<" + bytes([octet]) + b">"

    assert fields_of((b"x-a", value)) == {"HTTP_X_A": f"<{chr(octet)}>"}


@pytest.mark.requirement("W-045")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(b" \t a b\t ", "a b", id="space and tab"),
        pytest.param(b"\x85a\x85", "\x85a\x85", id="next line"),
        pytest.param(b"\xa0a\xa0", "\xa0a\xa0", id="no-break space"),
        pytest.param(b"\x0ca\x0b", "\x0ca\x0b", id="form feed and vertical tab"),
        pytest.param(b"\x1fa\x1c", "\x1fa\x1c", id="separators that str.strip() takes for space"),
    ],
)
def test_only_space_and_tab_are_trimmed(value, text):
    assert fields_of((b"x-a", value)) == {"HTTP_X_A": text}


@pytest.mark.requirement("W-046")
@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0"], ids=["CR", "LF", "NUL"])
@pytest.mark.parametrize("value", [b"%s", b"a%sb", b"a%s", b"%sb", b"a\xff%s", b" %s "], ids=ascii)
@pytest.mark.parametrize("name", [b"x-a", b"accept", b"cookie", b"host", b"content-type", b"X-Mixed"], ids=bytes.decode)
def test_a_value_with_a_control_character_that_splits_fields_is_refused(name, value, octet):
    with pytest.raises(BadRequest) as caught:
        fields_of((name, value % octet))

    assert caught.value.status == 400
    assert octet.decode() not in caught.value.reason


@pytest.mark.requirement("W-046")
@pytest.mark.parametrize("octet", [b"\r", b"\n", b"\0"], ids=["CR", "LF", "NUL"])
@pytest.mark.parametrize("name", [b"transfer-encoding", b"x_dropped", b"x-\xdf"], ids=ascii)
def test_such_a_value_is_refused_also_where_the_field_reaches_no_key(name, octet):
    """Two readers of one message may take the rest of the value for a field of its own, whatever the name is."""
    headers = [(name, b"chunked" + octet + b"x: y")]

    with pytest.raises(BadRequest):
        add_request_fields({}, headers)


# ---- Repeats ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-047")
@pytest.mark.parametrize(
    ("headers", "text"),
    [
        pytest.param([(b"accept", b"a"), (b"accept", b"b"), (b"accept", b"c")], "a, b, c", id="in order of receipt"),
        pytest.param([(b"accept", b"b"), (b"x-a", b"-"), (b"Accept", b"a")], "b, a", id="apart and in another case"),
        pytest.param(
            [(b"accept", b""), (b"accept", b"a"), (b"accept", b"")], ", a, ", id="empty ones keep their place"
        ),
        pytest.param([(b"accept", b" a "), (b"accept", b"\tb")], "a, b", id="each one trimmed"),
    ],
)
def test_repeats_are_joined_by_a_comma(headers, text):
    assert fields_of(*headers)["HTTP_ACCEPT"] == text


@pytest.mark.requirement("W-048")
def test_repeated_cookies_parse_as_several_cookies():
    environ = fields_of((b"cookie", b"a=1"), (b"x-a", b"-"), (b"Cookie", b"b=2; c=3"))

    cookies = SimpleCookie(str(environ["HTTP_COOKIE"]))

    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"
    assert {name: morsel.value for name, morsel in cookies.items()} == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.requirement("W-049")
def test_joining_20000_repeats_takes_linear_time():
    """Appending to one growing text would move 40 GB here."""
    value = b"v" * 200
    headers = [(name, value) for _ in range(10_000) for name in (b"x-a", b"x-b")]

    began_s = time.process_time()
    environ = fields_of(*headers)
    took_s = time.process_time() - began_s

    assert environ["HTTP_X_A"] == environ["HTTP_X_B"] == ", ".join(["v" * 200] * 10_000)
    assert took_s < 1.0


@pytest.mark.requirement("W-049", "W-050")
def test_agreeing_on_20000_content_lengths_takes_linear_time():
    headers = [(b"content-length", b"5, 5")] * 20_000

    began_s = time.process_time()
    framing = framing_from_headers(headers)
    took_s = time.process_time() - began_s

    assert framing.content_length == 5
    assert took_s < 1.0


@pytest.mark.requirement("W-054")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"host", b"a"), (b"host", b"b")], id="two hosts"),
        pytest.param([(b"host", b"a"), (b"Host", b"a")], id="the same host twice"),
        pytest.param([(b"host", b""), (b"host", b"a")], id="empty and real host"),
        pytest.param([(b"content-type", b"a/b"), (b"content-type", b"c/d")], id="two content types"),
        pytest.param([(b"content-type", b"a/b"), (b"Content-Type", b"a/b")], id="the same content type twice"),
    ],
)
def test_host_and_content_type_may_come_only_once(headers):
    with pytest.raises(BadRequest):
        fields_of(*headers)


@pytest.mark.requirement("W-054")
@pytest.mark.parametrize(
    ("value", "environ"),
    [
        pytest.param(b"Shop.Example:80", {"HTTP_HOST": "Shop.Example:80"}, id="as sent"),
        pytest.param(b"", {}, id="empty"),
        pytest.param(b"  ", {}, id="blank"),
    ],
)
def test_host_is_kept_as_sent_and_an_empty_one_makes_no_key(value, environ):
    assert fields_of((b"host", value)) == environ


# ---- Framing ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-050", "W-051")
@pytest.mark.parametrize(
    ("values", "length"),
    [
        pytest.param([], None, id="none"),
        pytest.param([b"0"], 0, id="zero"),
        pytest.param([b"5"], 5, id="one"),
        pytest.param([b" 5\t"], 5, id="with space around"),
        pytest.param([b"5", b"5"], 5, id="twice the same"),
        pytest.param([b"5, 5"], 5, id="a list of the same"),
        pytest.param([b"5,5", b"5"], 5, id="a list and one more"),
        pytest.param([b"999999999999999999"], 10**18 - 1, id="18 digits"),
    ],
)
def test_content_length_is_a_number(values, length):
    headers = [(name, value) for value, name in zip(values, [b"content-length", b"Content-Length"], strict=False)]

    assert framing_from_headers(headers) == BodyFraming(content_length=length)


@pytest.mark.requirement("W-050")
@pytest.mark.parametrize("values", [[b"5", b"6"], [b"5, 6"], [b"5,"], [b",5"], [b"5", b""], [b"5, 5", b"6"]], ids=ascii)
def test_content_lengths_that_differ_are_refused(values):
    with pytest.raises(BadRequest):
        framing_from_headers([(b"content-length", value) for value in values])


@pytest.mark.requirement("W-051")
@pytest.mark.parametrize(
    "value",
    [
        *[
            b"+5",
            b"-1",
            b"-0",
            b"5_0",
            b"0x5",
            b"5 5",
            b"5.0",
            b"1e3",
            b"",
            b" ",
            b"five",
            b"5\n",
            b"\r5",
            b"5\0",
            b"\x0b5",
        ],
        *["\uff15".encode(), "\u0665".encode(), b"\xb2", b"\xa05", b"5\x85", b"1" * 19, b"1" * 5000],
    ],
    ids=lambda value: ascii(value[:24]),
)
def test_a_content_length_that_is_not_plain_digits_is_refused(value):
    with pytest.raises(BadRequest):
        framing_from_headers([(b"content-length", value)])


@pytest.mark.requirement("W-052")
@pytest.mark.parametrize("order", [1, -1], ids=["length first", "length last"])
def test_a_transfer_coding_overrides_the_length(order):
    headers = [(b"content-length", b"5"), (b"Transfer-Encoding", b"chunked")][::order]

    assert framing_from_headers(headers) == BodyFraming(content_length=None, has_transfer_encoding=True)


@pytest.mark.requirement("W-075")
@pytest.mark.parametrize(
    ("value", "expects"),
    [(b"100-continue", True), (b" 100-Continue\t", True), (b"", False), (b"200-ok", False)],
    ids=ascii,
)
def test_framing_tells_whether_the_client_waits_for_100_continue(value, expects):
    assert framing_from_headers([(b"Expect", value)]).expects_continue is expects


# ---- Properties -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-041", "W-047", "W-048", "W-052", "W-053")
@given(headers=header_lists())
@PROPERTY
def test_fields_survive_up_to_joining(headers):
    expected: dict[str, list[str]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered not in FRAMING_NAMES:
            key = lowered.decode().upper().replace("-", "_")
            expected.setdefault("CONTENT_TYPE" if lowered == b"content-type" else f"HTTP_{key}", []).append(
                value.decode("latin-1").strip(" \t")
            )

    assert fields_of(*headers) == {
        key: ("; " if key == "HTTP_COOKIE" else ", ").join(texts) for key, texts in expected.items()
    }


@pytest.mark.requirement("W-013", "W-041", "W-043", "W-044")
@given(name=st.one_of(st.binary(max_size=12), header_names()))
@PROPERTY
def test_a_key_tells_its_name_or_there_is_none(name):
    """So two names that differ in more than case never share a key."""
    key = environ_key_from_name(name)

    if key is not None and key != "CONTENT_TYPE":
        assert key.startswith("HTTP_")
        assert key[5:].replace("_", "-").lower().encode("ascii") == name.lower()


@pytest.mark.requirement("W-010", "W-013", "W-046")
@given(headers=hostile_header_lists())
@PROPERTY
def test_any_fields_make_only_request_keys_or_a_bad_request(headers):
    try:
        framing_from_headers(headers)
        environ = fields_of(*headers)
    except BadRequest:
        return
    for key, text in environ.items():
        assert key.startswith("HTTP_") or key == "CONTENT_TYPE"
        assert type(text) is str
        assert text.encode("latin-1") == text.encode("latin-1").translate(None, b"\r\n\0")


@pytest.mark.requirement("W-051")
@given(value=st.one_of(header_values(), st.text("0123456789+-_ ,", max_size=6).map(str.encode)))
@PROPERTY
def test_a_length_that_is_read_was_written_as_plain_digits(value):
    try:
        length = framing_from_headers([(b"content-length", value)]).content_length
    except BadRequest:
        return
    items = [item.strip(b" \t") for item in value.split(b",")]
    assert all(re.fullmatch(rb"[0-9]+", item) and int(item) == length for item in items)
