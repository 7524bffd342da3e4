"""The call of a WSGI application for a WebSocket: an ordinary call, whose environ offers the connection."""

from __future__ import annotations

import base64
import os
import socket
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING

from bridge._runtime.body import BodyStream, MemorySource
from bridge._wsgi_hosting.call import WSGICall
from bridge.translate.headers import NO_BODY_FIELDS
from bridge.translate.websocket_environ import environ_from_websocket_scope
from bridge.types import Environ, Scope
from bridge.websocket.wsgi_hosting.native import WebSocket

if TYPE_CHECKING:
    from bridge.websocket.wsgi_hosting.contact import Contact

WIRE_KEY = "werkzeug.socket"
_KEY = b"sec-websocket-key"
_KEY_BYTES = 16
NATIVE_KEY = "wsgi.websocket"


class _ApplicationEnd(socket.socket):
    """The application's end of the wire.

    It is closed when nobody has it any more, not before: a thread of the application may still be reading from it, and
    the number of a closed descriptor is soon somebody else's.
    """

    def __del__(self) -> None:
        self.close()


_CLOSED_END = socket.socket()
"""What stands in an environ in the place of an end that was given back."""
_CLOSED_END.close()


def wire_pair() -> tuple[socket.socket, socket.socket]:
    """Return the application's end and the loop's end of a new wire."""
    near, far = socket.socketpair()
    return _ApplicationEnd(near.family, near.type, near.proto, near.detach()), far


def key_from_scope(scope: Scope) -> str:
    """Return the client's ``Sec-WebSocket-Key``, or one made up: HTTP/2 and test clients have none."""
    for name, value in scope.get("headers") or ():
        if name.lower() == _KEY:
            return bytes(value).decode("latin-1")
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode("ascii")


def _identity(end: socket.socket) -> int | None:
    """Return what is behind the descriptor: another one once somebody has put something else there."""
    try:
        return os.fstat(end.fileno()).st_ino
    except OSError:  # the application has closed it
        return None


class WebSocketCall(WSGICall):
    """One call of the application: a job for a thread of its own."""

    def __init__(self, session: Contact, near: socket.socket, key: str, context: Context) -> None:
        super().__init__(session, [], NO_BODY_FIELDS, None, None, context)
        self._session = session
        self._near: socket.socket | None = near
        self._near_identity = _identity(near)
        self._key = key
        self._given: Environ = {}

    def _answer(self) -> None:
        try:
            super()._answer()
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """End the wire from the application's side: what it wrote is still read. Comes before the outcome is told."""
        near = self._near
        if near is not None:
            identity = _identity(near)
            self._session.wire_was_taken_over = identity is not None and identity != self._near_identity
            self._give_back(near)
        self._given = {}

    def drop_wire(self) -> None:
        """End the wire: the application does without. Any thread."""
        near = self._near
        if near is not None:
            self._give_back(near)

    def _give_back(self, near: socket.socket) -> None:
        """End the wire, and refer to it no longer: it closes itself when no thread of the application has it.

        Two threads may do this at once; every step of it can be done twice.
        """
        self._near = None
        with suppress(OSError):
            near.shutdown(socket.SHUT_RDWR)  # a thread that reads from it comes back
        # The environ would keep it until the garbage collector has found that. A key that stays: somebody may be
        # iterating over it.
        if self._given.get(WIRE_KEY) is near:
            self._given[WIRE_KEY] = _CLOSED_END

    def _environ(self) -> Environ:
        session = self._session
        hosting, scope = session.hosting, session.original_scope
        environ = environ_from_websocket_scope(
            scope, key=self._key, options=hosting.environ_options, base=hosting.base_environ
        )
        environ["wsgi.input"] = BodyStream(MemorySource(b""))
        hosting.add_errors(environ)
        environ["bridge.scope"] = scope
        environ["bridge.client_disconnected"] = session.client_disconnected
        state = scope.get("state")
        if state is not None:
            environ["bridge.state"] = state
        environ[WIRE_KEY] = self._near
        self._given = environ
        environ[NATIVE_KEY] = WebSocket(session, environ)
        environ["wsgi.websocket_version"] = WebSocket.version
        return environ
