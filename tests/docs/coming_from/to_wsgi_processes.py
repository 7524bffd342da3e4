"""Rows about processes, threads, loops and the lifespan, under a WSGI server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from tests.docs.coming_from import forked
from tests.docs.coming_from.gateways import Request, http_only
from tests.docs.coming_from.looks import Host, to_wsgi_row
from tests.docs.pages import TOP
from tests.gateway import answering


@to_wsgi_row("After a fork (`--preload`, uWSGI, Passenger)")
def after_a_fork(host: Host, _: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", forked.__name__, getattr(host, "__name__", "")],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@to_wsgi_row("Threads of three adapters")
def threads_of_three(host: Host, _: str) -> str:
    before = set(threading.enumerate())
    with ExitStack() as stack:
        for _number in range(3):
            Request(stack.enter_context(host(answering()))).run()
        count = len(set(threading.enumerate()) - before)
    return {1: "one for all", 3: "one each"}[count]


@to_wsgi_row("An adapter that is made")
def threads_of_a_new_one(host: Host, _: str) -> str:
    before = set(threading.enumerate())
    with host(answering()):
        count = len(set(threading.enumerate()) - before)
    return {0: "starts nothing before the first request", 1: "starts a thread at once"}[count]


@to_wsgi_row("The event loop")
def event_loop(host: Host, _: str) -> str:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        seen.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])
        await answering()(scope, receive, send)

    with host(app) as hosted:
        Request(hosted).run()
    return {"asyncio": "is asyncio's", "uvloop": "is uvloop's where it is installed"}[seen[0]]


@to_wsgi_row("Lifespan")
def lifespan(host: Host, _: str) -> str:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _number in range(2):
                kind = (await receive())["type"]
                seen.append(kind)
                await send({"type": f"{kind}.complete"})
            return
        await answering()(scope, receive, send)

    with host(app) as hosted:
        for _number in range(2):
            assert Request(hosted).run().statuses == ["200 OK"]
        at_work = list(seen)
    if not seen:
        return "is never run"
    assert (at_work, seen) == (["lifespan.startup"], ["lifespan.startup", "lifespan.shutdown"])
    return "is run, once in each process"


@to_wsgi_row("trio")
def on_trio(host: Host, _: str) -> str:
    trio = pytest.importorskip("trio")
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        seen.append(trio.lowlevel.in_trio_run())
        await answering()(scope, receive, send)

    with host(app, event_loop="trio") as hosted:
        Request(hosted).run()
    return "can be had" if seen[0] else "cannot be had"
