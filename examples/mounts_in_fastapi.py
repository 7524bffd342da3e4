"""A FastAPI application with Flask and Django mounted in it, on one pool of worker threads.

    uvicorn examples.mounts_in_fastapi:app

Routes that exist in FastAPI are answered there, everything else by the old applications. They need not know where they
are mounted: `url_for()` and `reverse()` give URLs with the prefix.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from fastapi import FastAPI
from flask import Flask, request, url_for

from bridge import WorkerPool, WSGIToASGI

# The old applications; usually each is in a module of its own.

flask_app = Flask(__name__)


@flask_app.get("/users/<name>")
def user(name: str) -> dict[str, str]:
    return {"user": name, "answered_by": "Flask", "self": url_for("user", name=name)}


@flask_app.get("/orders/<int:number>")
def order(number: int) -> dict[str, str]:
    # Not reached at the root any more: FastAPI has this route now. Below /v1 the old answer lives on.
    return {"order": str(number), "answered_by": "Flask", "self": url_for("order", number=number)}


@flask_app.get("/currency")
def currency() -> str:
    return request.environ["bridge.state"]["currency"]


def invoice(_request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse({"invoice": number, "answered_by": "Django", "self": reverse("invoice", args=[number])})


urlpatterns = [path("invoices/<int:number>", invoice, name="invoice")]
key = os.environ.get("SECRET_KEY", "only an example")
settings.configure(SECRET_KEY=key, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)

# The new one, around them.

workers = WorkerPool(workers=40)
shop = WSGIToASGI(flask_app, workers=workers)
billing = WSGIToASGI(get_wsgi_application(), workers=workers)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"currency": "EUR"}
    for adapter in (shop, billing):
        await adapter.drain()


app = FastAPI(lifespan=lifespan)


@app.get("/orders/{number}")
async def new_order(number: int) -> dict[str, str]:
    return {"order": str(number), "answered_by": "FastAPI"}


# The order matters: the first route that matches answers.
app.mount("/billing", billing)
app.mount("/v1", shop)
app.mount("/", shop)
