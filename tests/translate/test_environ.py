"""``environ`` from a scope: the keys of the request line, the connection and ``wsgi.*``."""

from __future__ import annotations

import copy
import re
from http import HTTPMethod
from types import MappingProxyType

import pytest

from bridge.errors import BadRequest
from bridge.translate import BodyFraming, EnvironOptions, environ_from_scope

MINIMAL = {"type": "http", "method": "GET", "path": "/"}

ALWAYS = {
    *["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"],
    *["wsgi.version", "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"],
}
"""The keys of W-011 but for ``wsgi.input`` and ``wsgi.errors``, which belong to a running request."""

EXTRAS = {"REQUEST_URI", "RAW_URI", "SERVER_SOFTWARE", "wsgi.input_terminated"}
"""Further keys of every request."""


def environ_of(**keys):
    """Return the environ of a minimal scope with these keys set."""
    return environ_from_scope(MINIMAL | keys)


# ---- environ as a whole -----------------------------------------------------------------------------------------


@pytest.mark.requirement("W-005", "W-011", "W-012", "W-014")
def test_a_scope_with_nothing_optional_gives_exactly_the_keys_of_every_request():
    environ = environ_from_scope({"type": "http", "method": "GET"})

    assert environ.keys() == ALWAYS | EXTRAS
    assert None not in environ.values()


@pytest.mark.requirement("W-005")
@pytest.mark.parametrize(
    "key",
    [
        *["scheme", "root_path", "raw_path", "client", "server", "extensions", "state", "asgi", "headers"],
        *["query_string", "http_version", "path"],
    ],
)
def test_an_optional_key_that_is_none_is_as_good_as_missing(key):
    assert environ_of(**{key: None}) == environ_from_scope(
        {name: value for name, value in MINIMAL.items() if name != key}
    )


@pytest.mark.requirement("W-005")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([[b"host", b"h:81"], [b"content-length", b"5"]], id="lists in a list"),
        pytest.param(((b"host", b"h:81"), (b"content-length", b"5")), id="tuples in a tuple"),
        pytest.param(iter([(b"host", b"h:81"), (b"content-length", b"5")]), id="a one-shot iterator"),
    ],
)
def test_headers_may_be_any_iterable_of_pairs(headers):
    environ = environ_of(headers=headers)

    assert (environ["HTTP_HOST"], environ["CONTENT_LENGTH"]) == ("h:81", "5")


@pytest.mark.requirement("W-005", "W-037")
@pytest.mark.parametrize("make", [list, tuple])
def test_addresses_may_be_lists_or_tuples(make):
    environ = environ_of(client=make(("192.0.2.7", 5000)), server=make(("h", 8000)))

    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.7", "5000")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("h", "8000")


@pytest.mark.requirement("W-008")
def test_each_environ_is_a_new_plain_dict_that_shares_nothing_mutable():
    options = EnvironOptions(extra={"shop.name": "Shop"})
    base = options.base()
    untouched = copy.deepcopy(base)

    first = environ_from_scope(MINIMAL, options=options, base=base)
    second = environ_from_scope(MINIMAL, options=options, base=base)
    first.clear()

    assert type(second) is dict
    assert second.keys() == ALWAYS | EXTRAS | {"shop.name"}
    assert all(isinstance(value, str | bool | tuple) for value in second.values())
    assert base == untouched


@pytest.mark.requirement("W-004")
def test_the_scope_is_left_untouched_and_may_be_read_only():
    extensions = MappingProxyType({"tls": MappingProxyType({"client_cert_chain": ("pem",)}), "http.response.push": {}})
    scope = {
        **MINIMAL,
        "headers": [(b"X-A", b"1"), (b"x-a", b"2")],
        "client": ["127.0.0.1", 5000],
        "server": ["127.0.0.1", 8000],
        "state": {"count": 1},
    }
    before = copy.deepcopy(scope)

    environ_from_scope(MappingProxyType({**scope, "extensions": extensions})).clear()

    assert scope == before


@pytest.mark.requirement("W-010")
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"method": HTTPMethod.GET}, id="method of an enum that is a str too"),
        pytest.param({"client": ("/run/\u20ac.sock", 1)}, id="client address beyond latin-1"),
        pytest.param({"server": ("\u20ac.example", 80)}, id="server name beyond latin-1"),
        pytest.param({"root_path": "/\u20ac", "path": "/\u20ac/\U0001f40d"}, id="paths beyond latin-1"),
        pytest.param({"query_string": b"\xff\x00"}, id="query octets"),
    ],
)
def test_values_under_keys_without_a_dot_are_exactly_str_and_latin1(keys):
    environ = environ_of(**keys)

    for key, value in environ.items():
        if "." not in key:
            assert type(value) is str, key
            value.encode("latin-1")


