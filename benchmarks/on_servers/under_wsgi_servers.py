"""How many requests per second does an ASGI hello get on WSGI servers, on one core, with 32 connections?

Beside it stand a plain WSGI hello, which has no event loop to go to, and the bare way there and back: a WSGI
application that lets an event loop in another thread run one empty task and waits for it. No adapter can beat that one.
"""

from __future__ import annotations

import contextlib
import itertools

from benchmarks.on_servers import servers
from benchmarks.settings import Settings, Table, interleaved, medians, ratio

PLAIN = "plain WSGI"
CONTESTANTS = {
    PLAIN: "wsgi",
    "the bare way, uvloop": "bare_way_uvloop",
    "bridge, asyncio": "to_wsgi_asyncio",
    "bridge, uvloop": "to_wsgi_uvloop",
    "a2wsgi": "to_wsgi_a2wsgi",
}
A2WSGI = "a2wsgi"
THREADS = ("8", "32")
"""As few as processors make sense of, and one for each connection, which streams need."""
SERVERS = {
    "granian": "granian --interface wsgi --host 127.0.0.1 --port {port} --no-ws --log-level error --blocking-threads",
    "waitress": "waitress --listen 127.0.0.1:{port} --threads",
    "gunicorn gthread": "gunicorn -k gthread --bind 127.0.0.1:{port} --threads",
}


def run(settings: Settings) -> list[Table]:
    server_core, client_core = servers.cores()
    note = "Server and client could not be pinned to cores of their own: read the ratios with care."
    tables = []
    for (name, command), threads in itertools.product(SERVERS.items(), THREADS):
        title = f"ASGI hello on {name}, {threads} threads, 32 connections"
        table = Table(title=title, head=("", "requests per second", "x plain WSGI", "x a2wsgi"))
        tables.append(table)
        if not servers.has_wrk():
            table.notes.append("Skipped: wrk is not installed (`apt-get install wrk`).")
            continue
        if server_core == client_core:
            table.notes.append(note)
        middle = _measure(settings, (*command.split(), threads))
        table.rows = [
            (contestant, f"{value:,.0f}", ratio(value, middle[PLAIN]), ratio(value, middle[A2WSGI]))
            for contestant, value in middle.items()
        ]
    return tables


def _measure(settings: Settings, command: tuple[str, ...]) -> dict[str, float]:
    seconds = settings.pick(3, 1)
    with contextlib.ExitStack() as running:
        urls = {
            name: running.enter_context(servers.server(*command, f"benchmarks.on_servers.served_by_wsgi:{app}"))[0]
            for name, app in CONTESTANTS.items()
        }
        return medians(
            interleaved(
                settings.rounds,
                {
                    name: lambda url=url: servers.wrk(url + "/", connections=32, seconds=seconds)
                    for name, url in urls.items()
                },
                budget_s=float("inf"),
            )
        )
