"""An ASGI ``http`` scope from a WSGI environ.

Facts that shape this file:

- CGI variables are octets read as latin-1 (PEP 3333, "Unicode Issues"); ASGI wants paths as real text. The path has
  been percent-decoded once, by the server, and is never decoded again (A-021).
- ``path`` is the whole path, with ``root_path`` in front: the text of the ASGI specification, and what frameworks that
  route below a mount expect (A-019).
- Servers do not agree on the shape of what they do not know: a port may be missing, ``""``, ``"None"`` or a number;
  a variable may be ``None`` (A-008). None of that is an error.
- Nothing here knows what the server offers or what the lifespan keeps: the adapter adds ``extensions`` and ``state``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from bridge.translate.environ_fields import request_headers_from_environ
from bridge.translate.strings import octets_from_native, text_from_native
from bridge.types import Scope

SPEC_VERSION = "2.5"
"""What the bridge keeps of ASGI HTTP: ``send`` raises once the client is gone (2.4)."""

_HTTP_VERSIONS = {
    "HTTP/1.1": "1.1",
    "HTTP/1.0": "1.0",
    "HTTP/1": "1.0",  # granian
    "HTTP/2": "2",
    "HTTP/2.0": "2",
    "HTTP/3": "3",
    "HTTP/3.0": "3",
}
# What servers write for a peer that has no address: a unix socket, mostly.
_NO_ADDRESS = frozenset({"", "-", "None", "unknown", "unix", "unix:"})
# What servers make of the target of OPTIONS * (A-025); any other path has been written by somebody else.
_STARS = frozenset({"", "/", "/*"})
_PORT_MAX = 65535


def scope_from_environ(environ: Mapping[str, Any]) -> Scope:
    """Return the ASGI ``http`` scope for a WSGI environ, which is only read.

    Returns:
        A new ``dict`` that shares no mutable value with anything. ``headers`` are pairs of ``bytes``, names lower-case;
        ``path`` and ``root_path`` are text, ``raw_path`` and ``query_string`` octets. ``raw_path`` is left out where
        it is not known. ``extensions`` is an empty dict; there is no ``state``.

    Spec: ASGI HTTP "HTTP Connection Scope", "WSGI Compatibility"; A-010 to A-030.
    """
    get = environ.get
    # What nearly every value is, text in ASCII, is seen here: a call for each took a third of the time without fields.
    if type(path := get("PATH_INFO")) is not str or not path.isascii():
        path = _text(path)
    root_path = get("SCRIPT_NAME")
    root_path = _text(root_path) if root_path else ""
    uri = get("REQUEST_URI") or get("RAW_URI")
    if path == "*" or (uri == "*" and path in _STARS):
        path, root_path = "*", root_path.rstrip("/")
    elif root_path:
        stripped = root_path.rstrip("/")
        if path[:1] not in ("/", "") and stripped != root_path:
            path = "/" + path  # the slash between the two stood in SCRIPT_NAME
        root_path = stripped
        path = root_path + path or "/"
    elif not path:
        path = "/"
    if type(query := get("QUERY_STRING")) is not str:
        query = _native(query)
    protocol, method, scheme = get("SERVER_PROTOCOL"), get("REQUEST_METHOD"), get("wsgi.url_scheme")
    name, port = get("SERVER_NAME"), get("SERVER_PORT")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": "1.1" if protocol == "HTTP/1.1" else _unusual_version(protocol),
        "method": "GET" if method == "GET" else _method(method),
        "scheme": "http" if scheme == "http" else _text(scheme) or "http",
        "path": path,
        "query_string": query.encode() if query.isascii() else octets_from_native(query),
        "root_path": root_path,
        "headers": request_headers_from_environ(environ),
        "client": client_from_environ(environ),
        "server": _usual_server(name, port) if type(name) is type(port) is str else _server(name, port),
        "extensions": {},
    }
    if uri:
        # The path letter by letter, with nothing escaped, with or without a query: nearly every target.
        if (
            type(uri) is str
            and uri.partition("?")[0] == path
            and path[0] == "/"
            and path.isascii()
            and not ("%" in path or "#" in path)
        ):
            scope["raw_path"] = path.encode()
        elif (raw_path := _raw_path(uri, path)) is not None:
            scope["raw_path"] = raw_path
    return scope


def _native(value: object) -> str:
    """Return text as exactly ``str``, and ``""`` for what is no text at all (A-008)."""
    if type(value) is str:
        return value
    return str.__str__(value) if isinstance(value, str) else ""


def _text(value: object) -> str:
    """Return what a variable stands for as text; ``""`` for what is none."""
    if type(value) is str and value.isascii():
        return value
    return text_from_native(_native(value))


def _method(value: object) -> str:
    """Return the method in upper case; only ASCII has cases here: upper() makes an S of a long s, and so a POST."""
    method = _text(value)
    if method.isascii():
        return method.upper() or "GET"
    return "".join(character.upper() if character.isascii() else character for character in method)


def _unusual_version(protocol: object) -> str:
    return _HTTP_VERSIONS.get(str(protocol).strip().upper(), "1.1")


def _raw_path(uri: object, path: str) -> bytes | None:
    """Return the path as received where it stands for ``path`` (A-023, A-024)."""
    if not isinstance(uri, str):
        return None
    target = uri.partition("?")[0].partition("#")[0]
    if target[:1] != "/" and "://" in target:
        _, slash, rest = target.partition("://")[2].partition("/")
        target = slash + rest
    try:
        raw_path = target.encode("latin-1") or b"/"
    except UnicodeEncodeError:
        return None
    return raw_path if unquote_to_bytes(raw_path).decode("utf-8", "replace") == path else None


def client_from_environ(environ: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return ``(address, port)``, port 0 where it is not known; None without an address (A-016)."""
    address, port = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")
    if not isinstance(address, str) or address in _NO_ADDRESS:
        return None
    if port == "None" and address == "localhost":
        return None  # waitress, on a unix socket
    if type(address) is not str or not address.isascii():
        address = _text(address)
    return address, _port(port) or 0


def _server(name: object, port: object) -> tuple[str, int | None] | None:
    if not isinstance(name, str) or not name:
        return None
    if name[0] == "[" and name[-1] == "]":
        name = name[1:-1]
    return _text(name), _port(port)


# A server has one name and port, or a few; were they the client's choice, the others would only be forgotten.
_usual_server = lru_cache(16)(_server)


def _port(port: object) -> int | None:
    """Return a port number, from text or from the number werkzeug gives; None where it is neither."""
    if isinstance(port, str):
        if not (port.isdigit() and port.isascii() and len(port) <= 5):  # noqa: PLR2004 - digits of 65535
            return None
        number = int(port)
        return number if number <= _PORT_MAX else None
    if isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= _PORT_MAX:
        return port
    return None
