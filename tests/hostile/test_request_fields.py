"""Fields that pretend to be something else, through the whole adapters: what the application sees of them.

What is refused here is what cannot be translated without guessing. What a server must refuse (bad request lines, a
missing Host, lines without a colon) is the server's own business: it never becomes a scope or an environ.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import environ_for, hosted, run
from tests.hostile.probing import Asker, asked, asking

HOST = (b"host", b"shop.example")


@pytest.fixture
def asker() -> Iterator[Asker]:
    """An ASGI application that tells of its scope."""
    with asking() as made:
        yield made


@functools.cache
def plain_environ() -> dict[str, object]:
    """Return the environ of a request without any of these fields."""
    environ = asked([HOST])
    assert isinstance(environ, dict)
    return environ


def differences(headers: list[tuple[bytes, bytes]]) -> dict[str, object] | int:
    """Return the variables that differ from those of the plain request, or the status of a refusal."""
    environ = asked([HOST, *headers])
    if isinstance(environ, int):
        return environ
    changing = {"wsgi.input", "wsgi.errors", "bridge.scope", "bridge.client_disconnected"}
    plain = plain_environ()
    assert environ.keys() >= plain.keys()
    return {key: value for key, value in environ.items() if key not in changing and value != plain.get(key)}


# ---- To a WSGI application ------------------------------------------------------------------------------------------

SPOOFS = [
    pytest.param([(b"X_Auth_User", b"root")], {}, id="underscores"),
    pytest.param([(b"x-auth-user", b"joe"), (b"X_Auth_User", b"root")], {"HTTP_X_AUTH_USER": "joe"}, id="twin after"),
    pytest.param([(b"X_Auth_User", b"root"), (b"x-auth-user", b"joe")], {"HTTP_X_AUTH_USER": "joe"}, id="twin before"),
    pytest.param([(b"x-auth_user", b"root")], {}, id="half a twin"),
    pytest.param([(b"Content_Length", b"5")], {}, id="Content_Length"),
    pytest.param([(b"Content_Type", b"text/html")], {}, id="Content_Type"),
    pytest.param([(b"Transfer_Encoding", b"chunked")], {}, id="Transfer_Encoding"),
    pytest.param([(b"HTTP_HOST", b"evil")], {}, id="HTTP_HOST"),
    pytest.param([(b"http-host", b"evil")], {"HTTP_HTTP_HOST": "evil"}, id="http-host"),
    pytest.param([(b"REMOTE_USER", b"root")], {}, id="REMOTE_USER"),
    pytest.param([(b"REMOTE-USER", b"root")], {"HTTP_REMOTE_USER": "root"}, id="REMOTE-USER"),
    pytest.param([(b"Script-Name", b"/x")], {"HTTP_SCRIPT_NAME": "/x"}, id="Script-Name"),
    pytest.param([(b"Path-Info", b"/x")], {"HTTP_PATH_INFO": "/x"}, id="Path-Info"),
    pytest.param([(b"HTTPS", b"on")], {"HTTP_HTTPS": "on"}, id="HTTPS"),
    pytest.param([(b"SSL-Client-Verify", b"SUCCESS")], {"HTTP_SSL_CLIENT_VERIFY": "SUCCESS"}, id="SSL-Client-Verify"),
    pytest.param([(b"wsgi.input", b"x")], {"HTTP_WSGI.INPUT": "x"}, id="wsgi.input"),
    pytest.param([(b"wsgi.url_scheme", b"https")], {}, id="wsgi.url_scheme"),
    pytest.param([(b"bridge.scope", b"x")], {"HTTP_BRIDGE.SCOPE": "x"}, id="bridge.scope"),
    pytest.param([(b"Proxy", b"http://evil:8080")], {"HTTP_PROXY": "http://evil:8080"}, id="httpoxy"),
    pytest.param([(b":authority", b"evil"), (b":path", b"/x")], {}, id="pseudo fields"),
    pytest.param([(b"", b"x")], {}, id="no name"),
    pytest.param([(b" host", b"evil")], {}, id="space before the name"),
    pytest.param([(b"host ", b"evil")], {}, id="space after the name"),
    pytest.param([(b"host\0", b"evil")], {}, id="NUL in a name"),
    pytest.param([(b"x-a\r\nx-b", b"1")], {}, id="line break in a name"),
    pytest.param([(b"x-\xdf", b"1"), (b"x-\xb5", b"2"), (b"\xc5\xbf", b"3")], {}, id="letters beyond ASCII"),
    pytest.param([(b"X-A", b"\t a\x85\xa0 ")], {"HTTP_X_A": "a\x85\xa0"}, id="other kinds of space"),
    pytest.param([(b"x-a", b"\xff\xfe\x80")], {"HTTP_X_A": "\xff\xfe\x80"}, id="a value that is no UTF-8"),
    pytest.param([(b"Cookie", b"a=1"), (b"cookie", b"b=2")], {"HTTP_COOKIE": "a=1; b=2"}, id="two cookies"),
    pytest.param(
        [(b"X-Forwarded-For", b"1"), (b"x-forwarded-for", b"2")], {"HTTP_X_FORWARDED_FOR": "1, 2"}, id="repeats"
    ),
    pytest.param(
        [(b"X-Forwarded-Proto", b"https")], {"HTTP_X_FORWARDED_PROTO": "https"}, id="forwarding is not believed"
    ),
    pytest.param([(b"transfer-encoding", b"chunked")], {}, id="a coding that the server has undone"),
    pytest.param([HOST], 400, id="two hosts that agree"),
    pytest.param([(b"HOST", b"evil")], 400, id="two hosts that do not"),
    pytest.param([(b"content-type", b"a/b"), (b"Content-Type", b"a/b")], 400, id="two types"),
    pytest.param([(b"x-a", b"a\r\n b")], 400, id="a folded line"),
    pytest.param([(b"x-a", b"a\nx-b: c")], 400, id="a line break in a value"),
    pytest.param([(b"x-a", b"a\rb")], 400, id="a carriage return in a value"),
    pytest.param([(b"x-a", b"a\0b")], 400, id="NUL in a value"),
    pytest.param([(b"x_dropped", b"a\0b")], 400, id="NUL in the value of a field that is dropped"),
]


@pytest.mark.requirement(
    "W-013", "W-039", "W-043", "W-044", "W-045", "W-046", "W-047", "W-048", "W-053", "W-054", "W-138"
)
@pytest.mark.parametrize(("headers", "expected"), SPOOFS)
def test_a_field_makes_its_own_variable_and_no_other_or_the_request_is_refused(
    headers: list[tuple[bytes, bytes]], expected: dict[str, object] | int
) -> None:
    assert differences(headers) == expected


@pytest.mark.requirement("W-055")
def test_a_proxy_field_reaches_nobody_who_reads_the_environment_of_the_process() -> None:
    before = dict(os.environ)

    assert differences([(b"proxy", b"http://evil:8080")]) == {"HTTP_PROXY": "http://evil:8080"}

    assert dict(os.environ) == before


LENGTHS = [
    pytest.param([b"5"], "5", id="5"),
    pytest.param([b"\t5 "], "5", id="with space around it"),
    pytest.param([b"5", b"5"], "5", id="twice"),
    pytest.param([b"5, 5,\t5"], "5", id="in a list"),
    pytest.param([b"007"], "7", id="with zeros in front"),
    pytest.param([b"9" * 18], 413, id="a number, but more than anybody may send"),
    *[
        pytest.param([value], 400, id=repr(value)[1:])
        for value in [
            *[b"", b"+5", b"-5", b"-0", b"0x5", b"5_0", b"5.0", b"5e1", b"5 5", b"5;q=1", b"five", b"\xb2", b"5\x0b"],
            *[
                "\uff15".encode(),
                "\u0665".encode(),
                b"5,",
                b",5",
                b"5, 6",
                b"5,05",
                b"5\0",
                b"5\r\n",
                b"1" + b"0" * 18,
                b"9" * 5000,
            ],
        ]
    ],
    pytest.param([b"5", b"6"], 400, id="5 and 6"),
    pytest.param([b"5", b"05"], 400, id="5 and 05"),
    pytest.param([b"5", b""], 400, id="5 and nothing"),
    pytest.param([b"5", b"5, 6"], 400, id="5 and a list"),
]


@pytest.mark.requirement("W-050", "W-051", "W-138")
@pytest.mark.parametrize(("values", "expected"), LENGTHS)
def test_a_length_is_digits_that_all_fields_agree_on_or_the_request_is_refused(
    values: list[bytes], expected: str | int
) -> None:
    # HEAD, so that nobody waits for the body that is announced.
    environ = asked([HOST, *[(b"Content-Length", value) for value in values]], method="HEAD")

    assert (environ if isinstance(environ, int) else environ["CONTENT_LENGTH"]) == expected


@pytest.mark.requirement("W-050", "W-052", "W-053")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], None, id="length first"),
        pytest.param([(b"transfer-encoding", b"chunked"), (b"content-length", b"5")], None, id="coding first"),
        pytest.param([(b"Transfer-Encoding", b"xchunked"), (b"Content-Length", b"5")], None, id="a coding of no name"),
        pytest.param([(b"transfer-encoding", b""), (b"content-length", b"5")], None, id="an empty coding"),
        pytest.param(
            [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], None, id="chunked twice"
        ),
        pytest.param([(b"transfer_encoding", b"chunked"), (b"content-length", b"5")], "5", id="with an underscore"),
        pytest.param([(b"transfer-encoding", b"chunked"), (b"content-length", b"+5")], 400, id="with a bad length"),
        pytest.param([(b"transfer-encoding", b"chunked"), (b"content-length", b"5, 6")], 400, id="with two lengths"),
    ],
)
def test_a_length_beside_a_transfer_coding_is_not_believed(
    headers: list[tuple[bytes, bytes]], expected: object
) -> None:
    environ = asked([HOST, *headers], method="HEAD")

    if isinstance(environ, int):
        assert environ == expected
    else:
        assert environ.get("CONTENT_LENGTH") == expected
        assert "HTTP_TRANSFER_ENCODING" not in environ


# ---- To an ASGI application -----------------------------------------------------------------------------------------

FIELD_KEYS = [
    pytest.param({"HTTP_X_A": "1"}, [(b"x-a", b"1")], id="plain"),
    pytest.param({"HTTP_CONTENT_LENGTH": "5", "HTTP_CONTENT_TYPE": "x"}, [], id="fields that have keys of their own"),
    pytest.param({"HTTPS": "on", "HTTP": "x", "HTTP2_SETTINGS": "x"}, [], id="keys that look like fields"),
    pytest.param(
        {"HTTP_": "x", "HTTP_X Y": "x", "HTTP_X:": "x", "HTTP_X\r\nY": "x", "HTTP_X\0": "x"}, [], id="no tokens"
    ),
    pytest.param({"HTTP_X.Y": "x", "http_x": "x", "wsgi.HTTP_X": "x"}, [], id="a server's own keys"),
    pytest.param({"HTTP_\xdf": "x", "HTTP_\u212a": "x"}, [], id="letters beyond ASCII"),
    pytest.param({"HTTP_X_A": b"x", "HTTP_X_B": 5, "HTTP_X_C": None}, [], id="values that are no text"),
    pytest.param(
        {"HTTP_X_A": "\xff", "HTTP_X_B": "\u20ac"}, [(b"x-a", b"\xff"), (b"x-b", b"\xe2\x82\xac")], id="octets"
    ),
    pytest.param({"HTTP_PROXY": "http://evil"}, [(b"proxy", b"http://evil")], id="httpoxy"),
    pytest.param({"HTTP_REMOTE_USER": "root"}, [(b"remote-user", b"root")], id="REMOTE-USER"),
    pytest.param({"REMOTE_USER": "joe", "SSL_CLIENT_VERIFY": "SUCCESS"}, [], id="what the server knows"),
    pytest.param({"HTTP_X_A": "a\r\n b"}, 400, id="a folded line"),
    pytest.param({"HTTP_X_A": "a\nx-b: c"}, 400, id="a line break in a value"),
    pytest.param({"HTTP_X_A": "a\rb"}, 400, id="a carriage return in a value"),
    pytest.param({"HTTP_X_A": "a\0b"}, 400, id="NUL in a value"),
    pytest.param({"HTTP_COOKIE": "a=1\r\nx: y"}, 400, id="a line break in a cookie"),
    pytest.param({"CONTENT_TYPE": "a/b\r\nx: y"}, 400, id="a line break in the type"),
]


@pytest.mark.requirement("A-026", "A-027", "A-028", "A-029")
@pytest.mark.parametrize(("variables", "expected"), FIELD_KEYS)
def test_a_variable_makes_a_header_of_its_name_or_none_or_the_request_is_refused(
    asker: Asker, variables: dict[str, object], expected: object
) -> None:
    scope = asker.ask(**variables)

    if isinstance(scope, int):
        assert scope == expected
    else:
        assert [pair for pair in scope["headers"] if pair[0] != b"host"] == expected
        assert scope["headers"][0] == (b"host", b"testserver")


@pytest.mark.requirement("A-031")
@pytest.mark.parametrize(
    "length",
    [
        "+5",
        "-5",
        "-0",
        "0x5",
        "5_0",
        "5.0",
        "5 5",
        " 5",
        "5 ",
        "5,5",
        "5, 6",
        "five",
        "\xb2",
        "\u0665",
        "5\0",
        "9" * 19,
    ],
    ids=ascii,
)
def test_a_length_that_is_no_plain_number_is_refused(asker: Asker, length: str) -> None:
    assert asker.ask(REQUEST_METHOD="POST", CONTENT_LENGTH=length) == 400


@pytest.mark.requirement("A-031")
def test_a_length_that_is_a_number_but_more_than_anybody_may_send_is_refused_as_that(asker: Asker) -> None:
    assert asker.ask(REQUEST_METHOD="POST", CONTENT_LENGTH="9" * 18) == 413


@pytest.mark.requirement("A-041", "A-044")
def test_a_length_beside_a_coding_that_the_server_undoes_is_not_believed() -> None:
    """Else what is left of the body stays with the server, and some take it for the next request."""
    bodies: list[tuple[list[tuple[bytes, bytes]], bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body, has_more = body + message["body"], message["more_body"]
        bodies.append((scope["headers"], body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    environ = environ_for("POST", CONTENT_LENGTH="4", HTTP_TRANSFER_ENCODING="chunked")
    environ["wsgi.input_terminated"] = True
    environ["wsgi.input"] = io.BytesIO(b"POSTGET /smuggled HTTP/1.1")
    with hosted(app) as adapter:
        run(adapter, environ)

    ((headers, body),) = bodies
    assert body == b"POSTGET /smuggled HTTP/1.1"
    assert b"content-length" not in dict(headers)


@pytest.mark.requirement("A-013")
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        pytest.param("get", "GET", id="lower case"),
        pytest.param("M-SEARCH", "M-SEARCH", id="an extension"),
        pytest.param("PO\xc5\xbfT", "PO\u017fT", id="a long s is no S"),
        pytest.param("OPT\xc4\xb1ONS", "OPT\u0131ONS", id="a dotless i is no I"),
        pytest.param("\xc3\x9f", "\xdf", id="a sharp s is not SS"),
        pytest.param("", "GET", id="none"),
    ],
)
def test_only_ascii_letters_of_a_method_have_an_upper_case(asker: Asker, method: str, expected: str) -> None:
    scope = asker.ask(REQUEST_METHOD=method)

    assert isinstance(scope, dict)
    assert scope["method"] == expected
