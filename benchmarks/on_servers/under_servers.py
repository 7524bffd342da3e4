"""How many requests per second does a hello get under real servers, on one core, with 32 connections?

The WSGI application through the bridge stands beside a native ASGI one, beside the same application called on the
loop (with a minimal environ and no checks, and with the environ and the checks of the bridge), and beside the same
application on the WSGI servers it came from (with 4 threads, which is waitress' default).
"""

from __future__ import annotations

import contextlib

from benchmarks.on_servers import servers
from benchmarks.settings import Settings, Table, interleaved, medians, ratio

BRIDGE = "bridge on uvicorn"
WSGI_APP = "benchmarks.on_servers.served:wsgi"


def run(settings: Settings) -> list[Table]:
    server_core, client_core = servers.cores()
    table = Table(title="Hello under real servers, 32 connections", head=("", "requests per second", "x bridge"))
    if not servers.has_wrk():
        table.notes.append("Skipped: wrk is not installed (`apt-get install wrk`).")
        return [table]
    if server_core == client_core:
        table.notes.append("Server and client could not be pinned to cores of their own: read the ratios with care.")
    contestants = {
        "native ASGI on uvicorn": servers.uvicorn("native"),
        "inline floor on uvicorn": servers.uvicorn("inline"),
        "inline, with all checks, on uvicorn": servers.uvicorn("checked"),
        BRIDGE: servers.uvicorn("bridge"),
        "a2wsgi on uvicorn": servers.uvicorn("a2wsgi"),
        "waitress": servers.server("waitress", "--listen", "127.0.0.1:{port}", WSGI_APP),
        "gunicorn gthread": servers.server(
            "gunicorn", "-k", "gthread", "--threads", "4", "--bind", "127.0.0.1:{port}", WSGI_APP
        ),
    }
    seconds = settings.pick(4, 1)
    with contextlib.ExitStack() as running:
        urls = {name: running.enter_context(contestant)[0] for name, contestant in contestants.items()}
        figures = interleaved(
            settings.rounds,
            {
                name: lambda url=url: servers.wrk(url + "/", connections=32, seconds=seconds)
                for name, url in urls.items()
            },
            budget_s=float("inf"),
        )
    middle = medians(figures)
    table.rows = [(name, f"{value:,.0f}", ratio(value, middle[BRIDGE])) for name, value in middle.items()]
    return [table]
