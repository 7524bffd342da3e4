"""`ASGIResponse`: early hints, trailers, files, and messages of no kind."""

from __future__ import annotations

import pytest

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate.asgi_response import SendPhase
from tests.translate.test_asgi_response import FOUR, ASGIResponse, raises_and_changes_nothing, started

NEW, STARTED, BODY, FINISHED, COMPLETE = SendPhase
HINTS = {"http.response.early_hint": {}}


# ---- early hints ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-035")
@pytest.mark.parametrize(
    ("links", "fields"),
    [
        pytest.param([], [], id="none"),
        pytest.param([b"</a.css>; rel=preload"], [("Link", "</a.css>; rel=preload")], id="one"),
        pytest.param((b"</a>", b"</b>", b"</a>"), [("Link", "</a>"), ("Link", "</b>"), ("Link", "</a>")], id="several"),
        pytest.param(iter([b" </\xe9>\t"]), [("Link", "</\xe9>")], id="an iterator, latin-1, outer space"),
    ],
)
def test_links_become_link_fields(links, fields):
    assert ASGIResponse("GET", HINTS).early_hint({"links": links}) == fields


@pytest.mark.requirement("A-035")
def test_hints_may_come_again_and_again_before_and_after_the_start():
    response = ASGIResponse("GET", HINTS)

    before = [response.early_hint({"links": [b"</a>"]}), response.early_hint({"links": [b"</b>"]})]
    response.start({"status": 200})
    after = response.early_hint({"links": [b"</c>"]})

    assert [*before, after] == [[("Link", "</a>")], [("Link", "</b>")], [("Link", "</c>")]]
    assert response.phase is STARTED
    assert response.headers == []


@pytest.mark.requirement("A-035")
def test_a_hint_is_ignored_once_the_headers_are_out():
    response = started()
    response.body({"body": b"x", "more_body": True})

    assert response.early_hint({"links": [b"</a>"]}) is None
    assert response.phase is BODY


@pytest.mark.requirement("A-035", "A-060")
def test_a_hint_without_links_is_empty():
    assert ASGIResponse("GET", HINTS).early_hint({"type": "http.response.early_hint"}) == []


@pytest.mark.requirement("A-035", "A-059")
@pytest.mark.parametrize(
    "links",
    [None, b"</a>", "</a>", 5, ["</a>"], [None], [b"</a>", "</b>"], [(b"Link", b"</a>")], [bytearray(b"</a>")]],
    ids=repr,
)
def test_links_that_are_no_iterable_of_bytes_are_a_type_error(links):
    raises_and_changes_nothing(ASGIResponse("GET", HINTS), ApplicationTypeError, "early_hint", {"links": links})


@pytest.mark.requirement("A-035", "A-062")
@pytest.mark.parametrize("link", [b"</a>\r\nX-Evil: 1", b"</a>\n", b"\0", b"</a>\x7f"], ids=repr)
def test_a_link_that_could_split_the_response_is_a_value_error(link):
    raises_and_changes_nothing(ASGIResponse("GET", HINTS), ApplicationValueError, "early_hint", {"links": [link]})


# ---- trailers ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-036", "A-037")
@pytest.mark.parametrize("extensions", [{}, {"http.response.trailers": {}}], ids=["not offered", "offered"])
def test_trailers_are_awaited_whether_they_were_offered_or_not(extensions):
    response = started(trailers=True, extensions=extensions)
    response.body({"body": b"x"})
    assert response.phase is FINISHED

    first = response.trailers({"headers": [(b"X-Sum", b"1"), (b"x-sum", b"\xe9")], "more_trailers": True})
    assert response.phase is FINISHED
    last = response.trailers({})

    assert (first, last) == ([("X-Sum", "1"), ("x-sum", "\xe9")], [])
    assert response.phase is COMPLETE


@pytest.mark.requirement("A-036")
@pytest.mark.parametrize(
    "name",
    [
        *["content-length", "transfer-encoding", "content-type", "content-encoding", "content-range", "trailer"],
        *["cache-control", "authorization", "set-cookie", "connection", "te", "upgrade", "status"],
        *["host", "Content-Type", "SET-COOKIE"],
    ],
)
def test_a_field_that_is_needed_before_the_content_is_no_trailer(name):
    response = started(trailers=True)
    response.body({})

    assert response.trailers({"headers": [(name.encode(), b"1"), (b"x-sum", b"2")]}) == [("x-sum", "2")]


