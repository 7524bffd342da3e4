"""A Django site as servers in subprocesses import it: one view that renders a page from a template."""

# mypy: disable-error-code="import-untyped"
from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><title>{{ title }}</title></head>
<body>
<h1>{{ title|upper }}</h1>
<table>
{% for book in books %}<tr><td>{{ book.title }}</td><td>{{ book.price }}</td>\
<td>{% if book.in_stock %}in stock{% else %}sold{% endif %}</td></tr>
{% endfor %}</table>
</body>
</html>
"""

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not secret",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"books.html": _PAGE})]},
        }
    ],
    LOGGING_CONFIG=None,
)
django.setup()


def books(request: HttpRequest) -> HttpResponse:
    """Render ten rows."""
    rows: list[dict[str, Any]] = [
        {"title": f"Wit & <wisdom>, volume {number}", "price": 19.5 + number, "in_stock": number % 3}
        for number in range(10)
    ]
    return render(request, "books.html", {"title": "All our books", "books": rows})


urlpatterns = [path("books/", books)]

wsgi = get_wsgi_application()
asgi = get_asgi_application()
