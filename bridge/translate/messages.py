"""The ASGI event dictionaries: the only file that spells their type strings."""

from __future__ import annotations

from bridge.types import HeaderPairs, Message

REQUEST = "http.request"
DISCONNECT = "http.disconnect"

RESPONSE_START = "http.response.start"
RESPONSE_BODY = "http.response.body"
EARLY_HINT = "http.response.early_hint"
PATHSEND = "http.response.pathsend"
TRAILERS = "http.response.trailers"
ZEROCOPYSEND = "http.response.zerocopysend"
DENIAL_RESPONSE = "websocket.http.response"

LIFESPAN = "lifespan"
LIFESPAN_STARTUP = "lifespan.startup"
LIFESPAN_SHUTDOWN = "lifespan.shutdown"
LIFESPAN_STARTUP_COMPLETE = "lifespan.startup.complete"
LIFESPAN_STARTUP_FAILED = "lifespan.startup.failed"
LIFESPAN_SHUTDOWN_COMPLETE = "lifespan.shutdown.complete"
LIFESPAN_SHUTDOWN_FAILED = "lifespan.shutdown.failed"

WEBSOCKET_CONNECT = "websocket.connect"
WEBSOCKET_ACCEPT = "websocket.accept"
WEBSOCKET_RECEIVE = "websocket.receive"
WEBSOCKET_SEND = "websocket.send"
WEBSOCKET_CLOSE = "websocket.close"
WEBSOCKET_DISCONNECT = "websocket.disconnect"
DENIAL_START = "websocket.http.response.start"
DENIAL_BODY = "websocket.http.response.body"


def request(body: bytes, *, more_body: bool) -> Message:
    """ASGI HTTP "Request - receive event"."""
    return {"type": REQUEST, "body": body, "more_body": more_body}


def disconnect() -> Message:
    """ASGI HTTP "Disconnect - receive event"."""
    return {"type": DISCONNECT}


def response_start(status: int, headers: HeaderPairs, *, trailers: bool = False) -> Message:
    """ASGI HTTP "Response Start - send event"."""
    message: Message = {"type": RESPONSE_START, "status": status, "headers": headers}
    if trailers:
        message["trailers"] = True
    return message


def response_body(body: bytes, *, more_body: bool) -> Message:
    """ASGI HTTP "Response Body - send event"."""
    return {"type": RESPONSE_BODY, "body": body, "more_body": more_body}


def early_hint(links: list[bytes]) -> Message:
    """ASGI Extensions "Early Hints"."""
    return {"type": EARLY_HINT, "links": links}


def trailers(headers: HeaderPairs) -> Message:
    """ASGI Extensions "HTTP Trailers"; the only trailers event, so the last."""
    return {"type": TRAILERS, "headers": headers, "more_trailers": False}


def pathsend(path: str) -> Message:
    """ASGI Extensions "Path Send"; the whole and only content."""
    return {"type": PATHSEND, "path": path}


def zerocopysend(file_descriptor: int, offset_bytes: int, count_bytes: int, *, more_body: bool) -> Message:
    """ASGI Extensions "Zero Copy Send"."""
    return {
        "type": ZEROCOPYSEND,
        "file": file_descriptor,
        "offset": offset_bytes,
        "count": count_bytes,
        "more_body": more_body,
    }


def plain_response(
    status: int, sentence: str, *extra_headers: tuple[bytes, bytes], is_head: bool = False
) -> tuple[Message, Message]:
    """Return start and body of a complete ``text/plain`` answer by the bridge itself (W-138)."""
    body = sentence.encode("utf-8") + b"\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *extra_headers,
    ]
    return response_start(status, headers), response_body(b"" if is_head else body, more_body=False)


def websocket_denial(status: int, sentence: str) -> tuple[Message, Message]:
    """Return start and body of a denial response (ASGI Extensions "Websocket Denial Response")."""
    start, body = plain_response(status, sentence)
    start["type"] = DENIAL_START
    body["type"] = DENIAL_BODY
    return start, body


def websocket_close(code: int | None = None, reason: str = "") -> Message:
    """ASGI WebSocket "Close - send event"; before the accept it refuses the handshake, and the client sees 403."""
    return {"type": WEBSOCKET_CLOSE} if code is None else {"type": WEBSOCKET_CLOSE, "code": code, "reason": reason}


def websocket_accept(subprotocol: str | None, headers: HeaderPairs) -> Message:
    """ASGI WebSocket "Accept - send event"."""
    return {"type": WEBSOCKET_ACCEPT, "subprotocol": subprotocol, "headers": headers}


def websocket_send(data: str | bytes) -> Message:
    """ASGI WebSocket "Send - send event"."""
    if isinstance(data, str):
        return {"type": WEBSOCKET_SEND, "text": data}
    return {"type": WEBSOCKET_SEND, "bytes": data}


def websocket_receive(data: str | bytes) -> Message:
    """ASGI WebSocket "Receive - receive event"."""
    if isinstance(data, str):
        return {"type": WEBSOCKET_RECEIVE, "text": data}
    return {"type": WEBSOCKET_RECEIVE, "bytes": data}


def websocket_disconnect(code: int, reason: str) -> Message:
    """ASGI WebSocket "Disconnect - receive event"."""
    return {"type": WEBSOCKET_DISCONNECT, "code": code, "reason": reason}


def denial_from_response(message: Message) -> Message:
    """Return the event of a denial response with the content of one of an HTTP response."""
    return {**message, "type": DENIAL_START if message["type"] == RESPONSE_START else DENIAL_BODY}
