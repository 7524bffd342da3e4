"""Live: raw octets that are read differently by different readers, sent to real servers that host through the bridge.

What is refused, and with which status, is the server's own business: the bridge sees what the server has understood.
What must hold for both together: one request gives one response and is seen once by the application; no octet of a
body is taken for a request; and the next client is served.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from tests.integration.raw import Connection, CutError, fetch
from tests.integration.servers import (
    GRANIAN,
    HYPERCORN_ASYNCIO,
    UVICORN_H11,
    UVICORN_HTTPTOOLS,
    Server,
    ServerKind,
    running,
)
from tests.integration.wsgi_servers import GUNICORN_GTHREAD, WAITRESS

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

ASGI_KINDS = (UVICORN_H11, UVICORN_HTTPTOOLS, HYPERCORN_ASYNCIO, GRANIAN)
KINDS = (*ASGI_KINDS, GUNICORN_GTHREAD, WAITRESS)

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
END = b"GET /end/%d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
"""The last request of each connection: who has understood the one before answers it and hangs up."""
# Long enough for any answer to come; only servers that wait for octets, which never come, are waited for.
WAIT_S = 1.5
_numbers = count(1)


@dataclass(frozen=True)
class Attack:
    """A request that some readers would take for another one, or for two.

    Attributes:
        fields: the lines of its head, without the first one and Host.
        body: what follows the head.
        content: what the body may be, for an application that is called at all.
    """

    fields: bytes
    body: bytes = SMUGGLED
    content: tuple[bytes, ...] = (SMUGGLED,)
    line: bytes = b"POST /attack/%d HTTP/1.1"

    def octets(self, number: int) -> bytes:
        """Return what is sent; the number tells its request from those of others that come late."""
        return self.line % number + b"\r\nHost: h\r\n" + self.fields + b"\r\n" + self.body + END % number


def length(value: bytes) -> bytes:
    return b"Content-Length: " + value + b"\r\n"


RIGHT = length(b"%d" % len(SMUGGLED))
CHUNK = b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CODED = CHUNK + b"0\r\n\r\n"

ATTACKS = {
    "a short length before a coding": Attack(length(b"4") + CHUNKED, CODED),
    "a short length after a coding": Attack(CHUNKED + length(b"4"), CODED),
    "two lengths, the short one first": Attack(length(b"0") + RIGHT),
    "two lengths, the short one last": Attack(RIGHT + length(b"0")),
    "a list of lengths": Attack(length(b"0, %d" % len(SMUGGLED))),
    "a length with a sign": Attack(length(b"+%d" % len(SMUGGLED))),
    "a length in hexadecimal": Attack(length(b"%#x" % len(SMUGGLED))),
    "a length with an underscore": Attack(length(b"3_5")),
    "a negative length": Attack(length(b"-1")),
    "a length with an underscore in its name": Attack(b"Content_Length: 0\r\n" + RIGHT),
    "a space before the colon": Attack(b"Content-Length : %d\r\n" % len(SMUGGLED)),
    "a folded length": Attack(b"Content-Length:\r\n %d\r\n" % len(SMUGGLED)),
    "chunked twice": Attack(CHUNKED + CHUNKED, CODED),
    "chunked twice in a list": Attack(b"Transfer-Encoding: chunked, chunked\r\n", CODED),
    "a coding nobody knows": Attack(b"Transfer-Encoding: xchunked\r\n" + RIGHT),
    "a coding with a control character": Attack(b"Transfer-Encoding: \x0bchunked\r\n" + RIGHT),
    "a coding with an underscore": Attack(b"Transfer_Encoding: chunked\r\n" + RIGHT),
    "a coding behind a lone carriage return": Attack(b"X-A: a\rTransfer-Encoding: chunked\r\n" + RIGHT),
    "a length behind NUL": Attack(b"X-A: a\0\r\n" + RIGHT),
    "a chunk of a size that overflows": Attack(CHUNKED, b"1%016x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "a chunk of a signed size": Attack(CHUNKED, b"+" + CODED),
    "a chunk extension with a line feed": Attack(CHUNKED, b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "a length and a host in the trailers": Attack(CHUNKED, CHUNK + b"0\r\nContent-Length: 0\r\nHost: evil\r\n\r\n"),
    "a body with GET": Attack(RIGHT, line=b"GET /attack/%d HTTP/1.1"),
    "a coded body with GET": Attack(CHUNKED, CODED, line=b"GET /attack/%d HTTP/1.1"),
    "a coding in HTTP/1.0": Attack(
        CHUNKED + length(b"%d" % len(CODED)), CODED, content=(SMUGGLED, CODED), line=b"POST /attack/%d HTTP/1.0"
    ),
    "a body nobody waits to send": Attack(b"Expect: 100-continue\r\n" + RIGHT),
    "a body nobody reads": Attack(RIGHT, content=(b"",), line=b"POST /ignored/%d HTTP/1.1"),
    "a coded body nobody reads": Attack(CHUNKED, CODED, content=(b"",), line=b"POST /ignored/%d HTTP/1.1"),
    "a large body nobody reads": Attack(
        length(b"%d" % (4000 * len(SMUGGLED))), SMUGGLED * 4000, content=(b"",), line=b"POST /ignored/%d HTTP/1.1"
    ),
}


@pytest.fixture(scope="module", params=KINDS, ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each kind, with an application of the other."""
    kind: ServerKind = request.param
    app = "tests.hostile.live_apps:" + ("on_asgi" if kind in ASGI_KINDS else "on_wsgi")
    with running(kind, app, tmp_path_factory.mktemp(kind.name)) as started:
        yield started


