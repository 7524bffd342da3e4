"""What an ASGI application may send on a ``websocket`` scope, in which order, and what it asks for by that.

Theory of operation. `ASGIWebSocket` is fed with the application's messages by `ASGIWebSocket.take` and answers each
with a step, which somebody else takes: it performs no I/O. The order of things is one table, `TRANSITIONS`; a message
that is not in it is the application's error and raises, out of ``send``. So does one with a wrong content. What raises
has not been taken: the phase is what it was.

Facts. What the client does is no part of this: that it left is seen by whoever holds the connection, and told before a
message comes here. A denial is an ordinary HTTP response under other names; its own order and content are held by
`ASGIResponse`, which gets the messages under their ordinary names.
"""

# What an application hands over may be anything: it is looked at piece by piece.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn, TypeAlias

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate import messages
from bridge.translate.asgi_fields import native_fields_from_pairs
from bridge.translate.closing import NORMAL, checked_close
from bridge.types import Message


class WebSocketPhase(Enum):
    """How far the connection is, as the application has brought it."""

    __hash__ = object.__hash__  # Enum hashes by name, in Python; each message looks into the table

    CONNECTING = "before 'websocket.accept'"
    OPEN = "after 'websocket.accept'"
    CLOSED = "after 'websocket.close'"
    REFUSED = "after a 'websocket.close' that refused the connection"
    DENYING = "after 'websocket.http.response.start'"


CONNECTING, OPEN, CLOSED, REFUSED, DENYING = WebSocketPhase

TRANSITIONS: dict[tuple[WebSocketPhase, str], WebSocketPhase] = {
    (CONNECTING, messages.WEBSOCKET_ACCEPT): OPEN,
    (CONNECTING, messages.WEBSOCKET_CLOSE): REFUSED,
    (CONNECTING, messages.DENIAL_START): DENYING,
    (OPEN, messages.WEBSOCKET_SEND): OPEN,
    (OPEN, messages.WEBSOCKET_CLOSE): CLOSED,
    (DENYING, messages.DENIAL_BODY): DENYING,
}
"""Which message may come when, and the phase it leads to."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Complete the handshake.

    Attributes:
        subprotocol: one the client has offered, or None.
        headers: pairs of ``str`` for the 101 response.
    """

    subprotocol: str | None
    headers: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Data:
    """Send a message: text as ``str``, or ``bytes``."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the open connection; code and reason may be sent."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the handshake with 403."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Go on with the HTTP response that denies the handshake.

    Attributes:
        message: an ``http.response.start`` or ``http.response.body``, whose content has not been looked at.
    """

    message: Message


Step: TypeAlias = Accept | Data | Close | Refuse | Denial
"""What a message asks for."""

_RULE_ACCEPT = 'ASGI WebSocket, "Accept - send event"'
_RULE_SEND = 'ASGI WebSocket, "Send - send event"'
_RULE_CLOSE = 'ASGI WebSocket, "Close - send event"'
_RULE_DENIAL = 'ASGI Extensions, "Websocket Denial Response"'
_RULE_HANDSHAKE = "RFC 6455, section 4.2.2"
_RULE_EVENTS = 'ASGI 3.0, "Events"'
_RULES = {
    CONNECTING: _RULE_ACCEPT,
    OPEN: _RULE_SEND,
    CLOSED: _RULE_CLOSE,
    REFUSED: _RULE_CLOSE,
    DENYING: _RULE_DENIAL,
}
_DENIAL_KINDS = frozenset({messages.DENIAL_START, messages.DENIAL_BODY})

