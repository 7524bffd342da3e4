"""Values of odd types and shapes in scopes and environs: what servers and middleware put there, and what they must not.

A missing or ``None`` value of an optional key, ports as text, lists for tuples: all that is taken. A required key that
is missing, or text that is no text, is the server's own fault; it gets an exception, and never a wrong environ.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import pytest

from bridge.errors import BadRequest
from bridge.translate import environ_from_scope, scope_from_environ
from tests.hostile.probing import Asker, asked, asking

HOST = (b"host", b"shop.example:81")


class OddText(str):
    """What middleware may put in the place of a ``str``."""

    __slots__ = ()


@pytest.fixture
def asker() -> Iterator[Asker]:
    """An ASGI application that tells of its scope."""
    with asking() as made:
        yield made


def environ_with(**scope: Any) -> dict[str, Any]:
    """Return the environ of a request, which must not be refused."""
    environ = asked([HOST], **scope)
    assert isinstance(environ, dict)
    return environ


@pytest.mark.requirement("W-012", "W-037")
@pytest.mark.parametrize(
    ("client", "address", "port"),
    [
        pytest.param(None, None, None, id="none"),
        pytest.param((), None, None, id="empty"),
        pytest.param(["192.0.2.7", 5], "192.0.2.7", "5", id="a list"),
        pytest.param(("192.0.2.7", "5"), "192.0.2.7", "5", id="a port as text"),
        pytest.param(("192.0.2.7", 0), "192.0.2.7", None, id="port 0"),
        pytest.param(("192.0.2.7", None), "192.0.2.7", None, id="no port"),
        pytest.param(("192.0.2.7", ""), "192.0.2.7", None, id="an empty port"),
        pytest.param(("", 5), None, None, id="no address"),
        pytest.param((None, None), None, None, id="nothing in it"),
        pytest.param((OddText("192.0.2.7"), 5), "192.0.2.7", "5", id="a subclass of str"),
        pytest.param(("caf\xe9\u20ac", 5), "caf\xc3\xa9\xe2\x82\xac", "5", id="beyond latin-1"),
        pytest.param(("::1", 5, 0, 0), "::1", "5", id="four parts, as sockets give"),
        pytest.param(("/run/client.sock", None), "/run/client.sock", None, id="a unix socket"),
    ],
)
def test_a_client_of_any_shape_is_what_is_known_of_it(client: Any, address: str | None, port: str | None) -> None:
    environ = environ_with(client=client)

    assert (environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")) == (address, port)
    assert {type(environ[key]) for key in ("REMOTE_ADDR", "REMOTE_PORT") if key in environ} <= {str}


@pytest.mark.requirement("W-033", "W-034", "W-035", "W-036")
@pytest.mark.parametrize(
    ("server", "name", "port"),
    [
        pytest.param(None, "shop.example", "81", id="none"),
        pytest.param((), "shop.example", "81", id="empty"),
        pytest.param(["10.0.0.1", 8000], "10.0.0.1", "8000", id="a list"),
        pytest.param(("10.0.0.1", "8000"), "10.0.0.1", "8000", id="a port as text"),
        pytest.param(("10.0.0.1", None), "shop.example", "81", id="no port"),
        pytest.param(("10.0.0.1", 0), "10.0.0.1", "80", id="port 0"),
        pytest.param(("", 8000), "localhost", "8000", id="no address"),
        pytest.param((None, 8000), "localhost", "8000", id="no address at all"),
        pytest.param((None, None), "shop.example", "81", id="nothing in it"),
        pytest.param(("::1", 8000), "[::1]", "8000", id="IPv6"),
        pytest.param(("[::1]", 8000), "[::1]", "8000", id="IPv6 in brackets"),
        pytest.param((OddText("10.0.0.1"), 8000), "10.0.0.1", "8000", id="a subclass of str"),
        pytest.param(("caf\xe9\u20ac", 8000), "caf\xc3\xa9\xe2\x82\xac", "8000", id="beyond latin-1"),
    ],
)
def test_a_server_of_any_shape_has_a_name_and_a_port(server: Any, name: str, port: str) -> None:
    environ = environ_with(server=server)

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)
    assert type(environ["SERVER_NAME"]) is type(environ["SERVER_PORT"]) is str


@pytest.mark.requirement("W-005", "W-029", "W-038", "W-057", "W-061")
def test_optional_keys_that_are_none_have_their_defaults() -> None:
    optional = ("scheme", "root_path", "raw_path", "client", "server", "extensions", "query_string", "http_version")

    environ = environ_with(**dict.fromkeys(optional))

    assert (environ["wsgi.url_scheme"], environ["SERVER_PROTOCOL"]) == ("http", "HTTP/1.1")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("", "/", "")
    assert "HTTPS" not in environ
    assert None not in environ.values()


@pytest.mark.requirement("W-057", "W-061")
@pytest.mark.parametrize(
    ("scheme", "is_secure"), [("https", True), ("HTTPS", False), ("wss", False), ("http\r\n", False), ("ftp", False)]
)
def test_only_the_scheme_https_is_secure(scheme: str, is_secure: bool) -> None:
    environ = environ_with(scheme=scheme)

    assert environ["wsgi.url_scheme"] == scheme
    assert ("HTTPS" in environ) is is_secure


@pytest.mark.requirement("W-010", "W-016")
@pytest.mark.parametrize(
    ("method", "expected"),
    [("get", "get"), ("M-SEARCH", "M-SEARCH"), (OddText("GET"), "GET"), ("PO\u017fT", "PO\xc5\xbfT"), ("A B", "A B")],
    ids=ascii,
)
def test_a_method_stays_as_it_came(method: str, expected: str) -> None:
    environ = environ_with(method=method)

    assert environ["REQUEST_METHOD"] == expected
    assert type(environ["REQUEST_METHOD"]) is str


@pytest.mark.requirement("W-004", "W-005")
def test_fields_may_come_in_any_iterable_of_any_pairs_and_a_scope_that_cannot_be_changed() -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": iter([[b"x-a", b"1"], (b"Host", b"h")])}

    environ = environ_from_scope(MappingProxyType(scope))

    assert (environ["HTTP_X_A"], environ["HTTP_HOST"]) == ("1", "h")


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"method": None}, id="no method"),
        pytest.param({"method": b"GET"}, id="a method in bytes"),
        pytest.param({"path": b"/x"}, id="a path in bytes"),
        pytest.param({"path": 5}, id="a path that is a number"),
        pytest.param({"root_path": b"/x"}, id="a prefix in bytes"),
        pytest.param({"query_string": "q"}, id="a query in text"),
        pytest.param({"headers": [("x-a", "1")]}, id="fields in text"),
        pytest.param({"headers": [(b"x-a", None)]}, id="a field without a value"),
        pytest.param({"headers": [b"x-a: 1"]}, id="fields that are no pairs"),
        pytest.param({"headers": 5}, id="fields that are a number"),
        pytest.param({"extensions": {"tls": 5}}, id="an extension of a wrong type"),
    ],
)
def test_what_a_server_must_not_give_is_an_exception_and_never_a_wrong_environ(broken: dict[str, Any]) -> None:
    """That is the server's own business: which exception it is, is not documented. (A client cannot cause it.)"""
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [HOST], "server": ("h", 80)}

    with pytest.raises((TypeError, ValueError, AttributeError, LookupError)):
        environ_from_scope(scope | broken)


