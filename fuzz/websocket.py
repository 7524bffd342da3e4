"""Target: WebSocket handshakes of both directions, the head that answers one, and the messages after it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from bridge.errors import ApplicationError, BadRequest, RequestRefused
from bridge.translate import EnvironOptions, environ_from_scope
from bridge.translate.asgi_websocket import Accept, ASGIWebSocket, Close, Data, Denial, Refuse, Step
from bridge.translate.websocket_environ import environ_from_websocket_scope
from bridge.translate.websocket_handshake import (
    Handshake,
    asks_for_websocket,
    handshake_from_environ,
    switching_head,
)
from bridge.translate.websocket_scope import websocket_scope_from_environ
from fuzz.asgi_response import checked_pairs
from fuzz.http_rules import Refusal, is_length, is_split, is_token, lowered
from fuzz.reading import Reader, WrongResultError, expect, expect_equal

_OPTIONS = EnvironOptions()
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY_LENGTH, _PADDING = 24, "=="
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_INNER_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_OF_THE_HANDSHAKE = frozenset(
    {
        *["upgrade", "connection", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key"],
        *["sec-websocket-protocol", "sec-websocket-version", "content-length", "transfer-encoding"],
    }
)
_NOT_OF_THE_INNER_LEG = frozenset(
    {
        *[b"connection", b"upgrade", b"content-length", b"transfer-encoding", b"expect"],
        *[b"sec-websocket-version", b"sec-websocket-protocol", b"sec-websocket-extensions"],
    }
)
_PROTOCOLS = ("HTTP/1.1", "HTTP/1.0", "HTTP/2", "http/1.1", "", "HTTP/3.0")
_FIELD_KEYS = (
    *("HTTP_UPGRADE", "HTTP_CONNECTION", "HTTP_SEC_WEBSOCKET_VERSION", "HTTP_SEC_WEBSOCKET_KEY"),
    *("HTTP_SEC_WEBSOCKET_PROTOCOL", "HTTP_SEC_WEBSOCKET_EXTENSIONS", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"),
)
_LARGEST_CODE, _LARGEST_REASON = 4999, 123


def check(data: bytes) -> None:
    """Hold one input against the rules: by its first field, from an environ or from a scope."""
    reader = Reader(data)
    if reader.choice((True, False)):
        check_handshake(reader)
    else:
        check_inner_leg(reader)


# ---- A handshake from a WSGI server ---------------------------------------------------------------------------------


def check_handshake(reader: Reader) -> None:
    """Is it one, is it right, and what does it say; then the application's messages."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": reader.choice(("GET", "POST", "get")),
        "SERVER_PROTOCOL": reader.choice(_PROTOCOLS),
        "PATH_INFO": "/",
        "wsgi.url_scheme": reader.choice(("http", "https")),
    }
    for key in _FIELD_KEYS:
        value = reader.native()
        if value != "-":
            environ[key] = value
    is_asking = asks_for_websocket(environ)
    expect_equal(is_asking, _is_asking(environ), "does it ask for a WebSocket")
    if not is_asking:
        return
    try:
        expected: Any = _expected_handshake(environ)
    except Refusal as refusal:
        expected = refusal
    try:
        handshake = handshake_from_environ(environ)
    except RequestRefused as error:
        expect(isinstance(expected, Refusal), f"refused without a reason: {error}")
        expect_equal(error.status, 426 if expected.args == ("version",) else 400, "the status")
        return
    expect(not isinstance(expected, Refusal), f"not refused: {expected}")
    expect_equal((handshake.key, handshake.subprotocols, handshake.offered_extensions), expected, "the handshake")
    try:
        scope = websocket_scope_from_environ(environ, handshake)
    except BadRequest:
        expect(any(is_split(str(value).encode("latin-1")) for value in environ.values()), "refused without a reason")
        return
    expect("method" not in scope, "a websocket scope has no method")
    expect_equal(scope["scheme"], "wss" if environ["wsgi.url_scheme"] == "https" else "ws", "the scheme")
    expect_equal(scope["subprotocols"], handshake.subprotocols, "the subprotocols")
    check_messages(reader, handshake)


