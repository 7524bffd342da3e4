"""Target: `scope_from_environ` for any environ, against what an ASGI server makes of the same request."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from bridge.errors import BadRequest
from bridge.translate import content_length_from_environ, scope_from_environ
from fuzz.http_rules import Refusal, is_length, is_split, is_token, uppered
from fuzz.reading import Reader, WrongResultError, expect, expect_equal

_PROTOCOLS = {
    "HTTP/1.1": "1.1",
    "HTTP/1.0": "1.0",
    "HTTP/1": "1.0",
    "HTTP/2": "2",
    "HTTP/2.0": "2",
    "HTTP/3": "3",
    "http/1.0": "1.0",
    "HTTP/9.9": "1.1",
    "": "1.1",
}
_PORTS: tuple[Any, ...] = ("8000", 8000, "0", "", "None", None, "65536", "99999999", "-1", "+5", "5 ", "\u0665", True)
_ADDRESSES = ("192.0.2.7", "::1", "", None, "unknown", "-", "None", "unix:", "caf\xc3\xa9", "localhost")
_NAMES = ("shop.example", "[::1]", "::1", "", None, "[", "caf\xc3\xa9")
_URIS = ("none", "quoted", "as it is", "absolute", "unlike", "with query")
_PORT_MAX = 65535
_ONLY_IF_NOT_EMPTY = frozenset({b"host", b"content-type", b"content-length"})


def environ_from(reader: Reader) -> dict[str, Any]:
    """Read an environ whose path is as the gateway interface wants it: empty, or beginning with a slash."""
    script_name, path_info = (reader.native() for _ in range(2))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": reader.native(),
        "SCRIPT_NAME": "" if not script_name else "/" + script_name.lstrip("/"),
        "PATH_INFO": "" if not path_info else path_info if path_info == "*" else "/" + path_info.removeprefix("/"),
        "QUERY_STRING": reader.native(),
        "SERVER_PROTOCOL": reader.choice(list(_PROTOCOLS)),
        "wsgi.url_scheme": reader.choice(("http", "https", "")),
        "SERVER_NAME": reader.choice(_NAMES),
        "SERVER_PORT": reader.choice(_PORTS),
        "REMOTE_ADDR": reader.choice(_ADDRESSES),
        "REMOTE_PORT": reader.choice(_PORTS),
    }
    octets = (environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1")
    uri = {
        "none": None,
        "quoted": quote_from_bytes(octets),
        "as it is": octets.decode("latin-1"),
        "absolute": ("" if octets == b"*" else "http://h") + quote_from_bytes(octets),
        "unlike": "/another",
        "with query": quote_from_bytes(octets) + "?a/b://c",
    }[reader.choice(_URIS)]
    key = reader.choice(("REQUEST_URI", "RAW_URI"))
    if uri is not None:
        environ[key] = uri
    for field, value in reader.pairs():
        # What a server makes of a field: nothing else is a client's.
        name = field.decode("latin-1")
        environ.setdefault(
            name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + name, value.decode("latin-1")
        )
    return environ


def check(data: bytes) -> None:
    """Hold one input against the oracle."""
    environ = environ_from(Reader(data))
    before = dict(environ)
    scope: dict[str, Any] | None
    try:
        scope = dict(scope_from_environ(environ))
    except BadRequest:
        scope = None
    expect_equal(environ, before, "the environ was changed")
    check_length(environ)
    check_scope(environ, scope)


def check_scope(environ: dict[str, Any], scope: dict[str, Any] | None) -> None:
    """Hold the scope of an environ (None: it was refused) against what it must be."""
    try:
        headers = expected_headers(environ)
    except Refusal as reason:
        expect(scope is None, f"not refused: {reason}")
        return
    if scope is None:
        raise WrongResultError(f"refused without a reason: {environ}")
    scope = dict(scope)
    raw_path = scope.pop("raw_path", None)
    path = expected_path(environ)
    _check_raw_path(environ, path, raw_path)
    expected = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": _PROTOCOLS[environ["SERVER_PROTOCOL"]],
        "method": expected_method(environ["REQUEST_METHOD"]),
        "scheme": environ["wsgi.url_scheme"] or "http",
        "path": path,
        "root_path": _text(environ["SCRIPT_NAME"]).rstrip("/"),
        "query_string": environ["QUERY_STRING"].encode("latin-1"),
        "headers": headers,
        "client": expected_client(environ["REMOTE_ADDR"], environ["REMOTE_PORT"]),
        "server": expected_server(environ["SERVER_NAME"], environ["SERVER_PORT"]),
        "extensions": {},
    }
    expect_equal(scope, expected, "the scope")
    for key in ("method", "path", "root_path", "scheme"):
        scope[key].encode()  # no surrogate


def _text(native: str) -> str:
    return native.encode("latin-1").decode("utf-8", "replace")


def expected_method(native: str) -> str:
    """Return the method: ASCII letters are upper-cased, and nothing else is a letter to HTTP."""
    return uppered(native.encode("latin-1")).decode("utf-8", "replace") or "GET"


def expected_path(environ: dict[str, Any]) -> str:
    """Return the whole path as text."""
    if environ["PATH_INFO"] == "*":
        return "*"
    root = environ["SCRIPT_NAME"].encode("latin-1")
    while root.endswith(b"/"):
        root = root[:-1]
    return (root + environ["PATH_INFO"].encode("latin-1")).decode("utf-8", "replace") or "/"


def _check_raw_path(environ: dict[str, Any], path: str, raw_path: bytes | None) -> None:
    uri = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if not uri:
        expect(raw_path is None, f"a raw path was made up: {raw_path!r}")
        return
    # What stands before the path in absolute form; the path is in origin form otherwise.
    sent = uri.removeprefix("http://h") if uri.startswith("http://h") else uri
    for end in "?#":
        sent = sent[: sent.index(end)] if end in sent else sent
    octets = sent.encode("latin-1") or b"/"
    is_known = unquote_to_bytes(octets).decode("utf-8", "replace") == path
    expect_equal(raw_path, octets if is_known else None, "raw_path")


def expected_headers(environ: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return the header pairs.

    Raises:
        Refusal: a value holds what no value may hold.
    """
    headers: list[tuple[bytes, bytes]] = []
    for key, value in environ.items():
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = key.lower().replace("_", "-").encode("ascii")
        elif key.startswith("HTTP_") and key.isascii():
            name = key[5:].lower().replace("_", "-").encode("ascii")
            if not is_token(name) or b"." in name or name in (b"content-type", b"content-length"):
                continue
        else:
            continue
        octets = value.encode("latin-1")
        if is_split(octets):
            raise Refusal(f"CR, LF or NUL in the value of {key}")
        if octets or name not in _ONLY_IF_NOT_EMPTY:
            headers.append((name, octets))
    return headers


def expected_port(port: Any) -> int | None:
    """Return a port as a number, None for what is none."""
    if type(port) is str and 0 < len(port) <= len("65535") and set(port) <= set("0123456789"):
        port = int(port)
    return port if type(port) is int and 0 <= port <= _PORT_MAX else None


def expected_client(address: Any, port: Any) -> tuple[str, int] | None:
    """Return the client."""
    if address in (None, "", "unknown", "-", "None", "unix:") or (address == "localhost" and port == "None"):
        return None
    return _text(address), expected_port(port) or 0


def expected_server(name: Any, port: Any) -> tuple[str, int | None] | None:
    """Return the server."""
    if not name:
        return None
    return _text("::1" if name == "[::1]" else name), expected_port(port)


def check_length(environ: dict[str, Any]) -> None:
    """Hold the length of an environ, or its refusal, against the rules."""
    given = environ.get("CONTENT_LENGTH", "").encode("latin-1")
    try:
        length = content_length_from_environ(environ)
    except BadRequest:
        expect(given and not is_length(given), f"the length {given!r} was refused")
        return
    if given:
        expect(is_length(given), f"{given!r} was taken for a length")
    expect_equal(length, int(given) if given else None, "the length")
