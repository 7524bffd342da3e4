"""A small HTTP/1.1 client over a raw socket, for what well-behaved clients cannot do.

It sends octets as given and reports what came back, cut or whole; it corrects nothing and retries nothing. Every wait
is bounded by the socket's timeout.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.integration.servers import Server

TIMEOUT_S = 20.0
"""How long anything may take; far beyond what a loaded machine needs."""
_PIECE_BYTES = 65536
_LOOK_S = 0.02

Fields = Sequence[tuple[str, str | bytes]]


@dataclass(slots=True)
class Response:
    """A final response, as far as it came.

    Attributes:
        status: the status code.
        headers: names lower-case, latin-1 text, order and repeats kept.
        body: the content received, without transfer coding.
        is_complete: the end came as the framing said (Content-Length, last chunk); False if the connection was cut
            before. A body delimited by the end of the connection can never be told complete.
        interim: the 1xx responses that came before it.
        is_framed: Content-Length or chunked (or no content by definition).
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    is_complete: bool = False
    interim: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    is_framed: bool = True

    def header(self, name: str) -> str | None:
        """Return the first value of a field, or None."""
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:
        """Return the body parsed as JSON."""
        return json.loads(self.body)


class CutError(Exception):
    """The connection ended before the head of a response was complete."""


def head_from(method: str, target: str | bytes, host: str, headers: Fields, version: str = "1.1") -> bytes:
    """Return a request head; a Host field is added unless one is given."""
    octets = target if isinstance(target, bytes) else target.encode("latin-1")
    lines = [method.encode("ascii") + b" " + octets + b" HTTP/" + version.encode("ascii")]
    if version != "1.0" and not any(name.lower() == "host" for name, _ in headers):
        lines.append(b"Host: " + host.encode("ascii"))
    for name, value in headers:
        lines.append(name.encode("latin-1") + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Connection:
    """One connection to a server; a context manager."""

    def __init__(self, server: Server, timeout_s: float = TIMEOUT_S) -> None:
        self._host = f"{server.host}:{server.port}"
        self._socket = socket.create_connection((server.host, server.port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection in the ordinary way."""
        self._socket.close()

    def reset(self) -> None:
        """Drop the connection with a TCP reset, as a crashed client does."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # ---- Sending ------------------------------------------------------------------------------------------------

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._socket.sendall(octets)

    def send_head(self, method: str, target: str | bytes, headers: Fields = (), version: str = "1.1") -> None:
        """Send a request head."""
        self.send(head_from(method, target, self._host, headers, version))

    def send_chunks(self, pieces: Iterable[bytes]) -> None:
        """Send pieces in the chunked coding, and the last chunk."""
        for piece in pieces:
            self.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.send(b"0\r\n\r\n")

    def request(
        self,
        method: str,
        target: str | bytes,
        headers: Fields = (),
        body: bytes | Iterable[bytes] | None = None,
        version: str = "1.1",
    ) -> Response:
        """Send a request and read its response: ``bytes`` with Content-Length, an iterable of them chunked."""
        if isinstance(body, bytes):
            self.send(
                head_from(method, target, self._host, [*headers, ("Content-Length", str(len(body)))], version) + body
            )
        elif body is not None:
            self.send_head(method, target, [*headers, ("Transfer-Encoding", "chunked")], version)
            self.send_chunks(body)
        else:
            self.send_head(method, target, headers, version)
        return self.read_response(method)

    # ---- Receiving ----------------------------------------------------------------------------------------------

    def read_response(self, method: str = "GET") -> Response:
        """Read a response to its end or to the cut.

        Raises:
            CutError: the connection ended within the head.
            TimeoutError: nothing came for too long.
        """
        response = self.read_head()
        if method == "HEAD" or response.status in (204, 304):
            response.is_complete = True
        elif "chunked" in (response.header("transfer-encoding") or "").lower():
            self._read_chunks(response)
        elif (length := response.header("content-length")) is not None:
            response.body = self._read(int(length))
            response.is_complete = len(response.body) == int(length)
        else:
            response.is_framed = False
            response.body = self.read_to_end()
        return response

    def read_head(self) -> Response:
        """Read interim responses and the head of the final one."""
        interim: list[tuple[int, list[tuple[str, str]]]] = []
        while True:
            status, headers = self._read_one_head()
            if status >= 200 or status == 101:
                return Response(status, headers, interim=interim)
            interim.append((status, headers))

    def read_interim(self) -> int:
        """Read one head and return its status, be it final or not."""
        return self._read_one_head()[0]

    def read_some(self) -> bytes:
        """Return what is there, waiting for at least one byte; empty at the end of the connection."""
        if not self._buffer:
            self._fill()
        octets = bytes(self._buffer)
        self._buffer.clear()
        return octets

    def read_to_end(self) -> bytes:
        """Return everything up to the end of the connection."""
        while self._fill():
            pass
        return self.read_buffer()

    def read_buffer(self) -> bytes:
        """Return what has been received and not been read."""
        octets = bytes(self._buffer)
        self._buffer.clear()
        return octets

    def is_ended(self) -> bool:
        """Tell whether the server ends the connection (waiting for it) without another octet."""
        return not self._buffer and not self._fill()

    def _read_one_head(self) -> tuple[int, list[tuple[str, str]]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not self._fill():
                raise CutError(f"the connection ended after {bytes(self._buffer)!r}")
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers: list[tuple[str, str]] = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip(" \t")))
        return int(lines[0].split(" ")[1]), headers

    def _read_chunks(self, response: Response) -> None:
        while True:
            line = self._read_line()
            if line is None:
                return
            size_bytes = int(line.split(b";")[0], 16)
            if not size_bytes:
                while line := self._read_line():  # trailer fields
                    pass
                response.is_complete = line is not None
                return
            piece = self._read(size_bytes)
            response.body += piece
            if len(piece) < size_bytes or self._read_line() is None:
                return

    def _read_line(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not self._fill():
                return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _read(self, size_bytes: int) -> bytes:
        while len(self._buffer) < size_bytes and self._fill():
            pass
        octets = bytes(self._buffer[:size_bytes])
        del self._buffer[:size_bytes]
        return octets

    def _fill(self) -> bool:
        try:
            octets = self._socket.recv(_PIECE_BYTES)
        except ConnectionError:
            return False  # a reset is a cut as well
        self._buffer += octets
        return bool(octets)


def fetch(
    server: Server,
    method: str,
    target: str | bytes,
    headers: Fields = (),
    body: bytes | Iterable[bytes] | None = None,
    version: str = "1.1",
) -> Response:
    """Make one request on a connection of its own."""
    with Connection(server) as connection:
        return connection.request(method, target, headers, body, version)


def counters_of(server: Server) -> dict[str, Any]:
    """Ask the server's process for its counters."""
    answer = fetch(server, "GET", "/counters").json()
    assert isinstance(answer, dict)
    return answer


def wait_for_counters(
    server: Server, is_met: Callable[[dict[str, Any]], bool], timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """Ask until the condition holds; fails with the last counters if it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        now = counters_of(server)
        if is_met(now):
            return now
        assert time.monotonic() < deadline_s, f"still not after {timeout_s} s: {now}"
        time.sleep(_LOOK_S)


def wait_for_log(server: Server, text: str, begin: int = 0, timeout_s: float = TIMEOUT_S) -> None:
    """Look into the server's log, from position ``begin`` on, until the text is there; fails if it is not in time."""
    deadline_s = time.monotonic() + timeout_s
    while text not in server.log()[begin:]:
        assert time.monotonic() < deadline_s, f"{text!r} is not in the log after {timeout_s} s:\n{server.log()[begin:]}"
        time.sleep(_LOOK_S)
