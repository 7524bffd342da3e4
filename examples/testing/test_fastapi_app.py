"""A FastAPI application tested by synchronous clients, in the process of the test, with its lifespan.

    pytest test_fastapi_app.py

Needs ``pytest``, ``fastapi``, ``httpx`` and ``werkzeug``.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from werkzeug.test import Client

from bridge import ASGIToWSGI

prices: dict[str, int] = {}
orders: list[str] = []


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    prices.update(tea=3, rice=2)
    yield {"prices": prices}
    prices.clear()


fastapi_app = FastAPI(lifespan=lifespan)


@fastapi_app.get("/prices/{item}")
async def price(item: str, request: Request) -> int:
    found: int = request.state.prices[item]
    return found


@fastapi_app.post("/orders/{item}")
async def order(item: str, background: BackgroundTasks) -> str:
    background.add_task(orders.append, item)
    return "accepted"


@pytest.fixture
def adapter() -> Iterator[ASGIToWSGI]:
    adapter = ASGIToWSGI(fastapi_app, lifespan="on")
    adapter.startup()
    yield adapter
    adapter.shutdown()


@pytest.fixture
def client(adapter: ASGIToWSGI) -> Iterator[httpx.Client]:
    with httpx.Client(transport=httpx.WSGITransport(adapter), base_url="http://test") as client:
        yield client


def test_the_lifespan_is_run_around_the_requests(adapter: ASGIToWSGI, client: httpx.Client) -> None:
    assert client.get("/prices/tea").json() == 3

    adapter.shutdown()

    assert prices == {}


def test_what_runs_in_the_background_is_done_when_the_application_is_shut_down(
    adapter: ASGIToWSGI, client: httpx.Client
) -> None:
    assert client.post("/orders/rice").json() == "accepted"

    adapter.shutdown()

    assert orders.pop() == "rice"


def test_a_failure_is_answered_and_logged(
    adapter: ASGIToWSGI, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/prices/gold").status_code == 500

    adapter.shutdown()  # Starlette raises after it has answered

    assert "KeyError: 'gold'" in caplog.text


def test_another_client_will_do(adapter: ASGIToWSGI) -> None:
    response = Client(adapter).get("/prices/rice")

    assert (response.status_code, response.get_json()) == (200, 2)
