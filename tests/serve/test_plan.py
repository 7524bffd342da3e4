"""From what was asked for to what will be run: each choice, and what the server's process is told."""

from __future__ import annotations

import os
import sys

import pytest

from bridge import WSGIToASGI
from bridge._settings import Settings
from bridge.serve import servers
from tests.serve.projects import ASGI, WSGI, Project, plan_for

pytestmark = pytest.mark.usefixtures("installed")

FACTORY = """
calls = []

def create_app():
    calls.append(1)
    if len(calls) > 1:
        raise RuntimeError("metrics are registered already")

    def app(environ, start_response):
        ...

    return app
"""
DUAL = """
from bridge import dual

def inner(environ, start_response):
    ...

app = dual(inner)
"""


# ---- Choices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "picked"),
    [
        pytest.param([], "uvicorn", id="everything-is-there"),
        pytest.param(["uvicorn"], "granian", id="no-uvicorn"),
        pytest.param(["uvicorn", "granian", "hypercorn"], "gunicorn", id="gunicorn-next"),
        pytest.param(["uvicorn", "granian", "hypercorn", "gunicorn", "daphne"], "waitress", id="only-wsgi-servers"),
    ],
)
def test_the_first_installed_server_is_picked(
    project: Project, installed: set[str], missing: list[str], picked: str
) -> None:
    project.write("shop.py")
    installed.difference_update(missing)

    assert plan_for().kind.name == picked


@pytest.mark.parametrize(
    ("source", "server", "interface", "adapter", "entry"),
    [
        pytest.param(WSGI, "uvicorn", None, "WSGIToASGI", "bridge.asgi:app", id="wsgi-on-asgi"),
        pytest.param(ASGI, "uvicorn", None, None, "bridge.asgi:app", id="asgi-on-asgi"),
        pytest.param(WSGI, "waitress", None, None, "bridge.wsgi:app", id="wsgi-on-wsgi"),
        pytest.param(ASGI, "waitress", None, "ASGIToWSGI", "bridge.wsgi:app", id="asgi-on-wsgi"),
        pytest.param(WSGI, "gunicorn", None, None, "bridge.wsgi:app", id="wsgi-on-both"),
        pytest.param(ASGI, "gunicorn", None, None, "bridge.asgi:app", id="asgi-on-both"),
        pytest.param(WSGI, "gunicorn", "asgi", "WSGIToASGI", "bridge.asgi:app", id="wsgi-on-both-asked"),
        pytest.param(ASGI, "gunicorn", "wsgi", "ASGIToWSGI", "bridge.wsgi:app", id="asgi-on-both-asked"),
        pytest.param(WSGI, "granian", "wsgi", None, "bridge.wsgi:app", id="granian-asked"),
        pytest.param(DUAL, "waitress", None, None, "bridge.wsgi:app", id="dual-on-wsgi"),
        pytest.param(DUAL, "uvicorn", None, None, "bridge.asgi:app", id="dual-on-asgi"),
    ],
)
def test_the_adapter_is_in_between_where_server_and_application_differ(
    project: Project, source: str, server: str, interface, adapter: str | None, entry: str
) -> None:
    project.write("shop.py", source)

    plan = plan_for(server=server, interface=interface)

    assert (plan.adapter, entry in plan.command) == (adapter, True)


@pytest.mark.parametrize(
    ("source", "asked", "sentence"),
    [
        pytest.param(
            WSGI,
            {"server": "uvicorn"},
            "shop:app speaks WSGI; uvicorn 1.2 serves it through WSGIToASGI on http://127.0.0.1:8000",
            id="through-an-adapter",
        ),
        pytest.param(
            ASGI,
            {"server": "Hypercorn", "host": "::1", "port": 80},
            "shop:app speaks ASGI; hypercorn 1.2 serves it with nothing in between on http://[::1]:80",
            id="with-nothing-in-between",
        ),
        pytest.param(
            ASGI,
            {"server": "gunicorn", "interface": "wsgi", "uds": "shop.sock"},
            "shop:app speaks ASGI; gunicorn 1.2 (WSGI) serves it through ASGIToWSGI on unix:shop.sock",
            id="a-server-of-both-protocols",
        ),
        pytest.param(
            DUAL,
            {"server": "waitress"},
            "shop:app speaks WSGI and ASGI; waitress 1.2 serves it with nothing in between on http://127.0.0.1:8000",
            id="dual",
        ),
    ],
)
def test_one_line_says_what_is_done_and_what_is_in_between(
    project: Project, monkeypatch: pytest.MonkeyPatch, source: str, asked: dict[str, object], sentence: str
) -> None:
    project.write("shop.py", source)
    monkeypatch.setattr(servers.metadata, "version", lambda _: "1.2")

    assert plan_for(**asked).sentence() == sentence


