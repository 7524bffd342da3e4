"""In process: under Starlette's middleware, its test client, and httpx' ASGI transport."""

from __future__ import annotations

import asyncio
import gzip
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import flask
import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from bridge import Limits, WSGIToASGI
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.meeting import until

with warnings.catch_warnings():
    # Starlette 1.x prefers another HTTP client than the one all of these tests use, and says so when it is imported.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

_LIMITS = Limits(worker_idle_s=0.2, shutdown_s=5.0)
_WAIT_S = 20.0
_request_id: ContextVar[str] = ContextVar("request_id", default="none")


def _flask_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/hello")
    def hello() -> str:
        return f"hello, request {_request_id.get()}"

    @app.post("/echo")
    def echo() -> flask.Response:
        return flask.Response(flask.request.get_data(), mimetype="application/octet-stream")

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response((f"line {number}\n" * 100 for number in range(100)), mimetype="text/plain")

    @app.get("/error")
    def error() -> str:
        raise LookupError("lost in flask")

    @app.get("/empty")
    def empty() -> tuple[str, int]:
        return "", 204

    return app


_STREAM = "".join(f"line {number}\n" * 100 for number in range(100))


class _Numbering(BaseHTTPMiddleware):
    """What people write: something before, something after."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        _request_id.set(request.headers.get("x-request-id", "unknown"))
        response = await call_next(request)
        response.headers["x-request-id"] = _request_id.get()
        return response


class _ReadingFirst(BaseHTTPMiddleware):
    """A middleware that reads the body before the application does."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        size_bytes = len(await request.body())
        response = await call_next(request)
        response.headers["x-body-size"] = str(size_bytes)
        return response


class Site:
    """A Starlette site around one hosted application, and how to see that it is at rest."""

    def __init__(self, *middleware: Middleware, app: Callable[..., Any] | None = None) -> None:
        self.adapter = WSGIToASGI(app or _flask_app(), limits=_LIMITS)
        self.app = Starlette(routes=[Mount("/wsgi", self.adapter)], middleware=list(middleware))


def _is_at_rest(site: Site) -> bool:
    now = site.adapter.statistics()
    return (now.requests, now.workers_busy, now.bytes_held) == (0, 0, 0)


@pytest.fixture
def serve() -> Iterator[Callable[..., TestClient]]:
    """Open Starlette's test client on a site; afterwards its adapter must be at rest and its threads gone."""
    opened: list[tuple[TestClient, Site]] = []

    def open_client(site: Site, **options: Any) -> TestClient:
        client = TestClient(site.app, **options)
        client.__enter__()
        opened.append((client, site))
        return client

    yield open_client
    for client, site in opened:
        client.__exit__(None, None, None)
        until(partial(_is_at_rest, site), "nothing is under way")  # the thread of the last one may need a moment
        asyncio.run(site.adapter.drain())  # a mounted application gets no lifespan from Starlette


@pytest.mark.requirement("W-146")
def test_context_variables_set_by_a_middleware_are_seen_by_the_view(serve: Callable[..., TestClient]) -> None:
    client = serve(Site(Middleware(_Numbering)))

    response = client.get("/wsgi/hello", headers={"x-request-id": "17"})

    assert (response.text, response.headers["x-request-id"]) == ("hello, request 17", "17")


_STACKS = {
    "none": (),
    "base-http": (Middleware(_Numbering),),
    "two-base-http": (Middleware(_Numbering), Middleware(_ReadingFirst)),
    "gzip": (Middleware(GZipMiddleware, minimum_size=100),),
    "cors": (Middleware(CORSMiddleware, allow_origins=["https://example.org"]),),
    "all": (
        Middleware(CORSMiddleware, allow_origins=["https://example.org"]),
        Middleware(GZipMiddleware, minimum_size=100),
        Middleware(_Numbering),
        Middleware(_ReadingFirst),
    ),
}


@pytest.mark.requirement("W-003", "W-110")
@pytest.mark.parametrize("stack", _STACKS)
def test_requests_and_responses_pass_through_the_middleware(serve: Callable[..., TestClient], stack: str) -> None:
    client = serve(Site(*_STACKS[stack]))

    assert client.get("/wsgi/hello").status_code == 200
    assert client.get("/wsgi/stream").text == _STREAM
    for size_bytes in (0, 10, 2_000_000):
        assert client.post("/wsgi/echo", content=b"x" * size_bytes).content == b"x" * size_bytes
    assert client.get("/wsgi/empty").status_code == 204
    assert client.head("/wsgi/hello").content == b""
    assert client.get("/wsgi/nowhere").status_code == 404


def test_gzip_compresses_streams_and_whole_responses(serve: Callable[..., TestClient]) -> None:
    client = serve(Site(Middleware(GZipMiddleware, minimum_size=100)))

    with client.stream("GET", "/wsgi/stream") as response:
        raw = b"".join(response.iter_raw())

    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw).decode() == _STREAM


