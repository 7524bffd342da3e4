"""How fast are large transfers over a socket? 64 MiB down in blocks of 64 KiB, 64 MiB up, and a file of 20 MB that
Flask sends with `send_file`. One client, one transfer after the other, the server on a core of its own.

What comes is looked at for its length, always; for its content, once.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks import pinning
from benchmarks.in_memory.adapters import A2WSGI, BRIDGE, NATIVE
from benchmarks.on_servers import hosts
from benchmarks.on_servers.load import MEMORY, Running, measured, usage_during
from benchmarks.on_servers.served_transfers import BLOCK
from benchmarks.on_servers.servers import Command, Server
from benchmarks.on_servers.transfer_client import download, upload
from benchmarks.results import Column, Comparison
from benchmarks.settings import MIB, Settings

SPEED = Column(name="speed", unit="MiB per second", better="more")
CPU = Column(name="processor", unit="ms per transfer", better="less")
COLUMNS = (SPEED, CPU, MEMORY)
THREADS = 4
APP = "benchmarks.on_servers.served_transfers"
FLASK = "benchmarks.on_servers.served_flask:app"
FILE_BYTES = 20_000_000
FILE_PATH = "/file"

Transfer = Callable[[str], None]
"""Makes one transfer with the server at that URL."""


def run(settings: Settings) -> list[Comparison]:
    size_mib = settings.pick(64, 16)
    size_bytes = size_mib * MIB
    digest = hashlib.sha256(BLOCK * (size_bytes // len(BLOCK))).hexdigest()
    results = []
    with contextlib.ExitStack() as stack:
        running = Running(stack)
        down, up = (
            Comparison(title=f"{size_mib} MiB {way}", columns=COLUMNS, bases=(NATIVE, A2WSGI), targets={NATIVE: 0.9})
            for way in ("down", "up")
        )
        commands = _commands()
        results.append(
            _compare(
                settings,
                down,
                running,
                commands,
                size_bytes,
                lambda url: download(f"{url}/{size_mib}", size_bytes),
                lambda url: download(f"{url}/{size_mib}", size_bytes, digest=digest),
            )
        )
        results.append(_compare(settings, up, running, commands, size_bytes, lambda url: upload(url + "/", size_bytes)))
    return [*results, _send_file(settings)]


def _commands() -> dict[str, Command]:
    wsgi = f"{APP}:wsgi"
    path = "/1"
    return {
        NATIVE: hosts.uvicorn(hosts.plain(f"{APP}:asgi", path=path)),
        BRIDGE: hosts.uvicorn(hosts.through(BRIDGE, wsgi, path=path)),
        A2WSGI: hosts.uvicorn(hosts.through(A2WSGI, wsgi, path=path)),
        "waitress": hosts.waitress(hosts.plain(wsgi, path=path), threads=THREADS),
        "gunicorn gthread": hosts.gunicorn(hosts.plain(wsgi, path=path), threads=THREADS),
    }


def _send_file(settings: Settings) -> Comparison:
    comparison = Comparison(
        title="A file of 20 MB with Flask's send_file",
        columns=COLUMNS,
        bases=("waitress", A2WSGI),
        targets={"waitress": 1.0},
    )
    plain = hosts.plain(FLASK, path=FILE_PATH)
    commands = {
        BRIDGE: hosts.uvicorn(hosts.through(BRIDGE, FLASK, path=FILE_PATH)),
        f"{BRIDGE}, on granian": hosts.granian(hosts.through(BRIDGE, FLASK, path=FILE_PATH), interface="asgi"),
        A2WSGI: hosts.uvicorn(hosts.through(A2WSGI, FLASK, path=FILE_PATH)),
        "waitress": hosts.waitress(plain, threads=THREADS),
        "gunicorn gthread": hosts.gunicorn(plain, threads=THREADS),
    }
    content = random.Random(20).randbytes(FILE_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory, contextlib.ExitStack() as stack:
        file = Path(directory) / "file"
        file.write_bytes(content)
        environment = {"BENCHMARK_FILE": str(file)}
        return _compare(
            settings,
            comparison,
            Running(stack),
            {name: command.with_environment(environment) for name, command in commands.items()},
            FILE_BYTES,
            lambda url: download(url + FILE_PATH, FILE_BYTES),
            lambda url: download(url + FILE_PATH, FILE_BYTES, digest=digest),
        )


def _compare(
    settings: Settings,
    comparison: Comparison,
    running: Running,
    commands: Mapping[str, Command],
    size_bytes: int,
    transfer: Transfer,
    verified: Transfer | None = None,
) -> Comparison:
    """Fill a comparison of transfers, all in turns; the first of each, which is not measured, may be verified."""
    seconds = 0.1 if settings.quick else 1.5
    is_warm: set[str] = set()

    def once(name: str, command: Command) -> Mapping[str, float]:
        server = running.get(name, command)
        with pinning.pinned_to(pinning.cores()[1]):
            if name not in is_warm:
                (verified or transfer)(server.url)
                is_warm.add(name)
            return _measure(server, transfer, size_bytes, seconds)

    candidates = {name: partial(once, name, command) for name, command in commands.items()}
    return measured(settings, comparison, candidates)


def _measure(server: Server, transfer: Transfer, size_bytes: int, seconds: float) -> dict[str, float]:
    """Transfer again and again for that long."""
    count = 0
    with usage_during(server.pid) as usage:
        began_s = time.perf_counter()
        while (took_s := time.perf_counter() - began_s) < seconds or not count:
            transfer(server.url)
            count += 1
    figures = {SPEED.name: count * size_bytes / MIB / took_s}
    if used := usage():
        figures |= {CPU.name: used.cpu_s / count * 1e3, MEMORY.name: used.resident_mib}
    return figures
