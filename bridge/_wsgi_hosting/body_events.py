"""The events of one request body: each is checked, cut to what was announced, and counted. Loop."""

from __future__ import annotations

from bridge._wsgi_hosting.hosting import logger
from bridge.errors import BodyTooLarge, ClientDisconnected, ServerError
from bridge.limits import Limits
from bridge.translate.headers import BodyFraming
from bridge.translate.messages import DISCONNECT, REQUEST
from bridge.types import Message, Receive


class BodyEvents:
    """Receives one request, an event at a time. Loop thread only.

    Args:
        receive: the server's.
        framing: what the request fields say about the body.
        limits: sizes and times.
        ends_by_length: the body is over when Content-Length is reached (HTTP/1). An HTTP/2 or HTTP/3 stream ends with a
            frame of its own, which has to be received before the response ends: some servers and clients give the
            whole connection up otherwise.

    Attributes:
        is_ended: no further octet of the body will come.
        is_gone: the client has left.
        is_server_done: the server has said that the body is over.
        announced_bytes: Content-Length, if there is one.
        received_bytes: what has come, without what exceeds that.
    """

    __slots__ = (
        "_ends_by_length",
        "_limits",
        "_receive",
        "announced_bytes",
        "is_ended",
        "is_gone",
        "is_server_done",
        "received_bytes",
    )

    def __init__(self, receive: Receive, framing: BodyFraming, limits: Limits, *, ends_by_length: bool) -> None:
        self._receive = receive
        self._limits = limits
        self._ends_by_length = ends_by_length
        self.announced_bytes = framing.content_length
        self.received_bytes = 0
        self.is_ended = ends_by_length and framing.content_length == 0
        self.is_gone = False
        self.is_server_done = False

    async def next_piece(self) -> bytes:
        """Await one event; return its octets (maybe none). Updates `is_ended` and `is_gone`.

        Raises:
            BodyTooLarge: the body is larger than the limit.
            ServerError: an event that has no place on an ``http`` scope.
        """
        message = await self._receive()
        kind = message["type"]
        if kind == DISCONNECT:
            self.is_gone = True
            return b""
        if kind != REQUEST:
            raise ServerError(f"the server sent {kind!r} on an http scope", rule="ASGI 3.0, Error Handling")
        return self._piece_from(message)

    def _piece_from(self, message: Message) -> bytes:
        """Take the octets of an ``http.request`` event, up to Content-Length (W-074, W-076)."""
        self.is_server_done = not message.get("more_body", False)
        if self.is_ended:
            return b""
        body = message.get("body") or b""
        piece = body if type(body) is bytes else bytes(body)
        announced = self.announced_bytes
        if announced is not None and self.received_bytes + len(piece) >= announced:
            piece = piece[: announced - self.received_bytes]
            self.is_ended = self._ends_by_length
        self.received_bytes += len(piece)
        if self.is_server_done:
            self.is_ended = True
            if announced is not None and self.received_bytes < announced:
                logger.warning("the request body ended after %d of %d announced bytes", self.received_bytes, announced)
        limit = self._limits.body_max_bytes
        if limit is not None and self.received_bytes > limit:
            raise BodyTooLarge(limit)
        return piece

    def cut(self) -> ClientDisconnected:
        """Make the error that reads of a cut body raise (W-078)."""
        of_announced = "" if self.announced_bytes is None else f" of {self.announced_bytes}"
        return ClientDisconnected(
            f"the client left after {self.received_bytes}{of_announced} bytes of the request body"
        )
