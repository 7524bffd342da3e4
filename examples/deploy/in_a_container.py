"""A Flask application in a container, under any ASGI server: the ``Dockerfile`` and ``kubernetes.yaml`` run it.

    uvicorn in_a_container:app

The probes of Kubernetes are answered on the event loop, beside the mount: they need no worker thread, so a service that
is busy is not taken for a dead one. The lifespan waits for requests that are still running before the process ends.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flask import Flask, request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

from bridge import Limits, WSGIToASGI

flask_app = Flask(__name__)


@flask_app.get("/")
def home() -> dict[str, str]:
    return {"hello": "world"}


@flask_app.put("/uploads")
def upload() -> dict[str, int]:
    return {"bytes": len(request.get_data())}


limits = Limits(
    workers=40,
    queue=200,
    shutdown_s=10,  # after the server's own graceful time: for what is still in its thread by then
    spool_bytes=512 * 1024**2,  # less than the volume at /tmp holds
)
shop = WSGIToASGI(flask_app, limits=limits)


async def alive(_request: Request) -> PlainTextResponse:
    """Tell that the event loop turns: all that a restart could mend."""
    return PlainTextResponse("alive\n")


async def ready(_request: Request) -> JSONResponse:
    """Tell whether more requests are welcome: 503 while the queue is more than half full."""
    now = shop.statistics()
    numbers = {"requests": now.requests, "busy": now.workers_busy, "waiting": now.waiting, "stuck": now.stuck}
    return JSONResponse(numbers, status_code=503 if now.waiting > limits.queue // 2 else 200)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    yield
    await shop.drain()  # Starlette tells mounted applications nothing of the end


app = Starlette(lifespan=lifespan, routes=[Route("/alive", alive), Route("/ready", ready), Mount("/", shop)])
