"""Live, ASGI applications on WSGI servers: request bodies, on every server."""

from __future__ import annotations

import hashlib
import time

import pytest

from tests.integration.raw import Connection, fetch
from tests.integration.wsgi_servers import Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_PIECE_BYTES = 64 * 1024
_SIZES = [0, 1, _PIECE_BYTES + 1, 3 * 1024 * 1024]
_CUT_BYTES = 100_000
# A server that tells nobody about a cut upload has at least had the time to.
_QUIET_S = 0.1


def _octets(size_bytes: int) -> bytes:
    return (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]


@pytest.mark.requirement("A-041", "A-042", "A-043")
@pytest.mark.parametrize("size_bytes", _SIZES)
def test_a_body_with_a_length_comes_back_octet_by_octet(hosted: Hosted, size_bytes: int) -> None:
    octets = _octets(size_bytes)

    response = fetch(hosted.server, "POST", "/echo", body=octets)

    assert response.status == 200
    assert response.body == octets


@pytest.mark.requirement("A-041", "A-046")
def test_a_body_comes_in_bounded_pieces(hosted: Hosted) -> None:
    octets = _octets(_SIZES[-1])

    seen = fetch(hosted.server, "POST", f"/digest?id={new_mark()}", body=octets).json()

    assert (seen["length"], seen["sha256"]) == (len(octets), hashlib.sha256(octets).hexdigest())
    assert seen["largest"] <= _PIECE_BYTES


@pytest.mark.requirement("A-044", "A-045")
@pytest.mark.parametrize("size_bytes", _SIZES)
def test_a_chunked_body_comes_back_octet_by_octet(hosted: Hosted, size_bytes: int) -> None:
    if not hosted.kind.takes_chunked:
        pytest.skip(f"{hosted.kind} gives applications no chunked bodies")
    octets = _octets(size_bytes)
    chunks = [octets[start : start + 50_000] for start in range(0, size_bytes, 50_000)]

    response = fetch(hosted.server, "POST", "/echo", body=chunks)

    assert response.status == 200
    assert response.body == octets


@pytest.mark.requirement("A-042", "A-045")
def test_no_server_is_asked_for_the_end_of_a_body_that_has_none(hosted: Hosted) -> None:
    # A read would wait for ever on wsgiref and werkzeug: the connection stays open.
    assert fetch(hosted.server, "GET", "/echo").body == b""
    assert fetch(hosted.server, "DELETE", "/echo").body == b""


@pytest.mark.requirement("A-041", "A-054")
def test_a_response_may_begin_before_the_request_has_been_read(hosted: Hosted) -> None:
    if not hosted.kind.reads_after_start:
        pytest.skip(f"{hosted.kind} throws away what has not been read when the response begins")
    octets = _octets(_PIECE_BYTES + 1)

    response = fetch(hosted.server, "POST", "/echo_piecewise", body=octets)

    assert response.body == octets


@pytest.mark.requirement("A-048", "A-053")
def test_a_body_nobody_reads_spoils_no_later_request(hosted: Hosted) -> None:
    for _ in range(3):
        with Connection(hosted.server) as connection:
            # Small enough for the buffers of the sockets: the server may close before it has all.
            response = connection.request("POST", "/ignore", body=_octets(20_000))
            assert (response.status, response.body) == (403, b"not read\n")
            if hosted.kind.keeps_alive and (response.header("connection") or "").lower() != "close":
                assert connection.request("GET", "/hello").body == b"hello\n"


@pytest.mark.requirement("A-048")
@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
def test_expect_continue_is_answered_as_the_server_can(hosted: Hosted, reads: bool) -> None:
    kind = hosted.kind
    with Connection(hosted.server) as connection:
        target = "/echo" if reads else "/ignore"
        connection.send_head("POST", target, [("Content-Length", "5"), ("Expect", "100-continue")])
        is_told = kind.continues == "at once" or (kind.continues == "when read" and reads)
        if is_told:
            assert connection.read_interim() == 100
        if is_told or reads:  # untold, a client sends its body after a while (RFC 9110 section 10.1.1)
            connection.send(b"12345")
        response = connection.read_response()

    assert (response.status, response.body) == ((200, b"12345") if reads else (403, b"not read\n"))


@pytest.mark.requirement("A-047")
@pytest.mark.parametrize("leaves", ["close", "reset"])
@pytest.mark.parametrize("framing", ["with-length", "chunked"])
def test_a_cut_upload_is_never_taken_for_complete(hosted: Hosted, framing: str, leaves: str) -> None:
    kind = hosted.kind
    if framing == "chunked" and not kind.takes_chunked:
        pytest.skip(f"{kind} gives applications no chunked bodies")
    if framing == "chunked" and not kind.notices_cut_chunks:
        pytest.skip(f"{kind} does not see that a chunked body has been cut")
    mark = new_mark()
    with Connection(hosted.server) as connection:
        if framing == "chunked":
            connection.send_head("POST", f"/digest?id={mark}", [("Transfer-Encoding", "chunked")])
            connection.send(b"%x\r\n" % _CUT_BYTES + _octets(_CUT_BYTES // 2))
        else:
            connection.send_head("POST", f"/digest?id={mark}", [("Content-Length", str(_CUT_BYTES))])
            connection.send(_octets(_CUT_BYTES // 2))
        getattr(connection, leaves)()

    if kind.streams_body and leaves == "close":
        entry = hosted.wait_for("read", mark)
        assert entry["length"] < _CUT_BYTES
        assert entry["end"] == "disconnect"
    else:  # with a reset, the server may not even have seen the head
        time.sleep(_QUIET_S)
    assert hosted.is_well()
    assert [entry["end"] for entry in hosted.journal("read", mark)] in ([], ["disconnect"])
