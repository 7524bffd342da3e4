"""A FastAPI application that has taken over some routes, with the Flask and Django it came from mounted behind it.

    uvicorn examples.mounts_in_fastapi:app

This is how a service moves from WSGI to ASGI one route at a time: routes that exist in FastAPI are answered there,
everything else falls through to the old application, which is mounted last, at the root.
"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from fastapi import FastAPI
from flask import Flask, url_for

from bridge import to_asgi

legacy = Flask(__name__)


@legacy.get("/users/<name>")
def user(name: str) -> dict[str, str]:
    return {"user": name, "answered_by": "Flask", "self": url_for("user", name=name)}


@legacy.get("/orders/<int:number>")
def order(number: int) -> dict[str, str]:
    """Not reached at the root any more: FastAPI has this route now. Below /v1 the old answer lives on."""
    return {"order": str(number), "answered_by": "Flask", "self": url_for("order", number=number)}


def invoice(_request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse({"invoice": number, "answered_by": "Django", "self": reverse("invoice", args=[number])})


urlpatterns = [path("invoices/<int:number>", invoice, name="invoice")]
settings.configure(SECRET_KEY="only an example", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)  # noqa: S106

app = FastAPI()


@app.get("/orders/{number}")
async def new_order(number: int) -> dict[str, str]:
    return {"order": str(number), "answered_by": "FastAPI"}


# The order matters: the first route that matches answers.
app.mount("/billing", to_asgi(get_wsgi_application()))
app.mount("/v1", to_asgi(legacy))
app.mount("/", to_asgi(legacy))
