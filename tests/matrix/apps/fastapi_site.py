"""The site in FastAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from tests.matrix.expected import BLOCKS, OCTETS, greeting

app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
async def greet() -> str:
    return greeting("FastAPI")


@app.post("/echo")
async def echo(request: Request) -> Response:
    body = await request.body()
    return Response(body, media_type=OCTETS, headers={"X-Length": str(len(body))})


async def _blocks() -> AsyncIterator[bytes]:
    for block in BLOCKS:
        yield block


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(_blocks(), media_type="text/plain")
