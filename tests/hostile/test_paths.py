"""Paths that pretend: prefixes that are none, escaped slashes and hosts, octets that are no text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway import environ_for
from tests.hostile.probing import Asker, asked, asking

HOST = (b"host", b"good")


@pytest.fixture
def asker() -> Iterator[Asker]:
    """An ASGI application that tells of its scope."""
    with asking() as made:
        yield made


# root_path, path, raw_path; SCRIPT_NAME, PATH_INFO
PATHS = [
    pytest.param("/app", "/application", None, "/app", "/application", id="a longer segment"),
    pytest.param("/app", "/app", None, "/app", "", id="the prefix alone"),
    pytest.param("/app", "/app/", None, "/app", "/", id="the prefix and a slash"),
    pytest.param("/app", "/app//x", None, "/app", "//x", id="two slashes after it"),
    pytest.param("/app", "//app/x", None, "/app", "//app/x", id="two slashes before it"),
    pytest.param("/app", "/APP/x", None, "/app", "/APP/x", id="in another case"),
    pytest.param("/app", "/app;v=1/x", None, "/app", "/app;v=1/x", id="with a parameter"),
    pytest.param("/app", "/app/../admin", b"/app/../admin", "/app", "/../admin", id="dots"),
    pytest.param("/app", "/app/../admin", b"/app/%2e%2e/admin", "/app", "/../admin", id="escaped dots"),
    pytest.param("/app", "/../app/x", None, "/app", "/../app/x", id="dots before it"),
    pytest.param("/app", "/app/x", b"/%61pp/x", "/app", "/x", id="an escaped prefix"),
    pytest.param("/app", "/app/x", b"/app%2Fx", "/app", "/x", id="an escaped slash after it"),
    pytest.param("/app", "/app/app/x", None, "/app", "/app/x", id="the prefix twice"),
    pytest.param("/app/", "/app/x", None, "/app", "/x", id="a prefix with a slash"),
    pytest.param("app", "/app/x", None, "/app", "/x", id="a prefix without a slash"),
    pytest.param("//", "//x", None, "", "//x", id="a prefix of slashes"),
    pytest.param("/café", "/café/x", b"/caf%C3%A9/x", "/caf\xc3\xa9", "/x", id="beyond ASCII"),
    pytest.param(
        "/cafe\u0301", "/caf\xe9/x", None, "/cafe\xcc\x81", "/caf\xc3\xa9/x", id="the same letter otherwise written"
    ),
    pytest.param("/\ufffd", "/\ufffd/x", b"/%FF/x", "/\xff", "/x", id="a prefix that is no UTF-8"),
    pytest.param(
        "/\ufffd", "/\ufffd/\ufffd", b"/%FF/%FE", "/\xff", "/\xfe", id="a prefix and a path that are no UTF-8"
    ),
    pytest.param("/\ufffd\ufffd", "/\ufffd\ufffd", b"/%FF%FE", "/\xff\xfe", "", id="only a prefix that is no UTF-8"),
    pytest.param(
        "/a/\ufffd", "/x\ufffd", b"/a/%FF/x%FE", "/a/\xff", "/x\xfe", id="such a prefix in the raw path alone"
    ),
    pytest.param("/\ufffd", "/\ufffdx/y", b"/%FFx/y", "/\xef\xbf\xbd", "/\xffx/y", id="a segment longer than that"),
    pytest.param("/\ufffd", "/\ufffd/x", b"/%EF%BF%BD/x", "/\xef\xbf\xbd", "/x", id="a prefix that is U+FFFD itself"),
    pytest.param("", "/%2525", b"/%252525", "", "/%2525", id="escaped twice"),
    pytest.param("", "/a b\0\r\n?#", b"/a%20b%00%0D%0A%3F%23", "", "/a b\0\r\n?#", id="control characters, escaped"),
    pytest.param("", "/" + "\ufffd" * 3, b"/%ED%A0%80", "", "/\xed\xa0\x80", id="a surrogate on the wire"),
    pytest.param("", "/\udcff", None, "", "/\xff", id="an escaped octet"),
    pytest.param("/\udcff", "/\udcff/x", None, "/\xff", "/x", id="an escaped octet in the prefix"),
    pytest.param("", "", None, "", "/", id="nothing"),
    pytest.param("", "*", None, "", "*", id="asterisk"),
    pytest.param("", "h:443", None, "", "h:443", id="authority form"),
    pytest.param("", "/http://evil/x", None, "", "/http://evil/x", id="a URL in a path"),
    pytest.param("", "//evil/x", None, "", "//evil/x", id="two slashes and a host"),
]


@pytest.mark.requirement(
    "W-017", "W-018", "W-019", "W-020", "W-021", "W-022", "W-023", "W-024", "W-025", "W-026", "W-027"
)
@pytest.mark.parametrize(("root_path", "path", "raw_path", "script_name", "path_info"), PATHS)
def test_a_path_is_split_where_its_prefix_ends_and_nothing_is_changed_in_it(
    root_path: str, path: str, raw_path: bytes | None, script_name: str, path_info: str
) -> None:
    environ = asked([HOST], root_path=root_path, path=path, raw_path=raw_path)

    assert isinstance(environ, dict)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)
    assert environ["HTTP_HOST"] == "good"


@pytest.mark.requirement("W-024", "W-138")
@pytest.mark.parametrize(
    ("root_path", "path"),
    [("", "/\ud800"), ("", "/\udfff"), ("/\ud800", "/x"), ("/a", "/a/\udc7f"), ("", "http://\ud800/"), ("", "x\ud800")],  # noqa: PT014 - not the same
    ids=ascii,
)
def test_a_lone_surrogate_that_stands_for_no_octet_is_refused(root_path: str, path: str) -> None:
    assert asked([HOST], root_path=root_path, path=path) == 400


# path, raw_path; PATH_INFO, HTTP_HOST
ABSOLUTE = [
    pytest.param("http://h/p", b"http://h/p", "/p", "h", id="plain"),
    pytest.param("http://h/p", None, "/p", "h", id="without a raw path"),
    pytest.param("HTTPS://h:8/p", b"HTTPS://h:8/p?q", "/p", "h:8", id="in capitals, with a stray query"),
    pytest.param("http://h", b"http://h", "/", "h", id="without a path"),
    pytest.param("http://a:b@h/p", b"http://a:b@h/p", "/p", "h", id="with a user"),
    pytest.param("http://good@evil/p", b"http://good%40evil/p", "/p", "good%40evil", id="an escaped at sign"),
    pytest.param("http://ev/il/p", b"http://ev%2Fil/p", "/p", "ev%2Fil", id="an escaped slash in the host"),
    pytest.param("http://evil/p", b"http%3A//evil/p", "http://evil/p", "good", id="an escaped colon"),
    pytest.param("http://evil/p", b"http:%2F%2Fevil/p", "http://evil/p", "good", id="escaped slashes"),
    pytest.param("http://h/\ufffd", b"http://h/%FF", "/\xff", "h", id="a path that is no UTF-8"),
    pytest.param("http://h/\ufffd", b"/%FF", "/\xff", "h", id="a raw path without the host"),
    pytest.param("http://h/p", b"/old", "/p", "h", id="another raw path"),
    pytest.param("http:///p", b"http:///p", "/p", "good", id="without a host"),
    pytest.param("ftp://h/p", b"ftp://h/p", "ftp://h/p", "good", id="another scheme"),
]


@pytest.mark.requirement("W-022", "W-025", "W-028")
@pytest.mark.parametrize(("path", "raw_path", "path_info", "host"), ABSOLUTE)
def test_a_host_is_taken_from_a_target_only_where_the_client_has_written_one(
    path: str, raw_path: bytes | None, path_info: str, host: str
) -> None:
    environ = asked([HOST], path=path, raw_path=raw_path)

    assert isinstance(environ, dict)
    assert (environ["PATH_INFO"], environ["HTTP_HOST"]) == (path_info, host)


@pytest.mark.requirement("W-046", "W-138")
@pytest.mark.parametrize("path", ["http://h\r\nx/p", "http://h\0/p"], ids=ascii)
def test_a_control_character_in_the_host_of_a_target_is_refused(path: str) -> None:
    assert asked([HOST], path=path) == 400


@pytest.mark.requirement("W-033", "W-034", "W-035", "W-036")
@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        pytest.param(b"h:81", "h", "81", id="plain"),
        pytest.param(b"h", "h", "80", id="without a port"),
        pytest.param(b"h:", "h", "80", id="an empty port"),
        pytest.param(b"h:0", "h", "80", id="port 0"),
        pytest.param(b"h:000", "h", "80", id="zeros"),
        pytest.param(b"h:65536", "h", "80", id="a port that is too large"),
        pytest.param(b"h:" + b"9" * 5000, "h", "80", id="a port that no int() reads"),
        pytest.param(b"h:+80", "[h:+80]", "80", id="no port"),
        pytest.param(b"[::1]:81", "[::1]", "81", id="IPv6"),
        pytest.param(b"::1", "[::1]", "80", id="IPv6 without brackets"),
        pytest.param(b":81", "localhost", "81", id="no host"),
        pytest.param(b":", "localhost", "80", id="nothing but a colon"),
        pytest.param(b"\xff", "\xff", "80", id="an octet"),
    ],
)
def test_on_a_unix_socket_name_and_port_are_what_a_host_field_can_mean(host: bytes, name: str, port: str) -> None:
    environ = asked([(b"host", host)], server=("/run/shop.sock", None))

    assert isinstance(environ, dict)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)
    assert environ["HTTP_HOST"].encode("latin-1") == host


# SCRIPT_NAME, PATH_INFO, REQUEST_URI; root_path, path, raw_path
SCOPE_PATHS = [
    pytest.param("/app", "/x", "/app/x", "/app", "/app/x", b"/app/x", id="plain"),
    pytest.param("/app", "", "/app", "/app", "/app", b"/app", id="the prefix alone"),
    pytest.param("/app/", "/x", "/app/x", "/app", "/app/x", b"/app/x", id="a prefix with a slash"),
    pytest.param("", "//evil/../x", "//evil/../x", "", "//evil/../x", b"//evil/../x", id="slashes and dots"),
    pytest.param("", "/a/b", "/a%2Fb", "", "/a/b", b"/a%2Fb", id="an escaped slash"),
    pytest.param("", "/%41", "/%2541", "", "/%41", b"/%2541", id="escaped twice"),
    pytest.param("", "/\xff", "/%FF", "", "/\ufffd", b"/%FF", id="no UTF-8"),
    pytest.param("/\xff", "/\xfe", "/%FF/%FE", "/\ufffd", "/\ufffd/\ufffd", b"/%FF/%FE", id="no UTF-8 in the prefix"),
    pytest.param("", "/\xed\xa0\x80", "/%ED%A0%80", "", "/\ufffd\ufffd\ufffd", b"/%ED%A0%80", id="a surrogate"),
    pytest.param("", "/a\0\r\n", "/a%00%0D%0A", "", "/a\0\r\n", b"/a%00%0D%0A", id="control characters, escaped"),
    pytest.param("", "/x", "http://evil/x?q=/y", "", "/x", b"/x", id="absolute form"),
    pytest.param("", "/x", "/y", "", "/x", None, id="a rewritten path"),
    pytest.param("", "/x", "/x?/../y", "", "/x", b"/x", id="a query with slashes"),
    pytest.param("", "/x", "/x\u20ac", "", "/x", None, id="a URI that is no octets"),
]


@pytest.mark.requirement("A-018", "A-019", "A-020", "A-021", "A-022", "A-023", "A-024")
@pytest.mark.parametrize(("script_name", "path_info", "uri", "root_path", "path", "raw_path"), SCOPE_PATHS)
def test_a_scope_has_the_whole_path_decoded_once(
    asker: Asker, script_name: str, path_info: str, uri: str, root_path: str, path: str, raw_path: bytes | None
) -> None:
    scope = asker.scope_or_status(environ_for(path=path_info, SCRIPT_NAME=script_name, REQUEST_URI=uri))

    assert isinstance(scope, dict)
    assert (scope["root_path"], scope["path"], scope.get("raw_path")) == (root_path, path, raw_path)
