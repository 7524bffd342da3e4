"""Under fire: servers that listen on a socket of the file system, as they do behind a proxy."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.faults.process_apps import BLOCK
from tests.faults.process_servers import (
    ASGI_APP,
    GTHREAD,
    GUNICORN_ASGI,
    HYPERCORN,
    MARGIN_S,
    THREADS,
    UVICORN,
    WAIT_S,
    WAITRESS_THREADS,
    WSGI_APP,
    at_once,
    ended_after,
    tell,
    wait_until,
)
from tests.integration.asgi_apps import DIRECTORY_VARIABLE, journal_path
from tests.integration.raw import TIMEOUT_S, Connection
from tests.integration.servers import Server, ServerKind
from tests.integration.wsgi_servers import Hosted

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no such sockets"),
]

_ROOT = Path(__file__).resolve().parents[2]
_CLIENTS = 10
_BLOCKS = 64
_CLOSE = [("Connection", "close")]
_COMMANDS: dict[ServerKind, tuple[str, str]] = {
    UVICORN: (WSGI_APP, "uvicorn --uds {socket} --timeout-graceful-shutdown 5"),
    HYPERCORN: (WSGI_APP, "hypercorn --bind unix:{socket} --worker-class trio"),
    GUNICORN_ASGI: (WSGI_APP, "gunicorn -k asgi -b unix:{socket} --graceful-timeout 5 --no-control-socket"),
    GTHREAD: (
        ASGI_APP,
        f"gunicorn -k gthread --threads {THREADS} -b unix:{{socket}} --graceful-timeout 5 --no-control-socket",
    ),
    WAITRESS_THREADS: (ASGI_APP, f"waitress --threads {THREADS} --unix-socket {{socket}}"),
}


class _Local(Connection):
    """A connection to such a socket.

    Args:
        path: where it is.
    """

    def __init__(self, path: str) -> None:
        self._host = "localhost"
        self._buffer = bytearray()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise


@contextlib.contextmanager
def _listening(kind: ServerKind) -> Iterator[tuple[Hosted, str]]:
    """Start a server of this kind on a socket in its own directory; stop it at the end."""
    app, command = _COMMANDS[kind]
    with tempfile.TemporaryDirectory(prefix="bridge-test-") as directory:
        Path(journal_path(directory)).touch()
        path, log_path = os.path.join(directory, "socket"), Path(directory, "server.log")
        module, *arguments = command.format(socket=path).split()
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, app],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1", DIRECTORY_VARIABLE: directory},
                start_new_session=True,
            )
        hosted = Hosted(Server(kind, 0, process, log_path), directory)
        try:
            wait_until(lambda: _takes_connections(path), f"{kind} listens", 2 * WAIT_S)
            yield hosted, path
        finally:
            hosted.server.stop()


def _takes_connections(path: str) -> bool:
    with contextlib.suppress(OSError), _Local(path):
        return True
    return False


@pytest.mark.requirement("W-142", "A-102")
def test_requests_uploads_drops_and_the_end_are_as_on_any_other_socket() -> None:
    at_once({str(kind): partial(_work_and_end, kind) for kind in _COMMANDS})


def _work_and_end(kind: ServerKind) -> None:
    body = b"u" * 300_000
    upload = "/upload" if _COMMANDS[kind][0] == WSGI_APP else "/pieces"
    gone = "closed" if _COMMANDS[kind][0] == WSGI_APP else "left"
    with _listening(kind) as (hosted, path), contextlib.ExitStack() as stack:
        for turn in range(_CLIENTS):
            with _Local(path) as dropped, _Local(path) as cut, _Local(path) as whole:
                dropped.send_head("GET", f"/large?id=dropped-{turn}&number=2000", _CLOSE)
                dropped.read_head()
                cut.send_head("POST", f"{upload}?id=cut-{turn}", [("Content-Length", str(len(body))), *_CLOSE])
                cut.send(body[:1000])
                assert whole.request("POST", f"{upload}?id=whole", _CLOSE, body).json()["length"] == len(body)
            with _Local(path) as connection:
                octets = connection.request("GET", f"/large?id=all&number={_BLOCKS}", _CLOSE).body
            assert hashlib.sha256(octets).digest() == hashlib.sha256(BLOCK * _BLOCKS).digest()
        for turn in range(_CLIENTS):
            hosted.wait_for(gone, f"dropped-{turn}", WAIT_S)

        held = [stack.enter_context(_Local(path)) for _ in range(_CLIENTS)]
        for turn, connection in enumerate(held):
            connection.send_head("GET", f"/held?id=held-{turn}&gate=all", _CLOSE)
        for turn in range(_CLIENTS):
            hosted.wait_for("holds", f"held-{turn}", WAIT_S)
        tell(hosted, signal.SIGINT if kind is WAITRESS_THREADS else signal.SIGTERM)
        hosted.open_gate("all")
        bodies = [connection.read_response().body for connection in held]
        code, _ = ended_after(hosted, 5.0 + MARGIN_S)

        assert bodies == [b"finished"] * _CLIENTS
        assert code in (0, -signal.SIGTERM)
        cut_ones = [hosted.journal("read", f"cut-{turn}") for turn in range(_CLIENTS)]
        assert not any(entry.get("end") == "complete" for entries in cut_ones for entry in entries)
        assert all(entry.get("end") or entry.get("error") for entries in cut_ones for entry in entries)
