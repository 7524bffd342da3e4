"""Relayed connections, over real TLS between two sockets of this process.

The names of the four ends: the client's, the server's (TLS between these two), the relay's other end, which is held by
the relay as well, and ours, which is where a WebSocket would be.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.websocket.asgi_hosting import relay as module
from bridge.websocket.asgi_hosting.relay import relay
from tests.integration.certificates import make_certificate, trusting
from tests.integration.servers import HOST

TIMEOUT_S = 10.0
SOON_S = 0.05
MANY = bytes(range(256)) * 4 * 1024 * 4
"""4 MiB: much more than the system and the relay hold."""


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    directory: Path = tmp_path_factory.mktemp("tls")
    certificate, key = make_certificate(directory)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, trusting(certificate)


class Relayed:
    """A connection under relay: the client's end, ours, and the thread in between."""

    def __init__(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext], linger_s: float = TIMEOUT_S) -> None:
        with socket.create_server((HOST, 0)) as listener:
            plain_client = socket.create_connection(listener.getsockname(), timeout=TIMEOUT_S)
            plain_server, _ = listener.accept()
        plain_server.settimeout(TIMEOUT_S)
        handshake = threading.Thread(target=self._accept, args=(contexts[0], plain_server))
        handshake.start()
        # An end without a word is an error to this client.
        self.client = contexts[1].wrap_socket(plain_client, server_hostname=HOST, suppress_ragged_eofs=False)
        handshake.join(TIMEOUT_S)
        self.ours, self.between = socket.socketpair()
        self.ours.settimeout(TIMEOUT_S)
        self.between.settimeout(0)
        self._thread = threading.Thread(target=relay, args=(self.server, self.between), kwargs={"linger_s": linger_s})
        self._thread.start()

    def _accept(self, context: ssl.SSLContext, plain: socket.socket) -> None:
        self.server = context.wrap_socket(plain, server_side=True)

    def is_over(self, within_s: float = TIMEOUT_S) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        for end in (self.ours, self.client):
            end.close()
        assert self.is_over()
        self.between.close()
        self.server.close()


@pytest.fixture
def relayed(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Relayed]:
    relayed = Relayed(contexts)
    yield relayed
    relayed.close()


