"""The request thread's side of a WebSocket handshake: a servant that may take the connection away from its server."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextvars import copy_context
from functools import partial

from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.patience import Patience
from bridge._asgi_hosting.servant import ENVIRON_KEY, Servant
from bridge._asgi_hosting.serving import refuse, serve
from bridge.errors import RequestRefused
from bridge.translate.websocket_handshake import Handshake, handshake_from_environ
from bridge.translate.websocket_scope import websocket_scope_from_environ
from bridge.types import Environ, StartResponse
from bridge.websocket.asgi_hosting.connections import Connection, find_connection
from bridge.websocket.asgi_hosting.exchange import WebSocketExchange
from bridge.websocket.asgi_hosting.handshaken import Handshaken, find_handshaken, serve_handshaken

_WITHOUT_SOCKETS = {
    "waitress.client_disconnected": "waitress",
    "mod_wsgi.version": "mod_wsgi",
}
"""What tells a server that is known to offer no connection; any other may be behind something that takes care of it."""


def serve_websocket(host: Host, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Serve a request that asks to become a WebSocket connection. Request thread.

    On a server that gives no access to the connection the upgrade is ignored, as HTTP allows (A-125); on those that are
    known for it the answer is 501. A WebSocket that the server has opened itself is served as it is (A-146).

    Raises:
        Exception: what the application raised before it answered; what ends the call of a server whose connection was
            taken over.
    """
    handshaken = find_handshaken(environ)
    if handshaken is not None:
        new_servant = partial(WebSocketServant, connection=handshaken, handshake=handshaken.handshake)
        return serve_handshaken(
            handshaken, environ, start_response, lambda note: serve(host, environ, note, new_servant)
        )
    connection = find_connection(environ)
    if connection is None:
        for key, server in _WITHOUT_SOCKETS.items():
            if key in environ:
                sentence = f"WebSockets cannot be served here: {server} gives applications no access to the connection."
                return refuse(host, environ, start_response, RequestRefused(501, sentence))
        return serve(host, environ, start_response, Servant)
    try:
        handshake = handshake_from_environ(environ)
    except RequestRefused as refusal:
        return refuse(host, environ, start_response, refusal)
    return serve(host, environ, start_response, partial(WebSocketServant, connection=connection, handshake=handshake))


class WebSocketServant(Servant):
    """One handshake in its thread; if it is accepted, the server's call ends without a response."""

    _has_taken_over = False

    def __init__(self, host: Host, environ: Environ, connection: Connection | Handshaken, handshake: Handshake) -> None:
        handshaken = connection if isinstance(connection, Handshaken) else None
        # All of the environ that is wanted later is read now: uWSGI clears it once the connection is taken (S-021).
        scope = websocket_scope_from_environ(environ, handshake)
        scope[ENVIRON_KEY] = environ
        if handshaken is not None:
            scope["extensions"] = {}  # there is no response any more that could be a denial
        self._prepare(host, environ)
        self._connection = connection
        self._original_environ = environ.copy()
        self._gate = self._portal.gates.take()
        self._exchange = WebSocketExchange(host, scope, self._gate, copy_context(), handshake, handshaken)
        self.response = self._exchange.response

    def take_over(self) -> socket.socket:
        """Take the connection; the server has it no more. An errand does this."""
        own = self._connection.take()
        self._has_taken_over = True
        # What the server has left looks like the connection of a client that is gone: nobody must ask it (`{}`).
        self._patience = Patience(self._host, self._portal, self._exchange, self._gate, {})
        return own

    def serve(self, start_response: StartResponse) -> Iterable[bytes]:
        """Wait for the answer to the handshake; see `Servant.serve`."""
        try:
            return super().serve(start_response)
        except BaseException:
            if isinstance(self._connection, Connection):
                self._connection.drop()
            raise

    def _respond(self, start_response: StartResponse, block: bytes | None) -> Iterable[bytes]:
        if not self._has_taken_over:
            return super()._respond(start_response, block)
        self.has_started = True
        self._end()
        return self._connection.end(self._original_environ, start_response)
