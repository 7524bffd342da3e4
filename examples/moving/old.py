"""The old application: Flask, with a login that is kept in Flask's session."""

import os
from typing import Any

from flask import Flask, request, session, url_for

flask_app = Flask(__name__)
flask_app.secret_key = os.environ.get("SECRET_KEY", "only an example")
orders: dict[int, dict[str, Any]] = {
    1: {"number": 1, "item": "tea", "owner": "ann"},
    2: {"number": 2, "item": "rice", "owner": "bob"},
}


@flask_app.post("/login")
def login() -> dict[str, str]:
    session["user"] = request.form["user"]
    return {"welcome": session["user"]}


@flask_app.get("/orders/<int:number>")
def order(number: int) -> Any:
    if number not in orders or orders[number]["owner"] != session.get("user"):
        return {"detail": "Not Found"}, 404
    return orders[number] | {"self": url_for("order", number=number)}


@flask_app.delete("/orders/<int:number>")
def cancel(number: int) -> Any:
    if number not in orders or orders[number]["owner"] != session.get("user"):
        return {"detail": "Not Found"}, 404
    del orders[number]
    return "", 204


@flask_app.get("/about")
def about() -> str:
    return "since 2009\n"
