"""The site as a class of ASGI 2: made with the scope, called with the rest. It knows of no lifespan."""

from __future__ import annotations

from typing import Any

from tests.matrix.expected import BLOCKS, OCTETS, greeting


class app:  # noqa: N801 - the name every other site has
    def __init__(self, scope: dict[str, Any]) -> None:
        if scope["type"] != "http":
            raise ValueError(f"only HTTP here, no {scope['type']}")
        self._path = scope["path"]

    async def __call__(self, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/plain")]
        blocks = [greeting("ASGI 2").encode()]
        if self._path == "/echo":
            body = await _body(receive)
            headers = [(b"content-type", OCTETS.encode()), (b"x-length", str(len(body)).encode())]
            blocks = [body]
        elif self._path == "/stream":
            blocks = [*BLOCKS, b""]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, block in enumerate(blocks, 1):
            await send({"type": "http.response.body", "body": block, "more_body": number < len(blocks)})


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body