def test_cors_answers_preflights_and_marks_responses(serve: Callable[..., TestClient]) -> None:
    client = serve(Site(Middleware(CORSMiddleware, allow_origins=["https://example.org"])))
    origin = {"origin": "https://example.org"}

    preflight = client.options("/wsgi/hello", headers=origin | {"access-control-request-method": "GET"})
    response = client.get("/wsgi/hello", headers=origin)

    assert preflight.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://example.org"


@pytest.mark.requirement("W-132")
@pytest.mark.parametrize("stack", ["none", "base-http", "gzip", "cors"])
def test_the_views_own_exception_reaches_the_test_client(serve: Callable[..., TestClient], stack: str) -> None:
    client = serve(Site(*_STACKS[stack]))

    with pytest.raises(LookupError, match="lost in flask"):
        client.get("/wsgi/error")


@pytest.mark.requirement("W-132")
def test_without_re_raising_the_test_client_sees_starlettes_500(serve: Callable[..., TestClient]) -> None:
    client = serve(Site(Middleware(_Numbering)), raise_server_exceptions=False)

    response = client.get("/wsgi/error")

    assert (response.status_code, response.text) == (500, "Internal Server Error")


class _Stream:
    """A stream without an end, that says when it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.closing_thread = self.thread = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        self.thread = threading.get_ident()
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"block " * 1000

    def close(self) -> None:
        self.closing_thread = threading.get_ident()
        self.closed.set()


@pytest.mark.requirement("W-114", "W-115", "W-140", "W-142")
@pytest.mark.parametrize("stack", ["none", "base-http", "gzip", "all"])
def test_a_client_that_leaves_ends_the_stream_behind_any_middleware(stack: str) -> None:
    # By hand, since the clients wait for the end of a response: a server below ASGI HTTP 2.4, whose send() becomes a
    # no-op when the client has left, so that only receive() tells.
    stream = _Stream()
    site = Site(*_STACKS[stack], app=stream)

    async def run() -> None:
        has_left = asyncio.Event()
        events = iter([{"type": "http.request", "body": b"", "more_body": False}])
        seen = 0

        async def receive() -> Any:
            for event in events:
                return event
            await has_left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal seen
            seen += len(message.get("body", b""))
            if seen:
                has_left.set()
            await asyncio.sleep(0)

        async with asyncio.timeout(_WAIT_S):
            await site.app(_scope("/wsgi/stream"), receive, send)
            assert seen
            await asyncio.to_thread(stream.closed.wait, _WAIT_S)
        await site.adapter.drain()

    asyncio.run(run())
    assert stream.closed.is_set()
    assert stream.closing_thread == stream.thread
    assert site.adapter.statistics().requests == 0


def _scope(path: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.org")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


@pytest.mark.requirement("W-150")
def test_the_test_client_runs_the_lifespan_hooks() -> None:
    happened: list[str] = []
    adapter = WSGIToASGI(
        _flask_app(),
        limits=_LIMITS,
        on_startup=lambda: happened.append("startup"),
        on_shutdown=lambda: happened.append("shutdown"),
    )

    with TestClient(adapter) as client:
        assert happened == ["startup"]
        assert client.get("/hello").status_code == 200

    assert happened == ["startup", "shutdown"]


@pytest.mark.requirement("W-005", "W-077")
def test_httpx_asgi_transport() -> None:
    adapter = WSGIToASGI(_flask_app(), limits=_LIMITS)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    async def run() -> None:
        transport = httpx.ASGITransport(app=adapter)
        async with httpx.AsyncClient(transport=transport, base_url="http://example.org") as client:
            answers = await asyncio.gather(*(client.post("/echo", content=b"%d" % number) for number in range(30)))
            assert [answer.content for answer in answers] == [b"%d" % number for number in range(30)]
            assert len((await client.post("/echo", content=pieces())).content) == 2_000_000
            assert (await client.get("/stream")).text == _STREAM
            with pytest.raises(LookupError, match="lost in flask"):
                await client.get("/error")
        await adapter.drain()

    asyncio.run(run())


@pytest.mark.requirement("W-137")
def test_a_middleware_whose_send_fails_gets_its_own_error_back() -> None:
    stream = _Stream()
    adapter = WSGIToASGI(stream, limits=_LIMITS)

    async def run() -> None:
        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                raise ValueError("the middleware is broken")

        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            await adapter(scope, receive, send)

        async with asyncio.timeout(_WAIT_S):
            with pytest.raises(ValueError, match="the middleware is broken"):
                await broken(_scope("/"), receive, send)
        await adapter.drain()

    asyncio.run(run())
    assert stream.closed.is_set()
