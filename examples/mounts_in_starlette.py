"""Flask and Django mounted in a Starlette application, each of them twice.

    uvicorn examples.mounts_in_starlette:app

A mount is a path prefix and an adapter. The applications below need not know the prefix: it reaches them as
``SCRIPT_NAME``, so ``url_for()`` and ``reverse()`` give URLs that work from outside. The mounts share one pool of
worker threads, so their number stays the same however many mounts there are.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from flask import Flask, url_for
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from bridge import WorkerPool, WSGIToASGI


def make_shop(currency: str) -> Flask:
    """Return a Flask application: one for each market."""
    shop = Flask(__name__)

    @shop.get("/items/<int:number>")
    def item(number: int) -> dict[str, str]:
        return {"price": f"{number * 10} {currency}", "self": url_for("item", number=number)}

    return shop


def article(_request: HttpRequest, slug: str) -> JsonResponse:
    return JsonResponse({"title": slug.replace("-", " ").title(), "self": reverse("article", args=[slug])})


urlpatterns = [path("articles/<slug:slug>", article, name="article")]
settings.configure(SECRET_KEY="only an example", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)  # noqa: S106

workers = WorkerPool(workers=20)
shop_de = WSGIToASGI(make_shop("EUR"), workers=workers)
shop_jp = WSGIToASGI(make_shop("JPY"), workers=workers)
django = WSGIToASGI(get_wsgi_application(), workers=workers)  # Django is one per process; its mounts may be many


async def home(_request: Request) -> JSONResponse:
    """A native route beside the mounts: it never waits for a worker thread."""
    now = django.statistics()
    return JSONResponse({"workers": {"busy": now.workers_busy, "idle": now.workers_idle, "max": now.workers_max}})


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    yield
    # Starlette tells mounted applications nothing of startup and shutdown, so it is done here: wait for requests
    # that are still running.
    for adapter in (shop_de, shop_jp, django):
        await adapter.drain()


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", home),
        Mount("/de", shop_de),
        Mount("/jp", shop_jp),
        Mount("/blog", django),
        Mount("/intranet/blog", django),
    ],
)
