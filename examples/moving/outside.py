"""The other way round: the Flask application and its server stay, and hand what has been moved to FastAPI.

gunicorn --threads 32 outside:flask_app
"""

import re
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, HTTPException
from old import flask_app, orders
from sessions import Session
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from bridge import to_wsgi

# A prefix: its routes are relative to it.
reports = FastAPI()


@reports.get("/orders")
async def number_of_orders() -> dict[str, int]:
    return {"orders": len(orders)}


# Single routes: they are what they have always been.
single = FastAPI()


@single.get("/orders/{number:int}", name="order")
async def order(number: int, session: Session) -> dict[str, Any]:
    if number not in orders or orders[number]["owner"] != session.get("user"):
        raise HTTPException(404)
    return orders[number] | {"self": single.url_path_for("order", number=number)}


by_prefix = DispatcherMiddleware(flask_app.wsgi_app, {"/reports": to_wsgi(reports)})
moved = re.compile(r"GET /orders/\d+")
new = to_wsgi(single)


def front(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    wanted = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    return (new if moved.fullmatch(wanted) else by_prefix)(environ, start_response)


flask_app.wsgi_app = front
