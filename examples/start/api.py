"""A FastAPI application on a WSGI server.

gunicorn --threads 32 api:application
waitress-serve --threads 32 --listen 127.0.0.1:8000 api:application
"""

from fastapi import FastAPI

from bridge import to_wsgi

api = FastAPI()


@api.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "from FastAPI"}


application = to_wsgi(api)
