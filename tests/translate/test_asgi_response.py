"""`ASGIResponse`: what each message makes of it, and what raises out of ``send``."""

from __future__ import annotations

import copy
from http import HTTPStatus
from types import MappingProxyType

import pytest

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate import ASGIResponse
from bridge.translate.asgi_response import SendPhase

NEW, STARTED, BODY, FINISHED, COMPLETE = SendPhase
OFFERED = {"http.response.early_hint": {}, "http.response.pathsend": {}, "http.response.trailers": {}}
FOUR = [(b"content-length", b"4")]


def started(status=200, headers=(), *, method="GET", trailers=False, extensions=OFFERED):
    """Return a response whose start has been taken."""
    response = ASGIResponse(method, extensions)
    response.start({"status": status, "headers": headers, "trailers": trailers})
    return response


STATE = ["phase", "status", "headers", "content_length", "carries_content", "is_whole", "_allowed_bytes"]


def state_of(response):
    """Return a copy of all that a message may change."""
    return copy.deepcopy({name: getattr(response, name, None) for name in STATE})


def raises_and_changes_nothing(response, error, method, message):
    """Let a method raise; return the sentence."""
    before = state_of(response)
    with pytest.raises(error) as caught:
        getattr(response, method)(message)
    assert state_of(response) == before
    return str(caught.value)


# ---- start ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-060", "A-072")
def test_the_shortest_messages_make_a_complete_response():
    response = ASGIResponse("GET", {})

    response.start({"type": "http.response.start", "status": 200})
    content = response.body({"type": "http.response.body"})

    assert (response.status, response.headers, content) == ("200 OK", [], b"")
    assert (response.phase, response.content_length) == (COMPLETE, None)


@pytest.mark.requirement("A-059", "A-063")
def test_messages_are_read_only_to_the_bridge_and_may_have_more_keys():
    start = {"status": 200, "headers": ((b"X-A", b"1"),), "reason": "Fine", "trailers": False}
    body = {"body": b"x", "more_body": False, "mood": "good"}
    before = copy.deepcopy((start, body))
    response = ASGIResponse("GET", MappingProxyType({}))

    response.start(MappingProxyType(start))
    content = response.body(MappingProxyType(body))

    assert (response.status, response.headers, content) == ("200 OK", [("X-A", "1")], b"x")
    assert (start, body) == before


@pytest.mark.requirement("A-060", "A-063")
def test_headers_are_read_once_and_not_kept():
    pairs = [[b"x-a", b"1"]]
    response = started(headers=(pair for pair in pairs))

    pairs[0][1] = b"2"
    pairs.append([b"x-b", b"3"])

    assert response.headers == [("x-a", "1")]


@pytest.mark.requirement("A-061", "A-072")
@pytest.mark.parametrize(
    ("status", "line"),
    [(200, "200 OK"), (HTTPStatus.NOT_FOUND, "404 Not Found"), (299, "299 Success"), (999, "999 Unknown")],
    ids=["int", "IntEnum", "unregistered", "last"],
)
def test_a_status_is_an_int_from_200_to_999(status, line):
    assert started(status).status == line


@pytest.mark.requirement("A-059", "A-061")
@pytest.mark.parametrize("status", [True, False, "200", b"200", 200.0, None, (200,), "200 OK"], ids=repr)
def test_a_status_of_another_type_is_a_type_error(status):
    sentence = raises_and_changes_nothing(ASGIResponse("GET", {}), ApplicationTypeError, "start", {"status": status})

    assert type(status).__name__ in sentence
    assert "int" in sentence


@pytest.mark.requirement("A-061")
@pytest.mark.parametrize("status", [100, 101, 103, 199, 99, 0, -200, 1000, 2**70, HTTPStatus.CONTINUE], ids=int)
def test_a_status_that_is_not_final_is_a_value_error(status):
    sentence = raises_and_changes_nothing(ASGIResponse("GET", {}), ApplicationValueError, "start", {"status": status})

    assert str(int(status)) in sentence