@pytest.mark.requirement("W-015")
def test_a_deployers_pairs_are_added_and_never_override_request_data(monkeypatch):
    monkeypatch.setenv("SHOP_SECRET", "from the process")
    optional = ["HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR", "REMOTE_PORT", "HTTPS"]
    evil = dict.fromkeys([*ALWAYS, *EXTRAS, *optional], "evil")
    scope = MINIMAL | {
        "scheme": "https",
        "headers": [(b"host", b"h"), (b"content-type", b"text/plain"), (b"content-length", b"5")],
        "client": ("127.0.0.1", 5000),
    }

    environ = environ_from_scope(scope, options=EnvironOptions(extra={**evil, "SHOP_ENV": "prod", "shop.pool": 7}))

    assert environ == environ_from_scope(scope) | {"SHOP_ENV": "prod", "shop.pool": 7}


@pytest.mark.requirement("W-060")
def test_no_key_promises_a_raw_socket():
    environ = environ_of(headers=[(b"upgrade", b"websocket"), (b"connection", b"upgrade")])

    assert not environ.keys() & {
        *["werkzeug.socket", "gunicorn.socket", "wsgi.websocket", "eventlet.input", "passenger.hijack", "wsgi.upgrade"],
    }


# ---- Request line -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-016")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PROPFIND", "M-SEARCH", "get", "X"])
def test_the_method_is_unchanged(method):
    assert environ_of(method=method)["REQUEST_METHOD"] == method


@pytest.mark.requirement("W-017", "W-018", "W-022")
@pytest.mark.parametrize(
    ("strip", "path_info"), [pytest.param(True, "/\xff", id="strip"), pytest.param(False, "/app/\xff", id="leave")]
)
def test_the_path_is_split_as_the_options_say(strip, path_info):
    scope = MINIMAL | {"root_path": "/app/", "path": "/app/\ufffd", "raw_path": b"/app/%FF"}

    environ = environ_from_scope(scope, options=EnvironOptions(strip_root_path=strip))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", path_info)


@pytest.mark.requirement("W-029")
@pytest.mark.parametrize(
    ("query_string", "query"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(None, "", id="None"),
        pytest.param(b"q=%E9&r=\xe9", "q=%E9&r=\xe9", id="octets beyond ascii"),
        pytest.param(b"a=1+2&b=%20", "a=1+2&b=%20", id="not decoded"),
        pytest.param(b"?x", "?x", id="a question mark of its own"),
    ],
)
def test_the_query_is_read_as_latin1_and_not_decoded(query_string, query):
    assert environ_of(query_string=query_string)["QUERY_STRING"] == query


@pytest.mark.requirement("W-030")
def test_both_raw_uri_keys_hold_the_target_as_received():
    environ = environ_of(path="/a/b", raw_path=b"/a%2Fb", query_string=b"x=%20")

    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/a%2Fb?x=%20"


@pytest.mark.requirement("W-028")
def test_the_authority_of_an_absolute_form_replaces_http_host():
    environ = environ_of(path="http://real:81/p", headers=[(b"host", b"other")], root_path="/")

    assert (environ["PATH_INFO"], environ["HTTP_HOST"]) == ("/p", "real:81")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("real", "81")


@pytest.mark.requirement("W-028", "W-054")
def test_an_absolute_form_without_a_host_does_not_make_http_host_empty():
    """RFC 9110 section 4.2.1 calls such a URI invalid; refusing it is as good."""
    try:
        environ = environ_of(path="http:///p", headers=[(b"host", b"shop.example")])
    except BadRequest:
        return
    assert environ["HTTP_HOST"] == "shop.example"


@pytest.mark.requirement("W-028", "W-046")
@pytest.mark.parametrize("octet", ["\r", "\n", "\0"], ids=["CR", "LF", "NUL"])
def test_a_decoded_authority_cannot_smuggle_a_control_character_into_http_host(octet):
    with pytest.raises(BadRequest):
        environ_of(path=f"http://h{octet}X-Evil: 1/p", headers=[(b"host", b"h")])


@pytest.mark.requirement("W-028")
def test_options_for_the_whole_server_keeps_its_asterisk():
    assert environ_of(method="OPTIONS", path="*", raw_path=b"*")["PATH_INFO"] == "*"


@pytest.mark.requirement("W-038")
@pytest.mark.parametrize(
    ("http_version", "protocol"),
    [
        *[("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2"), ("1", "HTTP/1.0"), ("3", "HTTP/3")],
        *[("2.0", "HTTP/2"), ("4", "HTTP/4"), (None, "HTTP/1.1")],
    ],
)
def test_the_protocol_names_the_version(http_version, protocol):
    assert environ_of(http_version=http_version)["SERVER_PROTOCOL"] == protocol


