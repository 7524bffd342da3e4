"""A FastAPI application with one route of its own, and the Flask application of ``shop.py`` below ``/shop``.

uvicorn main:app
"""

from fastapi import FastAPI
from shop import flask_app

from bridge import to_asgi

app = FastAPI()


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "from FastAPI"}


app.mount("/shop", to_asgi(flask_app))
