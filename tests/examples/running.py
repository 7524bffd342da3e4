"""Programs as subprocesses, ready when they take connections on a port or on a unix socket, ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.integration.servers import HOST, Server, ServerKind

TOP = Path(__file__).resolve().parents[2]
DEPLOY = TOP / "examples" / "deploy"
WSGI_HOSTING = TOP / "examples" / "wsgi_hosting"

_START_S = 40.0
_LOOK_S = 0.02


def environment(*folders: Path, **more: str) -> dict[str, str]:
    """Return the variables for a program that imports the bridge from here, and modules from these folders."""
    path = os.pathsep.join(map(str, (TOP, *folders)))
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | more


@contextlib.contextmanager
def started(
    directory: Path, name: str, command: Sequence[str], at: int | Path, variables: Mapping[str, str]
) -> Iterator[Server]:
    """Start a program in a directory; give it when it takes connections at a port or a unix socket."""
    log_path = directory / f"{name}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=dict(variables),
            start_new_session=True,
        )
    server = Server(ServerKind(name, ()), at if isinstance(at, int) else 0, process, log_path)
    try:
        deadline_s = time.monotonic() + _START_S
        while not takes_connections(at):
            assert process.poll() is None, f"{name} has ended:\n{server.log()}"
            assert time.monotonic() < deadline_s, f"{name} takes no connections:\n{server.log()}"
            time.sleep(_LOOK_S)
        yield server
    finally:
        if process.poll() is None:
            server.stop()
        else:
            server.wait(0)


def takes_connections(at: int | Path) -> bool:
    """Tell whether a connection to a port or a unix socket is accepted now."""
    try:
        if isinstance(at, int):
            socket.create_connection((HOST, at), timeout=2).close()
        else:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(str(at))
    except OSError:
        return False
    return True
