"""``scope_from_environ``: the keys of the request line, the connection and the paths, one table for each."""

from __future__ import annotations

import copy
from types import MappingProxyType

import pytest

from bridge.translate import scope_from_environ
from bridge.translate.scope import SPEC_VERSION, client_from_environ

REQUIRED = {
    *["type", "asgi", "http_version", "method", "scheme", "path", "query_string", "root_path", "headers"],
    *["client", "server", "extensions"],
}
"""The keys of every scope: those ASGI requires, and the optional ones whose "not known" is spelled None or empty."""

FULL = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "/app",
    "PATH_INFO": "/x y",
    "QUERY_STRING": "a=%20",
    "REQUEST_URI": "/app/x%20y?a=%20",
    "SERVER_NAME": "shop.example",
    "SERVER_PORT": "8443",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "192.0.2.7",
    "REMOTE_PORT": "50000",
    "CONTENT_TYPE": "text/plain",
    "CONTENT_LENGTH": "5",
    "HTTP_HOST": "shop.example:8443",
    "HTTPS": "on",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "https",
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


class ServerDict(dict):
    """What gevent hands over: a subclass of ``dict``."""


def scope_of(**keys):
    """Return the scope of an environ that has only these keys."""
    return scope_from_environ(keys)


# ---- The scope as a whole ---------------------------------------------------------------------------------------


@pytest.mark.requirement("A-010", "A-011", "A-026")
def test_a_complete_environ_gives_exactly_this_scope():
    assert scope_from_environ(FULL) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": "/app/x y",
        "raw_path": b"/app/x%20y",
        "query_string": b"a=%20",
        "root_path": "/app",
        "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5"), (b"host", b"shop.example:8443")],
        "client": ("192.0.2.7", 50000),
        "server": ("shop.example", 8443),
        "extensions": {},
    }


@pytest.mark.requirement("A-008", "A-012", "A-014", "A-015", "A-016", "A-018", "A-020")
def test_an_empty_environ_gives_the_default_of_each_key_and_no_raw_path():
    assert scope_from_environ({}) == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": None,
        "server": None,
        "extensions": {},
    }


@pytest.mark.requirement("A-008")
@pytest.mark.parametrize("key", [key for key in FULL if "." not in key or key == "wsgi.url_scheme"])
def test_a_key_that_is_none_is_as_good_as_missing(key):
    without = {name: value for name, value in FULL.items() if name != key}

    assert scope_from_environ(FULL | {key: None}) == scope_from_environ(without)


@pytest.mark.requirement("A-008", "A-009")
@pytest.mark.parametrize("make", [ServerDict, MappingProxyType], ids=lambda make: make.__name__)
def test_the_environ_may_be_any_mapping_and_is_left_untouched(make):
    environ = make(copy.deepcopy(FULL))

    scope = scope_from_environ(environ)

    assert scope == scope_from_environ(FULL)
    assert type(scope) is dict
    assert list(environ.items()) == list(FULL.items())


@pytest.mark.requirement("A-010", "A-034")
def test_two_scopes_share_no_mutable_object():
    first, second = scope_from_environ(FULL), scope_from_environ(FULL)
    untouched = copy.deepcopy(second)

    first["asgi"].clear()
    first["headers"].clear()
    first["extensions"]["x"] = {}
    first.clear()

    assert second == untouched
    assert scope_from_environ(FULL) == untouched


@pytest.mark.requirement("A-033", "A-040")
def test_what_only_the_adapter_knows_is_not_in_it():
    scope = scope_from_environ(
        FULL | {"wsgi.early_hints": print, "wsgi.file_wrapper": print, "SSL_PROTOCOL": "TLSv1.3"}
    )

    assert scope.keys() == REQUIRED | {"raw_path"}
    assert scope["extensions"] == {}


@pytest.mark.requirement("A-011")
def test_the_specification_version_is_the_one_whose_send_raises_once_the_client_is_gone():
    assert SPEC_VERSION == "2.5"


