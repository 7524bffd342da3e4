"""How many requests per second does an ASGI hello get on WSGI servers, on one core, with 32 connections?

Beside it stand a plain WSGI hello, which has no event loop to go to, and the bare way there and back: a WSGI
application that lets an event loop (uvloop) in another thread run one empty task and waits for it. No adapter can beat
that one. Servers have as few threads as processors make sense of, and one for each connection, which streams need;
gunicorn's sync worker has one thread and no choice. The bridge runs the application on uvloop unless a row says
otherwise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from benchmarks.in_memory.adapters import A2WSGI, BRIDGE
from benchmarks.on_servers import hosts, wrk
from benchmarks.on_servers.hosts import Target
from benchmarks.on_servers.load import CPU, MEMORY, P99, REQUESTS, Running, compare
from benchmarks.on_servers.served_by_wsgi import BARE_WAY, ON_ASYNCIO, PLAIN
from benchmarks.on_servers.servers import Command
from benchmarks.results import Comparison
from benchmarks.settings import Settings

COLUMNS = (REQUESTS, CPU, P99, MEMORY)
CONTESTANTS = (PLAIN, BARE_WAY, BRIDGE, ON_ASYNCIO, A2WSGI)
BASES = (PLAIN, A2WSGI)
WITH_THREADS: dict[str, Callable[..., Command]] = {
    "granian": hosts.granian,
    "waitress": hosts.waitress,
    "gunicorn gthread": hosts.gunicorn,
    "uWSGI": hosts.uwsgi,
}
THREADS = (8, 32)
TARGETS = {"granian": {A2WSGI: 5.0}, "waitress": {PLAIN: 0.9}, "gunicorn gthread": {PLAIN: 0.9}}


def run(settings: Settings) -> list[Comparison]:
    if not wrk.is_installed():
        return [Comparison(title="ASGI hello on WSGI servers", columns=COLUMNS, notes=[wrk.MISSING])]
    comparisons = []
    for server, host in WITH_THREADS.items():
        for threads in THREADS[:1] if settings.quick else THREADS:
            title = f"ASGI hello on {server}, {threads} threads, 32 connections"
            comparisons.append(_measure(settings, title, partial(host, threads=threads), TARGETS.get(server, {})))
    title = "ASGI hello on gunicorn sync, 32 connections"
    return [*comparisons, _measure(settings, title, hosts.gunicorn, {})]


def _measure(
    settings: Settings, title: str, host: Callable[[Target], Command], targets: dict[str, float]
) -> Comparison:
    comparison = Comparison(title=title, columns=COLUMNS, bases=BASES, targets=targets)
    names = (PLAIN, BRIDGE, A2WSGI) if settings.quick else CONTESTANTS
    commands = {name: host(hosts.through_wsgi(name)) for name in names}
    with contextlib.ExitStack() as stack:
        seconds = 0.25 if settings.quick else 3
        return compare(settings, comparison, Running(stack), commands, connections=32, seconds=seconds)