# ---- Connection -------------------------------------------------------------------------------------------------

SHOP_81 = [(b"host", b"shop.example:81")]


@pytest.mark.requirement("W-033", "W-034", "W-035", "W-036")
@pytest.mark.parametrize(
    ("keys", "name", "port"),
    [
        pytest.param({"server": ("10.0.0.1", 8000)}, "10.0.0.1", "8000", id="int port"),
        pytest.param({"server": ("10.0.0.1", "8000")}, "10.0.0.1", "8000", id="text port"),
        pytest.param({"server": ("10.0.0.1", 8000), "headers": SHOP_81}, "10.0.0.1", "8000", id="server before Host"),
        pytest.param({}, "localhost", "80", id="nothing known"),
        pytest.param({"scheme": "https"}, "localhost", "443", id="nothing known, https"),
        pytest.param({"headers": SHOP_81}, "shop.example", "81", id="Host"),
        pytest.param({"headers": [(b"host", b"h")], "scheme": "https"}, "h", "443", id="Host without port"),
        pytest.param({"headers": [(b"host", b"h:")]}, "h", "80", id="Host with an empty port"),
        pytest.param({"headers": [(b"host", b":81")]}, "localhost", "81", id="Host with an empty name"),
        pytest.param({"headers": [(b"host", b"")]}, "localhost", "80", id="empty Host"),
        pytest.param({"headers": [(b"host", b"[::1]:81")]}, "[::1]", "81", id="Host with ipv6 and port"),
        pytest.param({"headers": [(b"host", b"[::1]")]}, "[::1]", "80", id="Host with ipv6"),
        pytest.param({"headers": [(b"host", b"::1")]}, "[::1]", "80", id="Host with bare ipv6"),
        pytest.param({"server": ["/run/shop.sock", None]}, "localhost", "80", id="unix socket"),
        pytest.param({"server": ["/run/s", None], "scheme": "https"}, "localhost", "443", id="unix socket, https"),
        pytest.param({"server": ["/run/s", None], "headers": SHOP_81}, "shop.example", "81", id="unix socket, Host"),
        pytest.param({"server": (None, None)}, "localhost", "80", id="neither part known"),
        pytest.param({"server": (None, 8000)}, "localhost", "8000", id="only the port known"),
        pytest.param({"server": ("", 8000)}, "localhost", "8000", id="empty name"),
        pytest.param({"server": ("10.0.0.1", 0)}, "10.0.0.1", "80", id="port 0"),
        pytest.param({"server": ("10.0.0.1", "0")}, "10.0.0.1", "80", id="text port 0"),
        pytest.param({"server": ("10.0.0.1", ""), "scheme": "https"}, "10.0.0.1", "443", id="empty port"),
        pytest.param({"server": ("::1", 8000)}, "[::1]", "8000", id="ipv6 gets brackets"),
        pytest.param({"server": ("[::1]", 8000)}, "[::1]", "8000", id="ipv6 has brackets"),
    ],
)
def test_server_name_and_port_are_never_empty_and_never_a_placeholder(keys, name, port):
    environ = environ_of(**keys)

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)


@pytest.mark.requirement("W-036", "W-037")
@pytest.mark.parametrize(
    ("client", "expected"),
    [
        pytest.param(("192.0.2.7", 5000), {"REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "5000"}, id="tuple"),
        pytest.param(["192.0.2.7", 5000], {"REMOTE_ADDR": "192.0.2.7", "REMOTE_PORT": "5000"}, id="list"),
        pytest.param(("::1", 5000), {"REMOTE_ADDR": "::1", "REMOTE_PORT": "5000"}, id="ipv6 is bare"),
        pytest.param(("192.0.2.7", 0), {"REMOTE_ADDR": "192.0.2.7"}, id="port 0"),
        pytest.param(("192.0.2.7", None), {"REMOTE_ADDR": "192.0.2.7"}, id="no port"),
        pytest.param(("", 0), {}, id="empty"),
        pytest.param(None, {}, id="None"),
    ],
)
def test_the_client_is_named_as_far_as_it_is_known(client, expected):
    environ = environ_of(client=client)

    assert {key: value for key, value in environ.items() if key.startswith("REMOTE_")} == expected


@pytest.mark.requirement("W-013", "W-039")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"evil")],
        *[
            (b"x-forwarded-port", b"1"),
            (b"x-forwarded-prefix", b"/evil"),
            (b"forwarded", b"for=203.0.113.9;proto=https"),
        ],
        *[(b"authorization", b"Basic dTpw"), (b"remote-user", b"root"), (b"script-name", b"/evil"), (b"https", b"on")],
        *[(b"ssl-client-verify", b"SUCCESS"), (b"wsgi.url-scheme", b"https"), (b"proxy", b"http://evil:8080")],
    ],
)
def test_a_field_is_never_taken_for_the_connection(name, value):
    plain, spoofed = environ_of(), environ_of(headers=[(name, value)])

    key = "HTTP_" + name.decode().upper().replace("-", "_")
    assert spoofed == plain | {key: value.decode()}


