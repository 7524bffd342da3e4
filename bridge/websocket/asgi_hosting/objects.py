"""A server's WebSocket object with blocking methods, as a connection on which frames are spoken.

Two threads pass its messages to one end of a pair of sockets and back; the other end is where a session has a client's
connection. The request's thread waits in ``receive()``, and one more for the session. Each has frames of its own, so
that they share nothing: whoever waits to hand over a message holds up nothing else, and each waits as long as the other
side takes nothing. That is why pings are not answered: the answer might have to wait for an application that does not
read, and says nothing about the client.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from bridge._asgi_hosting.hosting import logger
from bridge.errors import ApplicationValueError
from bridge.translate.closing import ABNORMAL, INTERNAL_ERROR, NO_STATUS
from bridge.types import Environ, StartResponse
from bridge.websocket.asgi_hosting.connections import _native_pair  # pyright: ignore[reportPrivateUsage]
from bridge.websocket.frames import Closed, FrameEnd, Received

_PIECE_BYTES = 64 * 1024
_LINGER_S = 5.0
"""How long the thread that sends is still waited for when the client has left."""


class ObjectCarrier:
    """One object, in the place of a connection. Pings are not answered. Request thread.

    The thread that sends shares the socket, of which each thread has one direction, and ``_has_client_left``, which the
    request's thread sets once: at the worst one more message is given to an object whose client has left.

    Args:
        websocket: an object with ``receive()``, ``send(message)`` and ``close(code, reason)``.
    """

    _between: socket.socket
    _has_client_left = False
    _ending = NO_STATUS
    _reason = ""

    def __init__(self, websocket: Any) -> None:
        self._websocket = websocket
        self._leaving = [True, False]
        """To pop is atomic: the second of the two threads to leave gets True, and closes the socket."""

    def take(self) -> socket.socket:
        """Return our end of a pair, non-blocking; once.

        Raises:
            OSError: there is no descriptor left.
        """
        own, other = _native_pair()
        own.settimeout(0)
        # Of the class that is in its place where gevent has patched the process: it is waited for by green threads.
        self._between = socket.socket(fileno=other.detach())
        self._between.settimeout(None)
        return own

    def end(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Pass messages until the object's ``receive()`` says that the client has left.

        ``receive()`` must also end when the object has been closed and the client does not answer: an object cannot
        be cut from here.
        """
        del environ, start_response  # the server knows how to end what it has begun
        outward = threading.Thread(target=self._send_outward, name="bridge-handshaken", daemon=True)
        try:
            outward.start()
        except RuntimeError:  # the system has no thread left
            self._between.close()
            raise
        try:
            with suppress(OSError):  # ours has ended
                self._pass_inward()
        finally:
            with suppress(OSError):
                self._between.shutdown(socket.SHUT_RDWR)  # what has been sent is still read, on both sides
            self._leave()
            outward.join(_LINGER_S)
        return []

    def _leave(self) -> None:
        if self._leaving.pop():
            self._between.close()

    def _send_outward(self) -> None:
        try:
            self._pass_outward()
        finally:
            self._leave()

    def _pass_inward(self) -> None:
        frames = FrameEnd("client", max_message_bytes=None)
        while (message := self._next()) is not None:
            frames.send(message)
            self._between.sendall(frames.octets_to_send()[0])
        if self._ending == ABNORMAL:
            return  # as for any lost client, no frame comes
        try:
            frames.close(None if self._ending == NO_STATUS else self._ending, self._reason)
        except ApplicationValueError:
            frames.close(None)
        self._between.sendall(frames.octets_to_send()[0])

    def _next(self) -> str | bytes | None:
        """Return the next message; None at the end, of which the object may tell more than gevent-websocket's does."""
        try:
            message = self._websocket.receive()
            if message is not None:
                return message if isinstance(message, str) else bytes(memoryview(message))
        except Exception as error:  # noqa: BLE001 - each server has errors of its own for the end
            logger.debug("the server's WebSocket ended with %s", repr(error))
            self._ending = ABNORMAL
        self._has_client_left = True
        code, reason = getattr(self._websocket, "close_code", None), getattr(self._websocket, "close_reason", None)
        if isinstance(code, int):
            self._ending, self._reason = code, reason if isinstance(reason, str) else ""
        return None

    def _pass_outward(self) -> None:
        frames = FrameEnd("client", max_message_bytes=None)
        can_send = True
        while True:
            try:
                octets = self._between.recv(_PIECE_BYTES)
            except OSError:
                octets = b""
            for event in frames.feed(octets) if octets else frames.feed_end():
                if isinstance(event, Received) and can_send:
                    can_send = self._try(self._websocket.send, event.data)
                elif isinstance(event, Closed):
                    # Without a closing frame: it was cut on our side.
                    code, reason = (INTERNAL_ERROR, "") if event.code == ABNORMAL else (event.code, event.reason)
                    self._try(self._websocket.close, code, reason)
                    return

    def _try(self, call: Callable[..., object], *arguments: object) -> bool:
        """Call the object; return False when its client is lost, which ``receive()`` is to find out."""
        if self._has_client_left:
            return False
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - as above
            logger.debug("the server's WebSocket took no more: %s", repr(error))
            return False
        return True
