"""The environ of a WebSocket handshake from an ASGI ``websocket`` scope: that of a GET which asks for an upgrade.

The application completes the handshake itself, over a socket of the bridge; so the fields are those of that inner leg.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.errors import BadRequest
from bridge.translate.environ import EnvironOptions, environ_from_scope
from bridge.translate.headers import NO_BODY_FIELDS
from bridge.types import Environ

_SCHEMES = {"ws": "http", "wss": "https"}
_OF_THE_OUTER_LEG = frozenset(
    {
        *[b"connection", b"upgrade", b"content-length", b"transfer-encoding", b"expect"],
        *[b"sec-websocket-version", b"sec-websocket-protocol", b"sec-websocket-extensions"],
    }
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_KEY = b"sec-websocket-key"
# Its length is not looked at: those of test clients have another. But both ends of the inner leg must read the same.
_KEY_VALUE = re.compile(rb"[A-Za-z0-9+/=]+").fullmatch


def environ_from_websocket_scope(
    scope: Mapping[str, Any], *, key: str, options: EnvironOptions, base: Environ | None = None
) -> Environ:
    """Build the environ for an ASGI ``websocket`` scope; the scope is only read.

    Args:
        scope: an ASGI WebSocket connection scope.
        key: the ``Sec-WebSocket-Key`` of the inner leg where the client has sent none (HTTP/2, test clients).
        options: the deployer's choices.
        base: ``options.base()`` where the caller keeps one; it is copied.

    Returns:
        A new ``dict``, as of `environ_from_scope`. ``wsgi.url_scheme`` is ``http`` or ``https``: Werkzeug makes ``ws``
        of it by itself, and matches rules with ``websocket=True`` only then.

    Raises:
        BadRequest: the request cannot be translated without guessing.

    Spec: RFC 6455 section 4.1; S-001.
    """
    headers = [(name, value) for name, value in scope.get("headers") or () if name.lower() not in _OF_THE_OUTER_LEG]
    scheme = scope.get("scheme") or "ws"
    version = scope.get("http_version") or "1.1"
    request = {
        **scope,
        "method": "GET",
        "scheme": _SCHEMES.get(scheme, scheme),
        "http_version": version if version[0] == "1" else "1.1",  # only there a connection is upgraded
    }
    environ = environ_from_scope(request, headers=headers, framing=NO_BODY_FIELDS, options=options, base=base)
    environ["HTTP_UPGRADE"] = "websocket"
    environ["HTTP_CONNECTION"] = "Upgrade"
    environ["HTTP_SEC_WEBSOCKET_VERSION"] = "13"
    keys = [value for name, value in headers if name.lower() == _KEY]
    if not keys:
        environ["HTTP_SEC_WEBSOCKET_KEY"] = key
    elif len(keys) > 1 or not _KEY_VALUE(keys[0]):
        raise BadRequest("The Sec-WebSocket-Key of the handshake is not base64, or is there twice.")
    subprotocols = scope.get("subprotocols")
    if subprotocols:
        if not all(_TOKEN(subprotocol) for subprotocol in subprotocols):
            raise BadRequest("A subprotocol of the handshake is no token.")
        environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(subprotocols)
    return environ
