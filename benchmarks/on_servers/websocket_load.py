"""Do many WebSocket connections leave room for HTTP, and is anything left of those that are gone?

800 connections to one worker of gunicorn that serves one request at a time (an ASGI application), and 200 to uvicorn
with one thread for HTTP (a WSGI application): how long do HTTP requests take without them, beside them while they are
still, and while each of them waits for an answer? Then 10,000 connections that are opened, used once and dropped, half
of them closed as they should be, the others reset, 50 at a time: threads, tasks, descriptors and memory before and
after. More of any of the first three is an error; memory should grow no more from halfway on.
"""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import urlsplit

from benchmarks.on_servers.websocket_client import (
    TEXT,
    abort,
    close,
    frame,
    on_the_core_of_clients,
    opened,
    read_exactly,
)
from benchmarks.on_servers.websockets import gunicorn, missing_packages, uvicorn
from benchmarks.results import Column, Comparison, Figure
from benchmarks.settings import Settings

_SENT = frame(TEXT, b"a message", is_from_client=True)
_EXPECTED = frame(TEXT, b"a message", is_from_client=False)
_REQUESTS = 200
_AT_A_TIME = 50
_WAIT_S = 30.0
_STILL_S = 3.0
"""Longer than an idle thread of the bridge stays."""
_NAMES = ("threads", "tasks", "descriptors")
_TIMES = tuple(Column(name=name, unit="ms", better="less") for name in ("median", "99 %", "longest"))
_LEFT = (
    Column(name="took", unit="s", better="less"),
    *(Column(name=f"{what} {when}", unit="", better="less") for what in _NAMES for when in ("before", "after")),
    *(Column(name=f"memory {when}", unit="MiB", better="less") for when in ("before", "halfway", "after")),
)


def run(settings: Settings) -> list[Comparison]:
    missing = missing_packages()
    if missing:
        notes = [f"Skipped: {', '.join(missing)} is not installed."]
        return [Comparison(title="Many WebSockets", columns=_TIMES, notes=notes)]
    with _enough_descriptors():
        return [
            _beside(
                f"{settings.pick(800, 80)} connections to a Starlette application on one sync worker of gunicorn",
                gunicorn("starlette_on_wsgi", "-k", "sync"),
                settings.pick(800, 80),
            ),
            _beside(
                f"{settings.pick(200, 20)} connections to a WSGI application on uvicorn, one HTTP thread",
                uvicorn("native_of_one_worker"),
                settings.pick(200, 20),
            ),
            _dropped(
                settings,
                {
                    "wsgi.websocket on uvicorn": uvicorn("native"),
                    "Flask-Sock on uvicorn": uvicorn("wire"),
                    "Starlette on gunicorn gthread": gunicorn("starlette_on_wsgi", "-k", "gthread"),
                },
            ),
        ]


# ---- Beside HTTP ----------------------------------------------------------------------------------------------------


def _beside(title: str, contestant: contextlib.AbstractContextManager[tuple[str, int]], count: int) -> Comparison:
    found: dict[str, list[float]] = {}
    with contestant as (url, _), on_the_core_of_clients(), contextlib.ExitStack() as stack:
        _request_times_ms(url)
        found["HTTP without connections"] = _request_times_ms(url)
        sockets = [stack.enter_context(contextlib.closing(opened(url))) for _ in range(count)]
        for each in sockets:
            _echo(each)
        found["HTTP beside connections that are still"] = _request_times_ms(url)
        for each in sockets:
            each.sendall(_SENT)
        found["HTTP while all of them wait for an answer"] = _request_times_ms(url)
        for each in sockets:
            assert read_exactly(each, len(_EXPECTED)) == _EXPECTED
        for each in sockets:
            _echo(each)
    rows = {name: _summary(times_ms) for name, times_ms in found.items()}
    return Comparison(title=title, columns=_TIMES, rows=rows)


def _request_times_ms(url: str) -> list[float]:
    address = urlsplit(url)
    times_ms = []
    for _ in range(_REQUESTS):
        began_s = time.perf_counter()
        connection = http.client.HTTPConnection(address.netloc, timeout=_WAIT_S)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            response = connection.getresponse()
            assert response.read() == b"Hello, world!", response.status
        times_ms.append((time.perf_counter() - began_s) * 1e3)
    return times_ms


def _summary(times_ms: list[float]) -> dict[str, Figure]:
    worst_percent_ms = statistics.quantiles(times_ms, n=100)[-1]
    return _figures(_TIMES, statistics.median(times_ms), worst_percent_ms, max(times_ms))


def _figures(columns: tuple[Column, ...], *values: float) -> dict[str, Figure]:
    return {column.name: Figure((value,)) for column, value in zip(columns, values, strict=True)}


def _echo(connection: socket.socket) -> None:
    connection.sendall(_SENT)
    assert read_exactly(connection, len(_EXPECTED)) == _EXPECTED


# ---- Opened and dropped ---------------------------------------------------------------------------------------------


def _dropped(
    settings: Settings, contestants: dict[str, contextlib.AbstractContextManager[tuple[str, int]]]
) -> Comparison:
    count = settings.pick(10_000, 500)
    comparison = Comparison(title=f"{count:,} connections opened and dropped", columns=_LEFT)
    for name, contestant in contestants.items():
        with contestant as (url, _), on_the_core_of_clients():
            _drop(url, 4 * _AT_A_TIME)
            before = _when_still(url)
            began_s = time.perf_counter()
            _drop(url, count // 2)
            halfway = _resources(url)
            _drop(url, count // 2)
            took_s = time.perf_counter() - began_s
            _wait_until(partial(_is_no_more_at, url, before), name, url)
            after = _resources(url)
        pairs = [found[what] for what in _NAMES for found in (before, after)]
        memory_mib = [found["KiB"] / 1024 for found in (before, halfway, after)]
        comparison.rows[name] = _figures(_LEFT, took_s, *pairs, *memory_mib)
    return comparison


def _drop(url: str, count: int) -> None:
    for _ in range(count // _AT_A_TIME):
        sockets = [opened(url) for _ in range(_AT_A_TIME)]
        for each in sockets:
            _echo(each)
        for number, each in enumerate(sockets):
            if number % 2:
                close(each)
            else:
                abort(each)


def _resources(url: str) -> dict[str, int]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_WAIT_S)
    with contextlib.closing(connection):
        connection.request("GET", "/resources")
        return dict(zip((*_NAMES, "KiB"), map(int, connection.getresponse().read().split()), strict=True))


def _is_no_more_at(url: str, before: dict[str, int]) -> bool:
    now = _resources(url)
    return all(now[what] <= before[what] for what in _NAMES)


def _when_still(url: str) -> dict[str, int]:
    """Return what is there when it has not changed for a while."""
    before, since_s = _resources(url), time.monotonic()

    def is_still() -> bool:
        nonlocal before, since_s
        now = _resources(url)
        if any(now[what] != before[what] for what in _NAMES):
            before, since_s = now, time.monotonic()
        return time.monotonic() - since_s > _STILL_S

    _wait_until(is_still, "the server", url)
    return before


def _wait_until(is_so: Callable[[], bool], name: str, url: str) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{name} does not come to rest: {_resources(url)}")
        time.sleep(0.05)


@contextlib.contextmanager
def _enough_descriptors() -> Iterator[None]:
    """Allow this process and its servers as many descriptors as they may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
