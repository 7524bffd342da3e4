"""Real servers in subprocesses, each pinned to one core, with all that they start."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks.on_servers import wrk as load
from benchmarks.pinning import cores, pinned_to

__all__ = ["Command", "Server", "cores", "free_port", "has_wrk", "running", "server", "uvicorn", "wrk"]

TOP = Path(__file__).resolve().parent.parent.parent
START_S = 30.0
STOP_S = 10.0
_LINES_OF_LOG = 5


class Server(NamedTuple):
    """Where one answers, and its process; the process may have children."""

    url: str
    pid: int


@dataclasses.dataclass(frozen=True)
class Command:
    """How a server is started.

    Attributes:
        arguments: a module and its arguments, for ``python -m``; ``{port}`` in them will be filled in.
        environment: variables that the server has besides ours.
        path: what to ask for to see whether it answers.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    path: str = "/"

    def with_environment(self, more: Mapping[str, str]) -> Command:
        """Return the same with more variables."""
        return dataclasses.replace(self, environment={**self.environment, **more})


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: Command, *, stop_s: float = STOP_S) -> Iterator[Server]:
    """Start a server, yield it once it answers, and end it with all its children.

    Args:
        command: how it is started.
        stop_s: how long it may take to end by itself.

    Raises:
        RuntimeError: it does not answer; with the last lines that it said.
    """
    port = free_port()
    line = [sys.executable, "-m", *(argument.replace("{port}", str(port)) for argument in command.arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TOP), **command.environment}
    with tempfile.TemporaryFile() as log:
        with pinned_to(cores()[0]):
            process = subprocess.Popen(
                line,
                cwd=TOP,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            try:
                _wait_until_it_answers(f"http://127.0.0.1:{port}{command.path}", process)
            except OSError as error:
                raise RuntimeError(f"the server did not start: {' '.join(line)}\n{_last_lines(log)}") from error
            yield Server(f"http://127.0.0.1:{port}", process.pid)
        finally:
            _end(process, stop_s)


def server(*arguments: str, path: str = "/") -> contextlib.AbstractContextManager[Server]:
    """Run a module with these arguments; see `Command`."""
    return running(Command(arguments, path=path))


def uvicorn(app: str, **paths: str) -> contextlib.AbstractContextManager[Server]:
    """Run uvicorn on uvloop and httptools with the application that a function of `on_servers.served` makes."""
    options = ["--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"]
    return server("uvicorn", *options, "--port", "{port}", f"benchmarks.on_servers.served:{app}", **paths)


def has_wrk() -> bool:
    """Tell whether wrk is installed."""
    return load.is_installed()


def wrk(url: str, *, connections: int, seconds: float) -> float:
    """Return the requests per second that one server gives; see `benchmarks.on_servers.wrk` for more."""
    return load.wrk(url, connections=connections, seconds=seconds).requests_per_second


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                response.read()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


def _last_lines(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-_LINES_OF_LOG:])


def _end(process: subprocess.Popen[bytes], stop_s: float) -> None:
    """Ask the server to end, and kill what is left of it: it leads a group of processes."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(stop_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_S)
