"""The site in Pyramid."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from tests.matrix.expected import BLOCKS, OCTETS, greeting


def greet(request: Request) -> Response:
    return Response(greeting("Pyramid"), content_type="text/plain")


def echo(request: Request) -> Response:
    body = request.body
    return Response(body, content_type=OCTETS, headerlist=[("X-Length", str(len(body)))])


def stream(request: Request) -> Response:
    return Response(app_iter=(block for block in BLOCKS), content_type="text/plain")


with Configurator() as configurator:
    for view, pattern, method in ((greet, "/", "GET"), (echo, "/echo", "POST"), (stream, "/stream", "GET")):
        configurator.add_route(view.__name__, pattern, request_method=method)
        configurator.add_view(view, route_name=view.__name__)
    app = configurator.make_wsgi_app()
