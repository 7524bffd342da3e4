"""One dual application, hosted by servers of both kinds that are told nothing but its name.

The servers that guess the protocol have to guess right; those that speak one only must find it there.
"""

from __future__ import annotations

import os

import fastapi
import flask
import httpx
import pytest

from bridge import dual
from tests.integration import servers, wsgi_servers
from tests.integration.servers import ServerKind, running

pytestmark = pytest.mark.live

BODY = os.urandom(1 << 17)  # more than one read of any server

flask_shop = flask.Flask("shop")
fastapi_shop = fastapi.FastAPI(title="Shop")


@flask_shop.get("/hello/<name>")
def flask_hello(name: str) -> str:
    return f"hello {name}"


@flask_shop.post("/echo")
def flask_echo() -> flask.Response:
    return flask.Response(
        flask.request.get_data()[::-1], headers={"X-Protocol": flask.request.environ["SERVER_PROTOCOL"]}
    )


@fastapi_shop.get("/hello/{name}")
async def fastapi_hello(name: str) -> fastapi.Response:
    return fastapi.Response(f"hello {name}")


@fastapi_shop.post("/echo")
async def fastapi_echo(request: fastapi.Request) -> fastapi.Response:
    protocol = f"HTTP/{request.scope['http_version']}"
    return fastapi.Response((await request.body())[::-1], headers={"X-Protocol": protocol})


flask_dual = dual(flask_shop)
fastapi_dual = dual(fastapi_shop)

UWSGI = ServerKind(
    "uwsgi",
    (
        "tests.integration.wsgi_programs.uwsgi_server",
        *("--http-socket", "{host}:{port}", "--module", "{app}", "--enable-threads", "--threads", "2"),
        *("--single-interpreter", "--need-app", "--master", "--lazy-apps", "--die-on-term", "--disable-logging"),
    ),
)
KINDS = [
    servers.UVICORN_HTTPTOOLS,
    servers.HYPERCORN_ASYNCIO,
    servers.GRANIAN,
    servers.DAPHNE,
    servers.GUNICORN,
    wsgi_servers.GUNICORN_GTHREAD,
    wsgi_servers.WAITRESS,
    wsgi_servers.GRANIAN,
    UWSGI,
]


@pytest.mark.parametrize("name", ["flask_dual", "fastapi_dual"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_dual_application_is_served_by(kind, name, tmp_path):
    with running(kind, f"{__name__}:{name}", tmp_path) as server:
        # uWSGI ends each connection without saying so.
        once = {"Connection": "close"}
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False, headers=once) as client:
            hello = client.get("/hello/gr%C3%BCn")
            echo = client.post("/echo", content=BODY)
            missing = client.get("/nowhere")

    assert (hello.status_code, hello.text) == (200, "hello grün")
    assert (echo.status_code, echo.headers["x-protocol"]) == (200, "HTTP/1.1")
    assert echo.content == BODY[::-1]
    assert missing.status_code == 404
    assert "Traceback" not in server.log()
