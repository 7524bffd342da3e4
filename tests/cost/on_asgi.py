"""WSGI applications behind `to_asgi`, and an ASGI server in memory that costs next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from bridge import Limits, WSGIToASGI
from tests.cost.browser import FORM, make_form_scope, make_mounted_scope, make_scope, make_websocket_scope
from tests.cost.counting import Meter

AT_A_TIME = 32
BLOCK = b"x" * 100
_LIMITS = Limits(shutdown_s=5.0, cancel_s=1.0)

Work = Callable[[Meter], None]
"""What is to be measured: makes what it needs, and works between the rounds of the meter."""


def hello(_: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """One short block."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "13")])
    return [b"Hello, world!"]


def reader(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The body comes back."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def echo(environ: dict[str, Any], _: Any) -> Iterable[bytes]:
    """Each message of the WebSocket comes back."""
    websocket = environ["wsgi.websocket"]
    while (message := websocket.receive()) is not None:
        websocket.send(message)
    return []


async def request(asgi: Any, scope: dict[str, Any], body: bytes = b"") -> None:
    """Make a request as a server does; it must be answered whole."""
    is_read = is_ended = False

    async def receive() -> dict[str, Any]:
        nonlocal is_read
        if not is_read:
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.get_running_loop().create_future()  # the client stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal is_ended
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        else:
            is_ended = not message.get("more_body", False)

    await asgi(scope, receive, send)
    assert is_ended


def _run(make_app: Callable[[Meter], Any], rounds: Callable[[Any, Meter], Coroutine[Any, Any, None]]) -> Work:
    def work(meter: Meter) -> None:
        adapter = WSGIToASGI(make_app(meter), limits=_LIMITS)
        loop = meter.new_loop()
        try:
            with meter.watching():
                loop.run_until_complete(rounds(adapter, meter))
            loop.run_until_complete(adapter.drain())
        finally:
            loop.close()

    return work


def one_by_one(app: Any, scope: Callable[[], dict[str, Any]], body: bytes = b"") -> Work:
    """Requests one after the other."""

    async def rounds(asgi: Any, meter: Meter) -> None:
        for _ in meter.rounds():
            await request(asgi, scope(), body)

    return _run(lambda _: app, rounds)


def together(app: Any) -> Work:
    """Requests, so many at a time."""

    async def rounds(asgi: Any, meter: Meter) -> None:
        for _ in meter.rounds():
            await asyncio.gather(*(request(asgi, make_scope()) for _ in range(AT_A_TIME)))

    return _run(lambda _: app, rounds)


def streaming(count: int, *, waits: bool) -> Work:
    """Stream blocks; the application waits until the loop has sent each, or makes them all before the loop looks."""

    def make_app(meter: Meter) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
            for _ in range(count):
                yield BLOCK
                if waits:
                    meter.turns.settle()

        return app

    async def rounds(asgi: Any, meter: Meter) -> None:
        for _ in meter.rounds():
            await request(asgi, make_scope())

    return _run(make_app, rounds)


async def _converse(asgi: Any, meter: Meter) -> None:
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})
    serving = asyncio.get_running_loop().create_task(asgi(make_websocket_scope(), incoming.get, outgoing.put))
    assert (await outgoing.get())["type"] == "websocket.accept"
    for _ in meter.rounds():
        incoming.put_nowait({"type": "websocket.receive", "text": "a word or two"})
        assert (await outgoing.get())["text"] == "a word or two"
    incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await serving


hello_one_by_one = one_by_one(hello, make_scope)
hello_mounted = one_by_one(hello, make_mounted_scope)
hello_together = together(hello)
post = one_by_one(reader, make_form_scope, FORM)
websocket_echo = _run(lambda _: echo, _converse)
