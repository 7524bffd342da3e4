"""The WSGI servers that host ASGI applications with WebSockets in the live tests, and clients for them.

One process of each serves all test files of a run: `shared_host` counts its users.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.asgi_apps import DIRECTORY_VARIABLE, journal_path
from tests.integration.raw import Response, fetch
from tests.integration.raw_websocket import handshake_fields
from tests.integration.servers import HOST, running
from tests.integration.wsgi_servers import (
    CHEROOT,
    GUNICORN_GEVENT,
    GUNICORN_GTHREAD,
    GUNICORN_SYNC,
    UWSGI,
    WERKZEUG,
    WSGIREF,
    Hosted,
    WSGIServerKind,
)

APP = "tests.integration.websocket_asgi_apps:app"
FRAMEWORKS_APP = "tests.integration.websocket_asgi_framework_apps:app"
WAIT_S = 20.0
_LOOK_S = 0.02
_ACCESS = ("--access-logfile", "-", "--access-logformat", "access %(m)s %(U)s?%(q)s %(s)s")


def _gunicorn(kind: WSGIServerKind, *more: str) -> WSGIServerKind:
    name, *rest = kind.arguments
    return replace(kind, arguments=(name, *_ACCESS, *more, *rest))


def _program(name: str, program: str, *more: str) -> WSGIServerKind:
    arguments = (f"tests.integration.wsgi_programs.{program}", "{app}", "{host}", "{port}", *more)
    return WSGIServerKind(name, arguments, end=signal.SIGINT)


SYNC = _gunicorn(GUNICORN_SYNC)
GTHREAD = _gunicorn(GUNICORN_GTHREAD)
GEVENT = _gunicorn(GUNICORN_GEVENT)
PYWSGI = _program("pywsgi", "pywsgi_server")
PYWSGI_PLAIN = _program("pywsgi-plain", "pywsgi_server", "plain")
EVENTLET = _program("eventlet", "eventlet_server")
UWSGI_THREADS = replace(
    UWSGI,
    name="uwsgi-threads",
    # The last one counts. In one process, what one socket says can be heard by all.
    arguments=(*UWSGI.arguments, "--processes", "1"),
    processes=1,
)

SOCKET_SERVERS = (SYNC, GTHREAD, GEVENT, WERKZEUG, WSGIREF, CHEROOT, PYWSGI, PYWSGI_PLAIN, EVENTLET, UWSGI_THREADS)
"""Those whose connections can be taken over; one process each."""

GUNICORNS = (SYNC, GTHREAD, GEVENT)


# ---- Servers --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hosting(kind: WSGIServerKind, app: str = APP, *, arguments: Sequence[str] = ()) -> Iterator[Hosted]:
    """Start a server of this kind, stop it at the end; skips where there is none.

    Args:
        kind: a row of the table.
        app: ``module:attribute``.
        arguments: more command line arguments, in front.
    """
    if reason := kind.why_unavailable():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="bridge-test-") as directory:
        os.chmod(directory, 0o755)  # the processes of Apache are somebody else
        journal = Path(journal_path(directory))
        journal.touch()
        journal.chmod(0o666)
        environment = {DIRECTORY_VARIABLE: directory}
        with running(kind, app, Path(directory), arguments=arguments, environment=environment) as server:
            yield Hosted(server, directory)


@dataclass
class _Shared:
    hosted: Hosted
    stop: contextlib.ExitStack
    users: int = 0


_shared: dict[str, _Shared] = {}


@contextlib.contextmanager
def shared_host(kind: WSGIServerKind) -> Iterator[Hosted]:
    """Lend the one process of this kind that the whole run needs; it is stopped when nobody has it any more."""
    shared = _shared.get(kind.name)
    if shared is None:
        stop = contextlib.ExitStack()
        shared = _shared[kind.name] = _Shared(stop.enter_context(hosting(kind, FRAMEWORKS_APP)), stop)
    shared.users += 1
    try:
        yield shared.hosted
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[kind.name]
            shared.stop.close()


# ---- Clients --------------------------------------------------------------------------------------------------------


def dial(hosted: Hosted, target: str, **options: Any) -> ClientConnection:
    """Return an open socket, a context manager. It offers no compression by itself."""
    settled = {"compression": None, "open_timeout": WAIT_S, "close_timeout": WAIT_S, "ping_interval": None}
    url = f"ws://{HOST}:{hosted.server.port}{target}"
    return connect(url, proxy=None, max_size=None, **(settled | options))


def ending_of(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Pass over messages up to the end; return the code and the reason that came, 1006 if none came."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=WAIT_S)
    return socket.close_code, socket.close_reason


def ask(hosted: Hosted, target: str, **changes: str | None) -> Response:
    """Make a handshake that is answered by an ordinary response, and return that."""
    return fetch(hosted.server, "GET", target, handshake_fields(**changes))


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Look until something of another process is so; fails if it is not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not after {timeout_s} s: {what}"
        time.sleep(_LOOK_S)