@pytest.mark.requirement("A-059")
def test_a_missing_status_is_no_bare_key_error():
    response = ASGIResponse("GET", {})

    sentence = raises_and_changes_nothing(response, ApplicationTypeError, "start", {"type": "http.response.start"})

    assert "status" in sentence


@pytest.mark.requirement("A-058", "A-062", "A-066")
@pytest.mark.parametrize(
    "headers",
    [None, "x", [("x-a", "1")], [(b"x-a", b"1\r\n")], [(b":status", b"200")], [(b"content-length", b"+4")]],
    ids=repr,
)
def test_after_a_start_that_was_refused_another_may_come(headers):
    response = ASGIResponse("GET", {})
    raises_and_changes_nothing(response, ApplicationError, "start", {"status": 204, "headers": headers})

    response.start({"status": 200, "headers": FOUR})

    assert (response.status, response.content_length, response.carries_content) == ("200 OK", 4, True)


@pytest.mark.requirement("A-037", "A-065")
@pytest.mark.parametrize("has_trailers", [False, True])
def test_the_trailer_field_is_left_out(has_trailers):
    assert started(headers=[(b"Trailer", b"x-sum"), (b"x-a", b"1")], trailers=has_trailers).headers == [("x-a", "1")]


# ---- body -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-064")
@pytest.mark.parametrize("make", [bytearray, lambda octets: memoryview(bytearray(octets))], ids=["bytearray", "view"])
def test_a_buffer_is_copied_since_the_application_may_use_it_again(make):
    buffer = make(b"abcd")

    content = started().body({"body": buffer, "more_body": True})
    buffer[:] = b"wxyz"

    assert type(content) is bytes
    assert content == b"abcd"


@pytest.mark.requirement("A-064", "A-070")
def test_a_view_counts_its_octets_not_its_items():
    response = started(headers=FOUR)

    assert response.body({"body": memoryview(b"abcd").cast("H")}) == b"abcd"
    assert response.phase is COMPLETE


@pytest.mark.requirement("A-059")
@pytest.mark.parametrize("body", ["text", None, 5, [b"x"], (b"x",), iter([b"x"])], ids=lambda body: type(body).__name__)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_that_is_no_bytes_is_a_type_error(method, body):
    sentence = raises_and_changes_nothing(started(method=method), ApplicationTypeError, "body", {"body": body})

    assert type(body).__name__ in sentence
    assert "bytes" in sentence


@pytest.mark.requirement("A-070")
@pytest.mark.parametrize(
    ("taken", "surplus", "more"),
    [
        pytest.param([], b"abcde", False, id="at once"),
        pytest.param([], b"abcde", True, id="at once, and more to come"),
        pytest.param([b"abc"], b"de", False, id="at the end"),
        pytest.param([b"ab", b"cd"], b"e", True, id="after all of it"),
    ],
)
def test_more_octets_than_content_length_raise_and_are_not_sent(taken, surplus, more):
    response = started(headers=FOUR)
    for piece in taken:
        assert response.body({"body": piece, "more_body": True}) == piece

    sentence = raises_and_changes_nothing(response, ApplicationError, "body", {"body": surplus, "more_body": more})

    assert "announced 4 bytes" in sentence
    assert "sent 5" in sentence


@pytest.mark.requirement("A-070")
@pytest.mark.parametrize("pieces", [[b""], [b"ab"], [b"ab", b""], [b"", b"a", b"b"]], ids=repr)
def test_completing_with_fewer_octets_raises_and_leaves_the_response_open(pieces):
    response = started(headers=FOUR)
    *earlier, last = pieces
    for piece in earlier:
        response.body({"body": piece, "more_body": True})

    sentence = raises_and_changes_nothing(response, ApplicationError, "body", {"body": last})

    assert f"announced 4 bytes of content and completed the response with {len(b''.join(pieces))}" in sentence
    assert response.phase is not COMPLETE


