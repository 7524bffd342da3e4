"""What docstrings show is so: the examples in them are run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import bridge

PACKAGE = Path(bridge.__file__).parent
MODULES = [
    ".".join(["bridge", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


def wsgi_app(environ, start_response):
    start_response("200 OK", [])
    return [b""]


async def asgi_app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    apps = {"flask_app": wsgi_app, "fastapi_app": asgi_app, "either_app": wsgi_app}

    result = doctest.testmod(module, extraglobs=apps, raise_on_error=True)

    assert result.attempted > 0


def test_there_are_examples_in_docstrings() -> None:
    assert "bridge" in MODULES
