"""Plain WSGI applications with WebSockets, one per behaviour and misbehaviour.

How a conversation ended for the application is noted under the ``id`` of its query.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import geventwebsocket
import simple_websocket
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from bridge.types import Environ, StartResponse, WSGIApp

KIB = 1024
MESSAGE = b"0123456789abcdef" * (4 * KIB)
"""What endless applications send: 64 KiB."""
_GATE_S = 60.0  # longer than any test waits


class Books:
    """What happened in this process; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: dict[str, dict[str, Any]] = {}
        self._counts = {"open": 0, "sent": 0}
        self.gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        with self._lock:
            self._counts[name] += number

    def note(self, environ: Environ, **outcome: Any) -> None:
        """Keep how a conversation ended."""
        with self._lock:
            self._ended[argument(environ, "id")] = outcome

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything."""
        with self._lock:
            return {**self._counts, "ended": dict(self._ended)}


books = Books()


def argument(environ: Environ, name: str, default: str = "") -> str:
    return dict(parse_qsl(environ["QUERY_STRING"])).get(name, default)


def text(start_response: StartResponse, text: str, status: str = "200 OK") -> list[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def names_of(error: BaseException) -> list[str]:
    """Return the names of all that the error is."""
    return [kind.__name__ for kind in type(error).__mro__]


# ---- The socket of the environ, as gevent-websocket has it -----------------------------------------------------------


@contextlib.contextmanager
def _noted(environ: Environ) -> Iterator[Any]:
    """Lend the socket; count it as open, and note how it ended."""
    ws = environ["wsgi.websocket"]
    books.add("open")
    outcome: dict[str, Any] = {}
    try:
        yield ws
    except BaseException as error:
        outcome["error"] = names_of(error)
        raise
    finally:
        outcome |= {"code": getattr(ws, "close_code", None), "reason": getattr(ws, "close_reason", None)}
        books.note(environ, **outcome, closed=ws.closed)
        books.add("open", -1)


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send back what comes, until the client leaves; no ``start_response``, as the library's users do."""
    with _noted(environ) as ws:
        while (message := ws.receive()) is not None:
            ws.send(message)
    return []


