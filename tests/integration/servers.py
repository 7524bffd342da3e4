"""The servers the live tests run on, and how one is started and stopped.

A server is a subprocess that serves an application given as ``module:attribute`` on a free loopback port. Its standard
streams go to one log file, which tests read.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

HOST = "127.0.0.1"
_ROOT = Path(__file__).resolve().parents[2]

# Importing the frameworks takes seconds on a busy machine.
_START_S = 40.0
# And so does ending, of those that end at all.
_STOP_S = 20.0
# At the end of a test nobody waits for a server that will not go.
_CLEAN_UP_S = 8.0
_LOOK_S = 0.02
_IDLE_LOOK_S = 0.05
_ATTEMPTS = 3
# Below those that systems give to clients: no connection can take the port of a server that has not bound it yet, and
# who looks whether it listens cannot be connected to himself.
_FIRST_PORT, _PORTS = 15_000, 17_000
_numbers = count()


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One way to run an ASGI server.

    Attributes:
        name: the id of the kind in test names.
        arguments: the command line after ``python -m``; ``{app}``, ``{host}`` and ``{port}`` are filled in.
        has_lifespan: it speaks the lifespan protocol.
        streams_body: the application is called before the request body is complete, so a cut upload is noticed by it.
        continues_on_demand: ``100 Continue`` is sent when the application asks for the body, not before.
        cuts_failed_responses: the connection ends when the application fails after the response has begun. Daphne
            4.2 leaves the client waiting for ever instead, and no longer notices failures of later requests.
    """

    name: str
    arguments: Sequence[str]
    has_lifespan: bool = True
    streams_body: bool = True
    continues_on_demand: bool = True
    cuts_failed_responses: bool = True

    def __str__(self) -> str:
        return self.name


def _uvicorn(*more: str) -> tuple[str, ...]:
    return ("uvicorn", "{app}", "--host", "{host}", "--port", "{port}", "--no-access-log", *more)


def _hypercorn(*more: str) -> tuple[str, ...]:
    return ("hypercorn", "{app}", "--bind", "{host}:{port}", "--graceful-timeout", "15", *more)


def _granian(*more: str) -> tuple[str, ...]:
    return ("granian", "--interface", "asgi", "--host", "{host}", "--port", "{port}", *more, "{app}")


UVICORN_H11 = ServerKind("uvicorn-h11", _uvicorn("--http", "h11", "--loop", "asyncio"))
UVICORN_HTTPTOOLS = ServerKind("uvicorn-httptools", _uvicorn("--http", "httptools", "--loop", "uvloop"))
HYPERCORN_ASYNCIO = ServerKind("hypercorn-asyncio", _hypercorn("--worker-class", "asyncio"), continues_on_demand=False)
HYPERCORN_TRIO = ServerKind("hypercorn-trio", _hypercorn("--worker-class", "trio"), continues_on_demand=False)
GRANIAN = ServerKind("granian", _granian())
DAPHNE = ServerKind(
    "daphne",
    ("daphne", "-b", "{host}", "-p", "{port}", "{app}"),
    has_lifespan=False,
    streams_body=False,
    continues_on_demand=False,
    cuts_failed_responses=False,
)
GUNICORN = ServerKind("gunicorn", ("gunicorn", "-k", "asgi", "-b", "{host}:{port}", "--no-control-socket", "{app}"))
GRANIAN_HTTP2 = ServerKind("granian-h2", _granian("--http", "2"))

SERVERS = (UVICORN_H11, UVICORN_HTTPTOOLS, HYPERCORN_ASYNCIO, HYPERCORN_TRIO, GRANIAN, DAPHNE, GUNICORN)
"""The kinds that every live test of HTTP/1.1 runs on."""

HTTP2_SERVERS = (HYPERCORN_ASYNCIO, GRANIAN_HTTP2)
"""The kinds that take HTTP/2 with prior knowledge, without TLS."""


