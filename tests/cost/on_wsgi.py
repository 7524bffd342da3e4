"""ASGI applications behind `to_wsgi`, and a WSGI server in memory that costs next to nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from bridge import ASGIToWSGI, Limits
from tests.cost.browser import make_environ
from tests.cost.counting import Meter
from tests.cost.on_asgi import AT_A_TIME, BLOCK, Work

_LIMITS = Limits(shutdown_s=5.0, cancel_s=1.0)
_FIELDS = [(b"content-type", b"text/plain; charset=utf-8")]


async def hello(_: Any, __: Any, send: Any) -> None:
    """One short block."""
    await send({"type": "http.response.start", "status": 200, "headers": [*_FIELDS, (b"content-length", b"13")]})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


async def reader(_: Any, receive: Any, send: Any) -> None:
    """The body comes back."""
    body = (await receive())["body"]
    fields = [*_FIELDS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def blocks(count: int) -> Any:
    """Return an application that streams so many blocks."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _FIELDS})
        for _ in range(count):
            await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def request(wsgi: Any, environ: dict[str, Any]) -> None:
    """Make a request as a server does."""
    response = wsgi(environ, _start_response)
    try:
        for _ in response:
            pass
    finally:
        response.close()


def _start_response(status: str, _: Any, __: Any = None) -> None:
    assert status == "200 OK"


def make_adapter(app: Any) -> ASGIToWSGI:
    """Host an application on a loop of its own."""
    return ASGIToWSGI(app, limits=_LIMITS, event_loop="asyncio", own_loop=True, lifespan="off")


@contextmanager
def _hosted(app: Any, meter: Meter) -> Iterator[ASGIToWSGI]:
    adapter = make_adapter(app)
    try:
        with mock.patch("asyncio.new_event_loop", meter.new_loop), meter.watching():
            yield adapter
    finally:
        adapter.shutdown()


def one_by_one(app: Any, body: bytes = b"") -> Work:
    """Requests one after the other."""

    def work(meter: Meter) -> None:
        with _hosted(app, meter) as adapter:
            for _ in meter.rounds():
                request(adapter, make_environ(body))

    return work


class _RequestThread:
    """A thread of a server: it makes a request when it is told to."""

    def __init__(self, meter: Meter, make_request: Callable[[], None]) -> None:
        self.has_work = False
        self._is_over = False
        self._wait = meter.turns.wait
        self._make_request = make_request
        self._thread = threading.Thread(target=self._run, name="request thread", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._wait(lambda: self.has_work or self._is_over)
            if self._is_over:
                return
            self.has_work = False
            self._make_request()

    def end(self) -> None:
        """Let it end."""
        self._is_over = True

    def join(self) -> None:
        """Wait for it to have ended; nobody takes turns any more."""
        self._thread.join()


def together(app: Any) -> Work:
    """Requests, so many at a time, each in a thread."""

    def work(meter: Meter) -> None:
        threads: list[_RequestThread] = []
        try:
            with _hosted(app, meter) as adapter:
                request(adapter, make_environ())  # the loop is started
                for _ in range(AT_A_TIME):
                    threads.append(_RequestThread(meter, lambda: request(adapter, make_environ())))
                for _ in meter.rounds():
                    for thread in threads:
                        thread.has_work = True
                    meter.turns.settle()
                for thread in threads:
                    thread.end()
                meter.turns.settle()
        finally:
            for thread in threads:
                thread.join()

    return work


hello_one_by_one = one_by_one(hello)
hello_together = together(hello)
post = one_by_one(reader, b"name=value&" * 20)
