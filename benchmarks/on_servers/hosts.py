"""Ways to host an application: which application, through which adapter, and on which server.

Each server has what its documentation recommends, and one process; it writes no access log.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from benchmarks.on_servers.servers import Command

HELLO = "benchmarks.apps:hello"
NATIVE_HELLO = "benchmarks.on_servers.served:hello"
MANY = "1000"
"""Connections that a server may have open, for those that would refuse or let wait more than a hundred."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What a server imports, and what the import is to find in the environment."""

    name: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    path: str = "/"


def through(adapter: str, app: str = HELLO, *, workers: int | None = None, path: str = "/") -> Target:
    """Return a WSGI application behind an adapter to ASGI.

    Args:
        adapter: its name in `benchmarks.on_servers.served.ADAPTERS`.
        app: a module and an attribute.
        workers: how many threads it may have; its own default if not given.
        path: what is asked for.
    """
    environment = {"BENCHMARK_ADAPTER": adapter, "BENCHMARK_APP": app}
    if workers is not None:
        environment["BENCHMARK_WORKERS"] = str(workers)
    return Target("benchmarks.on_servers.hosted:app", environment, path)


def through_wsgi(adapter: str, app: str = NATIVE_HELLO, *, path: str = "/") -> Target:
    """Return an ASGI application behind an adapter to WSGI, of `benchmarks.on_servers.served_by_wsgi.ADAPTERS`."""
    environment = {"BENCHMARK_ADAPTER": adapter, "BENCHMARK_APP": app}
    return Target("benchmarks.on_servers.hosted_by_wsgi:app", environment, path)


def plain(app: str = HELLO, *, path: str = "/") -> Target:
    """Return an application as it is."""
    return Target(app, path=path)


def uvicorn(target: Target, *, loop: str = "uvloop") -> Command:
    options = ("--loop", loop, "--http", "httptools", "--no-access-log", "--log-level", "error")
    return _command(target, "uvicorn", *options, "--port", "{port}", target.name)


def hypercorn(target: Target, *, kind: str = "asgi") -> Command:
    """Return hypercorn on uvloop; of kind ``wsgi``, its own wrapper hosts the application."""
    options = ("-w", "1", "-k", "uvloop", "--log-level", "ERROR", "--bind", "127.0.0.1:{port}")
    return _command(target, "hypercorn", *options, f"{kind}:{target.name}")


def granian(target: Target, *, interface: str = "wsgi", threads: int | None = None) -> Command:
    options = ("--interface", interface, "--host", "127.0.0.1", "--port", "{port}", "--no-ws", "--log-level", "error")
    of_threads = ("--blocking-threads", str(threads)) if threads else ()
    loop = ("--loop", "uvloop") if interface != "wsgi" else ()
    return _command(target, "granian", *options, *of_threads, *loop, target.name)


def waitress(target: Target, *, threads: int = 4) -> Command:
    """Return waitress; four threads are its default."""
    options = ("--listen", "127.0.0.1:{port}", "--threads", str(threads), "--connection-limit", MANY)
    return _command(target, "waitress", *options, target.name)


def gunicorn(target: Target, *, threads: int | None = None) -> Command:
    """Return gunicorn with one worker: ``gthread`` if there are threads, else ``sync``."""
    kind = ("-k", "gthread", "--threads", str(threads)) if threads else ("-k", "sync")
    options = ("--bind", "127.0.0.1:{port}", "--log-level", "error", "--no-control-socket")
    return _command(target, "gunicorn", *kind, *options, target.name)


def uwsgi(target: Target, *, threads: int = 4) -> Command:
    """Return uWSGI with its own HTTP socket, which closes the connection after each response."""
    return _command(
        target,
        "benchmarks.on_servers.uwsgi_program",
        *("--http-socket", "127.0.0.1:{port}", "--listen", MANY, "--module", target.name),
        *("--add-header", "Connection: close"),  # it does not say so by itself
        *("--master", "--processes", "1", "--threads", str(threads), "--enable-threads"),
        *("--single-interpreter", "--need-app", "--die-on-term", "--disable-logging"),
    )


def _command(target: Target, *arguments: str) -> Command:
    return Command(arguments, target.environment, target.path)
