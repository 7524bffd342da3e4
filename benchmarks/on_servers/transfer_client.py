"""A client for large transfers that costs next to nothing: it receives into one buffer and looks at the length."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
from urllib.parse import urlsplit

from benchmarks.settings import MIB

WAIT_S = 60.0
_HEAD_BYTES = 64 * 1024
_BUFFER = bytearray(MIB)


def download(url: str, size_bytes: int, *, digest: str | None = None) -> None:
    """Fetch a response whose Content-Length is ``size_bytes``.

    Args:
        url: of it.
        size_bytes: how long it is to be.
        digest: its SHA-256, if that is to be verified too.

    Raises:
        RuntimeError: it is not that long, or not that.
    """
    found = hashlib.sha256()
    with _connected(url) as connection:
        connection.sendall(_request("GET", url, 0))
        length_bytes, beginning = _head(connection)
        _expect("a response's Content-Length", length_bytes, size_bytes)
        found.update(beginning)
        left = size_bytes - len(beginning)
        view = memoryview(_BUFFER)
        while left:
            received = connection.recv_into(view, min(left, len(_BUFFER)))
            if not received:
                raise RuntimeError(f"{left:,} bytes of {size_bytes:,} did not come")
            left -= received
            if digest is not None:
                found.update(view[:received])
    if digest is not None:
        _expect("a response's SHA-256", found.hexdigest(), digest)


def upload(url: str, size_bytes: int) -> None:
    """Post so many bytes; the response must be their number.

    Raises:
        RuntimeError: it is not.
    """
    with _connected(url) as connection:
        connection.sendall(_request("POST", url, size_bytes))
        for _ in range(size_bytes // len(_BUFFER)):
            connection.sendall(_BUFFER)
        connection.sendall(memoryview(_BUFFER)[: size_bytes % len(_BUFFER)])
        length_bytes, body = _head(connection)
        while len(body) < length_bytes:
            more = connection.recv(length_bytes - len(body))
            if not more:
                raise RuntimeError("the connection was closed in the middle of the response")
            body += more
    _expect("the length that the application saw", body.decode(), str(size_bytes))


def parse_head(head: bytes) -> int:
    """Return the Content-Length of the head of a response.

    Raises:
        RuntimeError: its status is not 200, or it has no length.
    """
    if not re.match(rb"HTTP/1\.[01] 200 ", head):
        raise RuntimeError(f"the server answered {head.splitlines()[0]!r}")
    length = re.search(rb"\r\ncontent-length: *([0-9]+)\r\n", head, re.IGNORECASE)
    if length is None:
        raise RuntimeError("the response has no Content-Length")
    return int(length[1])


def _connected(url: str) -> contextlib.closing[socket.socket]:
    address = urlsplit(url)
    return contextlib.closing(socket.create_connection((str(address.hostname), int(address.port or 80)), WAIT_S))


def _request(method: str, url: str, size_bytes: int) -> bytes:
    address = urlsplit(url)
    lines = [f"{method} {address.path} HTTP/1.1", f"Host: {address.netloc}"]
    if method == "POST":
        lines.append(f"Content-Length: {size_bytes}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _head(connection: socket.socket) -> tuple[int, bytes]:
    """Receive the head of a response; return its Content-Length, and what has come of the body."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        more = connection.recv(_HEAD_BYTES)
        if not more:
            raise RuntimeError("the connection was closed before there was a response")
        octets += more
    head, _, beginning = octets.partition(b"\r\n\r\n")
    return parse_head(head + b"\r\n"), beginning


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise RuntimeError(f"{what} is {found}, not {expected}")
