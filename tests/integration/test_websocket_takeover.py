"""Live, connections taken over from WSGI servers, without any WebSocket on them: octets come back from a plain thread.

What the servers do after they were told that their client has hung up is what this is about: nothing more may reach the
client, nothing may be logged as an error, and nothing may be held: no thread, no descriptor, no place in a poller.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import signal
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.certificates import make_certificate, trusting
from tests.integration.raw import Connection, Response, wait_for_log
from tests.integration.servers import Server, ServerKind, running
from tests.integration.takeover_app import FAREWELL, HEAD, LAST_WORDS
from tests.integration.wsgi_servers import (
    CHEROOT,
    GUNICORN_GEVENT,
    GUNICORN_GTHREAD,
    GUNICORN_SYNC,
    UWSGI,
    WERKZEUG,
    WSGIREF,
    WSGIServerKind,
)

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

APP = "tests.integration.takeover_app:app"
TIMEOUT_S = 20.0
MANY = 50
SPARE = 3
"""Threads of a server may open something of their own at their first request; connections come in larger numbers."""
_LOOK_S = 0.02
_UPGRADE = b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
_HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def _gunicorn(kind: WSGIServerKind) -> WSGIServerKind:
    return replace(
        kind, arguments=(*kind.arguments, "--access-logfile", "-", "--access-logformat", "access %(U)s %(s)s")
    )


def _program(name: str, *more: str) -> WSGIServerKind:
    program = f"tests.integration.wsgi_programs.{name}_server"
    return WSGIServerKind("-".join((name, *more)), (program, "{app}", "{host}", "{port}", *more), end=signal.SIGINT)


GUNICORNS = [_gunicorn(kind) for kind in (GUNICORN_SYNC, GUNICORN_GTHREAD, GUNICORN_GEVENT)]
KINDS = [
    *GUNICORNS,
    WERKZEUG,
    WSGIREF,
    CHEROOT,
    _program("pywsgi"),
    _program("pywsgi", "plain"),
    _program("eventlet"),
    replace(UWSGI, arguments=(*UWSGI.arguments, "--processes", "1"), processes=1),
]


@dataclass
class Taker:
    """A running server with the application that takes connections over; with TLS, what a client needs to trust it."""

    server: Server
    trust: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self.state()
        # What it is about to close is not usual.
        self.usual = min(self.state()["descriptors"] for _ in range(5))
        self.log_before = len(self.server.log())

    @property
    def kind(self) -> WSGIServerKind:
        """What it is."""
        assert isinstance(self.server.kind, WSGIServerKind)
        return self.server.kind

    def connect(self) -> socket.socket:
        """Return a connection on which nothing was said."""
        plain = socket.create_connection((self.server.host, self.server.port), timeout=TIMEOUT_S)
        if self.trust is None:
            return plain
        return self.trust.wrap_socket(plain, server_hostname=self.server.host, suppress_ragged_eofs=False)

    @contextlib.contextmanager
    def upgraded(self, path: str = "/upgrade") -> Iterator[socket.socket]:
        """Lend a connection that has been taken over."""
        with self.connect() as client:
            client.sendall(_UPGRADE.replace(b"/upgrade", path.encode()))
            assert exactly(client, len(HEAD)) == HEAD
            yield client

    def get(self, path: str) -> bytes:
        """Return the body of a page, on a connection of its own."""
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection), contextlib.closing(self.connect()) as connection.sock:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            return response.read()

    def state(self) -> dict[str, Any]:
        """Return what the process holds."""
        state: dict[str, Any] = json.loads(self.get("/state"))
        return state

    def wait_until(self, is_so: Callable[[dict[str, Any]], bool]) -> None:
        """Look until the process holds what it should."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not is_so(state := self.state()):
            assert time.monotonic() < deadline_s, f"{state}, descriptors before: {self.usual}"
            time.sleep(_LOOK_S)

    def wait_until_as_before(self) -> None:
        """Look until nothing is held any more."""
        self.wait_until(lambda state: state["open"] == 0 and state["descriptors"] <= self.usual + SPARE)

    def log(self) -> str:
        """Return what was logged since the start."""
        return self.server.log()[self.log_before :]

    def access_lines(self, path: str) -> list[str]:
        """Return the lines for a connection that was taken over.

        They are written when the connection is the server's no more: the one that must come is waited for, and one of
        a later request, so that a second one would be there as well.
        """
        wait_for_log(self.server, f"access {path} ")
        begin = len(self.server.log())
        self.get("/")
        wait_for_log(self.server, "access / 200", begin)
        return [line for line in self.server.log().splitlines() if path in line]


def exactly(client: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count and (octets := client.recv(count - len(received))):
        received += octets
    return bytes(received)


def comes_back(client: socket.socket, octets: bytes) -> bool:
    client.sendall(octets)
    return exactly(client, len(octets)) == octets


def stuff(client: socket.socket) -> None:
    """Send, and read nothing, until the other side can send nothing, and so leaves unread what was sent."""
    client.setblocking(False)
    while select.select([], [client], [], 10 * _LOOK_S)[1]:
        with contextlib.suppress(BlockingIOError):
            client.send(bytes(65536))


@pytest.fixture(scope="module", params=KINDS, ids=str)
def taker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taker]:
    kind: ServerKind = request.param
    with running(kind, APP, tmp_path_factory.mktemp("takeover")) as server:
        yield Taker(server)


