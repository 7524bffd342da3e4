"""An HTTP/1.1 and WebSocket client over asyncio streams that can also misbehave: it drops, resets and dawdles.

It checks nothing but framing; who asks compares what came with what should have come.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from benchmarks.on_servers.websocket_client import frame
from tests.integration.servers import HOST

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PIECE_BYTES = 65536
_LINGER_NOT = struct.pack("ii", 1, 0)
_SMALL_BUFFER_BYTES = 8192
Fields = dict[str, str]


@dataclass(slots=True)
class Answer:
    """A response as it came.

    Attributes:
        status: the status code.
        fields: names lower-case; of repeated ones the last.
        body: without transfer coding.
        is_complete: it ended as its framing said.
    """

    status: int
    fields: Fields
    body: bytes = b""
    is_complete: bool = True


class Unexpected(Exception):
    """Something else came than what should have."""


def unexpected(what: str) -> NoReturn:
    """Raise the error."""
    raise Unexpected(what)


def head_of(method: str, target: str, fields: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a request head."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(slots=True)
class Connection:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_reusable: bool = field(default=True)

    @classmethod
    async def open(cls, port: int, *, reads_slowly: bool = False) -> Connection:
        """Connect.

        Args:
            port: on the loopback interface.
            reads_slowly: with a small receive buffer, so that what is not read stays with the server.
        """
        raw = socket.socket()
        try:
            raw.setblocking(False)
            if reads_slowly:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(raw, (HOST, port))
            limit_bytes = _SMALL_BUFFER_BYTES if reads_slowly else _PIECE_BYTES
            return cls(*await asyncio.open_connection(sock=raw, limit=limit_bytes))
        except BaseException:
            raw.close()
            raise

    # ---- Endings ------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close it in the ordinary way."""
        self.is_reusable = False
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def reset(self) -> None:
        """Drop it, as a client that crashes does."""
        raw = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.writer.transport.abort()
        await self.close()

    # ---- HTTP ---------------------------------------------------------------------------------------------------

    async def ask(
        self, method: str, target: str, fields: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> Answer:
        """Send a request, read the answer."""
        if body is None:
            self.writer.write(head_of(method, target, fields))
        else:
            self.writer.write(head_of(method, target, [*fields, ("Content-Length", str(len(body)))]))
            self.writer.write(body)
            await self.writer.drain()
        return await self.answer(method)

    async def send_chunks(self, target: str, pieces: Iterable[bytes]) -> None:
        """Send a POST request with a chunked body."""
        self.writer.write(head_of("POST", target, [("Transfer-Encoding", "chunked")]))
        for piece in pieces:
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self.writer.drain()
        self.writer.write(b"0\r\n\r\n")

    async def answer(self, method: str = "GET") -> Answer:
        """Read an answer to its end, or to where it was cut.

        Raises:
            Unexpected: there is no head of a response.
        """
        answer = await self.head()
        length = answer.fields.get("content-length")
        if method == "HEAD" or answer.status in (204, 304):
            pass
        elif answer.fields.get("transfer-encoding") == "chunked":
            await self._read_chunks(answer)
        elif length is not None:
            answer.body = await self._exactly(int(length))
            answer.is_complete = len(answer.body) == int(length)
        else:
            unexpected(f"a response without framing: {answer}")
        if not answer.is_complete or answer.fields.get("connection", "").lower() == "close":
            self.is_reusable = False
        return answer

    async def head(self) -> Answer:
        """Read the head of an answer.

        Raises:
            Unexpected: there is none.
        """
        try:
            octets = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Unexpected(f"no head of a response: {error!r}") from None
        first, *lines = octets[:-4].decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        return Answer(int(first.split(" ")[1]), fields)

    async def _read_chunks(self, answer: Answer) -> None:
        pieces: list[bytes] = []
        answer.is_complete = False
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while size_bytes := int(await self.reader.readuntil(b"\r\n"), 16):
                pieces.append((await self.reader.readexactly(size_bytes + 2))[:-2])
            answer.is_complete = await self.reader.readexactly(2) == b"\r\n"
        answer.body = b"".join(pieces)

    async def _exactly(self, size_bytes: int) -> bytes:
        try:
            return await self.reader.readexactly(size_bytes)
        except asyncio.IncompleteReadError as error:
            return error.partial

    # ---- WebSocket ----------------------------------------------------------------------------------------------

    async def shake_hands(self, target: str) -> None:
        """Make it a WebSocket.

        Raises:
            Unexpected: the handshake was not accepted as it should be.
        """
        key = base64.b64encode(os.urandom(16))
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
        self.writer.write(head_of("GET", target, [*fields, ("Sec-WebSocket-Key", key.decode())]))
        answer = await self.head()
        self.is_reusable = False
        proof = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        if (answer.status, answer.fields.get("sec-websocket-accept")) != (101, proof):
            unexpected(f"the handshake was answered {answer}")

    def say(self, opcode: int, payload: bytes) -> None:
        """Send a message in one frame."""
        self.writer.write(frame(opcode, payload, is_from_client=True))

    async def hear(self, opcode: int, payload: bytes) -> None:
        """Read one frame.

        Raises:
            Unexpected: it is another one.
        """
        wanted = frame(opcode, payload, is_from_client=False)
        came = await self._exactly(len(wanted))
        if came != wanted:
            unexpected(f"the frame {came[:80]!r} instead of {wanted[:80]!r}")
