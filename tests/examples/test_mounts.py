"""The recipes for mounts and for a shared pool work as they are written, and what their pages claim is so."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from flask import Flask, request

from bridge import WorkerPool, WSGIToASGI
from tests.examples.following import follow


@pytest.mark.live
@pytest.mark.timeout(120)
def test_the_page_on_mounts_can_be_followed_to_its_end(tmp_path: Path) -> None:
    done = follow("recipes/mount-in-fastapi-and-starlette.md", tmp_path)

    assert [path.name for path in tmp_path.glob("*.py")] == ["mounts_in_fastapi.py"]
    assert (done.served, done.compared) == (1, 5)


@pytest.mark.live
@pytest.mark.timeout(120)
def test_the_page_on_sharing_a_pool_can_be_followed_and_the_pool_is_closed_once(tmp_path: Path) -> None:
    done = follow("recipes/call-async-code.md", tmp_path)

    assert [path.name for path in tmp_path.glob("*.py")] == ["shared_async_resource.py"]
    assert (done.served, done.compared) == (1, 4)
    assert (tmp_path / "uvicorn-0.log").read_text(encoding="utf-8").count("the pool is closed after 4 queries") == 1


def test_a_mounted_adapter_is_told_nothing_of_the_lifespan_but_has_its_state() -> None:
    flask_app = Flask(__name__)
    happened: list[str] = []

    @flask_app.get("/")
    def home() -> Any:
        return dict(request.environ["bridge.state"])

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"currency": "EUR"}

    adapter = WSGIToASGI(flask_app, on_startup=lambda: happened.append("startup"))
    app = FastAPI(lifespan=lifespan)
    app.mount("/old", adapter)

    with TestClient(app) as client:
        assert client.get("/old/").json() == {"currency": "EUR"}

    assert happened == []


def test_adapters_that_share_a_pool_have_its_number_of_threads_and_not_that_of_their_limits() -> None:
    workers = WorkerPool(workers=3, idle_s=0.05, name="shared")
    flask_app = Flask(__name__)
    flask_app.add_url_rule("/", "home", lambda: threading.current_thread().name)
    one, other = WSGIToASGI(flask_app, workers=workers), WSGIToASGI(flask_app, workers=workers)
    app = FastAPI()
    app.mount("/one", one)
    app.mount("/other", other)

    with TestClient(app) as client:
        threads = [client.get(path).text for path in ("/one/", "/other/", "/one/")]

    assert {name.rstrip("-0123456789") for name in threads} == {"shared"}
    assert (one.statistics().workers_max, other.statistics().workers_max) == (3, 3)
