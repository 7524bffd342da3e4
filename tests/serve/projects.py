"""A folder with an application in it, made for one test: what `bridge serve` is pointed at."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge._settings import Settings
from bridge.serve.plan import Plan, Request, make_plan

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"shop"]
"""

ASGI = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"shop", "more_body": False})
"""


class Project:
    """A folder, and what is written into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, source: str = WSGI) -> Path:
        """Write a file, its folders too; return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path


def plan_for(app: str = "shop:app", **asked) -> Plan:
    """Return the plan for an application; what is no field of `Request` is one of `Settings`."""
    settings = {name: asked.pop(name) for name in ("is_factory", "protocol", "limits", "options") if name in asked}
    return make_plan(Request(settings=Settings(app=app, **settings), **asked))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty folder that is the current one; the import path, modules and variables are as before afterwards."""
    folder = Path(os.path.realpath(tmp_path))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [*filter(lambda name: name.startswith("BRIDGE_"), os.environ), "PYTHONPATH"]:
        monkeypatch.delenv(name, raising=False)
    for name in ("shop", "store", "inner", "my_shop"):  # what another test may have left behind
        monkeypatch.delitem(sys.modules, name, raising=False)
    known = set(sys.modules)
    yield Project(folder)
    for name in set(sys.modules) - known:  # before monkeypatch puts back what it has taken out
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The modules that count as installed for the table of servers: all of them, until a test takes some out."""
    from bridge.serve import plan, servers

    modules = {kind.module for kind in servers.SERVERS.values()} | {"watchfiles"}

    def find_spec(name: str) -> object:
        return object() if name in modules else None

    monkeypatch.setattr(servers, "find_spec", find_spec)
    monkeypatch.setattr(plan, "find_spec", find_spec)
    monkeypatch.setattr(servers.shutil, "which", lambda name: f"/usr/bin/{name}" if name in modules else None)
    monkeypatch.setattr(servers.os, "access", lambda *_: False)
    return modules
