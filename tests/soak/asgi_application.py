"""The ASGI application of the soak: hosted by `bridge.to_wsgi`, and by an ASGI server itself for comparison."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable

from bridge.types import Receive, Scope, Send
from tests.soak.books import count
from tests.soak.contract import (
    BLOCK,
    ETAG,
    FILE_VARIABLE,
    FIRST_BLOCK,
    HELLO,
    LARGE_BLOCK,
    LARGE_BLOCKS,
    STREAM_BLOCKS,
    answer_to_json,
    digest_line,
)

_PLAIN = (b"content-type", b"text/plain")
_BACKGROUND_S = 0.01
_FILE_BLOCK_BYTES = 65536


class ClientLeft(Exception):
    """The request body was cut."""


async def _start(send: Send, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def _body(send: Send, body: bytes = b"", *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _whole(send: Send, body: bytes, kind: bytes = b"text/plain") -> None:
    await _start(send, (b"content-type", kind), (b"content-length", b"%d" % len(body)))
    await _body(send, body)


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        yield message["body"]
        more = message["more_body"]


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await _whole(send, HELLO)


async def json(scope: Scope, receive: Receive, send: Send) -> None:
    octets = b"".join([piece async for piece in _pieces(receive)])
    await _whole(send, answer_to_json(octets), b"application/json")


async def _read_all(receive: Receive) -> bytes:
    digest, length_bytes = hashlib.sha1(), 0
    async for piece in _pieces(receive):
        digest.update(piece)
        length_bytes += len(piece)
    return digest_line(length_bytes, digest.hexdigest())


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    await _whole(send, await _read_all(receive))


async def cut(scope: Scope, receive: Receive, send: Send) -> None:
    """Read an upload whose client leaves in the middle."""
    try:
        await _read_all(receive)
    except (ClientLeft, OSError):
        count("cut uploads")
        return
    count("cut uploads that looked whole")
    await _whole(send, HELLO)


async def _stream(send: Send, block: bytes, blocks: int | None) -> None:
    """So many blocks; keeps book of its end."""
    count("streams opened")
    try:
        await _start(send, _PLAIN)
        sent = 0
        while blocks is None or sent < blocks:
            await _body(send, block, more=True)
            sent += 1
            if blocks is None:
                await asyncio.sleep(0.001)  # some servers' send() never says that the client has left, nor waits
        await _body(send)
    finally:
        count("streams closed")


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await _stream(send, BLOCK, STREAM_BLOCKS)


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream until the client has left: ``receive()`` says so everywhere, ``send()`` on some servers."""
    assert (await receive())["type"] == "http.request"
    streaming = asyncio.ensure_future(_stream(send, BLOCK, None))
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (streaming, leaving):
            task.cancel()
        await asyncio.gather(streaming, leaving, return_exceptions=True)


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    await _stream(send, LARGE_BLOCK, LARGE_BLOCKS)


async def fails_before(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("the soak wants this: failed before the start")


async def fails_after(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send, _PLAIN)
    await _body(send, FIRST_BLOCK, more=True)
    raise RuntimeError("the soak wants this: failed after the start")


async def not_modified(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send, (b"etag", ETAG.encode()), status=304)
    await _body(send)


async def file(scope: Scope, receive: Receive, send: Send) -> None:
    """A file, by its path where the server takes that."""
    path = os.environ[FILE_VARIABLE]
    headers = ((b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % os.stat(path).st_size))
    await _start(send, *headers)
    if "http.response.pathsend" in scope.get("extensions", {}):
        await send({"type": "http.response.pathsend", "path": path})
        return
    with open(path, "rb") as opened:
        while block := opened.read(_FILE_BLOCK_BYTES):
            await _body(send, block, more=True)
    await _body(send)


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and go on for a while."""
    count("background begun")
    await _whole(send, HELLO)
    await asyncio.sleep(_BACKGROUND_S)
    count("background done")


async def socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo."""
    count("sockets begun")
    try:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
    finally:
        count("sockets ended")


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


_ROUTES: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    f"/{function.__name__.replace('_', '-')}": function
    for function in (
        background, cut, endless, fails_after, fails_before, file, hello, json, large, not_modified, socket, stream,
        upload,
    )
}  # fmt: skip


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """All of it, chosen by the path."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
    else:
        await _ROUTES[scope["path"]](scope, receive, send)
