"""A WebSocket handshake that came as the environ of a GET: is it one, is it right, and the head that answers it.

Facts:

- Upgrade and Connection are lists, matched without regard to case (RFC 6455 section 4.2.1); a browser sends
  ``Connection: keep-alive, Upgrade``.
- A connection is upgraded in HTTP/1.1 only: HTTP/1.0 has no Upgrade (RFC 9110 section 7.8), HTTP/2 and later have
  another handshake (RFC 8441). Such a request is an ordinary one, and its upgrade is ignored.
- What asks for a WebSocket but is wrong in its details is refused, not served as an ordinary request: the client could
  not understand the page it would get.
- After the head comes the first frame. A body between the two would be read as frames, so a handshake has none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.errors import BadRequest, RequestRefused
from bridge.translate.environ_fields import content_length_from_environ

VERSION = "13"
"""The one version of the protocol there is (RFC 6455 section 4.1)."""

_ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
# As `scope_from_environ` reads them: what is not known counts as HTTP/1.1.
_OTHER_PROTOCOLS = frozenset({"HTTP/1.0", "HTTP/1", "HTTP/2", "HTTP/2.0", "HTTP/3", "HTTP/3.0"})
# 16 bytes in base64 are 22 characters and the padding. Bits of the last character that stand for nothing are not
# looked at: the key is never decoded, its text is hashed.
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==").fullmatch
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 section 5.6.2


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client asks for, checked.

    Attributes:
        key: the ``Sec-WebSocket-Key``.
        subprotocols: those the client offers, in its order, the most wanted first.
        offered_extensions: the ``Sec-WebSocket-Extensions`` as they came, not looked at; ``""`` for none.
    """

    key: str
    subprotocols: list[str]
    offered_extensions: str


def asks_for_websocket(environ: Mapping[str, Any]) -> bool:
    """Return whether a request asks to become a WebSocket connection; it need not ask in the right way.

    Spec: RFC 6455 section 4.2.1, the first four items; A-126.
    """
    if "HTTP_UPGRADE" not in environ:  # nearly every request
        return False
    return (
        environ.get("REQUEST_METHOD") == "GET"
        # Eventlet says HTTP/1.0 of every request.
        and ("eventlet.input" in environ or str(environ.get("SERVER_PROTOCOL")).strip().upper() not in _OTHER_PROTOCOLS)
        and _has_token(environ["HTTP_UPGRADE"], "websocket")
        and _has_token(environ.get("HTTP_CONNECTION"), "upgrade")
    )


def handshake_from_environ(environ: Mapping[str, Any]) -> Handshake:
    """Return what the handshake says; the environ, of which `asks_for_websocket` is true, is only read.

    Raises:
        RequestRefused: another version of the protocol (426, with the version there is).
        BadRequest: the key is missing or is not 16 bytes in base64; a subprotocol is no token or is there twice; the
            request has a body.

    Spec: RFC 6455 sections 4.1, 4.2.1, 4.4 and 11.3.4; A-126, A-127.
    """
    if _text(environ, "HTTP_SEC_WEBSOCKET_VERSION") != VERSION:
        # 426 should name what to upgrade to as well (RFC 9110 section 15.5.22), but Upgrade is hop-by-hop: WSGI leaves
        # it to the server.
        raise RequestRefused(
            426,
            f"WebSocket connections are version {VERSION} here; ask again with Sec-WebSocket-Version: {VERSION}.",
            (("Sec-WebSocket-Version", VERSION),),
        )
    key = _text(environ, "HTTP_SEC_WEBSOCKET_KEY")
    if not _KEY(key):
        raise BadRequest("The Sec-WebSocket-Key of the handshake is not 16 bytes in base64.")
    if content_length_from_environ(environ) or environ.get("HTTP_TRANSFER_ENCODING"):
        raise BadRequest("The handshake of a WebSocket connection has a body.")
    return Handshake(
        key=key,
        subprotocols=_subprotocols(_text(environ, "HTTP_SEC_WEBSOCKET_PROTOCOL")),
        offered_extensions=_text(environ, "HTTP_SEC_WEBSOCKET_EXTENSIONS"),
    )


def accept_value(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` for a key: proof that the server has understood (RFC 6455 section 1.3)."""
    # SHA-1 protects nothing here; it is only what both ends compute.
    digest = hashlib.sha1((key + _ACCEPT_GUID).encode("ascii"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def switching_head(
    handshake: Handshake,
    *,
    subprotocol: str | None,
    headers: list[tuple[str, str]],
    extensions: str | None = None,
) -> bytes:
    """Return the octets of the 101 response, which end with the empty line; the first frame may follow at once.

    Args:
        handshake: what is answered.
        subprotocol: the one that was chosen, a token; None for none.
        headers: the application's fields, pairs of latin-1 ``str`` that have been checked; sent last, in their order.
        extensions: the ``Sec-WebSocket-Extensions`` that were agreed on; None for none.

    Spec: RFC 6455 section 4.2.2, item 5; A-130, A-132.
    """
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_value(handshake.key)),
    ]
    if subprotocol is not None:
        fields.append(("Sec-WebSocket-Protocol", subprotocol))
    if extensions is not None:
        fields.append(("Sec-WebSocket-Extensions", extensions))
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in [*fields, *headers])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _text(environ: Mapping[str, Any], key: str) -> str:
    """Return a field's value without outer space; ``""`` for what is no text at all (A-008)."""
    value = environ.get(key)
    return value.strip(" \t") if isinstance(value, str) else ""


def _has_token(value: object, token: str) -> bool:
    """Return whether a list of tokens holds one, in any case."""
    if not isinstance(value, str):
        return False
    # isascii(): lower() makes a "k" of the Kelvin sign.
    return any(item.isascii() and item.strip(" \t").lower() == token for item in value.split(","))


def _subprotocols(value: str) -> list[str]:
    """Read the list of subprotocols; empty elements say nothing (RFC 9110 section 5.6.1.2)."""
    subprotocols = [item for item in (element.strip(" \t") for element in value.split(",")) if item]
    if not all(map(_TOKEN, subprotocols)):
        raise BadRequest("A subprotocol of the handshake is no token.")
    if len(set(subprotocols)) != len(subprotocols):
        raise BadRequest("A subprotocol of the handshake is there twice.")
    return subprotocols
