"""A Flask application as servers in subprocesses import it: an answer in JSON, and a file."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, jsonify, request, send_file

app = Flask("shop")

_BOOKS = {
    number: {
        "number": number,
        "title": f"The book of number {number}",
        "authors": ["A. Writer", "B. Helper"],
        "price": {"amount": 1900 + number, "currency": "EUR"},
        "in_stock": number % 2 == 0,
        "tags": ["paper", "second-hand", "für Kinder"],
    }
    for number in range(100)
}


@app.get("/books/<int:number>")
def book(number: int) -> tuple[Response, dict[str, str]]:
    """Look something up, heed a query, set a header: what a small JSON interface does."""
    found: dict[str, Any] = {**_BOOKS[number], "language": request.args.get("language", "en")}
    return jsonify(found), {"Cache-Control": "max-age=60"}


@app.get("/file")
def file() -> Response:
    """Send the file that the environment names, as Flask sends files."""
    return send_file(os.environ["BENCHMARK_FILE"], mimetype="application/octet-stream", conditional=False)