@pytest.mark.requirement("W-040")
def test_the_software_names_the_project_and_its_version():
    """No library takes the name for a server's whose socket it knows how to find."""
    assert re.fullmatch(r"bridge/[0-9]+(\.[0-9a-z]+)+", environ_of()["SERVER_SOFTWARE"])


# ---- Body and fields --------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-041", "W-051")
def test_content_length_is_the_number_as_text():
    assert environ_of(headers=[(b"Content-Length", b" 5, 5 ")])["CONTENT_LENGTH"] == "5"


@pytest.mark.requirement("W-052", "W-053", "W-077")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"transfer-encoding", b"chunked")], id="chunked"),
        pytest.param([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], id="chunked with a length"),
        pytest.param([], id="neither"),
    ],
)
def test_there_is_no_length_where_none_is_certain_and_never_a_transfer_coding(headers):
    environ = environ_of(headers=headers)

    assert environ.keys() == ALWAYS | EXTRAS


@pytest.mark.requirement("W-050", "W-051", "W-046", "W-054")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([(b"content-length", b"5"), (b"content-length", b"6")], id="two lengths"),
        pytest.param([(b"content-length", b"+5")], id="signed length"),
        pytest.param([(b"x-a", b"a\nb")], id="line feed"),
        pytest.param([(b"host", b"a"), (b"host", b"b")], id="two hosts"),
    ],
)
def test_fields_that_cannot_be_translated_refuse_the_request(headers):
    with pytest.raises(BadRequest):
        environ_of(headers=headers)


def test_headers_and_framing_that_the_caller_has_read_already_are_used():
    scope = MINIMAL | {"headers": iter(())}

    environ = environ_from_scope(scope, headers=[(b"x-a", b"1")], framing=BodyFraming(content_length=7))

    assert (environ["HTTP_X_A"], environ["CONTENT_LENGTH"]) == ("1", "7")


@pytest.mark.requirement("W-044")
def test_underscored_names_pass_where_the_options_allow_them():
    scope = MINIMAL | {"headers": [(b"X_Legacy", b"1"), (b"x_other", b"2")]}

    environ = environ_from_scope(scope, options=EnvironOptions(underscore_names=frozenset({b"x_legacy"})))

    assert environ.keys() - ALWAYS - EXTRAS == {"HTTP_X_LEGACY"}


# ---- wsgi.* -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-056", "W-059")
def test_the_constant_keys_have_their_values():
    environ = environ_of()

    assert environ["wsgi.version"] == (1, 0)
    assert type(environ["wsgi.version"]) is tuple
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True


@pytest.mark.requirement("W-057", "W-061")
@pytest.mark.parametrize(
    ("keys", "scheme", "https"),
    [
        pytest.param({}, "http", None, id="missing"),
        pytest.param({"scheme": ""}, "http", None, id="empty"),
        pytest.param({"scheme": "http"}, "http", None, id="http"),
        pytest.param({"scheme": "https"}, "https", "on", id="https"),
    ],
)
def test_the_scheme_is_never_empty_and_https_sets_https(keys, scheme, https):
    environ = environ_of(**keys)

    assert (environ["wsgi.url_scheme"], environ.get("HTTPS")) == (scheme, https)


@pytest.mark.requirement("W-058")
@pytest.mark.parametrize("multithread", [True, False])
@pytest.mark.parametrize("multiprocess", [True, False])
def test_concurrency_is_what_the_configuration_says(multithread, multiprocess):
    options = EnvironOptions(multithread=multithread, multiprocess=multiprocess)

    environ = environ_from_scope(MINIMAL, options=options)

    assert environ["wsgi.multithread"] is multithread
    assert environ["wsgi.multiprocess"] is multiprocess


@pytest.mark.requirement("W-062", "W-064")
def test_the_tls_extension_speaks_only_where_it_is_offered():
    plain = environ_of(scheme="https", extensions={"http.response.push": {}, "tls": None})
    secured = environ_of(scheme="https", extensions={"tls": {"tls_version": 0x0304}})

    assert not [key for key in plain if key.startswith("SSL_")]
    assert secured == plain | {"SSL_PROTOCOL": "TLSv1.3", "SSL_CLIENT_VERIFY": "NONE"}
