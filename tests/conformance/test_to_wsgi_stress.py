"""Many requests on one loop: they overlap, none loses a wake-up, each has a context of its own, nothing grows.

Also the applications of ASGI 2, which come in two steps.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import sys
import threading
from typing import Any

import anyio
import pytest

from bridge import ASGIToWSGI, ClientDisconnected
from bridge._asgi_hosting.exchange import Exchange
from bridge._asgi_hosting.servant import Servant
from tests.gateway import Gateway, environ_for, hosted, run
from tests.leaks import open_descriptors
from tests.meeting import Flag, Helper, until

on_each_loop = pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])

START = {"type": "http.response.start", "status": 200, "headers": []}
THREADS = 32
PATIENCE_S = 50.0


def body(octets: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


# ---- Overlap ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-109", "A-108", "A-001")
@on_each_loop
def test_requests_overlap_on_the_loop(event_loop):
    """None is answered before all have come: with one at a time they would wait for ever."""
    count = 4
    loop_threads: list[int] = []
    all_are_here = Flag("all requests are in the application")

    async def app(scope, receive, send):
        loop_threads.append(threading.get_ident())
        if len(loop_threads) == count:
            all_are_here.set()
        await all_are_here.wait_on_loop()
        await send(START)
        await send(body(scope["path"].encode()))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        requests = [
            Helper(lambda number=number: run(adapter, environ_for(path=f"/{number}")).body) for number in range(count)
        ]
        bodies = [request.join() for request in requests]

    assert bodies == [b"/%d" % number for number in range(count)]
    assert len(set(loop_threads)) == 1


# ---- Stress -------------------------------------------------------------------------------------------------------


@pytest.fixture
def threads_switch_all_the_time():
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


async def small_app(scope, receive, send):
    """Answer by path: at once, in pieces, after the request body, by an error."""
    kind = scope["path"].partition("/")[2].partition("/")[0]
    if kind == "fails":
        raise LookupError(scope["path"])
    octets = scope["path"].encode()
    if kind == "echo":
        pieces = []
        while (event := await receive()).get("more_body"):
            pieces.append(event["body"])
        octets = b"".join(pieces) + event["body"]
    await send(START)
    if kind in ("stream", "drops"):
        for _ in range(3):
            await send(body(octets, more=True))
        await send(body())
    else:
        await send(body(octets))


def make_request(adapter: ASGIToWSGI, number: int) -> None:
    """Make one request and check what comes back."""
    kind = ("plain", "plain", "stream", "echo", "fails", "drops")[number % 6]
    path = f"/{kind}/{number}"
    octets = b"%d" % number * 100 if kind == "echo" else path.encode()
    gateway = Gateway(adapter, environ_for("POST", path, body=octets if kind == "echo" else None))
    try:
        gateway.call()
        if kind == "drops":
            gateway.step()
        else:
            gateway.drain()
        gateway.close()
    except LookupError as error:
        assert (kind, str(error)) == ("fails", path)
        return
    expected = {"stream": [octets] * 3, "drops": [octets]}.get(kind, [octets])
    assert gateway.blocks == expected


def make_requests(adapter: ASGIToWSGI, count: int) -> None:
    """Make that many requests from all threads at once; the first error is raised."""
    begin = threading.Barrier(THREADS)

    def work(first: int) -> None:
        begin.wait(10)
        for number in range(first, count, THREADS):
            make_request(adapter, number)

    helpers = [Helper(lambda first=first: work(first)) for first in range(THREADS)]
    for helper in helpers:
        helper.join(PATIENCE_S)


def living() -> tuple[int, int, int]:
    """Count what a request is made of, wherever it is held."""
    gc.collect()
    objects = gc.get_objects()
    return tuple(sum(isinstance(item, kind) for item in objects) for kind in (Exchange, Servant, asyncio.Task))


@pytest.mark.requirement("A-110", "A-001")
@on_each_loop
@pytest.mark.usefixtures("threads_switch_all_the_time")
def test_ten_thousand_small_requests_over_32_threads_lose_nothing_and_leave_nothing(event_loop):
    with hosted(small_app, lifespan="off", event_loop=event_loop) as adapter:
        make_requests(adapter, 200)  # what is made once is there
        until(lambda: adapter.statistics().background == 0, "the end of the applications")
        threads, descriptors = threading.active_count(), len(open_descriptors())

        make_requests(adapter, 10_000)

        until(lambda: adapter.statistics().background == 0, "the end of the applications")
        now = adapter.statistics()
        assert (now.requests, now.refused, now.failed_in_background) == (0, 0, 0)
        until(lambda: max(living()) <= 1, "the end of all")  # a loop may hold the last thing it ran
        assert threading.active_count() == threads
        assert len(open_descriptors()) == descriptors


@pytest.mark.requirement("A-110")
@pytest.mark.skipif(not hasattr(os, "times"), reason="needs the processor time of the process")
@on_each_loop
def test_a_waiting_request_uses_no_processor_time(event_loop):
    may_answer = threading.Event()

    async def app(scope, receive, send):
        while not may_answer.is_set():
            await anyio.sleep(0.05)
        await send(START)
        await send(body(b"late"))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        requests = [Helper(lambda: run(adapter).body) for _ in range(4)]
        until(lambda: adapter.statistics().requests == 4, "all wait")
        used_before_s = sum(os.times()[:2])
        threading.Event().wait(1.0)  # the time in which a thread that spins would use as much
        used_s = sum(os.times()[:2]) - used_before_s
        may_answer.set()
        bodies = [request.join() for request in requests]

    assert bodies == [b"late"] * 4
    assert used_s < 0.5


# ---- Contexts ------------------------------------------------------------------------------------------------------

user = contextvars.ContextVar("user", default="nobody")


@pytest.mark.requirement("A-111")
@on_each_loop
def test_the_application_starts_in_a_copy_of_the_request_threads_context(event_loop):
    async def app(scope, receive, send):
        found = user.get()
        user.set("the application")
        await send(START)
        await send(body(found.encode(), more=True))
        async with anyio.create_task_group() as group:
            group.start_soon(send, body(user.get().encode()))

    def request(name: str | None, adapter: ASGIToWSGI) -> tuple[list[bytes], str]:
        if name is not None:
            user.set(name)
        return run(adapter).blocks, user.get()

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        results = [contextvars.Context().run(request, name, adapter) for name in ("alice", "bob", None)]

    assert results == [
        ([b"alice", b"the application"], "alice"),
        ([b"bob", b"the application"], "bob"),
        ([b"nobody", b"the application"], "nobody"),
    ]


@pytest.mark.requirement("A-111", "A-103")
@on_each_loop
def test_the_lifespan_does_not_inherit_the_context_of_the_first_request(event_loop):
    found: list[str] = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            found.append(user.get())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            found.append(user.get())
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(START)
        await send(body(user.get().encode()))

    def first_request() -> bytes:
        user.set("alice")
        return run(adapter).body

    with hosted(app, event_loop=event_loop) as adapter:
        assert contextvars.Context().run(first_request) == b"alice"

    assert found == ["nobody", "nobody"]


# ---- ASGI 2 --------------------------------------------------------------------------------------------------------


class TwoStepClass:
    """An application of ASGI 2 as they were written: a class, one object per connection."""

    def __init__(self, scope: dict[str, Any]) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        event = await receive()
        await send(START)
        await send(body(self.scope["path"].encode() + b" " + event["body"]))


def two_step_function(scope: dict[str, Any]) -> Any:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])

    async def instance(receive: Any, send: Any) -> None:
        event = await receive()
        await send(START)
        await send(body(scope["path"].encode() + b" " + event["body"]))

    return instance


class TwoStepObject:
    """A callable object, as routers of ASGI 2 are."""

    def __call__(self, scope: dict[str, Any]) -> Any:
        return two_step_function(scope)


@pytest.mark.requirement("A-112")
@on_each_loop
@pytest.mark.parametrize("app", [TwoStepClass, two_step_function, TwoStepObject()], ids=["class", "function", "object"])
def test_an_application_of_asgi_2_is_served(app, event_loop):
    with hosted(app, event_loop=event_loop) as adapter:
        first = run(adapter, environ_for("POST", "/one", body=b"1"))
        second = run(adapter, environ_for("POST", "/two", body=b"2"))

    assert (first.body, second.body) == (b"/one 1", b"/two 2")


@pytest.mark.requirement("A-112", "A-081", "A-093")
def test_an_application_of_asgi_2_fails_and_loses_its_client_like_any_other():
    outcomes: list[str] = []

    def app(scope: dict[str, Any]) -> Any:
        if scope["path"] == "/first step":
            raise LookupError("first step")

        async def instance(receive: Any, send: Any) -> None:
            if scope["path"] == "/second step":
                raise LookupError("second step")
            await send(START)
            try:
                await send(body(b"out", more=True))
            except ClientDisconnected:
                outcomes.append("told")

        return instance

    with hosted(app, lifespan="off") as adapter:
        for step in ("first step", "second step"):
            with pytest.raises(LookupError, match=step):
                run(adapter, environ_for(path=f"/{step}"))
        Gateway(adapter).call().close()
        until(lambda: outcomes, "the end of the application")

    assert outcomes == ["told"]