@pytest.mark.requirement("A-070")
def test_what_was_refused_may_be_put_right():
    response = started(headers=FOUR)
    raises_and_changes_nothing(response, ApplicationError, "body", {"body": b"abcde"})

    assert response.body({"body": b"abcd"}) == b"abcd"
    assert response.phase is COMPLETE


# ---- responses that carry no content ----------------------------------------------------------------------------


@pytest.mark.requirement("A-070", "A-075", "A-076")
@pytest.mark.parametrize(
    ("method", "status", "length", "kept"),
    [
        pytest.param("HEAD", 200, b"4", "4", id="HEAD keeps its length"),
        pytest.param("HEAD", 404, b"4", "4", id="HEAD of what is not there"),
        pytest.param("GET", 304, b"4", "4", id="304 may say how long 200 would be"),
        pytest.param("GET", 204, b"4", None, id="204 must not have a length"),
        pytest.param("GET", 204, b"0", None, id="204 must not have one of 0 either"),
        pytest.param("HEAD", 204, b"4", None, id="nor may 204 for HEAD"),
        pytest.param("GET", 205, b"0", "0", id="205 may say that it has none"),
        pytest.param("GET", 204, None, None, id="204"),
        pytest.param("GET", 304, None, None, id="304"),
    ],
)
@pytest.mark.parametrize("pieces", [[b""], [b"ab"], [b"abcdef"], [b"ab", b"cd", b""], [b"abc", b"def"]], ids=repr)
def test_no_octet_goes_out_and_the_application_is_not_told(method, status, length, kept, pieces):
    headers = [(b"x-a", b"1"), *([] if length is None else [(b"Content-Length", length)]), (b"x-b", b"2")]
    response = started(status, headers, method=method)

    content = [response.body({"body": piece, "more_body": True}) for piece in pieces[:-1]]
    content.append(response.body({"body": pieces[-1]}))

    assert response.carries_content is False
    assert b"".join(content) == b""
    assert response.phase is COMPLETE
    assert dict(response.headers) == {"x-a": "1", "x-b": "2"} | ({} if kept is None else {"Content-Length": kept})
    assert response.content_length == (None if kept is None else int(kept))


@pytest.mark.requirement("A-076")
def test_a_reset_without_content_announces_none():
    """RFC 9110 section 15.3.6: a client would wait for the content that a Content-Length above 0 announces."""
    response = started(205, FOUR)

    response.body({"body": b"abcd"})

    assert dict(response.headers).get("content-length", "0") == "0"
    assert response.content_length in (None, 0)


@pytest.mark.requirement("A-075")
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "head"])
def test_only_head_is_head(method):
    assert started(method=method).carries_content is True


# ---- is_whole ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-084")
@pytest.mark.parametrize(
    ("headers", "pieces", "is_whole"),
    [
        pytest.param(FOUR, [b"abcd"], True, id="all of it"),
        pytest.param(FOUR, [b"ab", b"", b"cd"], True, id="all of it, in pieces"),
        pytest.param([(b"content-length", b"0")], [b""], True, id="nothing was announced, nothing was sent"),
        pytest.param(FOUR, [], False, id="no body message"),
        pytest.param([(b"content-length", b"0")], [], False, id="nothing was announced, but no body message either"),
        pytest.param(FOUR, [b"abc"], False, id="one octet is missing"),
        pytest.param([], [b"abcd"], False, id="nobody knows how much it is to be"),
    ],
)
def test_an_unfinished_response_is_whole_if_all_announced_octets_have_been_taken(headers, pieces, is_whole):
    response = started(headers=headers)

    for piece in pieces:
        response.body({"body": piece, "more_body": True})

    assert response.is_whole is is_whole


@pytest.mark.requirement("A-083", "A-084")
def test_a_response_that_never_started_is_not_whole():
    assert ASGIResponse("GET", {}).is_whole is False
