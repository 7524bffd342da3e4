"""How many requests per second do real applications get: Flask that answers in JSON, and Django with a page from a
template, on one core, with 32 connections?

The WSGI servers have four threads, which is waitress' default. Django speaks ASGI as well: its own handler, which
calls views like this one in a thread, stands beside.
"""

from __future__ import annotations

import contextlib

from benchmarks.in_memory.adapters import A2WSGI, BRIDGE
from benchmarks.on_servers import hosts, wrk
from benchmarks.on_servers.load import CPU, MEMORY, P99, REQUESTS, Running, compare
from benchmarks.on_servers.servers import Command
from benchmarks.results import Comparison
from benchmarks.settings import Settings

COLUMNS = (REQUESTS, CPU, P99, MEMORY)
THREADS = 4
OWN_HANDLER = "Django's ASGI handler"
FLASK = "benchmarks.on_servers.served_flask:app"
FLASK_PATH = "/books/42?language=de"
DJANGO = "benchmarks.on_servers.served_django"
DJANGO_PATH = "/books/"
FLASK_TARGETS = {"waitress": 1.3, "gunicorn gthread": 1.3, A2WSGI: 3.0}


def run(settings: Settings) -> list[Comparison]:
    flask = Comparison(
        title="Flask, JSON, 32 connections", columns=COLUMNS, bases=("waitress", BRIDGE), targets=FLASK_TARGETS
    )
    page = Comparison(
        title="Django, a page from a template, 32 connections", columns=COLUMNS, bases=("waitress", BRIDGE)
    )
    if not wrk.is_installed():
        flask.notes.append(wrk.MISSING)
        return [flask]
    own = hosts.uvicorn(hosts.plain(f"{DJANGO}:asgi", path=DJANGO_PATH))
    seconds = 0.25 if settings.quick else 3
    with contextlib.ExitStack() as stack:
        compare(settings, flask, Running(stack), _hosted(FLASK, FLASK_PATH), connections=32, seconds=seconds)
    with contextlib.ExitStack() as stack:
        commands = _hosted(f"{DJANGO}:wsgi", DJANGO_PATH) | {OWN_HANDLER: own}
        compare(settings, page, Running(stack), commands, connections=32, seconds=seconds)
    return [flask, page]


def _hosted(app: str, path: str) -> dict[str, Command]:
    plain = hosts.plain(app, path=path)
    return {
        BRIDGE: hosts.uvicorn(hosts.through(BRIDGE, app, path=path)),
        A2WSGI: hosts.uvicorn(hosts.through(A2WSGI, app, path=path)),
        "waitress": hosts.waitress(plain, threads=THREADS),
        "gunicorn gthread": hosts.gunicorn(plain, threads=THREADS),
        "granian WSGI": hosts.granian(plain, threads=THREADS),
    }
