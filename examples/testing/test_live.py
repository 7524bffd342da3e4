"""What only a real server shows: streams as they come, and clients that leave.

    pytest test_live.py

Needs ``pytest``, ``flask``, ``fastapi``, ``httpx`` and ``uvicorn``.
"""

import threading
from collections.abc import AsyncIterator, Iterator
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from flask import Flask, Response

from bridge import ASGIToWSGI, to_asgi

WAIT_S = 10.0

flask_app = Flask(__name__)
fastapi_app = FastAPI()
go_on = threading.Semaphore(0)
is_closed = threading.Event()


@flask_app.get("/lines")
def lines() -> Response:
    def produce() -> Iterator[str]:
        try:
            while True:
                yield "a line\n"
                go_on.acquire(timeout=0.1)
        finally:
            is_closed.set()

    return Response(produce(), mimetype="text/plain")


@fastapi_app.get("/lines")
async def async_lines() -> StreamingResponse:
    async def produce() -> AsyncIterator[str]:
        for number in range(3):
            yield f"line {number}\n"

    return StreamingResponse(produce(), media_type="text/plain")


@pytest.fixture
def asgi_server() -> Iterator[str]:
    """The Flask application on uvicorn; its address."""
    server = uvicorn.Server(uvicorn.Config(to_asgi(flask_app), port=0, log_level="warning", ws="none"))
    listening = server.config.bind_socket()  # port 0: one that is free
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"  # connections wait until the server takes them
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        listening.close()


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """The server of the standard library, with a thread for each connection."""


class SilentHandler(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def wsgi_server() -> Iterator[str]:
    """The FastAPI application on wsgiref; its address."""
    adapter = ASGIToWSGI(fastapi_app)
    with make_server("127.0.0.1", 0, adapter, ThreadingServer, SilentHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(WAIT_S)
    adapter.shutdown()


def test_a_generator_is_closed_when_the_client_leaves(asgi_server: str) -> None:
    is_closed.clear()
    with httpx.stream("GET", f"{asgi_server}/lines", timeout=WAIT_S, trust_env=False) as response:
        assert next(response.iter_lines()) == "a line"
        assert not is_closed.is_set()

    go_on.release()
    assert is_closed.wait(WAIT_S)


def test_all_lines_arrive(wsgi_server: str) -> None:
    response = httpx.get(f"{wsgi_server}/lines", timeout=WAIT_S, trust_env=False)

    assert response.text.splitlines() == ["line 0", "line 1", "line 2"]
