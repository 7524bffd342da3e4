"""The site in Litestar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.response import Stream

from tests.matrix.expected import BLOCKS, OCTETS, greeting


@get("/", media_type=MediaType.TEXT)
async def greet() -> str:
    return greeting("Litestar")


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> Response[bytes]:
    body = await request.body()
    return Response(body, media_type=OCTETS, headers={"X-Length": str(len(body))})


async def _blocks() -> AsyncIterator[bytes]:
    for block in BLOCKS:
        yield block


@get("/stream")
async def stream() -> Stream:
    return Stream(_blocks(), media_type="text/plain")


app = Litestar([greet, echo, stream])