class Server:
    """A running server.

    Args:
        kind: what it is.
        port: where it listens.
        process: its (main) process, leader of a process group of its own.
        log_path: the file its output goes to.
    """

    host = HOST

    def __init__(self, kind: ServerKind, port: int, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.kind = kind
        self.port = port
        self.process = process
        self._log_path = log_path

    @property
    def url(self) -> str:
        """``http://host:port``, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def log(self) -> str:
        """Return all it has written so far."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def is_listening(self) -> bool:
        """Tell whether a connection is accepted now."""
        try:
            socket.create_connection((self.host, self.port), timeout=2).close()
        except OSError:
            return False
        return True

    def wait_until_idle(self) -> None:
        """Wait until nothing of it runs, nor has run between two looks: it has done with what its clients have seen.

        Where the system does not tell, a moment must do.
        """
        if not os.path.exists("/proc/self/task"):
            time.sleep(10 * _LOOK_S)
            return
        deadline_s = time.monotonic() + _STOP_S
        before: list[tuple[str, str, str, str]] = []
        while (now := _threads_of(self.process.pid)) != before or any(state not in "SIZ" for _, state, _, _ in now):
            assert time.monotonic() < deadline_s, f"the server is busy for {_STOP_S} s: {now}"
            before = now
            time.sleep(_IDLE_LOOK_S)

    def stop(self, timeout_s: float = _STOP_S) -> int | None:
        """Send SIGTERM; return the exit code, or None (and kill all of it) if it does not end in time."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = _STOP_S) -> int | None:
        """Return the exit code, or None (and kill all of it) if it does not end in time."""
        try:
            code: int | None = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        # The leader may be gone and have left a worker behind.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(_STOP_S)
        return code


@contextlib.contextmanager
def running(
    kind: ServerKind,
    app: str,
    directory: Path,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a server, wait until it takes connections, stop it at the end.

    Args:
        kind: a row of the table.
        app: ``module:attribute``, importable from the top of the repository.
        directory: where its log goes, and its working directory.
        arguments: more command line arguments.
        environment: more environment variables.

    Raises:
        RuntimeError: it ended, or took no connection in time; with its log.
    """
    server = _start(kind, app, directory, arguments, environment or {})
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(_CLEAN_UP_S)
        else:
            server.wait(0)


def _start(
    kind: ServerKind, app: str, directory: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> Server:
    # Between finding a free port and the server's bind somebody else may take it: then try another one.
    for attempt in range(_ATTEMPTS):
        port = free_port()
        filled = [part.format(app=app, host=HOST, port=port) for part in kind.arguments]
        log_path = directory / f"{kind.name}-{attempt}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", filled[0], *arguments, *filled[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"} | dict(environment),
                start_new_session=True,
            )
        server = Server(kind, port, process, log_path)
        if _is_ready(server):
            return server
        server.stop(_CLEAN_UP_S)
        if "in use" not in server.log():
            break
    raise RuntimeError(f"{kind} did not start:\n{server.log()}")


def _is_ready(server: Server) -> bool:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        if server.process.poll() is not None:
            return False
        if server.is_listening():
            return True
        time.sleep(_LOOK_S)
    return False


def free_port() -> int:
    """Return a loopback port that nobody has now; each time another one, and in each process from another place on."""
    while True:
        port = _FIRST_PORT + (os.getpid() * 997 + next(_numbers)) % _PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def _threads_of(session: int) -> list[tuple[str, str, str, str]]:
    """Return path, state, user time and system time of each thread of the processes that are in that session."""
    threads: list[tuple[str, str, str, str]] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if _stat_of(process / "stat")[3] == str(session):
                for path in sorted(process.glob("task/*/stat")):
                    fields = _stat_of(path)
                    threads.append((str(path), fields[0], fields[11], fields[12]))
    return threads


def _stat_of(path: Path) -> list[str]:
    """Return the fields behind the name, which may have blanks."""
    return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
