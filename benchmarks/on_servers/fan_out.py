"""How long after an event do 500 clients of an event stream have it, and what does that cost?

There are four events a second, and each goes to all clients. An ASGI application (Starlette) on WSGI servers through
adapters stands beside the same under uvicorn; a WSGI application, of which each client takes a thread everywhere,
under uvicorn through adapters stands beside itself on WSGI servers, and beside the Starlette one. Servers and adapters
may have as many threads as there are clients, and some to spare. The clients share a core, and the time that they take
themselves is in all figures.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from functools import partial

from benchmarks import pinning
from benchmarks.in_memory.adapters import A2WSGI, BRIDGE
from benchmarks.on_servers import hosts, servers
from benchmarks.on_servers.event_client import audience
from benchmarks.on_servers.load import MEMORY, measured, usage_during
from benchmarks.on_servers.servers import Command
from benchmarks.results import Column, Comparison
from benchmarks.settings import Settings

DELAY = Column(name="delay", unit="ms", better="less")
P99 = Column(name="99 % within", unit="ms", better="less")
CPU = Column(name="processor", unit="us per message", better="less")
THREADS = Column(name="threads", unit="threads", better="less")
COLUMNS = (DELAY, P99, CPU, THREADS, MEMORY)
NATIVE = "Starlette on uvicorn"
SPARE = 50
STOP_S = 0.5
_APP = "benchmarks.on_servers.served_events"
_ASGI, _WSGI = f"{_APP}:asgi", f"{_APP}:wsgi"


def run(settings: Settings) -> list[Comparison]:
    clients = settings.pick(500, 20)
    asgi = Comparison(title=f"An ASGI event stream to {clients} clients", columns=COLUMNS, bases=(NATIVE,))
    wsgi = Comparison(title=f"A WSGI event stream to {clients} clients", columns=COLUMNS, bases=(NATIVE,))
    _compare(settings, asgi, clients, _of_asgi(clients + SPARE))
    _compare(settings, wsgi, clients, _of_wsgi(clients + SPARE))
    return [asgi, wsgi]


def _of_asgi(threads: int) -> dict[str, Command]:
    bridge, a2wsgi = (hosts.through_wsgi(name, _ASGI) for name in (BRIDGE, A2WSGI))
    return {
        NATIVE: hosts.uvicorn(hosts.plain(_ASGI)),
        f"{BRIDGE}, on gunicorn gthread": hosts.gunicorn(bridge, threads=threads),
        f"{BRIDGE}, on waitress": hosts.waitress(bridge, threads=threads),
        f"{A2WSGI}, on gunicorn gthread": hosts.gunicorn(a2wsgi, threads=threads),
        f"{A2WSGI}, on waitress": hosts.waitress(a2wsgi, threads=threads),
    }


def _of_wsgi(threads: int) -> dict[str, Command]:
    plain = hosts.plain(_WSGI)
    return {
        NATIVE: hosts.uvicorn(hosts.plain(_ASGI)),
        BRIDGE: hosts.uvicorn(hosts.through(BRIDGE, _WSGI, workers=threads)),
        A2WSGI: hosts.uvicorn(hosts.through(A2WSGI, _WSGI, workers=threads)),
        "gunicorn gthread": hosts.gunicorn(plain, threads=threads),
        "waitress": hosts.waitress(plain, threads=threads),
    }


def _compare(settings: Settings, comparison: Comparison, clients: int, commands: Mapping[str, Command]) -> None:
    events = settings.pick(16, 2)
    measured(settings, comparison, {name: partial(_once, each, clients, events) for name, each in commands.items()})


def _once(command: Command, clients: int, events: int) -> dict[str, float]:
    """Start a server for this alone, and do not wait for it: some keep threads for clients that have left."""
    with (
        servers.running(command, stop_s=STOP_S) as server,
        pinning.pinned_to(pinning.cores()[1]),
        audience(server.url + "/events", clients) as present,
    ):
        present.delays_ms(1)  # not measured: what it took to greet them all is still being worked off
        with usage_during(server.pid) as usage:
            delays_ms = present.delays_ms(events)
        used = usage()
    figures = {DELAY.name: statistics.median(delays_ms), P99.name: statistics.quantiles(delays_ms, n=100)[-1]}
    if used:
        cpu_us = used.cpu_s / len(delays_ms) * 1e6
        figures |= {CPU.name: cpu_us, THREADS.name: used.threads, MEMORY.name: used.resident_mib}
    return figures