def farewell(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Close after the first message, with the code and the reason of the query."""
    with _noted(environ) as ws:
        ws.receive()
        ws.close(int(argument(environ, "code", "1000")), argument(environ, "reason"))
    return []


def returns(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Say something and return."""
    environ["wsgi.websocket"].send("that was all")
    return text(start_response, "not seen by anybody")


def introduces(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Accept explicitly, with a subprotocol and cookies, and show the environ."""
    environ["wsgi.websocket"].accept(
        subprotocol=argument(environ, "subprotocol") or None, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    )
    environ["wsgi.websocket"].send(json.dumps({name: value for name, value in environ.items() if type(value) is str}))
    return []


def late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Go on talking after the client has left, until told."""
    with _noted(environ) as ws:
        while ws.receive() is not None:
            pass
        ws.send("lost")
        ws.send("refused")
    return []


def catches(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Notice by the library's exception that the client has left."""
    with _noted(environ) as ws:
        with contextlib.suppress(geventwebsocket.WebSocketError):
            while True:
                ws.receive()
    return []


def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send for ever."""
    with _noted(environ) as ws:
        while True:
            ws.send(MESSAGE)
            books.add("sent", len(MESSAGE))


def deaf(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read nothing before the gate is open; then everything, and say how much it was."""
    with _noted(environ) as ws:
        ws.send("ready")
        books.gates[argument(environ, "id")].wait(_GATE_S)
        length = 0
        while message := ws.receive():  # an empty message is the last one
            length += len(message)
        ws.send(str(length))
    return []


# ---- Without accepting, and failures --------------------------------------------------------------------------------


def refuses(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Close the socket before it is accepted."""
    environ["wsgi.websocket"].close()
    return []


def denies(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer like any page, with the status of the query."""
    return text(start_response, "no entry", f"{argument(environ, 'status')} For A Reason")


def raises(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise; after the first message, unless the query says ``early``."""
    if not argument(environ, "early"):
        environ["wsgi.websocket"].receive()
    raise RuntimeError(f"failed on purpose {argument(environ, 'mark')}")


def fails(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer 500 after the first message, as frameworks make it of an exception they have logged."""
    environ["wsgi.websocket"].receive()
    return text(start_response, "an error page", "500 Internal Server Error")


# ---- The connection itself, as werkzeug and gunicorn lend it ---------------------------------------------------------


def wire_echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send back what comes, with simple-websocket."""
    ws = simple_websocket.Server(environ, subprotocols=["superchat", "chat"])
    books.add("open")
    try:
        while True:
            ws.send(ws.receive())
    except simple_websocket.ConnectionClosed as error:
        books.note(environ, code=error.reason, reason=error.message)
    finally:
        books.add("open", -1)
    return text(start_response, "not seen by anybody")


def wire_endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send for ever, with simple-websocket."""
    ws = simple_websocket.Server(environ)
    try:
        while True:
            ws.send(MESSAGE)
            books.add("sent", len(MESSAGE))
    except (simple_websocket.ConnectionClosed, OSError) as error:
        books.note(environ, error=names_of(error))
    return []


def wire_raises(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise after the first message."""
    simple_websocket.Server(environ).receive()
    raise RuntimeError(f"failed on purpose {argument(environ, 'mark')}")


class Wire:
    """The server's end of a connection, octet by octet, with another library's idea of the protocol."""

    def __init__(self, environ: Environ) -> None:
        self._socket = environ.get("werkzeug.socket") or environ["gunicorn.socket"]
        self._key = environ["HTTP_SEC_WEBSOCKET_KEY"]
        self.protocol = ServerProtocol(state=State.OPEN, max_size=None)

    def accept(self, more_fields: str = "") -> None:
        """Complete the handshake; fields are lines with their ends."""
        self.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(self._key)}\r\n{more_fields}\r\n"
        )

    def write(self, text: str) -> None:
        """Send octets that are no frame."""
        self._socket.sendall(text.encode("ascii"))

    def flush(self) -> None:
        """Send the frames that are to be sent; no octets stand for the end."""
        for octets in self.protocol.data_to_send():
            if octets:
                self._socket.sendall(octets)
            else:
                self._socket.shutdown(socket.SHUT_WR)

    def frames(self) -> Iterator[Frame]:
        """Return the frames as they come, up to the end."""
        while octets := self._socket.recv(64 * KIB):
            self.protocol.receive_data(octets)
            self.flush()
            for event in self.protocol.events_received():
                assert isinstance(event, Frame)
                yield event
        self.protocol.receive_eof()


def wire_odd(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Accept with cookies; ask for a pong amid a message of three fragments; tell what the client answers."""
    wire = Wire(environ)
    wire.accept("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n")
    wire.protocol.send_text(b"in three ", fin=False)
    wire.protocol.send_continuation(b"fragments: ", fin=False)
    wire.protocol.send_ping(b"mark")
    wire.protocol.send_continuation("caf\u00e9".encode(), fin=True)
    wire.flush()
    for frame in wire.frames():
        if frame.opcode is Opcode.PONG:
            wire.protocol.send_text(b"pong " + bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            wire.protocol.send_close(4002, bytes(frame.data).decode())
        wire.flush()
    books.note(environ, code=wire.protocol.close_code, reason=wire.protocol.close_reason)
    return []


def wire_denies(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer the handshake with a page, written to the connection."""
    Wire(environ).write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\nWWW-Authenticate: Bearer\r\n\r\nno entry")
    return []


def wire_deaf(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read nothing before the gate is open; then everything, and say how much it was."""
    wire = Wire(environ)
    wire.accept()
    wire.protocol.send_text(b"ready")
    wire.flush()
    books.gates[argument(environ, "id")].wait(_GATE_S)
    length = 0
    for frame in wire.frames():
        length += len(frame.data)
        if not frame.data:
            wire.protocol.send_text(b"%d" % length)
            wire.protocol.send_close(1000)
            wire.flush()
    return []


PLAIN_ROUTES: dict[str, WSGIApp] = {
    "catches": catches,
    "deaf": deaf,
    "denies": denies,
    "echo": echo,
    "endless": endless,
    "fails": fails,
    "farewell": farewell,
    "introduces": introduces,
    "late": late,
    "raises": raises,
    "refuses": refuses,
    "returns": returns,
    "wire_deaf": wire_deaf,
    "wire_denies": wire_denies,
    "wire_echo": wire_echo,
    "wire_endless": wire_endless,
    "wire_odd": wire_odd,
    "wire_raises": wire_raises,
}
