"""The documented usage, for the type checkers: this file is never run; mypy and pyright must find nothing in it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import assert_type
from wsgiref.types import StartResponse, WSGIEnvironment

from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.routing import Mount

from bridge import Limits, Statistics, WorkerPool, WSGIToASGI, call_async, to_asgi
from bridge.types import ASGIApp, Environ
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

# And what must not pass:
call_async(fetch, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
to_asgi(plain_app, large_body="elsewhere")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Limits(workers="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
