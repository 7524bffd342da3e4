"""A small WebSocket client over a raw connection, for what well-behaved clients cannot do.

It sends frames as they are asked for, right or wrong, and shows those that come; it answers nothing by itself.
"""

from __future__ import annotations

import itertools
import struct
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.integration.raw import TIMEOUT_S, Connection, Fields, Response
from tests.integration.servers import Server

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The sample of RFC 6455, section 1.3."""
_MASK = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that came."""

    opcode: int
    payload: bytes
    is_final: bool = True
    is_masked: bool = False


def handshake_fields(**changes: str | None) -> list[tuple[str, str]]:
    """Return the fields of a handshake; ``upgrade=None`` leaves that one out, ``sec_websocket_key="x"`` changes it."""
    fields: dict[str, str | None] = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec_websocket_key": KEY,
        "sec_websocket_version": "13",
    }
    return [(name.replace("_", "-"), value) for name, value in (fields | changes).items() if value is not None]


def frame(opcode: int, payload: bytes = b"", *, is_final: bool = True, rsv: int = 0, is_masked: bool = True) -> bytes:
    """Return the octets of a frame; of a client, unless ``is_masked`` is False."""
    first = is_final << 7 | rsv << 4 | opcode
    length = len(payload)
    mark = is_masked << 7
    if length < 126:
        head = struct.pack("!BB", first, mark | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, mark | 126, length)
    else:
        head = struct.pack("!BBQ", first, mark | 127, length)
    if not is_masked:
        return head + payload
    return head + _MASK + bytes(octet ^ mask for octet, mask in zip(payload, itertools.cycle(_MASK), strict=False))


def close_payload(code: int, reason: str = "") -> bytes:
    """Return what a closing frame carries."""
    return struct.pack("!H", code) + reason.encode()


class RawSocket:
    """A handshake, on a new connection or a given one, and what comes after it; a context manager.

    Attributes:
        connection: below the frames.
        response: the answer to the handshake.
    """

    def __init__(
        self, server: Server, target: str, fields: Fields | None = None, *, connection: Connection | None = None
    ) -> None:
        self.connection = Connection(server) if connection is None else connection
        try:
            self.connection.send_head("GET", target, handshake_fields() if fields is None else fields)
            self.response: Response = self.connection.read_head()
            assert self.response.status == 101, self.response
        except BaseException:
            self.connection.close()
            raise
        self._octets = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def send(
        self, opcode: int, payload: bytes = b"", *, is_final: bool = True, rsv: int = 0, is_masked: bool = True
    ) -> None:
        """Send a frame."""
        self.connection.send(frame(opcode, payload, is_final=is_final, rsv=rsv, is_masked=is_masked))

    def read(self) -> Frame | None:
        """Return the next frame; None at the end of the connection."""
        head = self._exactly(2)
        if head is None:
            return None
        length = head[1] & 0x7F
        if length >= 126:
            size = self._exactly(2 if length == 126 else 8)
            assert size is not None
            length = int.from_bytes(size)
        is_masked = bool(head[1] & 0x80)
        mask = self._exactly(4) if is_masked else b""
        payload = self._exactly(length)
        assert mask is not None
        assert payload is not None
        return Frame(head[0] & 0x0F, payload, bool(head[0] & 0x80), is_masked)

    def read_close(self) -> tuple[int, str] | None:
        """Pass over frames up to the closing one; return its code and reason, None if the connection just ends."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while (got := self.read()) is not None:
            assert time.monotonic() < deadline_s, f"no closing frame in {TIMEOUT_S} s, but other ones"
            if got.opcode == CLOSE:
                if not got.payload:
                    return 1005, ""
                return int.from_bytes(got.payload[:2]), got.payload[2:].decode()
        return None

    def is_ended(self) -> bool:
        """Tell whether the server ends the connection (waiting for it) without another octet."""
        return not self._octets and self.connection.is_ended()

    def _exactly(self, size_bytes: int) -> bytes | None:
        while len(self._octets) < size_bytes:
            octets = self.connection.read_some()
            if not octets:
                assert not self._octets, f"the connection ended within a frame, after {bytes(self._octets)!r}"
                return None
            self._octets += octets
        octets = bytes(self._octets[:size_bytes])
        del self._octets[:size_bytes]
        return octets