# The fields of a 101 response that are the bridge's own, and those that would give it a body, which it cannot have.
OF_THE_HANDSHAKE = frozenset(
    {
        *[b"upgrade", b"connection", b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key"],
        *[b"sec-websocket-protocol", b"sec-websocket-version", b"content-length", b"transfer-encoding"],
    }
)


class ASGIWebSocket:
    """One connection, fed with the application's messages.

    Args:
        subprotocols: those the client offers.
        offers_denial: whether ``websocket.http.response`` was offered to the application.

    Attributes:
        phase: how far it is.
    """

    phase = CONNECTING

    def __init__(self, subprotocols: Sequence[str], *, offers_denial: bool = True) -> None:
        self._subprotocols = subprotocols
        self._offers_denial = offers_denial

    def take(self, message: Mapping[str, Any]) -> Step:
        """Take a message; return what it asks for.

        Raises:
            ApplicationError: it may not come now, or not at all.
            ApplicationTypeError: a value of a wrong type.
            ApplicationValueError: a value that cannot be sent, or that must not be.

        Spec: ASGI WebSocket "Accept", "Send" and "Close"; A-131, A-133, A-134, A-136, A-140.
        """
        kind = message.get("type")
        phase = self.phase
        if phase is OPEN and kind == messages.WEBSOCKET_SEND:  # nearly every message, by a shorter way
            return Data(_data(message))
        following = TRANSITIONS.get((phase, kind)) if isinstance(kind, str) else None
        if following is None or (following is DENYING and not self._offers_denial):
            self._complain(kind)
        step: Step
        if kind == messages.WEBSOCKET_ACCEPT:
            step = self._accept(message)
        elif kind == messages.WEBSOCKET_CLOSE:
            step = Refuse() if phase is CONNECTING else _close(message)
        else:
            step = Denial(_response_message(message, is_start=phase is CONNECTING))
        self.phase = following
        return step

    def _accept(self, message: Mapping[str, Any]) -> Accept:
        subprotocol = message.get("subprotocol")
        if subprotocol is not None:
            if not isinstance(subprotocol, str):
                raise ApplicationTypeError(
                    f"{messages.WEBSOCKET_ACCEPT!r} has a subprotocol of type {type(subprotocol).__name__}; it must be "
                    "str or None",
                    rule=_RULE_ACCEPT,
                )
            if subprotocol not in self._subprotocols:
                offered = f"one of {', '.join(map(repr, self._subprotocols))}" if self._subprotocols else "none"
                raise ApplicationValueError(
                    f"{messages.WEBSOCKET_ACCEPT!r} has the subprotocol {subprotocol!r}; the client offered {offered} "
                    "(scope['subprotocols'])",
                    rule=_RULE_HANDSHAKE,
                )
        return Accept(subprotocol, _handshake_fields(message.get("headers", ())))

    def _complain(self, kind: object) -> NoReturn:
        if not isinstance(kind, str):
            what = "without a type" if kind is None else f"whose type is of type {type(kind).__name__}"
            raise ApplicationTypeError(f"the application sent a message {what}", rule=_RULE_EVENTS)
        if kind in _DENIAL_KINDS and not self._offers_denial:
            raise ApplicationError(
                f"the application sent {kind!r}, which this server does not offer; look into scope['extensions'] "
                f"first ({self._expectation()})",
                rule='ASGI 3.0, "Extensions"',
            )
        raise ApplicationError(
            f"the application sent {kind!r} {self.phase.value}; {self._expectation()}", rule=_RULES[self.phase]
        )

    def _expectation(self) -> str:
        kinds = [
            kind
            for phase, kind in TRANSITIONS
            if phase is self.phase and (self._offers_denial or kind not in _DENIAL_KINDS)
        ]
        return f"{' or '.join(map(repr, kinds))} may be sent now" if kinds else "nothing may be sent any more"


def _handshake_fields(pairs: Any) -> list[tuple[str, str]]:
    """Check the fields for a 101 response; hop-by-hop fields that are not of the handshake are left out (A-065)."""
    if hasattr(pairs, "__iter__"):
        # Read once, and again below: an iterator, as the whole or as a pair, would be empty then.
        pairs = [tuple(entry) if isinstance(entry, Iterator) else entry for entry in pairs]
    fields, _ = native_fields_from_pairs(pairs)
    for name, _ in pairs:
        if name.lower() in OF_THE_HANDSHAKE:
            instead = "; use its key 'subprotocol'" if name.lower() == b"sec-websocket-protocol" else ""
            raise ApplicationValueError(
                f"{messages.WEBSOCKET_ACCEPT!r} has the header {bytes(name)!r}, which an application must not set "
                f"there{instead}",
                rule=_RULE_HANDSHAKE,
            )
    return fields


def _data(message: Mapping[str, Any]) -> str | bytes:
    """Return the one of ``text`` and ``bytes`` that is there; a buffer is copied, the application may use it again."""
    text, octets = message.get("text"), message.get("bytes")
    if text is not None and octets is None:
        if isinstance(text, str):
            return text
        raise ApplicationTypeError(
            f"{messages.WEBSOCKET_SEND!r} has a text of type {type(text).__name__}; it must be str, and bytes go by "
            "the key 'bytes'",
            rule=_RULE_SEND,
        )
    if text is not None or octets is None:
        raise ApplicationValueError(
            f"{messages.WEBSOCKET_SEND!r} has {'neither' if octets is None else 'both'} 'text' and 'bytes'; it must "
            "have exactly one of them",
            rule=_RULE_SEND,
        )
    if isinstance(octets, bytes | bytearray):
        return bytes(octets)
    if isinstance(octets, memoryview):
        return octets.tobytes()
    raise ApplicationTypeError(
        f"{messages.WEBSOCKET_SEND!r} has bytes of type {type(octets).__name__}; they must be bytes, and str goes by "
        "the key 'text'",
        rule=_RULE_SEND,
    )


def _close(message: Mapping[str, Any]) -> Close:
    code, reason = message.get("code"), message.get("reason")
    return Close(*checked_close(NORMAL if code is None else code, "" if reason is None else reason))


def _response_message(message: Mapping[str, Any], *, is_start: bool) -> Message:
    """Return the ordinary message of the same content; a denial has no trailers, so none may be announced."""
    response_message = {key: value for key, value in message.items() if key != "trailers"}
    response_message["type"] = messages.RESPONSE_START if is_start else messages.RESPONSE_BODY
    return response_message
