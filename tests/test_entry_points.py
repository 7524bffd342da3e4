"""``bridge.asgi:app`` and ``bridge.wsgi:app``: the application that ``BRIDGE_APP`` names, without a line of code."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import hypercorn.utils
import pytest
import uvicorn

import bridge
from bridge import ASGIToWSGI, ConfigurationError, LoadError, WSGIToASGI
from tests.driving import fetch
from tests.gateway import run

SHOP = """
import flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

shop = flask.Flask("shop")
shop.get("/")(lambda: "hello from flask")
api = Starlette(routes=[Route("/", lambda request: PlainTextResponse("hello from starlette"))])

def create_app():
    return shop

def hidden(*arguments):
    return api(*arguments)
"""
Enter = Callable[..., ModuleType]


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enter]:
    """Import an entry point with variables set; all of it is undone."""
    (tmp_path / "entry_shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in list(os.environ):
        if name.startswith("BRIDGE_"):
            monkeypatch.delenv(name)
    entered: list[ModuleType] = []

    def import_with(entry: str, **variables: str) -> ModuleType:
        for name, text in variables.items():
            monkeypatch.setenv(name, text)
        monkeypatch.delitem(sys.modules, entry, raising=False)
        entered.append(importlib.import_module(entry))
        return entered[-1]

    yield import_with
    for module in entered:
        if isinstance(module.app, ASGIToWSGI):
            module.app.shutdown()
    for name in ("bridge.asgi", "bridge.wsgi", "entry_shop"):
        sys.modules.pop(name, None)
        vars(bridge).pop(name.removeprefix("bridge."), None)
    sys.path_importer_cache.pop(str(tmp_path), None)


@pytest.mark.parametrize(
    ("variables", "body"),
    [
        pytest.param({"BRIDGE_APP": "entry_shop:shop"}, b"hello from flask", id="WSGI"),
        pytest.param({"BRIDGE_APP": "entry_shop:api"}, b"hello from starlette", id="ASGI"),
        pytest.param({"BRIDGE_APP": "entry_shop:create_app", "BRIDGE_FACTORY": "1"}, b"hello from flask", id="factory"),
        pytest.param({"BRIDGE_APP": "entry_shop:create_app()"}, b"hello from flask", id="factory in brackets"),
        pytest.param(
            {"BRIDGE_APP": "entry_shop:hidden", "BRIDGE_PROTOCOL": "asgi"}, b"hello from starlette", id="said"
        ),
    ],
)
def test_any_application_is_there_for_servers_of_both_kinds(enter, variables, body):
    wsgi, asgi = enter("bridge.wsgi", **variables), enter("bridge.asgi")

    assert run(wsgi.app).body == body
    assert fetch(asgi.app).body == body
    assert wsgi.application is wsgi.app
    assert asgi.application is asgi.app


def test_what_speaks_the_protocol_of_the_server_is_served_with_nothing_in_between(enter):
    wsgi = enter("bridge.wsgi", BRIDGE_APP="entry_shop:shop")
    asgi = enter("bridge.asgi", BRIDGE_APP="entry_shop:api")

    assert wsgi.app is sys.modules["entry_shop"].shop
    assert asgi.app is sys.modules["entry_shop"].api


def test_what_does_not_is_served_through_the_adapter_with_its_options(enter):
    variables = {"BRIDGE_LIMITS": "workers=3", "BRIDGE_OPTIONS": "event_loop=asyncio,large_body=spool"}

    asgi = enter("bridge.asgi", BRIDGE_APP="entry_shop:shop", **variables)
    wsgi = enter("bridge.wsgi", BRIDGE_APP="entry_shop:api", **variables)

    assert isinstance(asgi.app, WSGIToASGI)
    assert asgi.app.statistics().workers_max == 3
    assert isinstance(wsgi.app, ASGIToWSGI)


@pytest.mark.parametrize("name", ["shop", "api", "hidden"])
def test_servers_that_guess_take_it_for_asgi_3(enter, name):
    asgi = enter(
        "bridge.asgi", BRIDGE_APP=f"entry_shop:{name}", **({"BRIDGE_PROTOCOL": "asgi"} if name == "hidden" else {})
    )
    config = uvicorn.Config(asgi.app, log_config=None, http="h11", ws="none", lifespan="off")
    config.load()

    assert config.interface == "asgi3"
    assert hypercorn.utils.is_asgi(asgi.app)


@pytest.mark.parametrize("entry", ["bridge.asgi", "bridge.wsgi"])
@pytest.mark.parametrize(
    ("variables", "error", "message"),
    [
        pytest.param({}, ConfigurationError, "BRIDGE_APP says which application to host", id="nothing"),
        pytest.param({"BRIDGE_APP": "entry_shop:shopp"}, LoadError, "did you mean 'shop'", id="no such attribute"),
        pytest.param({"BRIDGE_APP": "no_such_shop:app"}, LoadError, "no module 'no_such_shop'", id="no such module"),
        pytest.param(
            {"BRIDGE_APP": "entry_shop:shop", "BRIDGE_PROTOCOL": "asgi"}, ConfigurationError, "speaks wsgi", id="wrong"
        ),
    ],
)
def test_what_is_wrong_is_raised_when_the_server_imports_it(enter, entry, variables, error, message):
    with pytest.raises(error, match=message):
        enter(entry, **variables)


def test_the_application_is_imported_by_the_process_that_imports_the_entry_point(tmp_path):
    (tmp_path / "entry_shop.py").write_text(SHOP, encoding="utf-8")
    program = "import sys; from bridge.wsgi import application; print(application is sys.modules['entry_shop'].shop)"
    path = os.pathsep.join([str(Path(bridge.__file__).parents[1]), str(tmp_path)])

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"BRIDGE_APP": "entry_shop:shop", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)
