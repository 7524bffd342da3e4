"""A WSGI server for one WebSocket handshake: in memory, but for the connection, which is a real pair of sockets.

`Visit` is one client's: a thread plays the server's and calls the adapter, the test holds the client's end and speaks
in octets and frames. As a server would, the thread writes what the adapter answers (or a 500 for what it raises) into
its end of the connection and closes it: what must not reach the client would be seen there.
"""

from __future__ import annotations

import queue
import select
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.gateway import environ_for
from tests.integration.raw_websocket import CLOSE, Frame, frame, handshake_fields
from tests.meeting import TIMEOUT_S, Helper, until

_PIECE_BYTES = 65536


class Heard:
    """What an application tells its test, in order. Any thread."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def note(self, item: Any) -> None:
        """Tell."""
        self._items.put(item)

    def next(self) -> Any:
        """Wait for what is told next."""
        try:
            return self._items.get(timeout=TIMEOUT_S)
        except queue.Empty:
            raise AssertionError("the application has told nothing") from None

    @property
    def is_empty(self) -> bool:
        """Nothing has been told that was not asked for."""
        return self._items.empty()


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a response, as the client got it."""

    status: int
    reason: str
    fields: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Return the values of a field; the name in small letters."""
        return [value for key, value in self.fields if key.lower() == name]


class Visit:
    """A client's handshake, and the connection after it; a context manager, at whose end the client leaves.

    Args:
        adapter: the WSGI application.
        is_tcp: over TCP, instead of a pair of the system's own.
        fields: of the handshake, as on the wire.
        send_buffer_bytes: what the system holds in each direction, about; for the pair of its own.
        more: keys of the environ.

    Attributes:
        client: the client's end.
        server: the server's end.
        starts: status and headers of each call of start_response.
        error: what the adapter raised, in the call or out of its response.
    """

    def __init__(
        self,
        adapter: Callable[..., Iterable[bytes]],
        *,
        is_tcp: bool = False,
        fields: list[tuple[str, str]] | None = None,
        send_buffer_bytes: int | None = None,
        **more: Any,
    ) -> None:
        self.server, self.client = _tcp_pair() if is_tcp else socket.socketpair()
        self.client.settimeout(TIMEOUT_S)
        if send_buffer_bytes is not None:
            for end in (self.server, self.client):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self.starts: list[tuple[str, list[tuple[str, str]]]] = []
        self.error: BaseException | None = None
        self._adapter = adapter
        headers = dict(handshake_fields() if fields is None else fields)
        self.environ = environ_for(headers=headers, **{"werkzeug.socket": self.server, **more})
        self._octets = bytearray()
        self._call = Helper(self._serve, "server")

    # ---- The server's thread --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        has_begun = False
        try:
            result = self._adapter(self.environ, self._start_response)
            try:
                for block in result:
                    if not has_begun:
                        has_begun = True
                        self._write_head()
                    self._write(block)
                if not has_begun:
                    self._write_head()
            finally:
                getattr(result, "close", lambda: None)()
        except BaseException as error:
            self.error = error
            if not has_begun:
                self._write(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
        finally:
            self.server.close()

    def _start_response(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.starts.append((status, headers))

    def _write_head(self) -> None:
        status, headers = self.starts[-1]
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
        self._write("\r\n".join(lines).encode("latin-1"))

    def _write(self, octets: bytes) -> None:
        with suppress(OSError):  # the client has left, or so it seems
            self.server.sendall(octets)

    # ---- The client -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self._call.join()
        self.server.close()

    def finish_call(self) -> Self:
        """Wait until the server's thread is free."""
        self._call.join()
        return self

    @property
    def is_call_over(self) -> bool:
        """The server's thread is free."""
        return self._call.is_done

    def read_head(self) -> Head:
        """Read the head of the answer to the handshake."""
        while (end := self._octets.find(b"\r\n\r\n")) < 0:
            octets = self.client.recv(_PIECE_BYTES)
            assert octets, f"the connection ended in the head, after {bytes(self._octets[:60])!r}"
            self._octets += octets
        head = self._octets[:end].decode("latin-1")
        del self._octets[: end + 4]
        first, *lines = head.split("\r\n")
        _, status, *reason = first.split(" ", 2)
        pairs = [line.partition(":") for line in lines]
        return Head(int(status), *reason, [(name, value.strip()) for name, _, value in pairs])

    def opened(self) -> Self:
        """Read the answer, which must be that the connection is open."""
        head = self.read_head()
        assert head.status == 101, head
        return self

    def read_rest(self) -> bytes:
        """Read up to the end of the connection."""
        while octets := self.client.recv(_PIECE_BYTES):
            self._octets += octets
        rest = bytes(self._octets)
        self._octets.clear()
        return rest

    def read_whole(self, size_bytes: int) -> bytes:
        """Read so many octets, of whatever they are."""
        octets = self._exactly(size_bytes)
        assert octets is not None, "the connection ended"
        return octets

    def write(self, octets: bytes) -> None:
        """Send octets."""
        self.client.sendall(octets)

    def send(self, opcode: int, payload: bytes = b"", **changes: Any) -> None:
        """Send a frame; the changes are those of `frame`."""
        self.write(frame(opcode, payload, **changes))

    def read(self) -> Frame | None:
        """Return the next frame; None at the end of the connection."""
        head = self._exactly(2)
        if head is None:
            return None
        assert head[0] & 0x70 == 0, "a reserved bit is set"
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8) or b"")
        assert not head[1] & 0x80, "servers do not mask (A-137)"
        payload = self._exactly(length)
        assert payload is not None
        return Frame(head[0] & 0x0F, payload, bool(head[0] & 0x80))

    def read_close(self) -> tuple[int, str] | None:
        """Return code and reason of the closing frame, which comes next; None if the connection just ends."""
        got = self.read()
        if got is None:
            return None
        assert got.opcode == CLOSE, got
        if not got.payload:
            return 1005, ""
        return struct.unpack("!H", got.payload[:2])[0], got.payload[2:].decode()

    def _exactly(self, size_bytes: int) -> bytes | None:
        while len(self._octets) < size_bytes:
            octets = self.client.recv(_PIECE_BYTES)
            if not octets:
                assert not self._octets, f"the connection ended within a frame, after {bytes(self._octets[:60])!r}"
                return None
            self._octets += octets
        octets = bytes(self._octets[:size_bytes])
        del self._octets[:size_bytes]
        return octets

    @property
    def is_quiet(self) -> bool:
        """Nothing has come that was not read."""
        return not self._octets and not select.select([self.client], [], [], 0)[0]

    def fill(self, octets: bytes, most_bytes: int, taken_bytes: int = 0) -> int:
        """Send the octets again and again until nobody takes more for a tenth of a second, or the most is sent.

        Return how many bytes were taken; give it to the next call, which goes on in the middle of the octets.
        """
        self.client.settimeout(0.1)
        try:
            while taken_bytes < most_bytes:
                taken_bytes += self.client.send(octets[taken_bytes % len(octets) :])
        except TimeoutError:
            pass
        finally:
            self.client.settimeout(TIMEOUT_S)
        return taken_bytes

    def is_hung_up(self) -> bool:
        """Tell whether the other end has closed the connection, without reading what it had sent."""
        poller = select.poll()
        poller.register(self.client, 0)
        return bool(poller.poll(0))

    def wait_until_hung_up(self) -> None:
        """Wait until the other end has closed the connection, without reading what it had sent."""
        until(self.is_hung_up, "the end of the connection")

    def reset(self) -> None:
        """Leave without a word; TCP only."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=TIMEOUT_S)
        server, _ = listener.accept()
    return server, client


# ---- Applications ---------------------------------------------------------------------------------------------------

App = Callable[[Any, Any, Any], Awaitable[None]]
ACCEPT = {"type": "websocket.accept"}


def accepting(serve: Callable[[Any, Any], Awaitable[object]]) -> App:
    """Return an application that accepts each connection and then serves it with ``receive`` and ``send``."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send(ACCEPT)
        await serve(receive, send)

    return app


def listening(heard: Heard) -> App:
    """Return an application that tells what it receives, up to the disconnect."""

    async def listen(receive: Any, send: Any) -> None:
        kind = None
        while kind != "websocket.disconnect":
            event = await receive()
            kind = event["type"]
            heard.note(event)

    return accepting(listen)


def echoing(heard: Heard | None = None) -> App:
    """Return an application that sends back what it receives, and tells the disconnect."""

    async def echo(receive: Any, send: Any) -> None:
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        if heard is not None:
            heard.note(event)

    return accepting(echo)


def disconnect(code: int, reason: str = "") -> dict[str, Any]:
    """Return the event an application gets at the end."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}
