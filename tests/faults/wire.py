"""HTTP/1.1 over a raw socket inside the crowd's event loop: octets go out as given, small receive buffers are possible.

Nothing is bounded in here: the crowd bounds all of its clients together.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

HOST = "127.0.0.1"
_PIECE_BYTES = 256 * 1024
_NO_LINGER = struct.pack("ii", 1, 0)


class CutError(Exception):
    """The server ended the connection before its answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response whose content has been received."""

    status: int
    headers: dict[bytes, bytes]
    length: int
    checksum: int
    begin: bytes
    """The first octets of the content."""


class Wire:
    """One connection.

    Args:
        port: of the server, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.port = port
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._buffer = b""

    async def connect(self, receive_buffer_bytes: int = 0) -> None:
        """Connect; a receive buffer has to be small before, or the window has been offered."""
        if receive_buffer_bytes:
            self.set_receive_buffer(receive_buffer_bytes)
        await self._loop.sock_connect(self._socket, (HOST, self.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def set_receive_buffer(self, size_bytes: int) -> None:
        """Choose how much the system takes before it is read."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)

    def close(self) -> None:
        """Close in the ordinary way."""
        self._socket.close()

    def reset(self) -> None:
        """Drop the connection with a TCP reset, as a client that crashed does."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._socket.close()

    def end_sending(self) -> None:
        """Close our half of the connection."""
        self._socket.shutdown(socket.SHUT_WR)

    # ---- Sending ----------------------------------------------------------------------------------------------

    async def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        await self._loop.sock_sendall(self._socket, octets)

    async def send_all(self, blocks: Iterable[bytes]) -> None:
        """Send many."""
        for block in blocks:
            await self.send(block)

    # ---- Receiving --------------------------------------------------------------------------------------------

    async def receive(self, at_most_bytes: int = _PIECE_BYTES) -> bytes:
        """Return some octets.

        Raises:
            CutError: there are none to come.
        """
        if self._buffer:
            octets, self._buffer = self._buffer[:at_most_bytes], self._buffer[at_most_bytes:]
            return octets
        try:
            octets = await self._loop.sock_recv(self._socket, at_most_bytes)
        except ConnectionError as error:
            raise CutError(str(error)) from error
        if not octets:
            raise CutError("the connection was closed")
        return octets

    async def head(self, at_most_bytes: int = _PIECE_BYTES) -> tuple[int, dict[bytes, bytes]]:
        """Receive one head, be it final or interim; field names in lower case, the last of each."""
        held = b""
        while (end := held.find(b"\r\n\r\n")) < 0:
            held += await self.receive(at_most_bytes)
        self._buffer = held[end + 4 :] + self._buffer
        lines = held[:end].split(b"\r\n")
        fields = (line.partition(b":") for line in lines[1:])
        return int(lines[0].split(b" ")[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def content(self, length: int) -> tuple[int, bytes]:
        """Receive so many octets; return their checksum and the first of them."""
        checksum, begin, left = 0, b"", length
        while left:
            piece = await self.receive(min(left, _PIECE_BYTES))
            left -= len(piece)
            checksum = zlib.crc32(piece, checksum)
            begin = begin or piece[:100]
        return checksum, begin

    async def answer(self) -> Answer:
        """Receive a final response with Content-Length, passing interim ones over."""
        status, headers = await self.head()
        while status < 200:
            status, headers = await self.head()
        length = int(headers.get(b"content-length", b"-1"))
        if length < 0:
            raise CutError(f"an answer {status} that has no length")
        checksum, begin = await self.content(length)
        return Answer(status, headers, length, checksum, begin)
