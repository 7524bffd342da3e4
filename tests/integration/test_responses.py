"""Live: what reaches the client, on every server."""

from __future__ import annotations

import pytest

from tests.integration.apps import FILE_OCTETS
from tests.integration.raw import Connection, Fields, fetch
from tests.integration.servers import DAPHNE, GUNICORN, Server

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_UPGRADE: Fields = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
]
_WITHOUT_DENIALS = (DAPHNE, GUNICORN)
"""Servers that can refuse a handshake with 403 only."""


@pytest.mark.requirement("W-098", "W-100")
def test_response_fields_arrive_as_the_application_set_them(server: Server) -> None:
    response = fetch(server, "GET", "/lint/fields", [("X-Seen", b"\xe9t\xe9")])

    assert response.header("x-name") == "caf\xe9"
    assert response.header("x-seen") == "\xe9t\xe9"
    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert response.all("content-type") == ["text/plain"]
    assert len(response.all("server")) <= 1
    assert len(response.all("date")) <= 1


@pytest.mark.requirement("W-121")
def test_the_length_of_a_single_block_is_inferred(server: Server) -> None:
    # Not under the validator: what it returns has no length to ask for.
    response = fetch(server, "GET", "/fields")

    assert (response.header("content-length"), response.body) == ("7", b"fields\n")


@pytest.mark.requirement("W-110")
def test_blocks_without_a_length_arrive_whole(server: Server) -> None:
    response = fetch(server, "GET", "/lint/blocks")

    assert response.body == b"".join(b"block %d\n" % number for number in range(5))
    assert response.is_complete


@pytest.mark.requirement("W-102", "W-105")
def test_written_data_precede_the_returned_blocks(server: Server) -> None:
    response = fetch(server, "GET", "/lint/written")

    assert (response.body, response.is_complete) == (b"written twice, then returned\n", True)


@pytest.mark.requirement("W-090")
def test_an_error_page_replaces_the_started_response(server: Server) -> None:
    response = fetch(server, "GET", "/error_page")

    assert (response.status, response.body, response.is_complete) == (500, b"an error page", True)


@pytest.mark.requirement("W-124", "W-125")
@pytest.mark.parametrize(
    ("target", "status", "kept"),
    [
        pytest.param("/no_content", 204, "x-kept", id="204-with-content-and-length"),
        pytest.param("/not_modified", 304, "etag", id="304-with-length"),
        pytest.param("/not_modified?content=1", 304, "etag", id="304-with-content-and-length"),
    ],
)
def test_a_response_without_content_leaves_the_connection_clean(
    server: Server, target: str, status: int, kept: str
) -> None:
    with Connection(server) as connection:
        response = connection.request("GET", target)
        following = connection.request("GET", "/hello")

    assert response.status == status
    assert response.header(kept) is not None
    assert response.header("content-length") is None
    assert (following.status, following.body) == (200, b"hello\n")


@pytest.mark.requirement("W-123")
@pytest.mark.parametrize(
    ("target", "length"), [("/lint/page", "13"), ("/flask/World", "13"), ("/lint/hello", "6")], ids=str
)
def test_head_has_the_fields_of_get_and_no_content(server: Server, target: str, length: str) -> None:
    with Connection(server) as connection:
        response = connection.request("HEAD", target)
        following = connection.request("GET", "/hello")

    assert (response.status, response.header("content-length")) == (200, length)
    assert following.body == b"hello\n"


@pytest.mark.requirement("W-126", "W-127", "W-130")
@pytest.mark.parametrize("hosting", ["", "/path"], ids=["blocks", "pathsend"])
@pytest.mark.parametrize(
    ("query", "octets"),
    [
        pytest.param("", FILE_OCTETS, id="whole"),
        pytest.param(f"?length={len(FILE_OCTETS)}", FILE_OCTETS, id="whole-with-length"),
        pytest.param("?from=7", FILE_OCTETS[7:], id="from-a-position"),
        pytest.param("?from=100000&length=70000", FILE_OCTETS[100_000:170_000], id="part"),
        pytest.param(f"?from={len(FILE_OCTETS)}", b"", id="from-its-end"),
    ],
)
def test_a_wrapped_file_arrives_from_its_position(server: Server, hosting: str, query: str, octets: bytes) -> None:
    response = fetch(server, "GET", f"{hosting}/file{query}")

    assert response.status == 200
    assert response.body == octets
    assert response.is_complete


@pytest.mark.requirement("W-131")
def test_head_of_a_wrapped_file_sends_nothing_of_it(server: Server) -> None:
    with Connection(server) as connection:
        response = connection.request("HEAD", "/file?length=1000")
        following = connection.request("GET", "/hello")

    assert (response.header("content-length"), following.body) == ("1000", b"hello\n")


@pytest.mark.requirement("W-119")
def test_content_beyond_the_length_is_cut_and_the_endless_iteration_stops(server: Server) -> None:
    with Connection(server) as connection:
        response = connection.request("GET", "/too_long")
        following = connection.request("GET", "/hello")

    assert (response.body, response.is_complete) == (b"0123456012", True)
    assert following.body == b"hello\n"


@pytest.mark.requirement("W-147")
def test_early_hints_are_absent_where_the_server_has_none(server: Server) -> None:
    response = fetch(server, "GET", "/hints")

    # None of them offers the extension on HTTP/1.1; test_http2 has one that does.
    assert (response.body, response.interim) == (b"no hints", [])


@pytest.mark.requirement("S-005")
def test_what_an_application_without_websockets_answers_refuses_the_handshake(server: Server) -> None:
    with Connection(server) as connection:
        connection.send_head("GET", "/hello", _UPGRADE)
        response = connection.read_head()

    # The application's own answer where the server has denial responses, else 403.
    assert response.status == (403 if server.kind in _WITHOUT_DENIALS else 200)
    assert fetch(server, "GET", "/hello").body == b"hello\n"
