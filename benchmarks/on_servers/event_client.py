"""Many clients of one event stream in one thread: how long after an event was made does each of them have it?"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import selectors
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks.on_servers.served_events import HELLO, INTERVAL_S

WAIT_S = 30.0
_PIECE_BYTES = 16 * 1024
_EVENT = re.compile(rb"data: ([0-9]+)\n\n")


@dataclasses.dataclass
class _Client:
    """One connection: what has come and has not been looked at, and the events so far."""

    connection: socket.socket
    octets: bytes = b""
    events: list[int] = dataclasses.field(default_factory=list)


class Audience:
    """Clients that have all been greeted.

    Args:
        clients: their connections.
        selector: which has all of them.
    """

    def __init__(self, clients: list[_Client], selector: selectors.BaseSelector) -> None:
        self._clients = clients
        self._selector = selector

    def delays_ms(self, events: int) -> list[float]:
        """Return how long each of the next events took to each client.

        Raises:
            RuntimeError: a client did not get one of them, or was left.
        """
        delays_ms: list[float] = []
        since_ns = time.monotonic_ns()
        for client in self._clients:
            client.events.clear()
        waiting = len(self._clients)
        deadline_s = time.monotonic() + events * INTERVAL_S + WAIT_S
        while waiting:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{waiting} of {len(self._clients)} clients did not get {events} events")
            for client in _received(self._selector, INTERVAL_S):
                now_ns = time.monotonic_ns()
                for stamp in take_events(client):
                    if stamp >= since_ns and len(client.events) < events:
                        client.events.append(stamp)
                        delays_ms.append((now_ns - stamp) / 1e6)
                        waiting -= len(client.events) == events
        if any(client.events != self._clients[0].events for client in self._clients):
            raise RuntimeError("some clients did not get the same events as others")
        return delays_ms


def take_events(client: _Client) -> list[int]:
    """Take the whole events out of what has come, and return when they were made."""
    head, separator, rest = client.octets.rpartition(b"\n\n")
    client.octets = rest
    return [int(stamp) for stamp in _EVENT.findall(head + separator)]


@contextlib.contextmanager
def audience(url: str, count: int) -> Iterator[Audience]:
    """Connect so many clients; yield once the application has greeted them all.

    Raises:
        RuntimeError: it has not in time.
    """
    address = urlsplit(url)
    request = f"GET {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode("ascii")
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(contextlib.closing(selectors.DefaultSelector()))
        clients = []
        for _ in range(count):
            connection = socket.create_connection((str(address.hostname), int(address.port or 80)), WAIT_S)
            client = _Client(stack.enter_context(contextlib.closing(connection)))
            connection.sendall(request)
            selector.register(connection, selectors.EVENT_READ, client)
            clients.append(client)
        greeted: set[int] = set()
        deadline_s = time.monotonic() + WAIT_S
        while len(greeted) < count:
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{count - len(greeted)} of {count} clients were not greeted")
            for client in _received(selector, INTERVAL_S):
                if HELLO in client.octets:
                    greeted.add(id(client))
        yield Audience(clients, selector)


def _received(selector: selectors.BaseSelector, wait_s: float) -> Iterator[_Client]:
    """Receive what there is; yield each client that has got something, at once."""
    for key, _ in selector.select(wait_s):
        client: _Client = key.data
        octets = client.connection.recv(_PIECE_BYTES)
        if not octets:
            raise RuntimeError("the server closed a stream")
        client.octets += octets
        yield client
