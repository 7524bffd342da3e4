"""The site as one function of PEP 3333."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.matrix.expected import BLOCKS, OCTETS, greeting


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/echo":
        body: bytes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        length = str(len(body))
        start_response("200 OK", [("Content-Type", OCTETS), ("Content-Length", length), ("X-Length", length)])
        return [body]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/stream":
        return (block for block in BLOCKS)
    return [greeting("plain WSGI").encode()]
