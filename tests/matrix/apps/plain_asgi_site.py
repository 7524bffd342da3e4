"""The site as one function of ASGI 3, with a lifespan."""

from __future__ import annotations

from typing import Any

from tests.matrix.expected import BLOCKS, OCTETS, greeting


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    if scope["type"] != "http":
        raise ValueError(f"only HTTP here, no {scope['type']}")
    headers = [(b"content-type", b"text/plain")]
    blocks = [greeting("plain ASGI").encode()]
    if scope["path"] == "/echo":
        body = await _body(receive)
        length = str(len(body)).encode()
        headers = [(b"content-type", OCTETS.encode()), (b"content-length", length), (b"x-length", length)]
        blocks = [body]
    elif scope["path"] == "/stream":
        blocks = [*BLOCKS, b""]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number, block in enumerate(blocks, 1):
        await send({"type": "http.response.body", "body": block, "more_body": number < len(blocks)})


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body
