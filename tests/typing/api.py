"""The documented usage, for the type checkers: this file is never run; mypy and pyright must find nothing in it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import assert_type
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
from asgiref.typing import Scope as ScopeOfAsgiref
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp as AppOfStarlette

from bridge import (
    ASGIToWSGI,
    Detection,
    DualApp,
    HostStatistics,
    Limits,
    RequestReport,
    Statistics,
    WorkerPool,
    WSGIToASGI,
    call_async,
    detect,
    dual,
    mark,
    to_asgi,
    to_wsgi,
)
from bridge.types import ASGIApp, Environ, Message, Receive, Scope, Send, WSGIApp
from bridge.types import StartResponse as OurStartResponse

flask_app = Flask(__name__)


def plain_app(environ: Environ, start_response: OurStartResponse) -> list[bytes]:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"hello")
    return [b", world"]


def app_of_wsgiref(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b""]


async def on_startup(state: dict[str, object]) -> None: ...


def on_shutdown() -> None: ...


pool = WorkerPool(workers=8)
assert_type(to_asgi(flask_app), ASGIApp)
to_asgi(plain_app, limits=Limits(workers=4), workers=pool, large_body="stream", on_startup=on_startup)
adapter = WSGIToASGI(app_of_wsgiref, on_shutdown=[on_shutdown], errors=logging.getLogger("shop"), hop_by_hop="drop")
WSGIToASGI(plain_app, errors=sys.stdout)
assert_type(adapter.statistics(), Statistics)

Starlette(routes=[Mount("/old", to_asgi(flask_app)), Mount("/older", adapter)])
FastAPI().mount("/", to_asgi(flask_app))


async def fetch(query: str, *, limit: int = 10) -> list[str]:
    return [query] * limit


rows = call_async(fetch, "select 1", limit=2)
assert_type(rows, list[str])

# ---- The other direction ----------------------------------------------------------------------------------------


async def plain_asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    message: Message = await receive()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": message.get("body", b"")})


async def app_of_asgiref(scope: ScopeOfAsgiref, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await receive()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def app_in_variable_of_asgiref(app: ASGI3Application) -> WSGIApp:
    return to_wsgi(app)


def app_in_variable_of_starlette(app: AppOfStarlette) -> WSGIApp:
    return to_wsgi(app, on_error="respond")


assert_type(to_wsgi(FastAPI()), WSGIApp)
assert_type(to_wsgi(Starlette(), lifespan="on", event_loop="trio", own_loop=True), WSGIApp)
to_wsgi(plain_asgi_app, limits=Limits(startup_s=None))
to_wsgi(app_of_asgiref)
to_wsgi(flask_app)
to_wsgi(app_of_wsgiref)
validator(to_wsgi(FastAPI()))
make_server("127.0.0.1", 0, to_wsgi(FastAPI()))
host = ASGIToWSGI(FastAPI(), lifespan="off", limits=Limits(disconnect_grace_s=3))
ASGIToWSGI(app_of_asgiref)
host.startup()
host.shutdown()
assert_type(host.statistics(), HostStatistics)
assert_type(host.statistics().phase, str)
plain: WSGIApp = host
to_asgi(host)
to_wsgi(to_asgi(flask_app))

# ---- Either ----------------------------------------------------------------------------------------------------

app = dual(flask_app)
assert_type(app, DualApp)
dual(FastAPI(), limits=Limits(workers=2), on_error="respond", to_wsgi={"lifespan": "off"}, to_asgi={"strict": True})
dual(app_of_wsgiref, protocol="wsgi")
dual(app_of_asgiref)
plain = app
as_asgi: ASGIApp = app
Starlette(routes=[Mount("/old", app)])
assert_type(detect(flask_app), Detection)


@mark("wsgi")
def marked_app(*arguments: object) -> list[bytes]:
    return [b""]


assert_type(marked_app("environ", "start_response"), list[bytes])


def on_report(report: RequestReport) -> None:
    print(report.outcome, report.queue_wait_s)


adapter.observe(on_report)
host.observe(on_report)

# And what must not pass:
dual(flask_app, large_body="spool")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
mark("http")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
to_wsgi(plain_asgi_app, event_loop="curio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
ASGIToWSGI(plain_asgi_app, lifespan=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
to_wsgi(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
call_async(fetch, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
to_asgi(plain_app, large_body="elsewhere")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Limits(workers="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