def _is_asking(environ: dict[str, Any]) -> bool:
    def has(key: str, token: str) -> bool:
        members = environ.get(key, "").encode("latin-1").split(b",")
        return any(lowered(member.strip(b" \t")) == token.encode() for member in members)

    is_upgradable = environ["SERVER_PROTOCOL"] in ("HTTP/1.1", "http/1.1", "")
    is_get = environ["REQUEST_METHOD"] == "GET"
    return is_upgradable and is_get and has("HTTP_UPGRADE", "websocket") and has("HTTP_CONNECTION", "upgrade")


def _expected_handshake(environ: dict[str, Any]) -> tuple[str, list[str], str]:
    def text(key: str) -> str:
        return str(environ.get(key, "")).strip(" \t")

    if text("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise Refusal("version")
    key = text("HTTP_SEC_WEBSOCKET_KEY")
    if len(key) != _KEY_LENGTH or key[-2:] != _PADDING or not _BASE64.issuperset(key[:-2]):
        raise Refusal("key")
    length = environ.get("CONTENT_LENGTH", "").encode("latin-1")
    if (length and (not is_length(length) or int(length))) or environ.get("HTTP_TRANSFER_ENCODING"):
        raise Refusal("body")
    members = [member.strip(" \t") for member in text("HTTP_SEC_WEBSOCKET_PROTOCOL").split(",")]
    subprotocols = [member for member in members if member]
    if not all(is_token(member.encode("latin-1")) for member in subprotocols):
        raise Refusal("no token")
    if len(subprotocols) != len(set(subprotocols)):
        raise Refusal("twice")
    return key, subprotocols, text("HTTP_SEC_WEBSOCKET_EXTENSIONS")


# ---- What the application sends -------------------------------------------------------------------------------------


def check_messages(reader: Reader, handshake: Handshake) -> None:
    """Hold each step, or refusal, against the rules."""
    offers_denial = reader.choice((True, False))
    state = ASGIWebSocket(handshake.subprotocols, offers_denial=offers_denial)
    phase = "connecting"
    while reader.has_more:
        message = _draw_message(reader)
        try:
            expected, following = _expected_step(message, phase, handshake.subprotocols, offers_denial=offers_denial)
        except Refusal as refusal:
            expected, following = refusal, phase
        try:
            step: Step = state.take(message)
        except ApplicationError as error:
            expect(isinstance(expected, Refusal), f"refused without a reason: {error}")
            expect(error.rule, "an error without a rule")
            continue
        expect(not isinstance(expected, Refusal), f"not refused: {expected}")
        if not isinstance(step, Denial):
            expect_equal(step, expected, f"what {message} asks for")
        phase = following
        if isinstance(step, Accept):
            check_head(switching_head(handshake, subprotocol=step.subprotocol, headers=step.headers), handshake, step)


def _draw_message(reader: Reader) -> dict[str, Any]:
    kind = reader.choice(("accept", "send", "close", "http.response.start", "http.response.body", "receive"))
    message: dict[str, Any] = {"type": f"websocket.{kind}"}
    if kind == "accept":
        subprotocol = reader.text()
        message["subprotocol"] = None if subprotocol == "-" else subprotocol
        message["headers"] = [(reader.octets(), reader.octets()) for _ in range(reader.choice(range(3)))]
    elif kind == "send":
        octets = reader.octets()
        message.update(
            reader.choice(({"text": "t"}, {"bytes": octets}, {}, {"text": "t", "bytes": octets}, {"text": octets}))
        )
    elif kind == "close":
        message["code"] = reader.choice((1000, 1001, 1005, 1006, 1015, 2999, 3000, 4999, 5000, 999, True, "1000", None))
        message["reason"] = reader.text()
    return message


def _expected_step(
    message: dict[str, Any], phase: str, subprotocols: list[str], *, offers_denial: bool
) -> tuple[Any, str]:
    kind = message["type"].removeprefix("websocket.")
    if (phase, kind) == ("connecting", "accept"):
        chosen = message["subprotocol"]
        if chosen is not None and chosen not in subprotocols:
            raise Refusal("not offered")
        fields, _ = checked_pairs(message["headers"])
        if any(name.decode("latin-1").lower() in _OF_THE_HANDSHAKE for name, _ in message["headers"]):
            raise Refusal("of the handshake")
        return Accept(chosen, fields), "open"
    if (phase, kind) == ("connecting", "close"):
        return Refuse(), "refused"
    if (phase, kind) in (("connecting", "http.response.start"), ("denying", "http.response.body")) and offers_denial:
        return None, "denying"
    if (phase, kind) == ("open", "send"):
        given = [value for value in (message.get("text"), message.get("bytes")) if value is not None]
        if len(given) != 1 or isinstance(message.get("text"), bytes):
            raise Refusal("not one of them")
        return Data(given[0]), "open"
    if (phase, kind) == ("open", "close"):
        return _expected_close(message), "closed"
    raise Refusal("not now")


def _expected_close(message: dict[str, Any]) -> Close:
    code, reason = 1000 if message["code"] is None else message["code"], message["reason"]
    if type(code) is not int or not (1000 <= code <= 1014 or 3000 <= code <= _LARGEST_CODE):  # noqa: PLR2004
        raise Refusal("code")
    if code in (1004, 1005, 1006) or any(0xD800 <= ord(character) <= 0xDFFF for character in reason):  # noqa: PLR2004
        raise Refusal("code or surrogate")
    if len(reason.encode()) > _LARGEST_REASON:
        raise Refusal("reason")
    return Close(code, reason)


def check_head(head: bytes, handshake: Handshake, accept: Accept) -> None:
    """The 101 response is one head and no more; each line is one that was asked for."""
    lines = head.split(b"\r\n")
    expect_equal((lines[0], lines[-2:]), (b"HTTP/1.1 101 Switching Protocols", [b"", b""]), "first and last lines")
    digest = hashlib.sha1(handshake.key.encode() + _GUID, usedforsecurity=False).digest()
    expected = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + base64.b64encode(digest)]
    if accept.subprotocol is not None:
        expected.append(b"Sec-WebSocket-Protocol: " + accept.subprotocol.encode("ascii"))
    expected += [f"{name}: {value}".encode("latin-1") for name, value in accept.headers]
    expect_equal(lines[1:-2], expected, "the fields of the head")
    expect(not any(octet in head.replace(b"\r\n", b"") for octet in b"\r\n\0"), "a control character in the head")


