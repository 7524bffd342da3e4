"""The site in Starlette."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.matrix.expected import BLOCKS, OCTETS, greeting


async def greet(request: Request) -> Response:
    return PlainTextResponse(greeting("Starlette"))


async def echo(request: Request) -> Response:
    body = await request.body()
    return Response(body, media_type=OCTETS, headers={"X-Length": str(len(body))})


async def _blocks() -> AsyncIterator[bytes]:
    for block in BLOCKS:
        yield block


async def stream(request: Request) -> Response:
    return StreamingResponse(_blocks(), media_type="text/plain")


app = Starlette(routes=[Route("/", greet), Route("/echo", echo, methods=["POST"]), Route("/stream", stream)])
