"""What the pages of the discussion claim is tried: figures, threads, contexts, forks."""

from __future__ import annotations

import importlib
import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from asgiref.local import Local
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

import bridge
from bridge import Limits, WSGIToASGI
from bridge.limits import MIB
from tests.docs.pages import code, table, text_of
from tests.driving import fetch
from tests.forking import run_program
from tests.gateway import Gateway, answering, environ_for, hosted

ENDINGS = "discussion/three-endings.md"
BACKPRESSURE = "discussion/backpressure.md"
PAGES = [ENDINGS, BACKPRESSURE, "discussion/threads-and-contexts.md", "discussion/fork.md"]
PACKAGE = Path(bridge.__file__).parent


# ---- Figures ------------------------------------------------------------------------------------------------------

UNITS = {
    "KiB": 1024,
    "MiB": MIB,
    "MiB/s": MIB,
    "GiB": 1024 * MIB,
    "s": 1,
    "ms": 0.001,
    "bytes": 1,
    "requests": 1,
    "": 1,
}


def number_from(text: str) -> float:
    """Return the number that a cell says in words."""
    if text == "a quarter":
        return 4
    count, _, unit = text.partition(" ")
    return int(count) * UNITS[unit]


FIGURES = [
    (page, *match) for page in PAGES for match in re.findall(r"`(?:Limits\.)?(\w+)` \((\d+(?: \w+)?)\)", text_of(page))
]


@pytest.mark.parametrize(("page", "name", "figure"), FIGURES)
def test_a_figure_beside_a_limit_is_its_default(page: str, name: str, figure: str) -> None:
    assert number_from(figure) == getattr(Limits(), name)


def test_there_are_figures_to_compare() -> None:
    assert len(FIGURES) >= 25


@pytest.mark.parametrize("page", PAGES)
def test_each_limit_that_is_named_exists(page: str) -> None:
    named = set(re.findall(r"`(?:Limits\.)([a-z_]+)`", text_of(page)))

    assert named - Limits.__dataclass_fields__.keys() == set()


def constant(name: str) -> Any:
    """Return the constant of a module that is named by its last part; there must be one."""
    stem, _, attribute = name.partition(".")
    modules = [
        importlib.import_module(".".join(("bridge", *path.relative_to(PACKAGE).with_suffix("").parts)))
        for path in PACKAGE.rglob(f"{stem}.py")
        if "websocket" not in path.parts
    ]
    [value] = [getattr(module, attribute) for module in modules if hasattr(module, attribute)]
    return value


@pytest.mark.parametrize("row", table(BACKPRESSURE, "Numbers that are no options"), ids=lambda row: code(row[1]))
def test_a_number_that_is_no_option_is_the_constant_of_the_code(row: list[str]) -> None:
    assert constant(code(row[1])) == number_from(row[0])


# ---- Threads and contexts -----------------------------------------------------------------------------------------

color: ContextVar[str] = ContextVar("color", default="none")
START = {"type": "http.response.start", "status": 200, "headers": []}
LAST = {"type": "http.response.body", "body": b"whole"}


def test_context_variables_go_into_a_wsgi_application_and_do_not_come_out_and_asgirefs_locals_do_neither() -> None:
    local = Local()
    seen: list[str | None] = []

    def inner(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        seen.extend((color.get(), getattr(local, "language", None)))
        color.set("application")
        yield b"one"
        seen.append(color.get())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        color.set("middleware")
        local.language = "eo"
        await WSGIToASGI(inner)(scope, receive, send)
        seen.append(color.get())

    fetch(app)

    assert seen == ["middleware", None, "application", "middleware"]


def test_an_asgi_application_sees_the_request_threads_context_and_not_that_of_its_lifespan() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(color.get())
        color.set("application")
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(START)
        await send(LAST)

    def request() -> str:
        color.set("middleware")
        Gateway(adapter).run()
        return color.get()

    with hosted(app) as adapter, ThreadPoolExecutor(1) as thread:
        assert thread.submit(request).result(10) == "middleware"

    assert seen == ["none", "middleware"]


def test_the_application_runs_in_the_one_thread_of_the_loop_and_not_in_the_main_one() -> None:
    names: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        names.append(threading.current_thread().name)
        await answering()(scope, receive, send)

    with hosted(app, lifespan="off") as adapter:
        for _ in range(2):
            Gateway(adapter).run()

    assert names == ["bridge-loop"] * 2


@pytest.mark.parametrize("has_context", [True, False])
def test_synchronous_code_shares_one_thread_unless_there_is_a_context_for_it(
    has_context: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # asgiref's own is never shut down: its thread would be left over.
    shared = ThreadPoolExecutor(1)
    monkeypatch.setattr(SyncToAsync, "single_thread_executor", shared)
    threads: list[int] = []
    together = threading.Barrier(2)

    def work() -> None:
        threads.append(threading.get_ident())
        if has_context:
            together.wait(10)  # two at once: that takes two threads

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if has_context:
            async with ThreadSensitiveContext():
                await sync_to_async(work)()
        else:
            await sync_to_async(work)()
        await answering()(scope, receive, send)

    with shared, hosted(app, lifespan="off") as adapter, ThreadPoolExecutor(2) as clients:
        requests = [clients.submit(Gateway(adapter, environ_for()).run) for _ in range(2)]
        assert [request.result(10).body for request in requests] == [b"hello"] * 2

    assert len(set(threads)) == (2 if has_context else 1)


# ---- Fork ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_child_starts_with_what_the_table_says_and_serves_and_so_does_its_child() -> None:
    run_program(
        """
import logging
from bridge import ASGIToWSGI, WSGIToASGI
from tests.driving import drive, Driver
from tests.forking import child_says
from tests.gateway import answering, run
from tests.meeting import Hold

logging.getLogger("asyncio").setLevel(logging.ERROR)  # its debug mode finds a busy machine slow
hold = Hold()

def app(environ, start_response):
    if environ["PATH_INFO"] == "/held":
        hold.stop_here()
    start_response("200 OK", [])
    return [b"hello"]

wsgi, asgi = WSGIToASGI(app), ASGIToWSGI(answering(), lifespan="off")
reports = []
wsgi.observe(reports.append)
""",
        """
        from tests.fakes import make_scope

        def serves():
            assert wsgi.statistics().requests == wsgi.statistics().workers_busy == 0
            assert asgi.statistics().phase == "not started"
            before = len(reports)
            assert drive(wsgi).checked().body == run(asgi).body == b"hello"
            assert len(reports) == before + 1, "the observer has stayed behind"
            return True

        with Driver(wsgi, make_scope(path="/held")) as held:
            hold.reached.wait()
            assert run(asgi).body == b"hello"
            assert child_says(lambda: serves() and child_says(serves))
            assert wsgi.statistics().requests == 1
            asgi.shutdown()
            assert child_says(serves), "to be shut down belongs to a process"
            hold.release()
            held.finish()
        """,
    )
