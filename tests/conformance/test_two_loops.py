"""One adapter on several event loops, by turns: each loop has one way in and one timer, however often they change."""

from __future__ import annotations

import asyncio

import pytest

from bridge import WSGIToASGI
from tests.fakes import make_scope


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message):
    pass


def test_requests_on_two_loops_by_turns_make_two_ports():
    adapter = WSGIToASGI(app)
    with asyncio.Runner() as one, asyncio.Runner() as other:
        for _ in range(20):
            for runner in (one, other):
                runner.run(adapter(make_scope(), receive, send))

        # Between the requests neither loop runs, so what is kept is what the last one has found.
        assert len(adapter._ports) == 1
        one.run(adapter.drain())


def test_a_loop_that_runs_meanwhile_keeps_its_port_and_its_timer():
    adapter = WSGIToASGI(app)

    async def main():
        ports = []
        for _ in range(3):
            await adapter(make_scope(), receive, send)
            ports.append(adapter._port)
            await asyncio.to_thread(asyncio.run, adapter(make_scope(), receive, send))
        await adapter.drain()
        return ports

    ports = asyncio.run(main())

    assert len(set(map(id, ports))) == 1
    assert ports[0].is_watched


@pytest.mark.parametrize("count", [50])
def test_many_requests_start_one_timer(count, monkeypatch):
    timers = []
    adapter = WSGIToASGI(app)

    async def main():
        await adapter(make_scope(), receive, send)
        port = adapter._port
        original = type(port).call_later
        monkeypatch.setattr(type(port), "call_later", lambda *given: (timers.append(given), original(*given))[1])
        for _ in range(count):
            await adapter(make_scope(), receive, send)
        await adapter.drain()

    asyncio.run(main())

    assert timers == []