# ---- Without TLS ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-020", "S-022")
def test_many_connections_live_beside_requests_that_are_answered(taker: Taker) -> None:
    """One worker, with one thread or a few: each connection is out of its hands."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(taker.upgraded()) for _ in range(MANY)]

        assert taker.state()["open"] == MANY
        assert all(comes_back(client, b"octets of %d" % number) for number, client in enumerate(clients))
        assert taker.get("/") == b"hello\n"
    taker.wait_until_as_before()


@pytest.mark.requirement("S-022", "S-023", "A-145")
def test_the_client_gets_what_the_thread_sends_and_nothing_else(taker: Taker) -> None:
    with taker.upgraded() as client:
        assert comes_back(client, bytes(range(256)) * 256)
        taker.get("/")  # the server has had its time
        client.sendall(FAREWELL)

        assert exactly(client, 1000) == LAST_WORDS
    taker.wait_until_as_before()


@pytest.mark.requirement("S-022")
def test_the_connection_is_in_no_poller_of_the_server_and_is_not_inherited(taker: Taker) -> None:
    """The head comes late and in two parts, so the server has waited for it, if it can do something else meanwhile."""
    with taker.connect() as client:
        for part in (_UPGRADE[:20], _UPGRADE[20:]):
            if taker.kind.overlaps:
                taker.get("/")
            client.sendall(part)
        assert exactly(client, len(HEAD)) == HEAD
        stuff(client)

        # gevent's libev forgets a connection only when it is told of octets that nobody wants: once, not for ever. If
        # the thread has only paused, they are read after all, and more are needed.
        taker.wait_until(lambda state: state["watched"] == 0 or stuff(client))
        assert taker.state()["open"] == 1
        assert taker.state()["inherited"] == 0
    taker.wait_until_as_before()


@pytest.mark.requirement("S-022")
def test_a_connection_can_be_taken_over_after_ordinary_requests(taker: Taker) -> None:
    if not taker.kind.keeps_alive:
        pytest.skip("one request on each connection")
    with Connection(taker.server, TIMEOUT_S) as connection:
        for _ in range(2):
            response: Response = connection.request("GET", "/")
            assert response.body == b"hello\n"
        client = connection._socket
        client.sendall(_UPGRADE)
        assert exactly(client, len(HEAD)) == HEAD
        assert comes_back(client, b"still here")
    taker.wait_until_as_before()


@pytest.mark.requirement("S-022")
def test_octets_that_came_with_the_request_do_no_harm(taker: Taker) -> None:
    """A client that does not wait for the answer may lose them: they are in the server's buffer."""
    with taker.connect() as client:
        client.sendall(_UPGRADE + _HELLO * 2000)
        client.shutdown(socket.SHUT_WR)

        came = exactly(client, 1_000_000)
        assert came.startswith(HEAD)
        assert (_HELLO * 2000).endswith(came[len(HEAD) :])
    taker.wait_until_as_before()
    assert taker.get("/") == b"hello\n"


@pytest.mark.requirement("S-022")
def test_clients_that_vanish_leave_nothing(taker: Taker) -> None:
    for _ in range(10 * SPARE):
        with taker.upgraded() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    taker.wait_until_as_before()


@pytest.mark.requirement("S-023", "A-145")
def test_one_line_in_the_access_log_and_no_error(taker: Taker) -> None:
    path = "/upgrade/one-line"
    with taker.upgraded(path) as client:
        assert comes_back(client, b"x")
    taker.wait_until_as_before()

    assert "Traceback" not in taker.log()
    assert "rror" not in taker.log()
    if taker.kind in GUNICORNS:
        assert taker.access_lines(path) == [f"access {path} 101"]


# ---- With TLS -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module", params=GUNICORNS, ids=str)
def secure(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[Taker]:
    kind: ServerKind = request.param
    more = ("--certfile", str(certificate[0]), "--keyfile", str(certificate[1]))
    kind = replace(kind, arguments=(*kind.arguments, *more))
    with running(kind, APP, tmp_path_factory.mktemp("takeover-tls")) as server:
        yield Taker(server, trusting(certificate[0]))


@pytest.mark.requirement("S-025", "A-144")
def test_a_connection_with_tls_is_relayed_to_its_orderly_end(secure: Taker) -> None:
    octets = bytes(range(256)) * 256
    path = "/upgrade/orderly"
    with secure.upgraded(path) as client:
        for _ in range(16):
            assert comes_back(client, octets)
        client.sendall(FAREWELL)
        assert exactly(client, 1000) == LAST_WORDS  # and then TLS says that this was the end
    secure.wait_until_as_before()

    assert "Traceback" not in secure.log()
    assert secure.access_lines(path) == [f"access {path} 101"]


@pytest.mark.requirement("S-025")
def test_clients_that_vanish_end_the_relay(secure: Taker) -> None:
    with secure.upgraded() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with secure.upgraded() as client:
        assert comes_back(client, b"x")  # and closes without a word
    secure.wait_until_as_before()

    assert "Traceback" not in secure.log()


@pytest.mark.requirement("S-025")
def test_relays_hold_a_thread_each_and_no_more(secure: Taker) -> None:
    if not secure.kind.overlaps:
        pytest.skip("it has one thread")
    with secure.upgraded() as one, secure.upgraded() as other:
        assert comes_back(one, b"one")
        assert comes_back(other, b"other")
        assert secure.get("/") == b"hello\n"
    secure.wait_until_as_before()
