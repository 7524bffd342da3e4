"""How close to the ideal do 40 threads come under real servers, with an application that blocks for 10 ms and 100
connections? The ideal is 4,000 requests per second.
"""

from __future__ import annotations

import contextlib

from benchmarks.in_memory.adapters import A2WSGI, BRIDGE
from benchmarks.on_servers import hosts, wrk
from benchmarks.on_servers.load import CPU, MEMORY, P99, REQUESTS, Running, compare
from benchmarks.results import Comparison
from benchmarks.settings import Settings

COLUMNS = (REQUESTS, CPU, P99, MEMORY)
WORKERS = 40
CONNECTIONS = 100
APP = "benchmarks.apps:blocking"


def run(settings: Settings) -> list[Comparison]:
    comparison = Comparison(
        title=f"10 ms of blocking, {CONNECTIONS} connections, {WORKERS} threads", columns=COLUMNS, bases=(BRIDGE,)
    )
    if not wrk.is_installed():
        comparison.notes.append(wrk.MISSING)
        return [comparison]
    commands = {
        BRIDGE: hosts.uvicorn(hosts.through(BRIDGE, APP, workers=WORKERS)),
        A2WSGI: hosts.uvicorn(hosts.through(A2WSGI, APP, workers=WORKERS)),
        "uvicorn": hosts.uvicorn(hosts.through("uvicorn", APP, workers=WORKERS)),
        "waitress": hosts.waitress(hosts.plain(APP), threads=WORKERS),
        "gunicorn gthread": hosts.gunicorn(hosts.plain(APP), threads=WORKERS),
        "granian WSGI": hosts.granian(hosts.plain(APP), threads=WORKERS),
    }
    seconds = 0.5 if settings.quick else 3
    with contextlib.ExitStack() as stack:
        compare(settings, comparison, Running(stack), commands, connections=CONNECTIONS, seconds=seconds)
    return [comparison]