# ---- A handshake from an ASGI server --------------------------------------------------------------------------------


def check_inner_leg(reader: Reader) -> None:
    """The environ is that of a GET, with the handshake of the inner leg and no other field changed."""
    subprotocols = [reader.text() for _ in range(reader.choice(range(3)))]
    scheme, version = reader.choice(("ws", "wss", None)), reader.choice(("1.1", "2", "1.0", None))
    path = "/" + reader.octets().decode("utf-8", "replace")
    headers = reader.pairs()
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "server": ("h", 80),
    }
    scope |= {"scheme": scheme, "http_version": version, "headers": headers, "subprotocols": subprotocols}
    request = {
        **scope,
        "method": "GET",
        "scheme": "https" if scheme == "wss" else "http",
        "http_version": "1.0" if version == "1.0" else "1.1",
        "headers": [pair for pair in headers if lowered(pair[0]) not in _NOT_OF_THE_INNER_LEG],
    }
    expected: dict[str, Any] | None
    try:
        expected = environ_from_scope(request)
    except BadRequest:
        expected = None
    keys = [value.decode("latin-1") for name, value in headers if lowered(name) == b"sec-websocket-key"]
    is_key_right = not keys or (len(keys) == 1 and keys[0] and _BASE64.union("=").issuperset(keys[0]))
    if not is_key_right or not all(_is_token_text(subprotocol) for subprotocol in subprotocols):
        expected = None
    try:
        environ = environ_from_websocket_scope(scope, key=_INNER_KEY, options=_OPTIONS)
    except BadRequest as error:
        if expected is not None:
            raise WrongResultError(f"refused without a reason: {error}") from error
        return
    if expected is None:
        raise WrongResultError("not refused")
    expected |= {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade", "HTTP_SEC_WEBSOCKET_VERSION": "13"}
    expected.setdefault("HTTP_SEC_WEBSOCKET_KEY", _INNER_KEY)
    if subprotocols:
        expected["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(subprotocols)
    expect_equal(environ, expected, "the environ")
    expect(asks_for_websocket(environ) or version == "1.0", "the inner leg is no handshake")


def _is_token_text(text: str) -> bool:
    return text.isascii() and is_token(text.encode("ascii"))
