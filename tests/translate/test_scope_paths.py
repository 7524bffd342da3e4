"""``scope_from_environ``: ``path``, ``root_path`` and ``raw_path`` from SCRIPT_NAME, PATH_INFO and REQUEST_URI."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.translate import scope_from_environ
from tests.strategies import PROPERTY, path_from_raw, raw_paths


def paths_of(script_name, path_info):
    scope = scope_from_environ({"SCRIPT_NAME": script_name, "PATH_INFO": path_info})
    return scope["root_path"], scope["path"]


@pytest.mark.requirement("A-018", "A-019", "A-020")
@pytest.mark.parametrize(
    ("script_name", "path_info", "root_path", "path"),
    [
        pytest.param("", "", "", "/", id="both empty"),
        pytest.param(None, None, "", "/", id="both missing"),
        pytest.param("", "/", "", "/", id="root"),
        pytest.param("", "/x", "", "/x", id="no mount"),
        pytest.param("/app", "/x", "/app", "/app/x", id="mounted"),
        pytest.param("/app", "", "/app", "/app", id="the mount itself, no slash added"),
        pytest.param("/app", "/", "/app", "/app/", id="the mount with a slash"),
        pytest.param("/app/", "/x", "/app", "/app/x", id="a slash too many"),
        pytest.param("/app/", "x", "/app", "/app/x", id="the slash stands in SCRIPT_NAME"),
        pytest.param("/", "", "", "/", id="SCRIPT_NAME is a slash"),
        pytest.param("/", "/x", "", "/x", id="SCRIPT_NAME is a slash, PATH_INFO has its own"),
        pytest.param("/", "x", "", "/x", id="SCRIPT_NAME is a slash, PATH_INFO has none"),
        pytest.param("/app", "/app/x", "/app", "/app/app/x", id="the mount's name once more"),
        pytest.param("/a/b", "/c", "/a/b", "/a/b/c", id="mounted twice"),
        pytest.param("/caf\xc3\xa9", "/x", "/café", "/café/x", id="a mount beyond ASCII"),
        pytest.param("/caf\xc3\xa9/", "/\xe2\x82\xac", "/café", "/café/€", id="both beyond ASCII"),
    ],
)
def test_path_is_the_whole_path_with_root_path_in_front(script_name, path_info, root_path, path):
    assert paths_of(script_name, path_info) == (root_path, path)


@pytest.mark.requirement("A-021")
@pytest.mark.parametrize(
    "path", ["/%41", "/%2541", "/%", "//", "//a//b", "/a/../b", "/./a", "/a;p=1/b;q", "/a+b", "/a\\b", "/a?b#c", "/a "]
)
def test_nothing_is_decoded_again_and_nothing_is_normalised(path):
    assert paths_of("", path) == ("", path)
    assert paths_of("/app", path) == ("/app", "/app" + path)


@pytest.mark.requirement("A-022")
@pytest.mark.parametrize(
    ("native", "text"),
    [
        pytest.param("/\xc3\xa9", "/é", id="UTF-8"),
        pytest.param("/\xf0\x9f\x90\x8d", "/\U0001f40d", id="an astral character"),
        pytest.param("/\xff", "/\ufffd", id="no UTF-8"),
        pytest.param("/\xe9t\xe9", "/\ufffdt\ufffd", id="latin-1 octets"),
        pytest.param("/\xed\xa0\x80", "/\ufffd\ufffd\ufffd", id="a surrogate in UTF-8"),
        pytest.param("/\xc0\xaf", "/\ufffd\ufffd", id="an overlong slash"),
        pytest.param("/\u20ac", "/€", id="text of a careless server"),
        pytest.param("/\u20ac\xe9", "/€é", id="all of it is text then"),
        pytest.param("/\udcff", "/\ufffd", id="an escaped octet"),
        pytest.param("/\ud83d\udc0d", "/\ufffd\ufffd", id="two halves of a pair"),
    ],
)
def test_octets_are_read_as_utf8_and_no_surrogate_is_left(native, text):
    assert paths_of("", native) == ("", text)
    assert paths_of(native, "/x") == (text, text + "/x")


@pytest.mark.requirement("A-023")
@pytest.mark.parametrize("key", ["REQUEST_URI", "RAW_URI"])
@pytest.mark.parametrize(
    ("uri", "path_info", "raw_path"),
    [
        pytest.param("/a%2Fb?x=1", "/a/b", b"/a%2Fb", id="escaped slash, query"),
        pytest.param("/a", "/a", b"/a", id="nothing escaped"),
        pytest.param("/%61", "/a", b"/%61", id="needlessly escaped"),
        pytest.param("/%c3%A9", "/\xc3\xa9", b"/%c3%A9", id="digits in both cases"),
        pytest.param("/\xc3\xa9", "/\xc3\xa9", b"/\xc3\xa9", id="octets that were not escaped"),
        pytest.param("/%FF", "/\xff", b"/%FF", id="octets that are not UTF-8"),
        pytest.param("/a?x=/b?c", "/a", b"/a", id="question marks in the query"),
        pytest.param("/a#f", "/a", b"/a", id="a fragment"),
        pytest.param("/a?x=1#f", "/a", b"/a", id="query and fragment"),
        pytest.param("/a%3Fb%23c", "/a?b#c", b"/a%3Fb%23c", id="escaped ones stay"),
        pytest.param("//h/p", "//h/p", b"//h/p", id="two slashes are no authority"),
        pytest.param("/http://h/p", "/http://h/p", b"/http://h/p", id="a URL inside the path"),
        pytest.param("http://h:80/p%20q?x=1", "/p q", b"/p%20q", id="absolute form"),
        pytest.param("HTTPS://h/p", "/p", b"/p", id="absolute form in upper case"),
        pytest.param("http://h/a://b", "/a://b", b"/a://b", id="absolute form of a path like a URL"),
        pytest.param("http://h", "/", b"/", id="absolute form without a path"),
        pytest.param("http://h?x=/y", "", b"/", id="absolute form, only a query"),
        pytest.param("example.com:443", "example.com:443", b"example.com:443", id="authority form"),
        pytest.param("/%zz", "/%zz", b"/%zz", id="no digits after the percent sign"),
    ],
)
def test_raw_path_is_the_path_as_received(key, uri, path_info, raw_path):
    scope = scope_from_environ({key: uri, "PATH_INFO": path_info})

    assert scope["raw_path"] == raw_path


@pytest.mark.requirement("A-023")
def test_raw_path_has_the_mount_point_in_front_like_path():
    scope = scope_from_environ({"REQUEST_URI": "/caf%C3%A9/x%2Fy", "SCRIPT_NAME": "/caf\xc3\xa9", "PATH_INFO": "/x/y"})

    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/café", "/café/x/y", b"/caf%C3%A9/x%2Fy")


@pytest.mark.requirement("A-024")
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="not known"),
        pytest.param({"REQUEST_URI": None, "RAW_URI": None}, id="None"),
        pytest.param({"REQUEST_URI": ""}, id="empty"),
        pytest.param({"REQUEST_URI": "/old"}, id="the server rewrote the URL"),
        pytest.param({"REQUEST_URI": "/new%20"}, id="decodes to something else"),
        pytest.param({"REQUEST_URI": "/NEW"}, id="another case"),
        pytest.param({"REQUEST_URI": "/mount/new"}, id="a prefix the server took off"),
        pytest.param({"REQUEST_URI": "/new", "SCRIPT_NAME": "/app"}, id="without the mount point"),
        pytest.param({"REQUEST_URI": "/\u20ac"}, id="text beyond latin-1"),
        pytest.param({"REQUEST_URI": "/\udcff", "PATH_INFO": "/\xff"}, id="a lone surrogate"),
        pytest.param({"REQUEST_URI": b"/new"}, id="octets"),
        pytest.param({"REQUEST_URI": 7}, id="a number"),
        pytest.param({"REQUEST_URI": "ftp:"}, id="junk"),
        pytest.param({"REQUEST_URI": "http://h/p", "PATH_INFO": "http://h/p"}, id="an absolute form left in PATH_INFO"),
    ],
)
def test_raw_path_is_left_out_where_nothing_stands_for_the_path(environ):
    assert "raw_path" not in scope_from_environ({"PATH_INFO": "/new"} | environ)


@pytest.mark.requirement("A-025")
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"PATH_INFO": "*"}, id="in PATH_INFO alone"),
        pytest.param({"PATH_INFO": "*", "REQUEST_URI": "*"}, id="in both"),
        pytest.param({"PATH_INFO": "", "REQUEST_URI": "*"}, id="an empty PATH_INFO"),
        pytest.param({"PATH_INFO": "/", "RAW_URI": "*"}, id="PATH_INFO is a slash"),
        pytest.param({"PATH_INFO": "/*", "RAW_URI": "*"}, id="PATH_INFO has a slash in front"),
        pytest.param({"PATH_INFO": "", "SCRIPT_NAME": "/app", "REQUEST_URI": "*"}, id="below a mount point"),
        pytest.param({"PATH_INFO": "*", "SCRIPT_NAME": "/app"}, id="below a mount point, in PATH_INFO alone"),
    ],
)
def test_a_question_about_the_server_as_a_whole_has_the_path_of_one_star(environ):
    assert scope_from_environ({"REQUEST_METHOD": "OPTIONS"} | environ)["path"] == "*"


@pytest.mark.requirement("A-019", "A-021", "A-022", "A-023", "A-024")
@given(
    raw=raw_paths(), query=st.sampled_from(["", "?", "?x=/%20", "#f", "?a#b"]), origin=st.sampled_from(["", "http://h"])
)
@PROPERTY
def test_a_server_that_decodes_once_gives_the_raw_path_whatever_was_asked_for(raw, query, origin):
    environ = {
        "PATH_INFO": unquote_to_bytes(raw).decode("latin-1"),
        "REQUEST_URI": origin + raw.decode("latin-1") + query,
    }

    scope = scope_from_environ(environ)

    assert (scope["path"], scope["raw_path"]) == (path_from_raw(raw), raw)
