"""Real servers in subprocesses, each pinned to one core, and ``wrk`` on another."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
START_S = 20.0
STOP_S = 10.0


def cores() -> tuple[int, int]:
    """Return the core for the server and the one for its clients; the same if there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return -1, -1
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pinned_to(core: int) -> Callable[[], None] | None:
    """Return what a subprocess runs first, so that it stays on one core; None where that cannot be done."""
    if core < 0:
        return None
    return lambda: os.sched_setaffinity(0, {core})


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(*arguments: str, path: str = "/") -> Iterator[tuple[str, int]]:
    """Run ``python -m`` with the arguments, ``{port}`` filled in; yield base URL and process id once it answers.

    Args:
        arguments: a module and its arguments.
        path: what to ask for to see whether it answers.
    """
    port = free_port()
    command = [sys.executable, "-m", *(argument.replace("{port}", str(port)) for argument in arguments)]
    environment = os.environ | {"PYTHONPATH": str(TOP)}
    with subprocess.Popen(
        command,
        cwd=TOP,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=pinned_to(cores()[0]),  # noqa: PLW1509 - the only thread there is
    ) as process:
        try:
            _wait_until_it_answers(f"http://127.0.0.1:{port}{path}", process, command)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def uvicorn(app: str, **paths: str) -> contextlib.AbstractContextManager[tuple[str, int]]:
    """Run uvicorn on uvloop and httptools with the application that a function of `on_servers.served` makes."""
    options = ["--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"]
    return server("uvicorn", *options, "--port", "{port}", f"benchmarks.on_servers.served:{app}", **paths)


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], command: list[str]) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                response.read()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"the server did not start: {' '.join(command)}") from error
            time.sleep(0.05)


def has_wrk() -> bool:
    """Tell whether wrk is installed."""
    return shutil.which("wrk") is not None


def wrk(url: str, *, connections: int, seconds: int) -> float:
    """Return the requests per second that one server gives.

    Raises:
        RuntimeError: some requests failed: the figure would mean nothing.
    """
    finished = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
        preexec_fn=pinned_to(cores()[1]),
    )
    if "Non-2xx" in finished.stdout or "Socket errors" in finished.stdout:
        raise RuntimeError(f"requests to {url} failed:\n{finished.stdout}")
    match = re.search(r"Requests/sec:\s+([0-9.]+)", finished.stdout)
    if match is None:
        raise RuntimeError(f"wrk said something else than expected:\n{finished.stdout}")
    return float(match[1])