# ---- Simple keys ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-012")
@pytest.mark.parametrize(
    ("protocol", "version"),
    [
        ("HTTP/1.0", "1.0"),
        ("HTTP/1.1", "1.1"),
        ("HTTP/2", "2"),
        ("HTTP/2.0", "2"),
        ("HTTP/3", "3"),
        ("HTTP/3.0", "3"),
        pytest.param("HTTP/1", "1.0", id="granian"),
        pytest.param("http/1.0", "1.0", id="lower case"),
        pytest.param("http/2.0", "2", id="lower case, two parts"),
        pytest.param(" HTTP/1.0 ", "1.0", id="outer space"),
        pytest.param("INCLUDED", "1.1", id="a server-side include"),
        pytest.param("HTTP/1.2", "1.1", id="no such version"),
        pytest.param("HTTP/", "1.1", id="no number"),
        pytest.param("HTTP", "1.1", id="no slash"),
        pytest.param("SPDY/3", "1.1", id="another protocol"),
        pytest.param("", "1.1", id="empty"),
    ],
)
def test_the_http_version_is_one_that_asgi_knows(protocol, version):
    assert scope_of(SERVER_PROTOCOL=protocol)["http_version"] == version


@pytest.mark.requirement("A-013")
@pytest.mark.parametrize(
    ("given", "method"),
    [("GET", "GET"), ("get", "GET"), ("PROPFIND", "PROPFIND"), ("Patch", "PATCH"), ("M-SEARCH", "M-SEARCH")],
)
def test_the_method_is_upper_case(given, method):
    assert scope_of(REQUEST_METHOD=given)["method"] == method


@pytest.mark.requirement("A-014")
@pytest.mark.parametrize(
    ("environ", "scheme"),
    [
        pytest.param({}, "http", id="missing"),
        pytest.param({"wsgi.url_scheme": ""}, "http", id="empty"),
        pytest.param({"wsgi.url_scheme": "http"}, "http", id="http"),
        pytest.param({"wsgi.url_scheme": "https"}, "https", id="https"),
        pytest.param({"HTTPS": "on", "SERVER_PORT": "443"}, "http", id="other variables do not count"),
        pytest.param({"HTTP_X_FORWARDED_PROTO": "https", "HTTP_FORWARDED": "proto=https"}, "http", id="nor do fields"),
    ],
)
def test_the_scheme_is_the_servers_word_alone(environ, scheme):
    assert scope_from_environ(environ)["scheme"] == scheme


@pytest.mark.requirement("A-015")
@pytest.mark.parametrize(
    ("native", "octets"),
    [
        pytest.param("", b"", id="empty"),
        pytest.param("a=1&b=%20+%2B", b"a=1&b=%20+%2B", id="still encoded"),
        pytest.param("a?b#c", b"a?b#c", id="nothing is cut off"),
        pytest.param("q=\xe9", b"q=\xe9", id="latin-1"),
        pytest.param("q=\xc3\xa9", b"q=\xc3\xa9", id="UTF-8 octets"),
        pytest.param("q=\u20ac", b"q=\xe2\x82\xac", id="text of a careless server"),
        pytest.param("q=\udcff", b"q=\xef\xbf\xbd", id="a lone surrogate"),
    ],
)
def test_the_query_string_is_the_octets_of_the_variable(native, octets):
    assert scope_of(QUERY_STRING=native)["query_string"] == octets


