"""Rows about threads, concurrency and context."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import anyio.from_thread
import anyio.to_thread
import pytest
from asgiref.sync import async_to_sync

from tests.docs.coming_from.clients import Client, answering, ask, on_a_loop, settle, until
from tests.docs.coming_from.looks import Host, to_asgi_row
from tests.meeting import Helper

VARIABLE: Final = contextvars.ContextVar("VARIABLE", default="unset")


@to_asgi_row("Requests at a time")
def requests_at_a_time(host: Host, claimed: str) -> str:
    inside, most, lock, go_on = 0, 0, threading.Lock(), threading.Event()
    of_executor = ThreadPoolExecutor()._max_workers
    by_cpus = "CPUs + 4, at most 32"
    expected = of_executor if claimed == by_cpus else int(claimed)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        assert go_on.wait(15)
        with lock:
            inside -= 1
        return answering(environ, start_response)

    async def steps(hosted: Any) -> list[Client]:
        asking = asyncio.gather(*(Client().ask(hosted) for _ in range(expected + 10)))
        try:
            await until(lambda: inside >= expected, f"{expected} requests at a time")
            await settle()
        finally:
            go_on.set()
        return await asking

    with host(app) as hosted:
        assert all(client.is_answered for client in on_a_loop(lambda: steps(hosted)))
    return by_cpus if claimed == by_cpus and most == of_executor else str(most)


@to_asgi_row("The thread that runs the application")
def thread_of_the_application(host: Host, claimed: str) -> str:
    seen: set[int] = set()
    meeting = threading.Barrier(1 if claimed == "always the same" else 3)

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.add(threading.get_ident())
        meeting.wait(10)
        return answering(environ, start_response)

    async def steps(hosted: Any) -> None:
        await asyncio.gather(*(Client().ask(hosted) for _ in range(3)))

    with host(app) as hosted:
        on_a_loop(lambda: steps(hosted))
    return "always the same" if len(seen) == 1 else "any of several"


@to_asgi_row("The threads of the application")
def threads_of_the_application(host: Host, _: str) -> str:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(threading.current_thread().name)
        return answering(environ, start_response)

    async def steps(hosted: Any) -> None:
        await anyio.to_thread.run_sync(lambda: seen.append(threading.current_thread().name))
        await Client().ask(hosted)

    with host(app) as hosted:
        on_a_loop(lambda: steps(hosted))
    return "are anyio's" if seen[0] == seen[1] else "are the adapter's own"


@to_asgi_row("More requests than can run or wait")
def too_many_requests(host: Host, claimed: str) -> str:
    go_on, is_inside = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        is_inside.set()
        assert go_on.wait(15)
        return answering(environ, start_response)

    async def steps(hosted: Any) -> list[int | None]:
        clients = [Client() for _ in range(1100)]
        asking = asyncio.gather(*(client.ask(hosted) for client in clients))
        try:
            await until(is_inside.is_set, "a request in the application")
            if claimed.startswith("503"):
                await until(lambda: sum(client.status == 503 for client in clients) >= 60, "503")
            await settle()
        finally:
            go_on.set()
        await asking
        return [client.status for client in clients]

    with host(app) as hosted:
        statuses = on_a_loop(lambda: steps(hosted))
    refused = statuses.count(503)
    assert statuses.count(200) + refused == 1100
    return {0: "wait, however many", 60: "503 when 1000 wait"}[refused]


@to_asgi_row("Context variables of ASGI middleware")
def context_reaches_the_application(host: Host, _: str) -> str:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(VARIABLE.get())
        return answering(environ, start_response)

    async def steps(hosted: Any) -> None:
        VARIABLE.set("by the middleware")
        await Client().ask(hosted)

    with host(app) as hosted:
        on_a_loop(lambda: steps(hosted))
    return {"by the middleware": "reach the application", "unset": "do not reach it"}[seen[0]]


@to_asgi_row("Context variables that the application sets")
def context_of_the_application(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        VARIABLE.set("by the application")
        return answering(environ, start_response)

    async def steps(hosted: Any) -> str:
        await Client().ask(hosted)
        return VARIABLE.get()

    with host(app) as hosted:
        seen = on_a_loop(lambda: steps(hosted))
    return {"by the application": "reach the middleware", "unset": "stay in the request"}[seen]


@to_asgi_row("`async_to_sync()` in a view")
def async_to_sync_in_a_view(host: Host, _: str) -> str:
    loops: list[Any] = []

    async def look() -> None:
        loops.append(asyncio.get_running_loop())

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        async_to_sync(look)()
        return answering(environ, start_response)

    async def steps(hosted: Any) -> None:
        loops.append(asyncio.get_running_loop())
        client = await Client().ask(hosted)
        assert client.is_answered, client.error

    with host(app) as hosted:
        on_a_loop(lambda: steps(hosted))
    return "runs on the server's loop" if loops[0] is loops[1] else "runs on a loop of its own"


@to_asgi_row("`anyio.from_thread.run()` in a view")
def from_thread_in_a_view(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        anyio.from_thread.run(asyncio.sleep, 0)
        return answering(environ, start_response)

    return "works" if ask(host, app).is_answered else "fails"


@to_asgi_row("trio")
def on_trio(host: Host, _: str) -> str:
    trio = pytest.importorskip("trio")
    client = Client()

    with host(answering) as hosted:
        # In a thread where there never was a loop of asyncio that could be found.
        Helper(lambda: trio.run(client.ask, hosted)).join()
    return "works" if client.is_answered else "fails"