def seen_by(server: Server) -> list[dict[str, Any]]:
    """Ask, on a new connection, what has reached the application since the last time."""
    response = fetch(server, "GET", "/seen")
    assert (response.status, response.is_complete) == (200, True)
    seen: list[dict[str, Any]] = response.json()
    return seen


@dataclass
class Outcome:
    """What came back on one connection, and what the application has seen."""

    statuses: list[int] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)


def send_to(server: Server, octets: bytes, wait_s: float = WAIT_S) -> Outcome:
    """Send octets on a connection of its own and read all that comes back."""
    outcome = Outcome()
    with Connection(server, timeout_s=wait_s) as connection:
        with contextlib.suppress(ConnectionError):  # refused before all of it was sent
            connection.send(octets)
        is_open = True
        while True:
            try:
                outcome.statuses.append(connection.read_response().status)
            except CutError:
                break
            except TimeoutError:  # it waits for more, which will not come
                if not is_open:
                    break
                is_open = False
                with contextlib.suppress(OSError):
                    connection._socket.shutdown(socket.SHUT_WR)
    outcome.seen = seen_by(server)
    return outcome


def test_what_is_one_request_is_seen_as_one_and_what_is_two_as_two(server: Server) -> None:
    seen_by(server)
    number = next(_numbers)

    outcome = send_to(server, Attack(RIGHT).octets(number), wait_s=15.0)

    assert outcome.statuses == [200, 200]
    assert [(request["path"], request["body"].encode()) for request in outcome.seen] == [
        (f"/attack/{number}", SMUGGLED),
        (f"/end/{number}", b""),
    ]


@pytest.mark.requirement("W-050", "W-051", "W-052", "W-053", "W-082", "A-041", "A-043", "A-053")
def test_no_octet_of_a_body_is_ever_taken_for_a_request(server: Server) -> None:
    """All attacks in one test: each costs little, and what went wrong is told for all of them."""
    complaints: list[str] = []
    for name, attack in ATTACKS.items():
        number = next(_numbers)
        outcome = send_to(server, attack.octets(number))
        attacks = [r for r in outcome.seen if r["path"] in (f"/attack/{number}", f"/ignored/{number}")]
        ends = [r for r in outcome.seen if r["path"] == f"/end/{number}"]
        others = [r for r in outcome.seen if not r["path"].startswith(("/attack/", "/ignored/", "/end/"))]
        is_well = (
            not others
            and len(attacks) <= 1
            and len(ends) <= 1
            and all(request["body"].encode("latin-1") in attack.content for request in attacks)
            and all(request["host"] == "h" for request in outcome.seen)
            # One for each request, and one for what was no request.
            and len(outcome.statuses) <= len(attacks) + len(ends) + 1
        )
        if not is_well:
            complaints.append(f"{name}: {outcome}")

    assert not complaints, "\n".join(complaints)


@pytest.mark.requirement("W-054")
def test_two_hosts_never_reach_the_application_as_one(server: Server) -> None:
    outcome = send_to(server, b"GET /twice HTTP/1.1\r\nHost: h\r\nHost: evil\r\n\r\n" + END % next(_numbers))

    assert [request["host"] for request in outcome.seen if request["host"] == "evil"] == []
    if server.kind in ASGI_KINDS:
        assert [request for request in outcome.seen if request["path"] == "/twice"] == []


@pytest.mark.requirement("W-025", "W-028")
@pytest.mark.parametrize("target", ["http%3A//evil/x", "http:%2F%2Fevil/x", "/http://evil/x", "//evil/x"])
def test_the_host_is_the_one_that_was_sent_and_not_one_in_the_path(server: Server, target: str) -> None:
    number = next(_numbers)

    outcome = send_to(server, b"GET " + target.encode() + b" HTTP/1.1\r\nHost: h\r\n\r\n" + END % number)

    assert {request["host"] for request in outcome.seen} <= {"h"}
    paths = {request["path"] for request in outcome.seen} - {f"/end/{number}"}
    # Some servers fold the slashes at the front.
    assert paths <= {"http://evil/x", "/http://evil/x", "//evil/x", "/evil/x"}


@pytest.mark.requirement("W-123", "W-124", "W-125", "A-075", "A-076")
@pytest.mark.parametrize(
    ("method", "path", "status"), [("HEAD", "/x", 200), ("GET", "/no-content", 204), ("GET", "/not-modified", 304)]
)
def test_a_response_without_content_leaves_nothing_on_the_connection(
    server: Server, method: str, path: str, status: int
) -> None:
    with Connection(server) as connection:
        connection.send(f"{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode() + END % next(_numbers))
        assert connection.read_response(method).status == status
        try:
            last = connection.read_response()
        except CutError:  # a server that ends its connections so
            assert connection.read_buffer() == b""
        else:
            assert (last.status, last.body) == (200, b"this content must not be seen")
            assert connection.is_ended()
    seen_by(server)


@pytest.mark.requirement("W-096", "A-062")
@pytest.mark.parametrize("value", ["a%0d%0aX-Injected:%20yes", "a%0aX-Injected:%20yes", "a%0dX-Injected:%20yes", "%00"])
def test_an_application_cannot_split_a_response(server: Server, value: str) -> None:
    response = fetch(server, "GET", "/field?" + value)

    assert response.status == 500
    assert response.header("x-injected") is None
    assert response.header("x-echo") is None
    seen_by(server)
