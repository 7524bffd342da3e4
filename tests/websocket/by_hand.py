"""A WebSocket server's side written by hand, for applications that use ``environ["werkzeug.socket"]``."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class ReadFrame:
    """A frame as it came from the client's side."""

    opcode: int
    payload: bytes
    is_final: bool
    is_masked: bool

    @property
    def code(self) -> int | None:
        """The code of a close frame; None if there is none."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


def frame(opcode: int, payload: bytes = b"", *, is_final: bool = True) -> bytes:
    """A frame of a server: not masked."""
    head = bytes([(0x80 if is_final else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return head + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return head + b"\x7f" + struct.pack("!Q", len(payload)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def accept_value(environ: dict[str, Any]) -> str:
    """What ``Sec-WebSocket-Accept`` must be."""
    key = environ["HTTP_SEC_WEBSOCKET_KEY"].encode()
    return base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()


def handshake(environ: dict[str, Any], *fields: str, accept: str | None = None) -> bytes:
    """A 101, with more header lines."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_value(environ) if accept is None else accept}",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class HandWritten:
    """The application's end of the wire; reading is bounded in time."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.socket: socket.socket = environ["werkzeug.socket"]
        assert self.socket.gettimeout() is None, "the socket must block"
        self.socket.settimeout(_PATIENCE_S)

    def accept(self, *fields: str) -> HandWritten:
        """Complete the handshake."""
        self.write(handshake(self.environ, *fields))
        return self

    def write(self, octets: bytes) -> None:
        """Write anything."""
        self.socket.sendall(octets)

    def read(self) -> ReadFrame | None:
        """The next frame; None at the end."""
        head = self._exactly(2)
        if not head:
            return None
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._exactly(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._exactly(8))[0]
        is_masked = bool(head[1] & 0x80)
        mask = self._exactly(4) if is_masked else bytes(4)
        payload = self._exactly(length)
        pattern = mask * (length // 4 + 1)
        plain = (int.from_bytes(payload, "big") ^ int.from_bytes(pattern[:length], "big")).to_bytes(length, "big")
        return ReadFrame(head[0] & 0x0F, plain, bool(head[0] & 0x80), is_masked)

    def _exactly(self, count: int) -> bytes:
        octets = bytearray()
        while len(octets) < count:
            piece = self.socket.recv(count - len(octets))
            if not piece:
                assert not octets, f"the wire ended within a frame: {bytes(octets)!r}"
                return b""
            octets += piece
        return bytes(octets)


class ByHand:
    """A WSGI application that does something with its end of the wire, and returns nothing.

    Attributes:
        result: what came of it.
        failure: what did not hold in it.
    """

    def __init__(self, function: Callable[[HandWritten], Any]) -> None:
        self._function = function
        self.result: Any = None
        self.failure: BaseException | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            self.result = self._function(HandWritten(environ))
        except (AssertionError, TimeoutError, pytest.fail.Exception) as failure:
            self.failure = failure
        return []


by_hand = ByHand
