"""How many messages per second does an echo bring back, on one core? With one connection, with 16, and with messages of
256 KiB on one connection; each connection sends the next message when the last one has come back.

WSGI applications stand beside Flask-Sock (simple-websocket) on the server it was written for, gunicorn with threads:
should it move to uvicorn? A native one, and the same Flask-Sock application, unchanged. A Starlette application on
gunicorn stands beside itself on uvicorn. Everything has its defaults: uvloop, and `websockets` for uvicorn's frames,
unless a row says otherwise. Compression is not offered by the client.
"""

from __future__ import annotations

import contextlib
import importlib.util
from functools import partial

from benchmarks.on_servers import servers
from benchmarks.on_servers.websocket_client import BINARY, TEXT, Echoes
from benchmarks.results import Column, Comparison
from benchmarks.settings import KIB, Settings, interleaved

_APPS = "benchmarks.on_servers.served_websockets"
_PACKAGES = ("flask_sock", "gunicorn", "starlette", "uvicorn", "uvloop", "websockets", "wsproto")
_SMALL = b"a message of thirty-two octets.."
_LARGE = bytes(range(256)) * KIB

CASES = {
    "1 connection": Echoes(connections=1, payload=_SMALL, opcode=TEXT),
    "16 connections": Echoes(connections=16, payload=_SMALL, opcode=TEXT),
    "256 KiB": Echoes(connections=1, payload=_LARGE, opcode=BINARY),
}

FLASK_SOCK = "Flask-Sock on gunicorn gthread"
WSGI_CONTESTANTS = {
    FLASK_SOCK: "flask_sock",
    "wsgi.websocket, bridge on uvicorn": "native",
    "Flask-Sock, bridge on uvicorn": "wire",
    "an ASGI echo on uvicorn": "bare",
}
ON_UVICORN = "uvicorn"
_ECHOES = Column(name="echoes", unit="messages per second", better="more")


def missing_packages() -> list[str]:
    """Return what these measurements need and do not find."""
    return [name for name in _PACKAGES if not importlib.util.find_spec(name)]


def gunicorn(app: str, *options: str, path: str = "/") -> contextlib.AbstractContextManager[tuple[str, int]]:
    """Run gunicorn with an application that a function of `benchmarks.on_servers.served_websockets` makes."""
    command = ("gunicorn", "--bind", "127.0.0.1:{port}", "--no-control-socket", *options, f"{_APPS}:{app}()")
    return servers.server(*command, path=path)


def uvicorn(app: str, *options: str, path: str = "/") -> contextlib.AbstractContextManager[tuple[str, int]]:
    """Run uvicorn with one of them."""
    command = ("uvicorn", "--factory", "--port", "{port}", "--no-access-log", "--log-level", "error", *options)
    return servers.server(*command, f"{_APPS}:{app}", path=path)


def gthread(app: str) -> contextlib.AbstractContextManager[tuple[str, int]]:
    """Run gunicorn with a thread for each connection, and some to spare."""
    return gunicorn(app, "-k", "gthread", "--threads", "32")


def run(settings: Settings) -> list[Comparison]:
    missing = missing_packages()
    if missing:
        return [_comparison("Echoes", "", "", [f"Skipped: {', '.join(missing)} is not installed."])]
    wsgi = {name: gthread(app) if name == FLASK_SOCK else uvicorn(app) for name, app in WSGI_CONTESTANTS.items()}
    asgi = {
        ON_UVICORN: uvicorn("starlette"),
        "bridge on gunicorn gthread": gthread("starlette_on_wsgi"),
        "uvicorn, asyncio": uvicorn("starlette", "--loop", "asyncio"),
        "uvicorn, frames of wsproto": uvicorn("starlette", "--ws", "wsproto"),
        "uvicorn, frames of websockets' older layer": uvicorn("starlette", "--ws", "websockets"),
    }
    return [
        *_compare(settings, "WSGI applications", wsgi, FLASK_SOCK),
        *_compare(settings, "A Starlette application", asgi, ON_UVICORN),
    ]


def _compare(
    settings: Settings,
    title: str,
    contestants: dict[str, contextlib.AbstractContextManager[tuple[str, int]]],
    base: str,
) -> list[Comparison]:
    """Measure the cases one after the other, all contestants of one in turns."""
    compared = []
    notes = []
    server_core, client_core = servers.cores()
    if server_core == client_core:
        notes.append("Server and client could not be pinned to cores of their own: read the ratios with care.")
    seconds = settings.pick(10, 2) / 10
    with contextlib.ExitStack() as running:
        urls = {name: running.enter_context(contestant)[0] for name, contestant in contestants.items()}
        for case, echoes in CASES.items():
            candidates = {name: partial(echoes.per_second, url, seconds) for name, url in urls.items()}
            comparison = _comparison(title, case, base, notes)
            comparison.add(_ECHOES.name, interleaved(settings.rounds, candidates, budget_s=float("inf")))
            compared.append(comparison)
    return compared


def _comparison(title: str, case: str, base: str, notes: list[str]) -> Comparison:
    return Comparison(
        title=f"{title}: {case}" if case else title,
        columns=(_ECHOES,),
        bases=(base,) if base else (),
        notes=list(notes),
    )
