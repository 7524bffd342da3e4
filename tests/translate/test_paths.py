"""``(root_path, path, raw_path)`` to ``SCRIPT_NAME``, ``PATH_INFO`` and the request URI."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadRequest
from bridge.translate import request_uri, target_path
from tests.strategies import PROPERTY, hostile_paths, hostile_texts, path_from_raw, raw_paths, root_paths


def split(root_path: str, path: str, raw_path: bytes | None = None) -> tuple[str, str]:
    """Return only SCRIPT_NAME and PATH_INFO."""
    target = target_path(root_path, path, raw_path)
    return target.script_name, target.path_info


# ---- SCRIPT_NAME ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-017")
@pytest.mark.parametrize(
    ("root_path", "script_name"),
    [
        pytest.param("", "", id="none"),
        pytest.param("/", "", id="a slash alone"),
        pytest.param("//", "", id="slashes alone"),
        pytest.param("/a", "/a", id="usual"),
        pytest.param("/a/", "/a", id="trailing slash"),
        pytest.param("a", "/a", id="no leading slash"),
        pytest.param("a/b/", "/a/b", id="two segments, slash at the wrong end"),
        pytest.param("/café", "/caf\xc3\xa9", id="beyond ascii"),
        pytest.param("/\udcff", "/\xff", id="surrogate-escaped"),
    ],
)
def test_script_name_has_a_leading_and_no_trailing_slash(root_path, script_name):
    assert split(root_path, "/x")[0] == script_name


# ---- PATH_INFO --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-018", "W-019", "W-020", "W-027")
@pytest.mark.parametrize(
    ("root_path", "path", "path_info"),
    [
        pytest.param("/app", "/app", "", id="the mount point itself"),
        pytest.param("/app", "/app/", "/", id="its slash"),
        pytest.param("/app", "/app/x", "/x", id="below it"),
        pytest.param("/app", "/apple", "/apple", id="only the same letters"),
        pytest.param("/app", "/app//x", "//x", id="two slashes below it"),
        pytest.param("/app", "/app/app/x", "/app/x", id="removed once"),
        pytest.param("/app", "/App/x", "/App/x", id="case counts"),
        pytest.param("/app/", "/app/x", "/x", id="root with trailing slash"),
        pytest.param("app", "/app/x", "/x", id="root without leading slash"),
        pytest.param("/a/b", "/a/b/c", "/c", id="two segments"),
        pytest.param("/a/b", "/a/c", "/a/c", id="one of two segments"),
        pytest.param("/api", "/users", "/users", id="a front end removed the prefix"),
        pytest.param("/api", "", "", id="a front end removed everything"),
        pytest.param("/", "/x", "/x", id="root is a slash"),
        pytest.param("", "/x", "/x", id="no root"),
        pytest.param("", "", "/", id="nothing at all"),
        pytest.param("/", "", "/", id="nothing but a slash for root"),
        pytest.param("/café", "/café/x", "/x", id="root beyond ascii"),
        pytest.param("/café", "/café", "", id="root beyond ascii, alone"),
        pytest.param("/café", "/cafés", "/caf\xc3\xa9s", id="root beyond ascii, only the same letters"),
        pytest.param("/caf", "/café", "/caf\xc3\xa9", id="root is no prefix of a segment beyond ascii"),
        pytest.param("/app", "/app/é", "/\xc3\xa9", id="rest beyond ascii"),
    ],
)
def test_root_path_is_taken_off_at_a_segment_boundary(root_path, path, path_info):
    assert split(root_path, path)[1] == path_info


@pytest.mark.requirement("W-018")
@pytest.mark.parametrize(
    ("path", "raw_path", "path_info"),
    [
        pytest.param("/app/x", None, "/app/x", id="ascii"),
        pytest.param("/app/é", None, "/app/\xc3\xa9", id="beyond ascii"),
        pytest.param("/app/\ufffd", b"/app/%FF", "/app/\xff", id="not utf-8"),
        pytest.param("", None, "/", id="empty"),
    ],
)
def test_stripping_can_be_switched_off(path, raw_path, path_info):
    target = target_path("/app", path, raw_path, strip_root_path=False)

    assert (target.script_name, target.path_info) == ("/app", path_info)


@pytest.mark.requirement("W-021")
@pytest.mark.parametrize(
    ("path", "path_info"),
    [
        pytest.param("/é", "/\xc3\xa9", id="bmp"),
        pytest.param("/€", "/\xe2\x82\xac", id="bmp, three octets"),
        pytest.param("/\U0001f40d", "/\xf0\x9f\x90\x8d", id="astral"),
    ],
)
def test_path_info_is_utf8_octets_read_as_latin1(path, path_info):
    assert split("", path)[1] == path_info


@pytest.mark.requirement("W-022", "W-023")
@pytest.mark.parametrize(
    ("root_path", "path", "raw_path", "path_info"),
    [
        pytest.param("", "/\ufffd", b"/%FF", "/\xff", id="one octet"),
        pytest.param("", "/\ufffd", b"/\xff", "/\xff", id="not even percent-encoded"),
        pytest.param("", "/\ufffd/é", b"/%FF/%C3%A9", "/\xff/\xc3\xa9", id="beside good utf-8"),
        pytest.param("", "/\ufffd", b"/%EF%BF%BD", "/\xef\xbf\xbd", id="a real U+FFFD"),
        pytest.param("", "/\ufffd", b"/%FF?x=1", "/\xff", id="stray query"),
        pytest.param("/app", "/app/\ufffd", b"/app/%FF", "/\xff", id="prefix in both"),
        pytest.param("/app", "/app/\ufffd", b"/%FF", "/\xff", id="prefix in path only"),
        pytest.param("/app", "/\ufffd", b"/app/%FF", "/\xff", id="prefix in raw_path only"),
        pytest.param("/app", "/\ufffd", b"/%FF", "/\xff", id="prefix in neither"),
        pytest.param("/app", "/app/\ufffd", b"/app/%FF?y=2", "/\xff", id="prefix and stray query"),
        pytest.param("/app", "/apple/\ufffd", b"/apple/%FF", "/apple/\xff", id="only the same letters"),
        pytest.param("/café", "/café/\ufffd", b"/caf%C3%A9/%FF", "/\xff", id="prefix beyond ascii in both"),
        pytest.param("/café", "/café/\ufffd", b"/%FF", "/\xff", id="prefix beyond ascii in path only"),
        pytest.param("/café", "/\ufffd", b"/caf%c3%a9/%FF", "/\xff", id="prefix beyond ascii in raw_path only"),
        pytest.param("", "http://h/\ufffd", b"http://h/%FF", "/\xff", id="absolute form"),
    ],
)
def test_octets_that_are_not_utf8_are_taken_from_raw_path(root_path, path, raw_path, path_info):
    assert split(root_path, path, raw_path)[1] == path_info


@pytest.mark.requirement("W-023")
@pytest.mark.parametrize(
    ("path", "raw_path", "path_info"),
    [
        pytest.param("/new/\ufffd", b"/old/%FF", "/new/\xef\xbf\xbd", id="rewritten, undecodable"),
        pytest.param("/new/é", b"/old/%C3%A9", "/new/\xc3\xa9", id="rewritten, beyond ascii"),
        pytest.param("/new", b"/old", "/new", id="rewritten, ascii"),
        pytest.param("/\ufffd", None, "/\xef\xbf\xbd", id="not offered"),
        pytest.param("/\ufffd", b"", "/\xef\xbf\xbd", id="empty"),
    ],
)
def test_path_wins_where_raw_path_does_not_agree(path, raw_path, path_info):
    assert split("", path, raw_path)[1] == path_info


@pytest.mark.requirement("W-024")
@pytest.mark.parametrize("raw_path", [None, b"/%FF"], ids=["without raw_path", "with raw_path"])
def test_a_surrogate_escaped_octet_survives(raw_path):
    assert split("", "/\udcff", raw_path)[1] == "/\xff"


@pytest.mark.requirement("W-024")
@pytest.mark.parametrize(
    ("root_path", "path"),
    [
        pytest.param("", "/\ud800", id="in path"),
        pytest.param("/\ud800", "/x", id="in root_path"),
        pytest.param("", "http://\ud800/x", id="in the authority"),
    ],
)
def test_a_surrogate_that_stands_for_no_octet_is_a_bad_request(root_path, path):
    with pytest.raises(BadRequest):
        target_path(root_path, path, None)


@pytest.mark.requirement("W-025")
@pytest.mark.parametrize(
    ("raw_path", "path_info"),
    [
        pytest.param(b"/%2525", "/%25", id="percent sign"),
        pytest.param(b"/a+b", "/a+b", id="plus"),
        pytest.param(b"/a%2Fb", "/a/b", id="slash"),
        pytest.param(b"/%252F", "/%2F", id="escaped twice"),
        pytest.param(b"/%FF%2525", "/\xff%25", id="beside an undecodable octet"),
    ],
)
def test_percent_decoding_happens_once_and_stays_visible_in_the_raw_uri(raw_path, path_info):
    path = path_from_raw(raw_path)

    assert split("", path, raw_path)[1] == path_info
    assert request_uri(path, raw_path, "") == raw_path.decode("ascii")


@pytest.mark.requirement("W-026")
@pytest.mark.parametrize("path", ["//a", "/a/../b", "/a//b", "/a/./b", "/a;p=1", "/a/", "/a//", "///", "/..", "/%"])
def test_nothing_is_normalised(path):
    assert split("", path)[1] == path
    assert split("/app", "/app" + path)[1] == path


# ---- Other forms of a request target ----------------------------------------------------------------------------


@pytest.mark.requirement("W-028")
def test_the_asterisk_form_is_kept():
    target = target_path("", "*", b"*")

    assert target == ("", "*", None)


@pytest.mark.requirement("W-028")
@pytest.mark.parametrize(
    ("path", "path_info", "authority"),
    [
        pytest.param("http://h/p", "/p", "h", id="usual"),
        pytest.param("https://h:8443/p/q", "/p/q", "h:8443", id="https and port"),
        pytest.param("HTTP://h/p", "/p", "h", id="case of the scheme"),
        pytest.param("http://h", "/", "h", id="no path"),
        pytest.param("http://h//p", "//p", "h", id="not normalised"),
        pytest.param("http://user:secret@h/p", "/p", "h", id="userinfo is not part of Host"),
        pytest.param("http://[::1]:80/p", "/p", "[::1]:80", id="ipv6"),
        pytest.param("/http://h/p", "/http://h/p", None, id="origin form"),
        pytest.param("ftp://h/p", "ftp://h/p", None, id="another scheme"),
    ],
)
def test_the_absolute_form_gives_up_its_authority(path, path_info, authority):
    target = target_path("", path, None)

    assert (target.path_info, target.authority) == (path_info, authority)


@pytest.mark.requirement("W-028", "W-018")
def test_the_prefix_is_taken_off_an_absolute_form_too():
    assert split("/app", "http://h/app/x") == ("/app", "/x")


@pytest.mark.requirement("W-028", "W-046")
@pytest.mark.parametrize("octet", ["\r", "\n", "\0"], ids=["CR", "LF", "NUL"])
def test_an_authority_with_a_control_character_is_a_bad_request(octet):
    """It becomes HTTP_HOST, so it must pass what a Host field must pass; ``%0D%0A`` was decoded by the server."""
    with pytest.raises(BadRequest):
        target_path("", f"http://h{octet}x/p", None)


# ---- The request URI --------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-030")
@pytest.mark.parametrize(
    ("path", "raw_path", "query", "uri"),
    [
        pytest.param("/a/b", b"/a%2Fb", "x=%20", "/a%2Fb?x=%20", id="as received"),
        pytest.param("/a", b"/a", "", "/a", id="no query, no question mark"),
        pytest.param("/a", b"/a?x=1", "x=1", "/a?x=1", id="stray query is not doubled"),
        pytest.param("/a", b"/a?x=1", "", "/a", id="stray query alone"),
        pytest.param("/\ufffd", b"/\xff", "", "/\xff", id="raw octets as latin-1"),
        pytest.param("/a b", None, "x", "/a%20b?x", id="quoted where raw_path is missing"),
        pytest.param("/a?b", None, "", "/a%3Fb", id="question mark of the path"),
        pytest.param("/é", b"", "", "/%C3%A9", id="quoted where raw_path is empty"),
        pytest.param("/\udcff", None, "", "/%FF", id="surrogate-escaped"),
        pytest.param("/a;p=1:@!$&'()*+,~", None, "", "/a;p=1:@!$&'()*+,~", id="nothing quoted without need"),
        pytest.param("", None, "", "/", id="empty"),
        pytest.param("*", b"*", "", "*", id="asterisk"),
        pytest.param("http://h/p", b"http://h/p", "q", "http://h/p?q", id="absolute form"),
    ],
)
def test_the_request_uri_is_the_target_as_received(path, raw_path, query, uri):
    assert request_uri(path, raw_path, query) == uri


@pytest.mark.requirement("W-024", "W-030")
def test_a_path_without_octets_has_no_request_uri():
    with pytest.raises(BadRequest):
        request_uri("/\ud800", None, "")


# ---- Properties -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-021", "W-022", "W-025", "W-026")
@given(raw_path=raw_paths())
@PROPERTY
def test_path_info_holds_the_octets_of_the_raw_path(raw_path):
    path_info = split("", path_from_raw(raw_path), raw_path)[1]

    assert path_info.encode("latin-1") == unquote_to_bytes(raw_path)


@pytest.mark.requirement("W-017", "W-018", "W-020")
@given(root_path=root_paths(), rest=raw_paths(), has_raw=st.booleans())
@PROPERTY
def test_a_mount_point_in_front_changes_only_script_name(root_path, rest, has_raw):
    root = root_path.rstrip("/")
    root = root if not root or root.startswith("/") else "/" + root
    path = path_from_raw(rest)
    raw = rest if has_raw else None

    assert split(root_path, root + path, raw)[1] == split("", path, raw)[1]
    assert split(root_path, root + path, raw)[0].encode("latin-1").decode() == root


@pytest.mark.requirement("W-030")
@given(raw_path=raw_paths())
@PROPERTY
def test_a_quoted_path_decodes_to_the_same_path(raw_path):
    path = path_from_raw(raw_path)

    assert path_from_raw(request_uri(path, None, "").encode("ascii")) == path


@pytest.mark.requirement("W-010", "W-024")
@given(
    root_path=hostile_texts(), path=hostile_paths(), raw_path=st.one_of(st.none(), st.binary(max_size=12), raw_paths())
)
@PROPERTY
def test_any_target_is_latin1_or_a_bad_request(root_path, path, raw_path):
    try:
        target = target_path(root_path, path, raw_path)
        uri = request_uri(path, raw_path, "")
    except BadRequest:
        return
    for text in (target.script_name, target.path_info, target.authority or "", uri):
        text.encode("latin-1")