def test_threads_are_the_adapters_where_it_has_them(project: Project) -> None:
    project.write("shop.py")

    plan = plan_for(server="uvicorn", threads=16)

    assert plan.variables["BRIDGE_LIMITS"] == "workers=16"
    assert "16" not in plan.command


def test_threads_are_the_servers_where_it_has_them(project: Project) -> None:
    project.write("shop.py")

    plan = plan_for(server="waitress", threads=16)

    assert plan.launch.threads == 16
    assert "BRIDGE_LIMITS" not in plan.variables


def test_arguments_for_the_server_come_last_and_unchanged(project: Project) -> None:
    project.write("shop.py")

    plan = plan_for(server="uvicorn", extra=["--header", "X-A: b c"])

    assert plan.command[-2:] == ["--header", "X-A: b c"]


# ---- What the server's process is told --------------------------------------------------------------------------


def test_all_that_was_said_of_the_application_reaches_the_servers_process(project: Project) -> None:
    project.write("shop.py")

    plan = plan_for(protocol="wsgi", limits={"queue": "5"}, options={"large_body": "spool"})

    assert Settings.from_variables(plan.variables) == Settings(
        app="shop:app",
        app_dir=str(project.folder),
        protocol="wsgi",
        limits={"queue": "5"},
        options={"large_body": "spool"},
    )


@pytest.mark.parametrize(
    ("file", "named", "app"),
    [
        pytest.param("shop.py", "shop", "shop:app", id="module"),
        pytest.param("shop.py", "shop.py", "shop:app", id="file"),
        pytest.param("src/shop.py", "src/shop.py:app", "shop:app", id="file-elsewhere-with-attribute"),
        pytest.param("src/shop.py", "src/shop.py", "shop:app", id="file-elsewhere"),
        pytest.param("src/store/__init__.py", "src/store", "store:app", id="package-folder"),
        pytest.param("my-shop.py", "my-shop.py", "{folder}/my-shop.py:app", id="no-module-name"),
    ],
)
def test_the_servers_process_can_import_what_was_named(project: Project, file: str, named: str, app: str) -> None:
    folder = os.path.dirname(project.write(file))

    plan = plan_for(named)

    assert plan.variables["BRIDGE_APP"] == app.format(folder=folder)
    path = plan.variables["BRIDGE_APP_DIR"].split(os.pathsep)
    home = os.path.dirname(folder) if file.endswith("__init__.py") else folder
    assert path == list(dict.fromkeys([*([home] if named != "shop" else []), str(project.folder)]))
    assert plan.launch.reload_dir == home


def test_the_folder_of_the_application_comes_first_and_the_users_import_path_is_left_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("src/shop.py")
    monkeypatch.setenv("PYTHONPATH", "/srv/one:/srv/two")
    monkeypatch.syspath_prepend(f"{project.folder}/src")
    monkeypatch.syspath_prepend(str(project.folder))

    plan = plan_for(directory="src")

    assert plan.variables["BRIDGE_APP_DIR"] == f"{project.folder}/src"
    assert "PYTHONPATH" not in plan.variables
    assert sys.path[0] == f"{project.folder}/src"


def test_a_factory_is_called_once(project: Project) -> None:
    project.write("shop.py", FACTORY)

    plan = plan_for("shop:create_app", is_factory=True)

    assert plan.loaded.module.calls == [1]
    assert (plan.variables["BRIDGE_APP"], plan.variables["BRIDGE_FACTORY"]) == ("shop:create_app", "1")


def test_the_server_is_given_what_one_would_write_by_hand(project: Project) -> None:
    project.write("shop.py", WSGI)
    project.write("api.py", ASGI)

    translated = Settings.from_variables(plan_for("shop:app").variables).asgi_app()
    native = plan_for("api:app")

    assert type(translated) is WSGIToASGI
    assert Settings.from_variables(native.variables).asgi_app() is native.loaded.app