@pytest.mark.requirement("A-036", "A-059", "A-062")
@pytest.mark.parametrize(
    ("headers", "error"),
    [
        (None, ApplicationTypeError),
        ([("x-sum", "1")], ApplicationTypeError),
        ([b"x-sum"], ApplicationTypeError),
        ([(b":status", b"1")], ApplicationValueError),
        ([(b"x sum", b"1")], ApplicationValueError),
        ([(b"x-sum", b"1\r\n")], ApplicationValueError),
    ],
    ids=repr,
)
def test_trailers_are_checked_like_headers_and_may_be_put_right(headers, error):
    response = started(trailers=True)
    response.body({})
    raises_and_changes_nothing(response, error, "trailers", {"headers": headers})

    response.trailers({"headers": []})

    assert response.phase is COMPLETE


@pytest.mark.requirement("A-037", "A-075", "A-076")
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_trailers_are_awaited_where_there_is_no_content_too(method, status):
    response = started(status, method=method, trailers=True)

    response.body({"body": b"x"})
    assert response.phase is FINISHED
    response.trailers({})

    assert response.phase is COMPLETE


# ---- files ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize("path", ["/a", "/", "/caf\xe9 b", "C:\\a", "c:/a", "\\\\server\\share\\a"])
def test_an_absolute_path_is_given_back(path):
    assert started().pathsend({"path": path}) == path


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize("path", ["", "a", "./a", "../a", "a/b", "~/a", "C:a", "\\a", "file:///a"], ids=repr)
def test_a_relative_path_is_a_value_error(path):
    sentence = raises_and_changes_nothing(started(), ApplicationValueError, "pathsend", {"path": path})

    assert "absolute" in sentence


@pytest.mark.requirement("A-039", "A-059")
@pytest.mark.parametrize("message", [{}, {"path": None}, {"path": b"/a"}, {"path": 3}], ids=repr)
def test_a_path_that_is_no_text_is_a_type_error(message):
    raises_and_changes_nothing(started(), ApplicationTypeError, "pathsend", message)


@pytest.mark.requirement("A-039", "A-058")
def test_a_file_and_content_of_another_kind_do_not_mix():
    after_content = started()
    after_content.body({"body": b"x", "more_body": True})
    after_file = started()
    after_file.pathsend({"path": "/a"})
    after_file.file_content(5)

    raises_and_changes_nothing(after_content, ApplicationError, "pathsend", {"path": "/a"})
    raises_and_changes_nothing(after_file, ApplicationError, "body", {"body": b"x"})
    raises_and_changes_nothing(after_file, ApplicationError, "pathsend", {"path": "/a"})


@pytest.mark.requirement("A-039", "A-070")
@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_file_of_another_size_than_content_length_raises(size):
    response = started(headers=FOUR)
    response.pathsend({"path": "/a"})

    sentence = raises_and_changes_nothing(response, ApplicationError, "file_content", size)

    assert "announced 4 bytes" in sentence
    assert str(size) in sentence


@pytest.mark.requirement("A-039", "A-070", "A-075")
@pytest.mark.parametrize(
    ("method", "status", "headers", "size"),
    [
        pytest.param("GET", 200, FOUR, 4, id="the announced size"),
        pytest.param("GET", 200, [], 4, id="nothing announced"),
        pytest.param("HEAD", 200, FOUR, 5, id="HEAD"),
        pytest.param("GET", 304, FOUR, 5, id="304"),
        pytest.param("GET", 204, FOUR, 5, id="204"),
    ],
)
def test_a_file_completes_the_response(method, status, headers, size):
    response = started(status, headers, method=method)
    response.pathsend({"path": "/a"})

    response.file_content(size)

    assert response.phase is COMPLETE


# ---- messages of no kind ----------------------------------------------------------------------------------------


@pytest.mark.requirement("A-059")
@pytest.mark.parametrize("kind", [None, 5, b"http.response.start", ["x"], {}, object], ids=repr)
def test_a_type_that_is_missing_or_no_text_is_a_type_error(kind):
    sentence = raises_and_changes_nothing(ASGIResponse("GET", {}), ApplicationTypeError, "unknown", kind)

    assert "type" in sentence
