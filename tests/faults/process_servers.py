"""The servers for signals, forks and restarts, each with a limit of its own on how long it waits at its end.

They are those of the live tests (`tests.integration.servers`, `tests.integration.wsgi_servers`), with applications that
keep a journal, in a directory of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.integration.asgi_apps import DIRECTORY_VARIABLE, journal_path
from tests.integration.raw import Connection
from tests.integration.servers import GRANIAN as GRANIAN_OF_ASGI
from tests.integration.servers import (
    GUNICORN,
    HYPERCORN_TRIO,
    UVICORN_H11,
    UVICORN_HTTPTOOLS,
    Server,
    ServerKind,
    running,
)
from tests.integration.wsgi_servers import (
    CHEROOT,
    GRANIAN,
    GUNICORN_GEVENT,
    GUNICORN_GTHREAD,
    GUNICORN_SYNC,
    WAITRESS,
    WERKZEUG,
    Hosted,
    WSGIServerKind,
)

WSGI_APP = "tests.faults.process_apps:app"
"""A WSGI application, hosted by the bridge on ASGI servers."""
ASGI_APP = "tests.faults.to_wsgi_apps:app"
"""An ASGI application, hosted by the bridge on WSGI servers."""

GRACE_S = 5
"""How long the servers wait for requests before they cancel them or give them up."""
MARGIN_S = 12.0
"""What the end of a process may take beyond the limits it was given, on a machine that is busy."""
WAIT_S = 15.0
_LOOK_S = 0.01


_Kind = TypeVar("_Kind", bound=ServerKind)


def with_options(kind: _Kind, **options: object) -> _Kind:
    """Return the kind with options (``graceful_timeout=3``), which take the place of those it has."""
    module, *rest = kind.arguments
    front: list[str] = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if option in rest:
            at = rest.index(option)
            del rest[at : at + 2]
        front += [option, str(value)]
    return replace(kind, arguments=(module, *front, *rest))


UVICORN = with_options(UVICORN_H11, timeout_graceful_shutdown=GRACE_S)
UVICORN_FAST = with_options(UVICORN_HTTPTOOLS, timeout_graceful_shutdown=GRACE_S)
# Not on asyncio: there, since Python 3.12, hypercorn 0.18 waits without a limit for connections that are open, whatever
# the application does (it awaits ``Server.wait_closed()`` before its own limit begins).
HYPERCORN = with_options(HYPERCORN_TRIO, graceful_timeout=GRACE_S)
GRANIAN_ASGI = with_options(GRANIAN_OF_ASGI, workers_kill_timeout=GRACE_S)
GUNICORN_ASGI = with_options(GUNICORN, graceful_timeout=GRACE_S)
GUNICORN_UVICORN = replace(
    GUNICORN_ASGI,
    name="gunicorn-uvicorn",
    arguments=tuple("uvicorn.workers.UvicornWorker" if one == "asgi" else one for one in GUNICORN_ASGI.arguments),
)

ASGI_SERVERS = (UVICORN, UVICORN_FAST, HYPERCORN, GRANIAN_ASGI, GUNICORN_ASGI, GUNICORN_UVICORN)

THREADS = 24
SYNC = with_options(GUNICORN_SYNC, graceful_timeout=GRACE_S)
GTHREAD = with_options(GUNICORN_GTHREAD, graceful_timeout=GRACE_S, threads=THREADS)
GEVENT = with_options(GUNICORN_GEVENT, graceful_timeout=GRACE_S)
WAITRESS_THREADS = with_options(WAITRESS, threads=THREADS)
GRANIAN_WSGI = with_options(GRANIAN, workers_kill_timeout=GRACE_S, blocking_threads=THREADS)

THREADS_OF: dict[WSGIServerKind, int] = {
    SYNC: 1,
    GTHREAD: THREADS,
    GEVENT: THREADS,
    WAITRESS_THREADS: THREADS,
    GRANIAN_WSGI: THREADS,
    CHEROOT: 4,
    WERKZEUG: THREADS,
}
"""The WSGI servers, with the number of requests that each can have under way."""


@contextlib.contextmanager
def hosting(
    kind: ServerKind,
    app: str,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Iterator[Hosted]:
    """Start a server of this kind with journal and gates, stop it at the end.

    Args:
        kind: what it is.
        app: ``module:attribute``.
        arguments: more command line arguments, in front.
        environment: more environment variables.
        files: what there is in its working directory; ``{directory}`` in arguments is that.
    """
    with tempfile.TemporaryDirectory(prefix="bridge-test-") as directory:
        Path(journal_path(directory)).touch()
        for name, text in (files or {}).items():
            Path(directory, name).write_text(text, encoding="utf-8")
        filled = [argument.replace("{directory}", directory) for argument in arguments]
        more = {DIRECTORY_VARIABLE: directory, "TMPDIR": directory} | dict(environment or {})
        with running(kind, app, Path(directory), arguments=filled, environment=more) as server:
            yield Hosted(server, directory)


def at_once(scenarios: Mapping[str, Callable[[], object]]) -> None:
    """Run scenarios that have a name, all at the same time since they mostly wait.

    Raises:
        ExceptionGroup: some have failed; each error tells the name.
    """
    errors: list[Exception] = []

    def run(name: str) -> None:
        try:
            scenarios[name]()
        except Exception as error:
            error.add_note(f"in {name}")
            errors.append(error)

    with ThreadPoolExecutor(len(scenarios)) as pool:
        list(pool.map(run, scenarios))
    if errors:
        raise ExceptionGroup("not as it should be", errors)


def on_each(kinds: Iterable[_Kind], scenario: Callable[[_Kind], object]) -> None:
    """Run a scenario on each kind of server, all at the same time.

    Raises:
        ExceptionGroup: on some kinds it failed; each error tells the kind.
    """
    at_once({kind.name: partial(scenario, kind) for kind in kinds})


def ended_after(hosted: Hosted, limit_s: float) -> tuple[int | None, float]:
    """Wait for the end of a server that has been told to end; return its exit code and how long that took.

    The code is None if it has not ended within ``limit_s``; then all of it is killed.
    """
    begin_s = time.monotonic()
    code = hosted.server.wait(limit_s)
    return code, time.monotonic() - begin_s


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Look until something of another process is so; fails if it is not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not after {timeout_s} s: {what}"
        time.sleep(_LOOK_S)


def wait_until_deaf(server: Server, timeout_s: float = 0.5) -> None:
    """Wait until a server that was told to end takes no connection any more; some go on listening for a while."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s and server.is_listening():
        time.sleep(_LOOK_S)


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has made and that live."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return set()
    return {int(one) for one in text.split()}


def leave_half_open(connection: Connection) -> None:
    """Close the sending side of a connection, as ``nc -N`` does: nothing more will be asked."""
    connection._socket.shutdown(socket.SHUT_WR)


def receive_little(connection: Connection) -> None:
    """Make the window of a connection small, so that whoever sends is held back soon."""
    connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)


def tell(hosted: Hosted, signal_number: signal.Signals) -> None:
    """Send a signal to the server's main process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(hosted.server.process.pid, signal_number)