# ---- To an ASGI application -----------------------------------------------------------------------------------------

ODD_VALUES = [None, 5, -1, True, 1.5, b"/x", bytearray(b"x"), (), ("x",), [], {}, object(), OddText("x")]
VARIABLES = [
    *["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "SERVER_PROTOCOL", "SERVER_NAME"],
    *["SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "CONTENT_TYPE", "HTTP_X_A", "HTTP_HOST"],
]
TYPES = {
    "http_version": str,
    "method": str,
    "scheme": str,
    "path": str,
    "query_string": bytes,
    "root_path": str,
    "headers": list,
}


@pytest.mark.requirement("A-008", "A-010")
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_of_any_type_gives_a_scope_of_the_right_types(asker: Asker, variable: str) -> None:
    for value in ODD_VALUES:
        scope = asker.ask(**{variable: value})
        assert isinstance(scope, dict), (variable, value)
        assert {key: type(scope[key]) for key in TYPES} == TYPES
        assert all(type(part) is bytes for pair in scope["headers"] for part in pair)
        assert scope["client"] is None or tuple(map(type, scope["client"])) == (str, int)
        assert scope["server"] is None or type(scope["server"][0]) is str


@pytest.mark.requirement("A-008", "A-031")
@pytest.mark.parametrize(
    "value", [-1, 1.5, b"5", True, ["5"], object()], ids=["-1", "1.5", "bytes", "bool", "list", "object"]
)
def test_a_length_of_any_other_type_is_refused(value: Any) -> None:
    with asking() as asker:
        assert asker.ask(REQUEST_METHOD="POST", CONTENT_LENGTH=value) == 400


@pytest.mark.requirement("A-016", "A-017")
@pytest.mark.parametrize(
    ("port", "number"),
    [
        *[("80", 80), (80, 80), ("0", 0), ("65535", 65535), ("00080", 80), ("65536", None), (65536, None), (-1, None)],
        *[("", None), ("None", None), ("+80", None), ("8_0", None), (" 80", None), ("\u0665", None), ("\xb2", None)],
        *[("9" * 5000, None), (True, None), (80.0, None), (b"80", None)],
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_a_port_is_a_number_that_a_port_can_have_or_not_known(port: Any, number: int | None) -> None:
    scope = scope_from_environ(
        {"REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": port, "SERVER_NAME": "h", "SERVER_PORT": port, "PATH_INFO": "/"}
    )

    assert scope["server"] == ("h", number)
    assert scope["client"] == ("192.0.2.7", number or 0)


@pytest.mark.requirement("A-010", "A-022")
@pytest.mark.parametrize("text", ["/\ud800", "/\udcff", "/\u20ac\udfff", "/\xff", "/\xed\xa0\x80"], ids=ascii)  # noqa: PT014 - not the same
@pytest.mark.parametrize("variable", [*VARIABLES, "REQUEST_METHOD"])
def test_no_text_of_a_scope_holds_a_surrogate(variable: str, text: str) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "h", "SERVER_PORT": "80", "REMOTE_ADDR": "h"}
    try:
        scope = scope_from_environ(environ | {variable: text})
    except BadRequest:
        return

    for value in (*scope.values(), *(scope["client"] or ()), *(scope["server"] or ())):
        if isinstance(value, str):
            value.encode()
