"""The other way: the same kinds of applications on one WSGI server, those in FastAPI and Starlette among them.

    gunicorn --threads 32 one_gunicorn:application

What is mounted is WSGI by itself or by `to_wsgi`; the ASGI ones share one event loop in each process.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bottle import Bottle
from fastapi import FastAPI, Request
from flask import Flask, url_for
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from bridge import to_wsgi

shop = Flask(__name__)


@shop.get("/items/<name>")
def item(name: str) -> dict[str, str]:
    return {"item": name, "self": url_for("item", name=name)}


wiki = Bottle()


@wiki.get("/pages/<name>")
def page(name: str) -> dict[str, str]:
    return {"page": name, "self": wiki.get_url("/pages/<name>", name=name)}


@asynccontextmanager
async def lifespan(_api: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"api": "is ready"}


api = FastAPI(lifespan=lifespan)


@api.get("/status")
async def status(request: Request) -> dict[str, str]:
    return {"api": request.state.api, "self": request.url_for("status").path}


async def ticker(_request: Any) -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(ticks(), media_type="text/event-stream")


application = DispatcherMiddleware(
    shop,
    {
        "/wiki": wiki,
        "/api": to_wsgi(api),
        "/live": to_wsgi(Starlette(routes=[Route("/ticks", ticker)])),
    },
)
