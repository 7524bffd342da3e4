"""The site in Sanic."""

from __future__ import annotations

from sanic import Request, Sanic
from sanic.response import HTTPResponse, raw, text

from tests.matrix.expected import BLOCKS, OCTETS, greeting

app = Sanic("matrix")


@app.get("/")
async def greet(request: Request) -> HTTPResponse:
    return text(greeting("Sanic"))


@app.post("/echo")
async def echo(request: Request) -> HTTPResponse:
    return raw(request.body, content_type=OCTETS, headers={"X-Length": str(len(request.body))})


@app.get("/stream")
async def stream(request: Request) -> None:
    response = await request.respond(content_type="text/plain")
    for block in BLOCKS:
        await response.send(block)
    await response.eof()
