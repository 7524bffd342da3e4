"""The site in bare Werkzeug: its routing, request and response without a framework around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from tests.matrix.expected import BLOCKS, OCTETS, greeting

_ROUTES = Map(
    [
        Rule("/", endpoint="greet", methods=["GET"]),
        Rule("/echo", endpoint="echo", methods=["POST"]),
        Rule("/stream", endpoint="stream", methods=["GET"]),
    ]
)


def _response(request: Request, endpoint: str) -> Response:
    if endpoint == "greet":
        return Response(greeting("Werkzeug"), mimetype="text/plain")
    if endpoint == "stream":
        return Response((block for block in BLOCKS), mimetype="text/plain")
    body = request.get_data()
    return Response(body, mimetype=OCTETS, headers={"X-Length": str(len(body))})


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    request = Request(environ)
    try:
        endpoint, _ = _ROUTES.bind_to_environ(environ).match()
    except HTTPException as error:
        return error(environ, start_response)
    return _response(request, endpoint)(environ, start_response)
