"""The site in Django, by its ASGI handler and with async views."""

from __future__ import annotations

from collections.abc import AsyncIterator

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from tests.matrix.expected import BLOCKS, OCTETS, greeting


async def greet(request: HttpRequest) -> HttpResponse:
    return HttpResponse(greeting("Django (ASGI)"), content_type="text/plain")


async def echo(request: HttpRequest) -> HttpResponse:
    body = request.body
    return HttpResponse(body, content_type=OCTETS, headers={"X-Length": str(len(body))})


async def _blocks() -> AsyncIterator[bytes]:
    for block in BLOCKS:
        yield block


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_blocks(), content_type="text/plain")


urlpatterns = [path("", greet), path("echo", echo), path("stream", stream)]
settings.configure(SECRET_KEY="not secret", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
django.setup()
app = get_asgi_application()
