"""The site in Flask."""

from __future__ import annotations

from flask import Flask, Response, request

from tests.matrix.expected import BLOCKS, OCTETS, greeting

app = Flask(__name__)


@app.get("/")
def greet() -> str:
    return greeting("Flask")


@app.post("/echo")
def echo() -> Response:
    body = request.get_data()
    return Response(body, mimetype=OCTETS, headers={"X-Length": str(len(body))})


@app.get("/stream")
def stream() -> Response:
    return Response((block for block in BLOCKS), mimetype="text/plain")
