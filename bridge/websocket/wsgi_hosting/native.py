"""``environ["wsgi.websocket"]``: a WebSocket as an object with blocking methods.

It has the methods and attributes of gevent-websocket's, so that applications written for that (bottle-websocket,
``geventwebsocket.Resource``) run unchanged; it speaks ASGI events and no frames. All of it may be called by any thread
but the event loop's.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge._runtime.mailbox import MESSAGE_OVERHEAD_BYTES
from bridge._runtime.outflow import ITEM_OVERHEAD_BYTES
from bridge.errors import (
    ApplicationError,
    ApplicationTypeError,
    ApplicationValueError,
    ClientDisconnected,
    ClientTimeout,
)
from bridge.translate import messages
from bridge.translate.asgi_websocket import OF_THE_HANDSHAKE
from bridge.translate.closing import NORMAL, checked_close
from bridge.translate.fields import checked_fields
from bridge.types import Environ, Message
from bridge.websocket.frames import size_of

if TYPE_CHECKING:
    from bridge.websocket.wsgi_hosting.contact import Contact

_RULE = "wsgi.websocket"
_HANDSHAKE_RULE = "RFC 6455, section 4.2.2"
_TEXT_RULE = "RFC 6455, section 5.6"
_EVENT_BYTES = MESSAGE_OVERHEAD_BYTES - ITEM_OVERHEAD_BYTES
"""What an event costs more than other items of an outflow."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An ASGI event for the server, from a thread."""

    message: Message
    size_bytes: int


def _gone(session: Contact) -> ClientDisconnected:
    """Make the error for whoever uses a WebSocket after its end."""
    error_type = _error_type()
    return error_type(f"the WebSocket is closed (code {session.close_code})")


def _error_type() -> type[ClientDisconnected]:
    """Return `ClientDisconnected`, or one that is gevent-websocket's error too, where an application knows that."""
    theirs = getattr(sys.modules.get("geventwebsocket.exceptions"), "WebSocketError", None)
    if theirs is None:
        return ClientDisconnected
    both = _error_types.get(theirs)
    if both is None:
        # One for all threads, whichever was first: setdefault() is atomic.
        both = _error_types.setdefault(theirs, type("WebSocketClosed", (ClientDisconnected, theirs), {}))
    return both


_error_types: dict[type[Exception], type[ClientDisconnected]] = {}


