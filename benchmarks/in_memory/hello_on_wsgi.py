"""What does an adapter add to an ASGI application that does nothing, on a WSGI server in memory? It is called directly,
by one thread and by eight.

Beside it stands the bare way to a loop and back: a thread lets an event loop in another thread run one empty task and
waits for it. No adapter can beat that one, because the application has to run on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks import apps
from benchmarks.in_memory.adapters import A2WSGI, BRIDGE
from benchmarks.in_memory.stopwatch import Span, figures, stopwatch, time_columns
from benchmarks.results import Comparison
from benchmarks.settings import Settings
from bridge import to_wsgi

BARE_WAY = "the bare way to a loop and back"
THREADS = (1, 8)
_STOP_S = 10.0


def run(settings: Settings) -> list[Comparison]:
    requests = settings.pick(3200, 640)
    compared = []
    for loop_name, make_loop in loops().items():
        with candidates(loop_name, make_loop) as adapters:
            for wsgi in adapters.values():
                request(wsgi)  # not measured: threads start
            for threads in THREADS:
                spans: dict[str, list[Span]] = {name: [] for name in adapters}
                for _ in range(settings.rounds):
                    for name, wsgi in adapters.items():
                        with stopwatch(spans[name]):
                            together(wsgi, threads, requests)
                compared.append(
                    Comparison(
                        title=f"ASGI hello on WSGI, {threads} {'thread' if threads == 1 else 'threads'}, {loop_name}",
                        columns=time_columns("us per request"),
                        rows={name: figures(found, 1e6 / requests) for name, found in spans.items()},
                        bases=(BARE_WAY, BRIDGE),
                    )
                )
    return compared


def request(wsgi: Any) -> None:
    """Make one request.

    Raises:
        AssertionError: the response was not the one that was expected.
    """
    answered = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        answered.append(status)

    blocks = wsgi(environ(), start_response)
    try:
        assert b"".join(blocks) == b"Hello, world!"
    finally:
        if hasattr(blocks, "close"):
            blocks.close()
    assert answered == ["200 OK"], answered


def environ() -> dict[str, Any]:
    """Return the environ of a GET."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "localhost:8000",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64)",
        "HTTP_ACCEPT": "text/html,application/xhtml+xml",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def together(wsgi: Any, threads: int, requests: int) -> None:
    """Let that many threads make that many requests together.

    Raises:
        Exception: what the first request that failed raised.
    """
    failures: list[BaseException] = []

    def client() -> None:
        try:
            for _ in range(requests // threads):
                request(wsgi)
        except BaseException as error:  # what ends a thread has to be seen where it was started
            failures.append(error)

    clients = [threading.Thread(target=client) for _ in range(threads)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    if failures:
        raise failures[0]


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what makes an event loop, by the loop's name."""
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    try:
        import uvloop

        found["uvloop"] = uvloop.new_event_loop
    except ImportError:
        pass
    return found


@contextlib.contextmanager
def candidates(loop_name: str, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[dict[str, Any]]:
    """Make the candidates, all on loops of one kind; they are stopped at the end."""
    with running(make_loop) as loop:
        loop_kind: Any = loop_name
        bridge: Any = to_wsgi(apps.native_hello, event_loop=loop_kind, lifespan="off")
        adapters: dict[str, Any] = {BARE_WAY: bare_way(loop), BRIDGE: bridge}
        try:
            from a2wsgi import ASGIMiddleware

            adapters[A2WSGI] = ASGIMiddleware(apps.native_hello, loop=loop)
        except ImportError:
            pass
        try:
            yield adapters
        finally:
            bridge.shutdown()


@contextlib.contextmanager
def running(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[asyncio.AbstractEventLoop]:
    """Run a loop in a thread."""
    loop = make_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_S)
        loop.close()


def bare_way(loop: asyncio.AbstractEventLoop) -> Any:
    """Return a WSGI application that goes to the loop for nothing."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        gate = threading.Lock()
        gate.acquire()

        async def task() -> None:
            gate.release()

        loop.call_soon_threadsafe(lambda: loop.create_task(task()))
        gate.acquire()
        return apps.hello(environ, start_response)

    return app
