"""WebSockets whose handshake the server has completed itself: ``environ["wsgi.websocket"]``, as of gevent-websocket.

The 101 is out before the application is called: its accept sends nothing, and what it refuses is closed with a frame
(A-146). What carries the messages is one of two:

- Of gevent-websocket's own objects it is known that they read nothing by themselves and have agreed on no extension.
  Their connection is taken over like any other, so that codes, limits and pings are as everywhere, and nothing is held.
- Any other object with their methods is spoken to by two threads, the request's and one more, for as long as it lives.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from bridge._asgi_hosting.hosting import logger
from bridge.errors import RequestRefused
from bridge.limits import Limits
from bridge.translate.asgi_websocket import Accept
from bridge.translate.closing import INTERNAL_ERROR, NORMAL, checked_close
from bridge.translate.websocket_handshake import Handshake, handshake_from_environ
from bridge.types import Environ, Message, StartResponse
from bridge.websocket.asgi_hosting.connections import Connection, find_connection
from bridge.websocket.asgi_hosting.objects import ObjectCarrier
from bridge.websocket.frames import FrameEnd

POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013

_KEY = "wsgi.websocket"
_RAW_KEY = "werkzeug.socket"
_METHODS = ("receive", "send", "close")
_PIECE_BYTES = 64 * 1024


class _Carrier(Protocol):
    """What carries the frames; `Connection` is one. Request thread."""

    def take(self) -> socket.socket:
        """Return a socket of our own, once."""
        ...

    def end(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """End the server's call."""
        ...


class Handshaken:
    """A WebSocket that is open, in the place of the connection of a handshake. All methods in the request's thread.

    Args:
        websocket: the server's object.
        environ: of its request.

    Attributes:
        handshake: what the client has asked for, as far as it can be told.
        subprotocol: the server's choice; None if it has made none, or does not tell.
        has_ended: the server's call has come to its end.
    """

    has_ended = False
    _is_taken = False

    def __init__(self, websocket: Any, environ: Environ) -> None:
        carrier: _Carrier | None = _connection_of(websocket, environ)
        self._answers_pings = carrier is not None
        self._carrier: _Carrier = carrier or ObjectCarrier(websocket)
        self.handshake = _handshake_of(environ)
        self.subprotocol = _subprotocol_of(websocket)

    def limits(self, limits: Limits) -> Limits:
        """Return the limits that hold for it: whether the client of an object still lives is for the server to know."""
        return limits if self._answers_pings else replace(limits, websocket_ping_s=None)

    def accepted(self, accept: Accept, of: str) -> None:
        """Warn, once, of what can no longer be sent to the client."""
        ignored: list[str] = []
        if accept.subprotocol not in (None, self.subprotocol):
            ignored.append(f"the subprotocol {accept.subprotocol!r}")
        if accept.headers:
            ignored.append(f"the header fields {', '.join(name for name, _ in accept.headers)}")
        if ignored:
            logger.warning(
                "%s: the server has completed the handshake before the application was called; of its accept, %s could "
                "not be sent",
                of,
                " and ".join(ignored),
            )

    def take(self) -> socket.socket:
        """Return a socket of our own, on which frames are spoken; once.

        Raises:
            OSError: the server has closed the connection, or there is no descriptor left.
        """
        own = self._carrier.take()
        self._is_taken = True
        return own

    def end(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """End the server's call; blocks, as long as the connection lives, where that cannot be taken over.

        Raises:
            ConnectionResetError: to the server of gevent-websocket this is the end; let it through.
        """
        self.has_ended = True
        return self._carrier.end(environ, start_response)

    def close(self, code: int, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Close what the application has not answered, and end the server's call; raises as `end` and `take` do."""
        if not self._is_taken:
            frames = FrameEnd("server", max_message_bytes=None)
            frames.close(code)
            with self.take() as own, suppress(OSError):  # the client has left
                own.send(frames.octets_to_send()[0])
                own.shutdown(socket.SHUT_WR)
                own.recv(_PIECE_BYTES)  # with octets unread, the system would take the frame back
        return self.end(environ, start_response)


def find_handshaken(environ: Environ) -> Handshaken | None:
    """Return the WebSocket that the server of a request has made of it, or None. It looks, and changes nothing."""
    websocket = environ.get(_KEY)
    # Who offers the connection beside it has not completed the handshake: `bridge.to_asgi` is one.
    if websocket is None or environ.get(_RAW_KEY) is not None:
        return None
    if not all(callable(getattr(websocket, name, None)) for name in _METHODS):
        return None
    return Handshaken(websocket, environ)


def serve_handshaken(
    handshaken: Handshaken,
    environ: Environ,
    start_response: StartResponse,
    serve: Callable[[StartResponse], Iterable[bytes]],
) -> Iterable[bytes]:
    """Serve a WebSocket that is open already: what would be a response to a handshake becomes a closing frame.

    Args:
        handshaken: the WebSocket.
        environ: of its request.
        start_response: the server's.
        serve: serves the handshake; given a ``start_response`` that starts nothing.

    Raises:
        ConnectionResetError: to the server of gevent-websocket this is the end.
    """
    original_environ = environ.copy()
    statuses: list[str] = []

    def note(status: str, _headers: object, _exc_info: object = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return len  # nobody writes

    code = INTERNAL_ERROR
    try:
        response = serve(note)
        if handshaken.has_ended:
            return response
        if statuses and statuses[-1].startswith("503"):  # refused by the bridge, which is full or about to close
            code = TRY_AGAIN_LATER
    except Exception:
        if handshaken.has_ended:
            raise
        # The server could only write its error page between the frames.
        logger.exception("the application failed before it answered an open WebSocket; closed with %d", code)
    return handshaken.close(code, original_environ, start_response)


def refusal_from(message: Message) -> tuple[int, str]:
    """Return code and reason for a WebSocket that the application refuses by a ``websocket.close``.

    They are the application's; but 1000, which is also what it has not given, is no refusal: that becomes 1008, "policy
    violation", which is for whatever has no code of its own (RFC 6455 section 7.4.1).

    Raises:
        ApplicationTypeError: a code or reason of a wrong type.
        ApplicationValueError: a code or reason that must not be sent.
    """
    code, reason = message.get("code"), message.get("reason")
    code, reason = checked_close(NORMAL if code is None else code, "" if reason is None else reason)
    return (POLICY_VIOLATION if code == NORMAL else code), reason


def _connection_of(websocket: Any, environ: Environ) -> Connection | None:
    """Return the connection of one of gevent-websocket's objects; None for any other."""
    if all(kind.__module__.partition(".")[0] != "geventwebsocket" for kind in type(websocket).__mro__):
        return None
    # Also where somebody has put an input of their own in the place of the server's.
    known = getattr(getattr(websocket, "handler", None), "socket", None)
    return find_connection({**environ, _RAW_KEY: known})


def _handshake_of(environ: Mapping[str, Any]) -> Handshake:
    try:
        return handshake_from_environ(environ)
    except RequestRefused:  # it has been accepted all the same
        return Handshake(key="", subprotocols=[], offered_extensions="")


def _subprotocol_of(websocket: Any) -> str | None:
    with suppress(Exception):  # an object of others
        chosen = getattr(websocket, "subprotocol", None)
        if isinstance(chosen, str):
            return chosen
        for name, value in websocket.handler.response_headers:  # where gevent-websocket has it
            if _text(name).lower() == "sec-websocket-protocol":
                return _text(value)
    return None


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
