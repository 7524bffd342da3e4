"""The site in Bottle."""

from __future__ import annotations

from collections.abc import Iterator

from bottle import Bottle, request, response

from tests.matrix.expected import BLOCKS, OCTETS, greeting

app = Bottle()


@app.get("/")
def greet() -> str:
    response.content_type = "text/plain"
    return greeting("Bottle")


@app.post("/echo")
def echo() -> bytes:
    body: bytes = request.body.read()
    response.content_type = OCTETS
    response.set_header("X-Length", str(len(body)))
    return body


@app.get("/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "text/plain"
    yield from BLOCKS
