"""Everything at once, with threads that switch at every chance: nothing hangs, nothing is lost, nothing is left."""

from __future__ import annotations

import asyncio
import random
import sys
import threading

import pytest

from bridge import Limits, WSGIToASGI

ROUNDS = 30
REQUESTS_PER_ROUND = 30
PATIENCE_S = 20.0
STREAM = [b"x" * 1000] * 100


class ViewError(Exception):
    """The application's own."""


class Books:
    """How many streams were opened and closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.opened = self.closed = 0

    def stream(self):
        with self._lock:
            self.opened += 1
        try:
            yield from STREAM
        finally:
            with self._lock:
                self.closed += 1


def make_app(books: Books):
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/fails":
            raise ViewError
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return books.stream()
        body = environ["wsgi.input"].read() if path == "/upload" else b"hello"
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [body]

    return app


class Client:
    """One request of a kind, over a connection that takes its time now and then."""

    def __init__(self, chance: random.Random, kind: str) -> None:
        self.chance = chance
        self.kind = kind
        self.pieces = [b"y" * 700] * chance.randint(1, 30) if kind == "upload" else []
        self.position = 0
        self.has_left = asyncio.Event()
        self.sent: list[dict] = []
        path = "/stream" if kind in {"drops", "cancelled"} else f"/{kind}"
        headers = [(b"content-length", b"%d" % len(b"".join(self.pieces)))] if self.pieces else []
        self.scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": path, "headers": headers}

    async def receive(self):
        if self.position < max(1, len(self.pieces)):
            piece = self.pieces[self.position] if self.pieces else b""
            self.position += 1
            if self.chance.random() < 0.3:
                await asyncio.sleep(0)
            return {"type": "http.request", "body": piece, "more_body": self.position < len(self.pieces)}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if self.chance.random() < 0.2:
            await asyncio.sleep(0)
        self.sent.append(message)
        if self.kind == "drops" and len(self.sent) == 3:
            self.has_left.set()

    async def run(self, adapter: WSGIToASGI) -> None:
        task = asyncio.ensure_future(adapter(self.scope, self.receive, self.send))
        if self.kind == "cancelled":
            for _ in range(self.chance.randint(0, 6)):
                await asyncio.sleep(0)
            task.cancel()
        try:
            await asyncio.wait_for(task, PATIENCE_S)
        except ViewError:
            assert self.kind == "fails"
        except asyncio.CancelledError:
            assert self.kind == "cancelled"
        expected = {"hello": b"hello", "upload": b"".join(self.pieces), "stream": b"".join(STREAM)}.get(self.kind)
        if expected is not None:
            assert b"".join(message.get("body", b"") for message in self.sent) == expected
            assert self.sent[-1]["more_body"] is False


@pytest.fixture
def threads_switch_all_the_time():
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


@pytest.mark.requirement("W-003", "W-114", "W-142", "W-145")
@pytest.mark.parametrize("large_body", ["auto", "spool", "stream"])
@pytest.mark.usefixtures("threads_switch_all_the_time")
def test_requests_of_all_kinds_at_once_get_what_is_theirs(large_body):
    books = Books()
    chance = random.Random(17)
    limits = Limits(workers=8, worker_idle_s=0.05, body_memory_bytes=5000, response_memory_bytes=20_000)
    adapter = WSGIToASGI(make_app(books), limits=limits, large_body=large_body)
    kinds = ["hello", "hello", "stream", "upload", "fails", "drops", "cancelled"]

    async def main() -> None:
        for _ in range(ROUNDS):
            clients = [Client(chance, chance.choice(kinds)) for _ in range(REQUESTS_PER_ROUND)]
            await asyncio.gather(*[client.run(adapter) for client in clients])

    asyncio.run(main())

    now = adapter.statistics()
    assert (now.requests, now.waiting, now.bytes_held, now.streams_open, now.stuck) == (0, 0, 0, 0, 0)
    assert books.opened == books.closed > 0