class WebSocket:
    """One WebSocket connection, for the WSGI application.

    The handshake is accepted by the first `receive` or `send` (or `accept`); an application that uses neither and
    answers like to any request refuses it with that answer.

    The lock guards the flags, each of which is set once. They are looked at without it, and what follows holds also if
    they are set just then: what comes after a close is lost.

    Attributes:
        environ: the environ of the handshake.
    """

    version = "13"

    def __init__(self, session: Contact, environ: Environ) -> None:
        self.environ = environ
        self._session = session
        self._lock = threading.Lock()
        self._has_accepted = False
        self._has_closed = False
        self._has_lost_one = False
        self._has_told_end = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self._has_accepted else "not accepted"
        return f"<WebSocket {self.path!a}: {state}>"

    # ---- What is known --------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether either end has closed, or the client is lost."""
        return self._has_closed or self._session.close_code is not None

    @property
    def close_code(self) -> int | None:
        """The code of the close, by either end; 1005 without one, 1006 for a lost client, None while it is open."""
        return self._session.close_code

    @property
    def close_reason(self) -> str:
        """The reason that came with the code."""
        return self._session.close_reason

    @property
    def path(self) -> str:
        """``PATH_INFO`` of the handshake."""
        return str(self.environ.get("PATH_INFO", ""))

    @property
    def origin(self) -> str | None:
        """The Origin field of the handshake."""
        return self.environ.get("HTTP_ORIGIN")

    @property
    def protocol(self) -> str | None:
        """The subprotocols the client has offered, as it has sent them."""
        return self.environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL")

    # ---- What may be done -----------------------------------------------------------------------------------------

    def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Complete the handshake, with a subprotocol that the client has offered and more header fields.

        Raises:
            ApplicationError: it has been accepted or refused, or the connection was used as ``werkzeug.socket``.
            ApplicationValueError: a field that cannot be sent, or a subprotocol that was not offered.
            ClientDisconnected: the client has left.
        """
        with self._lock:
            if self._has_accepted or self._has_closed:
                done = "refused" if not self._has_accepted else "completed"
                raise ApplicationError(f"the handshake has been {done} already", rule=_RULE)
            self._accept(subprotocol, list(headers))

    def _accept(self, subprotocol: str | None, headers: list[tuple[str, str]]) -> None:
        """With the lock held."""
        offered = self._session.scope.get("subprotocols") or ()
        if subprotocol is not None and subprotocol not in offered:
            raise ApplicationValueError(
                f"the client has not offered the subprotocol {subprotocol!r}", rule=_HANDSHAKE_RULE
            )
        pairs = checked_fields(headers, drop_hop_by_hop=False, strict=False)[0]
        for name, _ in pairs:
            if name in OF_THE_HANDSHAKE:
                raise ApplicationValueError(
                    f"accept() got the header {name.decode('latin-1')!r}, which belongs to the handshake itself",
                    rule=_HANDSHAKE_RULE,
                )
        self._session.claim("native")
        self._session.drop_wire()
        self._put(messages.websocket_accept(subprotocol, pairs), 0)
        self._has_accepted = True  # last: a message of another thread must not be quicker

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Return the next message, waiting for it: text is ``str``, else it is ``bytes``.

        Args:
            timeout: seconds to wait at the most.

        Returns:
            The message; None when the connection is over (once; `closed` is true then), or when the time is up.

        Raises:
            ApplicationError: the connection was used as ``werkzeug.socket``.
            ClientDisconnected: at the second call after the end.
        """
        try:
            self._open()
            return self._session.mailbox.take(timeout)
        except ClientDisconnected:
            with self._lock:
                was_told, self._has_told_end = self._has_told_end, True
            if was_told:
                raise _gone(self._session) from None
            return None

    read_message = receive

    def send(self, message: str | bytes | bytearray | memoryview, binary: bool | None = None) -> None:
        """Send a message; return when it is on its way. Waits while too much is unsent.

        Args:
            message: text is sent as text, anything else as octets.
            binary: makes octets of text or text of octets (UTF-8).

        Raises:
            ApplicationTypeError: neither text nor octets.
            ApplicationValueError: text with a lone surrogate.
            ApplicationError: the connection was used as ``werkzeug.socket``.
            ClientDisconnected: the connection is over. The first message that comes too late is lost without a word,
                as on a socket.
            ClientTimeout: the client has taken no byte for ``Limits.response_wait_s``.
        """
        data = _data_from(message, binary)
        try:
            self._open()
            if self._has_closed:
                raise _gone(self._session)
            self._put(messages.websocket_send(data), size_of(data))
        except ClientDisconnected:
            with self._lock:
                has_lost_one, self._has_lost_one = self._has_lost_one, True
            if has_lost_one:
                raise _gone(self._session) from None
            return
        limit_s = self._session.hosting.limits.response_wait_s
        try:
            in_time = self._session.outflow.wait_for_room(limit_s)
        except ClientDisconnected:  # it has been handed over; the next one finds out
            self._has_lost_one = True
            return
        if not in_time:
            reason = ClientTimeout(f"the client took no byte for {limit_s} s")
            self._session.give_up(reason)
            raise reason

    def close(self, code: int = NORMAL, message: str | bytes = "") -> None:
        """Close the connection, or refuse a handshake that was not accepted (the client sees 403). Does not wait.

        Raises:
            ApplicationTypeError: the code is no ``int``, or the reason neither text nor octets.
            ApplicationValueError: a code or reason that must not be sent.
            ApplicationError: the connection was used as ``werkzeug.socket``.
        """
        reason = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
        code, reason = checked_close(code, reason)
        with self._lock:
            if self.closed:
                return
            if not self._has_accepted:
                self._session.claim("native")
            self._has_closed = True
        with suppress(ClientDisconnected):
            self._put(messages.websocket_close(code, reason), 0)

    def _open(self) -> None:
        """Accept, if that has not been done."""
        if not self._has_accepted:
            with self._lock:
                if self._has_closed:
                    raise _gone(self._session)
                if not self._has_accepted:
                    self._accept(None, [])

    def _put(self, message: Message, size_bytes: int) -> None:
        size_bytes += _EVENT_BYTES
        self._session.outflow.put((Outgoing(message, size_bytes),), size_bytes)


def _data_from(message: Any, binary: bool | None) -> str | bytes:
    if isinstance(message, str):
        if message.isascii() and not binary:  # nearly all text, by a shorter way
            return message
        try:
            octets = message.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ApplicationValueError("text with a lone surrogate cannot be sent", rule=_TEXT_RULE) from error
        return octets if binary else message
    if isinstance(message, bytes):
        octets = message
    elif isinstance(message, bytearray | memoryview):
        octets = bytes(message)  # pyright: ignore[reportUnknownArgumentType]
    else:
        raise ApplicationTypeError(f"send() got a {type(message).__name__}; it takes str or bytes", rule=_RULE)
    if binary is not False:
        return octets
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ApplicationValueError("octets that are not UTF-8 cannot be sent as text", rule=_TEXT_RULE) from error
