"""Large transfers as servers in subprocesses import them: a WSGI application, and the same in ASGI.

``GET /<n>`` gives n MiB in blocks of 64 KiB; ``POST`` takes whatever comes, in pieces of 64 KiB, and says how long it
was.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks import apps
from benchmarks.settings import KIB, MIB

BLOCK = random.Random(64).randbytes(64 * KIB)
_BLOCKS_PER_MIB = MIB // len(BLOCK)


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        return apps.upload(environ, start_response)
    size_mib = int(environ["PATH_INFO"][1:])
    head = [("Content-Type", "application/octet-stream"), ("Content-Length", str(size_mib * MIB))]
    start_response("200 OK", head)
    return _blocks(size_mib)


def _blocks(size_mib: int) -> Iterator[bytes]:
    for _ in range(size_mib * _BLOCKS_PER_MIB):
        yield BLOCK


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        size_bytes, more = 0, True
        while more:
            event = await receive()
            size_bytes += len(event.get("body", b""))
            more = event.get("more_body", False)
        body = b"%d" % size_bytes
        await send(_start(len(body)))
        await send({"type": "http.response.body", "body": body, "more_body": False})
        return
    count = int(scope["path"][1:]) * _BLOCKS_PER_MIB
    await send(_start(count * len(BLOCK)))
    for number in range(1, count + 1):
        await send({"type": "http.response.body", "body": BLOCK, "more_body": number < count})


def _start(size_bytes: int) -> dict[str, Any]:
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % size_bytes)]
    return {"type": "http.response.start", "status": 200, "headers": headers}
