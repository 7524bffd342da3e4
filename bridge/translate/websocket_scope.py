"""An ASGI ``websocket`` scope from the WSGI environ of a handshake: that of the GET it is, with a few keys changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.translate import messages
from bridge.translate.scope import scope_from_environ
from bridge.translate.websocket_handshake import Handshake
from bridge.types import Scope

_SCHEMES = {"http": "ws", "https": "wss"}


def websocket_scope_from_environ(environ: Mapping[str, Any], handshake: Handshake) -> Scope:
    """Return the ASGI ``websocket`` scope of a handshake; the environ is only read.

    Returns:
        A new ``dict``, as of `scope_from_environ`, but without ``method``. ``headers`` are all that came, those of the
        handshake too. ``extensions`` is a new ``dict`` that offers the denial response; there is no ``state``.

    Spec: ASGI WebSocket "Websocket Connection Scope"; ASGI Extensions "Websocket Denial Response"; A-128, A-150.
    """
    scope = scope_from_environ(environ)
    del scope["method"]
    scheme = scope["scheme"]
    scope.update(
        type="websocket",
        http_version="1.1",  # no other is upgraded
        scheme=_SCHEMES.get(scheme, scheme),
        subprotocols=list(handshake.subprotocols),
        extensions={messages.DENIAL_RESPONSE: {}},
    )
    return scope
