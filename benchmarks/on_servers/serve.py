"""Does `bridge serve` cost anything on the way of a request, against uvicorn with `app = to_asgi(wsgi_app)` by hand?

Both run uvicorn with the same options, on one core, with 32 connections: for an application that does nothing but say
hello, where any difference would show most, and for a Flask one. A third contestant is the second one once more: how
far apart two servers of the same kind are is what the machine's noise is.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from benchmarks import apps
from benchmarks.on_servers import servers
from benchmarks.results import Column, Comparison
from benchmarks.settings import Settings, interleaved
from bridge import to_asgi

SERVED = "bridge serve"
BY_HAND = "to_asgi by hand"
AGAIN = "to_asgi by hand, again"
RATE = Column(name="rate", unit="requests per second", better="more")

_UVICORN = ("--no-access-log", "--log-level", "error")


def make_hello() -> Any:
    """Return the application that does nothing."""
    return apps.hello


def make_flask() -> Any:
    """Return a Flask application of one route."""
    from flask import Flask

    app = Flask("shop")

    @app.get("/")
    def index() -> str:
        return "Hello, world!"

    return app


def hello_by_hand() -> Any:
    """Return the first as one would write it for uvicorn."""
    return to_asgi(make_hello())


def flask_by_hand() -> Any:
    """Return the second as one would write it for uvicorn."""
    return to_asgi(make_flask())


def run(settings: Settings) -> list[Comparison]:
    if not servers.has_wrk():
        comparison = Comparison(title="bridge serve against to_asgi by hand", columns=(RATE,))
        comparison.notes.append("Skipped: wrk is not installed (`apt-get install wrk`).")
        return [comparison]
    return [_compare(settings, name) for name in ("hello", "flask")]


def _compare(settings: Settings, name: str) -> Comparison:
    by_hand = ("uvicorn", "--port", "{port}", *_UVICORN, "--factory", f"benchmarks.on_servers.serve:{name}_by_hand")
    served = (
        "bridge",
        "serve",
        f"benchmarks.on_servers.serve:make_{name}",
        "--factory",
        "-s",
        "uvicorn",
        "-p",
        "{port}",
        "--",
    )
    contestants = {
        SERVED: servers.server(*served, *_UVICORN),
        BY_HAND: servers.server(*by_hand),
        AGAIN: servers.server(*by_hand),
    }
    seconds = settings.pick(4, 1)
    with contextlib.ExitStack() as running:
        urls = {who: running.enter_context(contestant)[0] for who, contestant in contestants.items()}
        figures = interleaved(
            settings.rounds,
            {who: partial(servers.wrk, url + "/", connections=32, seconds=seconds) for who, url in urls.items()},
            budget_s=float("inf"),
        )
    comparison = Comparison(title=f"{name}, uvicorn, 32 connections", columns=(RATE,), bases=(BY_HAND,))
    comparison.add(RATE.name, figures)
    server_core, client_core = servers.cores()
    if server_core == client_core:
        comparison.notes.append(
            "Server and client could not be pinned to cores of their own: read the ratios with care."
        )
    return comparison