def exactly(end: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count and (octets := end.recv(count - len(received))):
        received += octets
    return bytes(received)


class Beside:
    """A call in a thread beside the test."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._thread = threading.Thread(target=self._run, args=(call,))
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        self._result = call()

    def result(self) -> Any:
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        return self._result


# ---- Octets ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-025", "A-144")
def test_octets_go_both_ways(relayed):
    for size in (1, 5, 70_000):
        relayed.client.sendall(MANY[:size])
        assert exactly(relayed.ours, size) == MANY[:size]
        relayed.ours.sendall(MANY[-size:])
        assert exactly(relayed.client, size) == MANY[-size:]


@pytest.mark.requirement("S-025", "A-144")
def test_more_than_anybody_holds_arrives_whole_from_a_client(relayed):
    received = Beside(partial(exactly, relayed.ours, len(MANY)))

    relayed.client.sendall(MANY)

    assert received.result() == MANY


@pytest.mark.requirement("S-025", "A-144")
def test_more_than_anybody_holds_arrives_whole_at_a_client(relayed):
    sent = Beside(partial(relayed.ours.sendall, MANY))

    assert exactly(relayed.client, len(MANY)) == MANY
    sent.result()


@pytest.mark.requirement("S-025", "A-144")
def test_one_direction_that_is_stuck_does_not_hold_up_the_other(relayed):
    while not is_stuck(relayed.ours, MANY[:65536]):  # towards a client that does not read
        pass

    relayed.client.sendall(b"ping")

    assert relayed.ours.recv(100) == b"ping"


@pytest.mark.requirement("S-025", "S-008")
def test_what_nobody_reads_stays_with_the_sender(relayed):
    relayed.client.settimeout(0)
    sent = 0
    while not is_stuck(relayed.client, MANY[:16384]):
        sent += 16384
        assert sent < 64 * 1024 * 1024


def is_stuck(end: socket.socket, octets: bytes) -> bool:
    """Send, and tell whether nothing more is taken from this end."""
    end.settimeout(0)
    try:
        end.send(octets)
    except (BlockingIOError, ssl.SSLWantWriteError):
        with selectors.SelectSelector() as selector:
            selector.register(end, selectors.EVENT_WRITE)
            return not selector.select(4 * SOON_S)
    finally:
        end.settimeout(TIMEOUT_S)
    return False


# ---- Ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-025")
def test_when_we_close_the_client_gets_everything_and_is_told(relayed):
    relayed.ours.sendall(MANY[:200_000])
    relayed.ours.close()

    assert exactly(relayed.client, 200_001) == MANY[:200_000]
    assert relayed.is_over()


@pytest.mark.requirement("S-025")
def test_when_the_client_closes_we_get_everything_and_are_told(relayed):
    relayed.client.sendall(b"last words")
    relayed.client.close()

    assert exactly(relayed.ours, 100) == b"last words"
    relayed.ours.close()
    assert relayed.is_over()


@pytest.mark.requirement("S-025")
def test_a_client_that_will_send_no_more_is_still_sent_to(relayed):
    relayed.client.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        relayed.client.unwrap()  # says that it is the end, and would wait for the same from us
    relayed.client.settimeout(TIMEOUT_S)

    assert relayed.ours.recv(100) == b""
    relayed.ours.sendall(b"goodbye")
    relayed.ours.close()
    assert exactly(relayed.client, 7) == b"goodbye"
    with pytest.raises(ssl.SSLZeroReturnError):
        relayed.client.recv(1)


@pytest.mark.requirement("S-025")
def test_what_a_client_sends_after_we_have_finished_still_comes(relayed):
    relayed.ours.shutdown(socket.SHUT_WR)

    assert relayed.client.recv(100) == b""
    relayed.client.sendall(b"one thing more")
    assert relayed.ours.recv(100) == b"one thing more"
    assert not relayed.is_over(within_s=SOON_S)
    relayed.ours.close()
    assert relayed.is_over()


@pytest.mark.requirement("S-025")
def test_a_client_that_is_lost_is_an_end(relayed):
    relayed.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    relayed.client.close()

    assert relayed.ours.recv(100) == b""
    relayed.ours.close()
    assert relayed.is_over()


@pytest.mark.requirement("S-025")
def test_when_we_leave_without_having_read_the_client_is_told(relayed):
    relayed.client.sendall(b"unread")
    assert relayed.ours.recv(1) == b"u"
    relayed.ours.close()

    assert relayed.client.recv(100) == b""
    assert relayed.is_over()


@pytest.mark.requirement("S-025")
def test_a_client_that_takes_nothing_is_not_waited_for_without_end(contexts):
    relayed = Relayed(contexts, linger_s=SOON_S)
    try:
        while not is_stuck(relayed.ours, MANY[:65536]):
            pass
        relayed.ours.close()
        assert relayed.is_over()
    finally:
        relayed.close()


@pytest.mark.requirement("A-144")
@pytest.mark.parametrize("timeout_s", [pytest.param(None, id="blocking"), pytest.param(7.5, id="with a time-out")])
def test_the_servers_socket_is_given_back_as_it_was(contexts, timeout_s):
    with socket.create_server((HOST, 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=TIMEOUT_S)
        server, _ = listener.accept()
    ours, between = socket.socketpair()
    with client, server, ours, between:
        between.settimeout(0)
        server.settimeout(timeout_s)
        ours.close()

        relay(server, between)

        assert server.gettimeout() == timeout_s
        assert client.recv(1) == b""


@pytest.mark.requirement("S-025")
def test_a_server_that_has_closed_its_socket_is_an_end(contexts):
    client, server = socket.socketpair()
    ours, between = socket.socketpair()
    with client, ours, between:
        between.settimeout(0)
        thread = threading.Thread(target=relay, args=(server, between))
        thread.start()
        client.sendall(b"x")
        assert ours.recv(1) == b"x"
        client.close()
        assert ours.recv(1) == b""
        server.close()
        ours.close()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


# ---- Waiting --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-025")
def test_the_thread_of_eventlet_waits_in_its_way(monkeypatch):
    waits = []

    def select(readers, writers, errors, timeout):
        waits.append((readers, writers, errors, timeout))

    monkeypatch.setitem(sys.modules, "eventlet.green.select", SimpleNamespace(select=select))
    green = type("GreenSSLSocket", (), {"__module__": "eventlet.green.ssl"})()

    module._wait_for(green)({3: selectors.EVENT_READ, 4: selectors.EVENT_READ | selectors.EVENT_WRITE}, 0.5)

    assert waits == [([3, 4], [4], [], 0.5)]


@pytest.mark.requirement("S-025")
def test_the_greenlet_of_gevent_waits_in_its_way(monkeypatch):
    made = []

    class GeventSelector(selectors.SelectSelector):
        def __init__(self):
            super().__init__()
            made.append(self)

    monkeypatch.setitem(sys.modules, "gevent.selectors", SimpleNamespace(GeventSelector=GeventSelector))
    green = type("SSLSocket", (), {"__module__": "gevent.ssl"})()
    first, second = socket.socketpair()
    with first, second:
        second.send(b"x")
        module._wait_for(green)({first.fileno(): selectors.EVENT_READ}, TIMEOUT_S)

    assert len(made) == 1
