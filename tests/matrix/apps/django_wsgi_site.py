"""The site in Django, by its WSGI handler."""

from __future__ import annotations

from collections.abc import Iterator

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from tests.matrix.expected import BLOCKS, OCTETS, greeting


def greet(request: HttpRequest) -> HttpResponse:
    return HttpResponse(greeting("Django (WSGI)"), content_type="text/plain")


def echo(request: HttpRequest) -> HttpResponse:
    body = request.body
    return HttpResponse(body, content_type=OCTETS, headers={"X-Length": str(len(body))})


def _blocks() -> Iterator[bytes]:
    yield from BLOCKS


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_blocks(), content_type="text/plain")


urlpatterns = [path("", greet), path("echo", echo), path("stream", stream)]
settings.configure(SECRET_KEY="not secret", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
django.setup()
app = get_wsgi_application()
