"""A Flask application tested by an asynchronous client, in the process of the test.

    pytest test_flask_app.py

Needs ``pytest``, ``httpx`` and ``anyio``, whose plugin for pytest comes with it.
"""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from flask import Flask, Response, request, session, stream_with_context

from bridge import call_async, to_asgi

pytestmark = pytest.mark.anyio

flask_app = Flask(__name__)
flask_app.testing = True  # exceptions come up to the test; else they are answered with 500
flask_app.secret_key = "only an example"  # noqa: S105


@flask_app.post("/login")
def login() -> dict[str, str]:
    session["name"] = request.form["name"]
    return {"hello": session["name"]}


@flask_app.get("/numbers")
def numbers() -> Response:
    def lines() -> Iterator[str]:
        for number in range(3):
            yield f"{number} for {session['name']}\n"

    return Response(stream_with_context(lines()), mimetype="text/plain")


@flask_app.get("/from-the-loop")
def from_the_loop() -> dict[str, int]:
    async def answer() -> int:
        return 42

    return {"answer": call_async(answer)}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # without this fixture each test is run on trio as well, if that is installed


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(to_asgi(flask_app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_the_session_is_kept_in_a_cookie(client: httpx.AsyncClient) -> None:
    response = await client.post("/login", data={"name": "Ann"})

    assert response.json() == {"hello": "Ann"}
    assert (await client.get("/numbers")).text == "0 for Ann\n1 for Ann\n2 for Ann\n"


async def test_a_view_calls_what_belongs_to_the_loop(client: httpx.AsyncClient) -> None:
    assert (await client.get("/from-the-loop")).json() == {"answer": 42}


async def test_a_failure_comes_up_to_the_test(client: httpx.AsyncClient) -> None:
    with pytest.raises(KeyError, match="name"):
        await client.get("/numbers")
