"""A shop, as the programs in the documentation import it: the same thing in Flask and in FastAPI."""

from fastapi import FastAPI
from flask import Flask

flask_app = Flask(__name__)
fastapi_app = FastAPI()


@flask_app.get("/items/<name>")
def item(name: str) -> dict[str, str]:
    return {"item": name}


@fastapi_app.get("/items/{name}")
async def item_too(name: str) -> dict[str, str]:
    return {"item": name}


app = flask_app
