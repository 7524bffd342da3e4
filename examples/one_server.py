"""Four applications of four frameworks on one uvicorn: by path, and by host.

    uvicorn one_server:app

Flask, Django and Bottle share one pool of worker threads; the API in FastAPI needs none. Each is usually a module of
its own, and this one imports them.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bottle import Bottle
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from fastapi import FastAPI, Request
from flask import Flask, request, url_for
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Host, Mount, Route

from bridge import Limits, WorkerPool, WSGIToASGI

# ---- The applications ------------------------------------------------------------------------------------------------

shop = Flask(__name__)


@shop.get("/items/<name>")
def item(name: str) -> dict[str, str]:
    region: str = request.environ["bridge.state"]["region"]
    return {"item": name, "region": region, "self": url_for("item", name=name)}


def article(_request: HttpRequest, slug: str) -> JsonResponse:
    return JsonResponse({"article": slug, "self": reverse("article", args=[slug])})


urlpatterns = [path("articles/<slug:slug>", article, name="article")]
key = os.environ.get("SECRET_KEY", "only an example")
settings.configure(SECRET_KEY=key, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)

wiki = Bottle()


@wiki.get("/pages/<name>")
def page(name: str) -> dict[str, str]:
    return {"page": name, "self": wiki.get_url("/pages/<name>", name=name)}


@asynccontextmanager
async def api_lifespan(_api: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"api": "is ready"}


api = FastAPI(lifespan=api_lifespan)


@api.get("/status")
async def status(request: Request) -> dict[str, str]:
    return {"api": request.state.api, "region": request.state.region, "self": request.url_for("status").path}


# ---- The server ------------------------------------------------------------------------------------------------------

workers = WorkerPool(workers=40)
hosted = {
    "shop": WSGIToASGI(shop, workers=workers),
    "blog": WSGIToASGI(get_wsgi_application(), workers=workers, limits=Limits(body_max_bytes=2000)),
    "wiki": WSGIToASGI(wiki, workers=workers, limits=Limits(queue_wait_s=5)),
}


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    # Nobody tells mounted applications that the server starts: so their startup is done here, and their end.
    async with api.router.lifespan_context(api) as state_of_api:
        yield {"region": "north", **(state_of_api or {})}
        for adapter in hosted.values():
            await adapter.drain()


async def overview(_request: Any) -> JSONResponse:
    return JSONResponse({name: adapter.statistics().requests for name, adapter in hosted.items()})


app = Starlette(
    lifespan=lifespan,
    routes=[
        Host("api.localhost", api, name="api"),
        Host("wiki.localhost", hosted["wiki"], name="wiki"),
        Mount("/api", api),
        Mount("/shop", hosted["shop"]),
        Mount("/blog", hosted["blog"]),
        Mount("/wiki", hosted["wiki"]),
        Route("/", overview),
    ],
)
