"""The servers that host `tests.integration.websocket_wsgi_apps`, what is peculiar to each, and two clients."""

from __future__ import annotations

import base64
import os
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from tests.integration.raw import Connection, fetch, wait_for_counters
from tests.integration.servers import DAPHNE, GRANIAN, HYPERCORN_ASYNCIO, HYPERCORN_TRIO, Server, ServerKind

APP = "tests.integration.websocket_wsgi_apps:app"
WAIT_S = 20.0
"""How long anything may take."""


@dataclass(frozen=True, slots=True)
class Peculiar:
    """What a server does in its own way.

    Attributes:
        kind: how it is started.
        has_denial: a handshake can be answered with a response (else: 403, no body).
        has_accept_headers: header fields of the application are sent with the 101.
        client_codes: the application gets the client's close code; hypercorn 0.18 says 1006 of all.
        client_reasons: and its reason.
        lost_code: what it gets for a client that is lost; uvicorn says 1005 in two of three ways.
        reasons: the application's close reason is sent.
        reserved_codes: and close codes that RFC 6455 defines; Autobahn, under daphne, fails with others than 1000 and
            private ones, and closes with 1011 then.
        failed_status: the answer to a handshake whose application has failed.
        empty: empty messages pass.
        stops: SIGTERM ends it while sockets are open; hypercorn 0.18 under asyncio waits for them for ever.
        holds_back: who sends more than the other end reads has to wait.
    """

    kind: ServerKind
    has_denial: bool = True
    has_accept_headers: bool = True
    client_codes: bool = True
    client_reasons: bool = True
    lost_code: int = 1006
    reasons: bool = True
    reserved_codes: bool = True
    failed_status: int = 500
    empty: bool = True
    stops: bool = True
    holds_back: bool = True

    def __str__(self) -> str:
        return self.kind.name


def _uvicorn(websockets: str) -> ServerKind:
    arguments = ("uvicorn", "{app}", "--host", "{host}", "--port", "{port}", "--no-access-log", "--ws", websockets)
    return ServerKind(f"uvicorn-{websockets}", arguments)


UVICORN = Peculiar(_uvicorn("websockets"))
PECULIAR = (
    UVICORN,
    Peculiar(_uvicorn("websockets-sansio"), lost_code=1005),
    Peculiar(_uvicorn("wsproto"), lost_code=1005),
    Peculiar(HYPERCORN_ASYNCIO, client_codes=False, client_reasons=False, stops=False),
    Peculiar(HYPERCORN_TRIO, client_codes=False, client_reasons=False),
    Peculiar(GRANIAN, has_accept_headers=False, client_reasons=False, lost_code=1005, failed_status=403),
    Peculiar(
        DAPHNE,
        has_denial=False,
        has_accept_headers=False,
        client_reasons=False,
        reasons=False,
        reserved_codes=False,
        empty=False,
        holds_back=False,
    ),
)


def connected(server: Server, target: str, subprotocols: list[str] | None = None, **options: Any) -> ClientConnection:
    """Connect an ordinary client; to be used as a context manager."""
    client = connect(
        f"ws://{server.host}:{server.port}{target}",
        subprotocols=None if subprotocols is None else [Subprotocol(name) for name in subprotocols],
        open_timeout=WAIT_S,
        close_timeout=WAIT_S,
        ping_interval=None,
        max_size=None,
        proxy=None,
        **options,
    )
    assert isinstance(client, ClientConnection)
    return client


def closing_of(client: ClientConnection) -> tuple[int | None, str | None]:
    """Return code and reason of the closing frame that comes next; None if the connection ends without one."""
    try:
        message = client.recv(WAIT_S)
    except ConnectionClosed as closed:
        return (None, None) if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)
    raise AssertionError(f"{message!r} came instead of the end")


def ended(server: Server, mark: str) -> dict[str, Any]:
    """Wait until the conversation with that ``id`` has ended for the application; return how."""
    outcome = wait_for_counters(server, lambda now: mark in now["ended"], WAIT_S)["ended"][mark]
    assert isinstance(outcome, dict)
    return outcome


def open_gate(server: Server, mark: str) -> None:
    """Let the application with that ``id`` go on."""
    assert fetch(server, "GET", f"/gate?id={mark}").body == b"open"


class RawSocket:
    """A WebSocket client without a thread and without manners: it answers nothing by itself; a context manager.

    Args:
        server: where to connect to.
        target: path and query.
        receive_buffer_bytes: how much the system may receive ahead; by default, as much as it likes.
    """

    def __init__(self, server: Server, target: str, *, receive_buffer_bytes: int | None = None) -> None:
        self.key = base64.b64encode(os.urandom(16)).decode()
        self._connection = Connection(server, WAIT_S)
        self._socket = self._connection._socket
        if receive_buffer_bytes is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", self.key),
        ]
        self._connection.send_head("GET", target, fields)
        self.response = self._connection.read_head()
        assert self.response.status != 101 or self.response.header("sec-websocket-accept") == accept_key(self.key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def reset(self) -> None:
        """Vanish, as a crashed client does."""
        self._connection.reset()

    def send(self, message: str | bytes) -> None:
        """Send a message in one frame."""
        self._connection.send(frame_of(message))

    def send_close(self, payload: bytes = b"") -> None:
        """Send a closing frame as given."""
        self._connection.send(Frame(Opcode.CLOSE, payload).serialize(mask=True))

    def send_until_held_back(self, octets: bytes, most_bytes: int, patience_s: float) -> int:
        """Send the octets again and again; return how many times, once the system takes none for a while.

        The last ones are completed by `complete`. Fails after ``most_bytes``.
        """
        self._socket.settimeout(patience_s)
        begun, sent_bytes = 0, 0
        view = memoryview(octets)
        try:
            while sent_bytes < most_bytes:
                begun += 1
                at, self._rest = 0, octets
                while at < len(view):
                    at += self._socket.send(view[at:])
                    self._rest = octets[at:]
                sent_bytes += len(view)
        except TimeoutError:
            return begun
        finally:
            self._socket.settimeout(WAIT_S)
        raise AssertionError(f"{sent_bytes} bytes were taken and nobody reads them")

    def complete(self) -> None:
        """Send the rest of what could not be sent."""
        self._connection.send(self._rest)

    def read_frame(self) -> tuple[int, bytes]:
        """Read a frame; return its opcode and its payload."""
        head = self._read(2)
        assert head[0] & 0x80, "a fragment"
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        return head[0] & 0x0F, self._read(length)

    def read_message(self) -> bytes:
        """Read frames up to one that is a message."""
        while True:
            opcode, payload = self.read_frame()
            if opcode in (Opcode.TEXT, Opcode.BINARY):
                return payload
            assert opcode != Opcode.CLOSE, f"closed with {payload!r}"

    def _read(self, length: int) -> bytes:
        octets = self._connection._read(length)
        assert len(octets) == length, "the connection has ended"
        return octets


def frame_of(message: str | bytes) -> bytes:
    """Return a masked frame with a whole message."""
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    return Frame(opcode, message.encode() if isinstance(message, str) else message).serialize(mask=True)