@pytest.mark.requirement("A-008", "A-016")
@pytest.mark.parametrize(
    ("address", "port", "client"),
    [
        pytest.param("192.0.2.7", "50000", ("192.0.2.7", 50000), id="ordinary"),
        pytest.param("::1", "50000", ("::1", 50000), id="IPv6"),
        pytest.param("192.0.2.7", 50000, ("192.0.2.7", 50000), id="werkzeug: a number"),
        pytest.param("192.0.2.7", None, ("192.0.2.7", 0), id="granian, Passenger: no port"),
        pytest.param("192.0.2.7", "", ("192.0.2.7", 0), id="empty port"),
        pytest.param("192.0.2.7", "None", ("192.0.2.7", 0), id="the word None"),
        pytest.param("192.0.2.7", "-1", ("192.0.2.7", 0), id="negative port"),
        pytest.param("192.0.2.7", "65535", ("192.0.2.7", 65535), id="highest port"),
        pytest.param("192.0.2.7", "65536", ("192.0.2.7", 0), id="port too high"),
        pytest.param("192.0.2.7", 65536, ("192.0.2.7", 0), id="number too high"),
        pytest.param("192.0.2.7", -1, ("192.0.2.7", 0), id="negative number"),
        pytest.param("192.0.2.7", "9" * 5000, ("192.0.2.7", 0), id="more digits than int() takes"),
        pytest.param("192.0.2.7", "\u0665", ("192.0.2.7", 0), id="a digit that is not ASCII"),
        pytest.param("192.0.2.7", "5_0", ("192.0.2.7", 0), id="an underscore, which int() takes"),
        pytest.param("192.0.2.7", b"5", ("192.0.2.7", 0), id="octets"),
        pytest.param("localhost", "None", None, id="waitress on a unix socket"),
        pytest.param("localhost", "5", ("localhost", 5), id="localhost by name"),
        pytest.param(None, "50000", None, id="no address"),
        pytest.param("", "", None, id="gunicorn on a unix socket"),
        pytest.param("-", "1", None, id="a dash"),
        pytest.param("None", "None", None, id="the word None twice"),
        pytest.param("unknown", "0", None, id="unknown"),
        pytest.param("unix:", "", None, id="nginx on a unix socket"),
        pytest.param(b"", "", None, id="gevent on a unix socket"),
    ],
)
def test_the_client_is_an_address_and_a_number_or_none(address, port, client):
    environ = {"REMOTE_ADDR": address, "REMOTE_PORT": port}

    assert scope_from_environ(environ)["client"] == client
    assert client_from_environ(environ) == client


@pytest.mark.requirement("A-014", "A-016")
def test_a_proxys_fields_do_not_change_the_client():
    scope = scope_of(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.7", HTTP_FORWARDED="for=192.0.2.7")

    assert scope["client"] == ("127.0.0.1", 0)


@pytest.mark.requirement("A-008", "A-017")
@pytest.mark.parametrize(
    ("name", "port", "server"),
    [
        pytest.param("shop.example", "80", ("shop.example", 80), id="ordinary"),
        pytest.param("[::1]", "8000", ("::1", 8000), id="IPv6 in brackets"),
        pytest.param("::1", "8000", ("::1", 8000), id="IPv6 without brackets"),
        pytest.param("shop.example", 8000, ("shop.example", 8000), id="a number"),
        pytest.param("shop.example", "", ("shop.example", None), id="gunicorn, cheroot on a unix socket"),
        pytest.param("shop.example", "None", ("shop.example", None), id="the word None"),
        pytest.param("shop.example", None, ("shop.example", None), id="no port"),
        pytest.param("shop.example", "http", ("shop.example", None), id="a word"),
        pytest.param("shop.example", "65536", ("shop.example", None), id="port too high"),
        pytest.param("shop.example", 8000.0, ("shop.example", None), id="a fraction"),
        pytest.param("shop.example", True, ("shop.example", None), id="a truth value, which is an int in Python"),
        pytest.param("/run/shop.sock", "", ("/run/shop.sock", None), id="a unix socket by its path"),
        pytest.param("", "80", None, id="empty name"),
        pytest.param("[", "80", ("[", 80), id="half a bracket"),
        pytest.param(None, "80", None, id="no name"),
    ],
)
def test_the_server_is_a_name_and_a_number_or_none(name, port, server):
    scope = scope_of(SERVER_NAME=name, SERVER_PORT=port)

    assert scope["server"] == server
    assert scope["server"] is None or type(scope["server"][1]) in (int, type(None))
