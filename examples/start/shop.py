"""A small Flask application, as it may have been for years.

    flask --app shop:flask_app run

It knows nothing of ASGI, nor of the bridge.
"""

from flask import Flask, request, url_for

flask_app = Flask(__name__)
prices = {"tea": 3, "rice": 2}


@flask_app.get("/items/<name>")
def item(name: str) -> dict[str, object]:
    return {"item": name, "price": prices[name], "self": url_for("item", name=name)}


@flask_app.post("/orders")
def order() -> tuple[str, int]:
    name, number = request.form["item"], int(request.form["number"])
    return f"{number} times {name}: {number * prices[name]} EUR\n", 201
