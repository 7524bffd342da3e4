"""The site in Quart."""

from __future__ import annotations

from collections.abc import AsyncIterator

from quart import Quart, Response, request

from tests.matrix.expected import BLOCKS, OCTETS, greeting

app = Quart(__name__)


@app.get("/")
async def greet() -> Response:
    return Response(greeting("Quart"), mimetype="text/plain")


@app.post("/echo")
async def echo() -> Response:
    body = await request.get_data(as_text=False)
    return Response(body, mimetype=OCTETS, headers={"X-Length": str(len(body))})


async def _blocks() -> AsyncIterator[bytes]:
    for block in BLOCKS:
        yield block


@app.get("/stream")
async def stream() -> Response:
    return Response(_blocks(), mimetype="text/plain")
