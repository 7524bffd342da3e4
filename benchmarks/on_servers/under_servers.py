"""How many requests per second does a hello get under real servers, on one core, with 1, 32 and 256 connections?

The WSGI application through the bridge stands beside a native ASGI one, beside the same application called on the
loop (with a minimal environ and no checks, and with the environ and the checks of the bridge), beside other adapters,
and beside the same application on the WSGI servers it came from (with 4 threads, which is waitress' default).
gunicorn's sync workers and uWSGI's HTTP socket close the connection after each response, so their clients open one for
each request. Beside requests per second stands what they cost the server's core, however busy it was.
"""

from __future__ import annotations

import contextlib

from benchmarks.in_memory.adapters import A2WSGI, ASGIREF, BRIDGE, FLOOR, NATIVE
from benchmarks.on_servers import hosts, wrk
from benchmarks.on_servers.load import CPU, MEMORY, P99, REQUESTS, Running, compare
from benchmarks.on_servers.served import CHECKED
from benchmarks.on_servers.servers import Command
from benchmarks.results import Comparison
from benchmarks.settings import Settings

COLUMNS = (REQUESTS, CPU, P99, MEMORY)
ADAPTERS = (FLOOR, CHECKED, BRIDGE, A2WSGI, ASGIREF, "starlette", "uvicorn")
BASES = (NATIVE, BRIDGE)
THREADS = 4
WSGI_SERVERS = {
    "waitress": hosts.waitress(hosts.plain(), threads=THREADS),
    "gunicorn sync": hosts.gunicorn(hosts.plain()),
    "gunicorn gthread": hosts.gunicorn(hosts.plain(), threads=THREADS),
    "granian WSGI": hosts.granian(hosts.plain(), threads=THREADS),
    "uWSGI": hosts.uwsgi(hosts.plain(), threads=THREADS),
}
TARGETS = {FLOOR: 1.0, NATIVE: 0.8, "waitress": 2.8, "gunicorn gthread": 3.5}
MANY = 256
TARGETS_OF_MANY = {P99.name: {NATIVE: 1.3}}
HYPERCORN_WRAPPER = "hypercorn's wrapper"


def run(settings: Settings) -> list[Comparison]:
    if not wrk.is_installed():
        return [Comparison(title="Hello under real servers", columns=COLUMNS, notes=[wrk.MISSING])]
    with contextlib.ExitStack() as stack:
        running = Running(stack)
        counts = (32,) if settings.quick else (32, 1, MANY)
        results = [_on_uvicorn(settings, running, connections) for connections in counts]
    # The others have ended by now: what these cost is not looked at beside twenty idle ones.
    with contextlib.ExitStack() as stack:
        results += [_on_asyncio(settings, Running(stack)), _on_hypercorn(settings, Running(stack))]
    return results


def on_uvicorn(loop: str, names: tuple[str, ...] = ADAPTERS) -> dict[str, Command]:
    """Return uvicorn with the native application and with the WSGI one through the adapters."""
    return {
        NATIVE: hosts.uvicorn(hosts.plain(hosts.NATIVE_HELLO), loop=loop),
        **{name: hosts.uvicorn(hosts.through(name), loop=loop) for name in names},
    }


def _on_uvicorn(settings: Settings, running: Running, connections: int) -> Comparison:
    comparison = Comparison(
        title=f"Hello on uvicorn and on WSGI servers, {_in_words(connections)}, uvloop",
        columns=COLUMNS,
        bases=BASES,
        targets=TARGETS if connections > 1 else {},
        targets_beside=TARGETS_OF_MANY if connections == MANY else {},
    )
    commands = on_uvicorn("uvloop") | WSGI_SERVERS
    return compare(settings, comparison, running, commands, connections=connections, seconds=_seconds(settings))


def _on_asyncio(settings: Settings, running: Running) -> Comparison:
    comparison = Comparison(
        title="Hello on uvicorn, 32 connections, asyncio",
        columns=COLUMNS,
        bases=BASES,
        targets={FLOOR: 1.0, NATIVE: 0.8},
    )
    commands = on_uvicorn("asyncio", (FLOOR, BRIDGE) if settings.quick else ADAPTERS)
    return compare(settings, comparison, running, commands, connections=32, seconds=_seconds(settings))


def _on_hypercorn(settings: Settings, running: Running) -> Comparison:
    comparison = Comparison(title="Hello on hypercorn, 32 connections, uvloop", columns=COLUMNS, bases=BASES)
    commands = {
        NATIVE: hosts.hypercorn(hosts.plain(hosts.NATIVE_HELLO)),
        BRIDGE: hosts.hypercorn(hosts.through(BRIDGE)),
        HYPERCORN_WRAPPER: hosts.hypercorn(hosts.plain(), kind="wsgi"),
    }
    return compare(settings, comparison, running, commands, connections=32, seconds=_seconds(settings))


def _seconds(settings: Settings) -> float:
    return 0.25 if settings.quick else 3


def _in_words(connections: int) -> str:
    return "1 connection" if connections == 1 else f"{connections} connections"
