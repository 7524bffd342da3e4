"""The new application, in front of the old one. It has taken over ``GET /orders/<number>``.

uvicorn new:app
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from old import flask_app, orders
from sessions import Session
from werkzeug.exceptions import HTTPException as NoSuchRoute

from bridge import RequestReport, WSGIToASGI

old = WSGIToASGI(flask_app)

# What is still old: the routes of Flask, and how often each of them was asked for.
routes = flask_app.url_map.bind("old")
calls = Counter(
    {
        f"{method} {rule.rule}": 0
        for rule in flask_app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    }
)


def count(report: RequestReport) -> None:
    try:
        rule, _ = routes.match(report.path, report.method, return_rule=True)
    except NoSuchRoute:  # 404, 405, or a redirect to the same path with a slash
        return
    calls[f"{report.method} {rule.rule}"] += 1


old.observe(count)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield
    await old.drain()


app = FastAPI(lifespan=lifespan)


@app.get("/orders/{number:int}")
async def order(number: int, session: Session, request: Request) -> dict[str, Any]:
    if number not in orders or orders[number]["owner"] != session.get("user"):
        raise HTTPException(404)
    return orders[number] | {"self": request.url_for("order", number=number).path}


@app.get("/still-old")
async def still_old() -> dict[str, int]:
    return dict(calls)


app.mount("/", old)  # last: what FastAPI has no route for
