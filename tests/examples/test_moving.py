"""The recipe for a move works as it is written (``examples/moving``), and its tables say what happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from bridge import to_asgi
from tests.docs.pages import TOP
from tests.examples.following import follow

pytestmark = pytest.mark.once

FOLDER = TOP / "examples" / "moving"
FILES = {"old.py", "sessions.py", "new.py", "test_moved.py", "outside.py"}


@pytest.mark.live
@pytest.mark.timeout(120)  # two servers and a run of pytest
def test_the_page_on_moving_can_be_followed_to_its_end(tmp_path: Path) -> None:
    done = follow("recipes/move-route-by-route.md", tmp_path)

    assert {path.name for path in tmp_path.glob("*.py")} == FILES
    assert (done.served, done.compared) == (2, 9)


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The modules of the recipe, imported as from their own folder, and forgotten again."""
    names = ("old", "sessions", "new")
    monkeypatch.syspath_prepend(FOLDER)
    assert not set(names) & set(sys.modules)
    try:
        import new
        import old

        yield SimpleNamespace(app=new.app, flask_app=old.flask_app)
    finally:
        for name in names:
            sys.modules.pop(name, None)


def cookie_for(flask_app: Flask, user: str, secret_key: str) -> str:
    signing = Flask("signing")
    signing.secret_key = secret_key or flask_app.secret_key
    serializer = SecureCookieSessionInterface().get_signing_serializer(signing)
    return serializer.dumps({"user": user})


@pytest.mark.parametrize(
    ("secret_key", "is_believed"),
    [pytest.param("", True, id="signed by Flask"), pytest.param("another key", False, id="forged")],
)
def test_the_new_routes_believe_a_session_that_flask_would_believe(
    moving: SimpleNamespace, secret_key: str, *, is_believed: bool
) -> None:
    cookie = f"session={cookie_for(moving.flask_app, 'ann', secret_key)}"

    with TestClient(moving.app) as client:
        status = client.get("/orders/1", headers={"cookie": cookie}).status_code

    old = moving.flask_app.test_client(use_cookies=False)
    assert status == old.get("/orders/1", headers={"cookie": cookie}).status_code == (200 if is_believed else 404)


def test_a_session_that_is_too_old_for_flask_is_too_old_for_the_new_routes(moving: SimpleNamespace) -> None:
    cookie = f"session={cookie_for(moving.flask_app, 'ann', '')}"
    moving.flask_app.permanent_session_lifetime = -1  # so each session is

    with TestClient(moving.app) as client:
        assert client.get("/orders/1", headers={"cookie": cookie}).status_code == 404


def an_old_application() -> Flask:
    flask_app = Flask(__name__)
    methods = ["GET", "POST"]
    flask_app.add_url_rule("/orders/<int:number>", "order", lambda number: "Flask", methods=methods)
    flask_app.add_url_rule("/named/<int:number>", "named", lambda number: "Flask")
    flask_app.add_url_rule("/docs", "docs", lambda: "Flask")
    return flask_app


def a_new_application(**options: Any) -> FastAPI:
    app = FastAPI(**options)

    @app.get("/orders/{number:int}")
    async def order(number: int) -> str:
        return "FastAPI"

    @app.get("/named/{number}")
    async def named(number: int) -> str:
        return "FastAPI"

    app.mount("/", to_asgi(an_old_application()))

    @app.get("/late")
    async def late() -> str:
        return "FastAPI"

    return app


@pytest.mark.parametrize(
    ("method", "path", "status", "answered_by"),
    [
        pytest.param("GET", "/orders/7", 200, "FastAPI", id="a path and a method that FastAPI has"),
        pytest.param("POST", "/orders/7", 200, "Flask", id="another method"),
        pytest.param("HEAD", "/orders/7", 200, "Flask", id="HEAD"),
        pytest.param("OPTIONS", "/orders/7", 200, "Flask", id="OPTIONS"),
        pytest.param("GET", "/orders/tea", 404, "Flask", id="a value the path has no place for"),
        pytest.param("GET", "/named/tea", 422, "FastAPI", id="a value the function does not take"),
        pytest.param("GET", "/nowhere", 404, "Flask", id="a path nobody knows"),
        pytest.param("GET", "/docs", 200, "FastAPI", id="the documentation of FastAPI"),
        pytest.param("GET", "/late", 404, "Flask", id="a route that was added after the mount"),
    ],
)
def test_a_request_finds_its_route_as_the_table_says(method: str, path: str, status: int, answered_by: str) -> None:
    with TestClient(a_new_application()) as client:
        response = client.request(method, path)

    # Flask calls its pages text/html; ours here call theirs JSON, but for the documentation.
    is_fastapi = response.headers["content-type"] == "application/json" or "swagger" in response.text
    assert (response.status_code, "FastAPI" if is_fastapi else "Flask") == (status, answered_by)


def test_without_its_own_documentation_fastapi_leaves_the_path_to_the_old_application() -> None:
    with TestClient(a_new_application(docs_url=None)) as client:
        assert client.get("/docs").text == "Flask"
