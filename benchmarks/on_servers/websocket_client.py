"""A WebSocket client that costs next to nothing: prebuilt frames over plain sockets, answers counted and compared.

It does for WebSockets what `wrk` does for HTTP.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks.on_servers import servers

TEXT, BINARY = 1, 2
TIMEOUT_S = 30.0
_HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_MASK = b"\x37\xfa\x21\x3d"
_PIECE_BYTES = 1024 * 1024
_BEFORE = 20
"""Messages that are not counted: whatever is made at the first ones has been made."""
_LOOK_EVERY = 16
"""How many messages go between two looks at the clock."""


def frame(opcode: int, payload: bytes, *, is_from_client: bool) -> bytes:
    """Return the octets of a whole message in one frame; those of clients are masked."""
    mark = is_from_client << 7
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, mark | length)
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, mark | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, mark | 127, length)
    if not is_from_client:
        return head + payload
    mask = (_MASK * (length // 4 + 1))[:length]
    return head + _MASK + (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(length)


_CLOSE = frame(8, b"\x03\xe8", is_from_client=True)
_CLOSE_ANSWER = frame(8, b"\x03\xe8", is_from_client=False)


def opened(url: str, target: str = "/echo", *, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """Return a connection whose handshake is done.

    Raises:
        RuntimeError: it was refused.
        OSError: there is nobody, or the connection was lost.
    """
    address = urlsplit(url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(_HANDSHAKE.format(target=target).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n") and (octet := connection.recv(1)):  # a frame may come right behind
        head += octet
    if not head.startswith(b"HTTP/1.1 101 "):
        connection.close()
        raise RuntimeError(f"{url} refused the handshake: {head!r}")
    return connection


def read_exactly(connection: socket.socket, size_bytes: int) -> bytes:
    """Return the next octets.

    Raises:
        RuntimeError: the connection ended before.
    """
    octets = bytearray()
    while len(octets) < size_bytes:
        piece = connection.recv(min(size_bytes - len(octets), _PIECE_BYTES))
        if not piece:
            raise RuntimeError(f"the connection ended after {bytes(octets[:50])!r}")
        octets += piece
    return bytes(octets)


def close(connection: socket.socket) -> None:
    """Close it as the protocol wants it: both say so (simple-websocket does not always get so far)."""
    connection.sendall(_CLOSE)
    connection.recv(len(_CLOSE_ANSWER))
    connection.close()


def abort(connection: socket.socket) -> None:
    """Close it so that the server sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.contextmanager
def on_the_core_of_clients() -> Iterator[None]:
    """Keep the calling thread on the core that is not the server's."""
    if servers.cores()[1] < 0:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {servers.cores()[1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Echoes:
    """What an echo is asked for.

    The connections are made for each measurement: servers ping those that are older than that, which would be in the
    way of counting.

    Args:
        connections: how many; each sends the next message when the last one has come back.
        payload: of the messages.
        opcode: their kind.
    """

    def __init__(self, *, connections: int, payload: bytes, opcode: int) -> None:
        self._connections = connections
        self._sent = frame(opcode, payload, is_from_client=True)
        self._expected = frame(opcode, payload, is_from_client=False)
        self._buffer = bytearray(_PIECE_BYTES)

    def per_second(self, url: str, seconds: float) -> float:
        """Return how many messages per second a server brings back."""
        with on_the_core_of_clients(), contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(opened(url)) for _ in range(self._connections)]
            for each in sockets * _BEFORE:
                each.sendall(self._sent)
                if read_exactly(each, len(self._expected)) != self._expected:
                    raise RuntimeError(f"{url} does not echo")
            figure = self._one(sockets[0], seconds) if len(sockets) == 1 else self._many(sockets, seconds)
            for each in sockets:
                close(each)
            return figure

    def _one(self, connection: socket.socket, seconds: float) -> float:
        expected, octets = self._expected, self._sent
        expected_bytes = len(expected)
        view = memoryview(self._buffer)
        count, began_s = 0, time.perf_counter()
        while True:
            connection.sendall(octets)
            size_bytes = 0
            while size_bytes < expected_bytes:
                came_bytes = connection.recv_into(view[size_bytes:])
                if not came_bytes:
                    raise RuntimeError("the server has closed the connection")
                size_bytes += came_bytes
            if view[:size_bytes] != expected:
                raise RuntimeError("something else came back")
            count += 1
            if count % _LOOK_EVERY == 0 and time.perf_counter() - began_s >= seconds:
                return count / (time.perf_counter() - began_s)

    def _many(self, sockets: list[socket.socket], seconds: float) -> float:
        """For small messages: each is sent and received in one piece, or it is an error."""
        expected, octets = self._expected, self._sent
        count, began_s = 0, time.perf_counter()
        with selectors.DefaultSelector() as selector:
            for each in sockets:
                selector.register(each, selectors.EVENT_READ)
                each.sendall(octets)
            waiting, is_over = len(sockets), False
            while waiting:
                ready = selector.select(TIMEOUT_S)
                if not ready:
                    raise RuntimeError(f"the server has not answered for {TIMEOUT_S} s")
                is_over = time.perf_counter() - began_s >= seconds
                for key, _ in ready:
                    connection: socket.socket = key.fileobj  # type: ignore[assignment]
                    if connection.recv(_PIECE_BYTES) != expected:
                        raise RuntimeError("something else came back")
                    count += 1
                    if is_over:
                        waiting -= 1
                    else:
                        connection.sendall(octets)
        return count / (time.perf_counter() - began_s)
