"""Live, ASGI applications on WSGI servers: what reaches the client, on every server."""

from __future__ import annotations

import pytest

from tests.integration.asgi_apps import FILE_OCTETS
from tests.integration.raw import Connection, fetch, wait_for_log
from tests.integration.wsgi_servers import Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_CLOSE = [("Connection", "close")]
_HOP_BY_HOP = {"te", "trailer", "upgrade", "proxy-connection"}


@pytest.mark.requirement("A-003", "A-006", "A-074", "A-080")
def test_a_complete_response_is_framed_and_its_length_inferred_where_the_server_does_that(hosted: Hosted) -> None:
    response = fetch(hosted.server, "GET", "/hello")

    assert (response.status, response.body) == (200, b"hello\n")
    assert response.all("content-type") == ["text/plain"]
    assert response.header("content-length") == ("6" if hosted.kind.infers_length else None)
    if hosted.kind.frames_streams or hosted.kind.infers_length:
        assert response.is_complete
    assert len(response.all("server")) <= 1
    assert len(response.all("date")) <= 1


@pytest.mark.requirement("A-063", "A-065", "A-072", "A-073", "A-074")
def test_fields_arrive_as_the_application_gave_them_but_the_hop_by_hop_ones(hosted: Hosted) -> None:
    response = fetch(hosted.server, "GET", "/fields")

    assert response.body == b"fields\n"
    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert response.header("x-name") == (
        "caf\xe9" if hosted.kind.keeps_octets else "caf\xe9".encode().decode("latin-1")
    )
    assert not {name for name, _ in response.headers} & _HOP_BY_HOP
    assert "x-hop" not in response.all("connection")
    assert "timeout=77" not in response.all("keep-alive")
    assert response.all("transfer-encoding") in ([], ["chunked"])
    assert not (response.header("transfer-encoding") and response.header("content-length"))


@pytest.mark.requirement("A-075")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_head_has_the_fields_of_get_and_not_an_octet_of_content(hosted: Hosted, method: str) -> None:
    with Connection(hosted.server) as connection:
        connection.send_head(method, "/page", _CLOSE)
        response = connection.read_head()
        content = connection.read_to_end()

    assert (response.status, response.header("content-length")) == (200, "13")
    assert content == (b"<p>a page</p>" if method == "GET" else b"")


@pytest.mark.requirement("A-076")
@pytest.mark.parametrize(
    ("target", "status", "kept"), [("/no_content", 204, "x-kept"), ("/not_modified", 304, "etag")], ids=["204", "304"]
)
def test_a_response_without_content_is_a_head_and_not_an_octet_more(
    hosted: Hosted, target: str, status: int, kept: str
) -> None:
    with Connection(hosted.server) as connection:
        connection.send_head("GET", target, _CLOSE)
        response = connection.read_head()
        rest = connection.read_to_end()

    assert (response.status, rest) == (status, b"")
    assert response.header(kept) is not None
    assert response.header("transfer-encoding") is None
    if status == 204:
        # RFC 9110 section 8.6; the application's was 5, and wsgiref would say 0 of a response that is a list.
        assert response.header("content-length") is None


@pytest.mark.requirement("A-077")
def test_blocks_without_a_length_arrive_whole(hosted: Hosted) -> None:
    response = fetch(hosted.server, "GET", "/blocks")

    assert response.body == b"".join(b"block %d\n" % number for number in range(5))
    assert response.is_complete == hosted.kind.frames_streams
    assert response.header("content-length") is None


@pytest.mark.requirement("A-067", "A-077")
def test_an_event_arrives_before_the_next_one_exists(hosted: Hosted) -> None:
    mark = new_mark()
    with Connection(hosted.server) as connection:
        connection.send_head("GET", f"/events?id={mark}", _CLOSE)
        response = connection.read_head()
        begin = connection.read_some()
        while b"data: one\n\n" not in begin:  # perhaps in two segments: size of the chunk, chunk
            begin += connection.read_some()
        hosted.open_gate(mark)
        rest = connection.read_to_end()

    assert (response.status, response.header("content-type")) == (200, "text/event-stream")
    assert b"data: two" not in begin
    assert b"data: two\n\n" in rest


@pytest.mark.requirement("A-079", "A-085")
def test_background_work_delays_neither_its_response_nor_the_next_request(hosted: Hosted) -> None:
    mark = new_mark()
    with Connection(hosted.server) as connection:
        response = connection.request("GET", f"/background?id={mark}", _CLOSE)
        is_ended = connection.is_ended()
    is_next_well = hosted.is_well()
    done_before = hosted.journal("background", mark)
    hosted.open_gate(mark)

    assert (response.body, is_ended, is_next_well) == (b"answered\n", True, True)
    assert done_before == []
    hosted.wait_for("background", mark)


@pytest.mark.requirement("A-085", "A-086")
def test_background_work_that_fails_is_logged_and_harms_nobody(hosted: Hosted) -> None:
    mark = new_mark()
    hosted.open_gate(mark)
    response = fetch(hosted.server, "GET", f"/background?id={mark}&fail=1")
    wait_for_log(hosted.server, f"RuntimeError: failed in the background {mark}")

    assert (response.status, response.body) == (200, b"answered\n")
    assert hosted.server.log().count(f"RuntimeError: failed in the background {mark}") == 1
    assert hosted.is_well()


@pytest.mark.requirement("A-035")
def test_early_hints_come_before_the_response_where_the_server_has_them(hosted: Hosted) -> None:
    response = fetch(hosted.server, "GET", "/hints")

    links = [(103, [("link", "</style.css>; rel=preload; as=style")])]
    assert (response.status, response.interim) == (200, links if hosted.kind.has_hints else [])
    assert response.body == (b"hinted" if hosted.kind.has_hints else b"no hints")


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_sent_by_its_path_arrives_octet_by_octet(hosted: Hosted, method: str) -> None:
    with Connection(hosted.server) as connection:
        connection.send_head(method, "/file", _CLOSE)
        response = connection.read_response(method)

    assert response.status == 200
    if method == "HEAD":
        assert response.body == b""
    elif hosted.kind.has_files:
        assert response.body == FILE_OCTETS
        assert response.is_complete or not response.is_framed
    else:
        assert response.body == b"not offered"


@pytest.mark.requirement("A-031")
def test_a_content_length_that_is_no_number_is_refused(hosted: Hosted) -> None:
    begin = len(hosted.journal("read"))
    with Connection(hosted.server) as connection:
        # Without a body behind it: werkzeug, finding octets that nobody has read, waits for ten million of them (3.1).
        connection.send_head("POST", "/digest?id=none", [("Content-Length", "1_0"), *_CLOSE])
        answer = connection.read_to_end()

    assert b" 400 " in answer.split(b"\r\n")[0]  # the server's, or the bridge's
    assert len(hosted.journal("read")) == begin
