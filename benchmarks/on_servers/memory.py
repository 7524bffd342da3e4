"""How much memory does a large transfer take? Peak resident size of a uvicorn server during 512 MB up or down, against
what it had when idle.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.on_servers import servers
from benchmarks.results import Column, Comparison, Figure
from benchmarks.settings import MIB, Settings

PIECE = bytes(MIB)
MORE = "more"
COLUMNS = (
    Column(name=MORE, unit="MiB", better="less"),
    Column(name="idle", unit="MiB", better="less"),
    Column(name="peak", unit="MiB", better="less"),
)
MOST_MORE_MIB = 64.0


def run(settings: Settings) -> list[Comparison]:
    size_mib = settings.pick(512, 64)
    comparison = Comparison(title=f"Memory for {size_mib} MiB", columns=COLUMNS)
    if not Path("/proc/self/status").exists():
        comparison.notes.append("Skipped: there is no /proc to read memory from.")
        return [comparison]
    cases: list[tuple[str, str, Callable[[str], None]]] = [
        ("upload, spooled", "spool", lambda url: upload(url, size_mib)),
        ("upload, streamed", "stream", lambda url: upload(url, size_mib)),
        ("download, a generator", "spool", lambda url: download(url, f"/stream/{size_mib}", size_mib)),
        ("download, a file", "spool", lambda url: download(url, f"/file/{size_mib}", size_mib)),
    ]
    for name, large_body, transfer in cases:
        with setting("BENCHMARK_LARGE_BODY", large_body), servers.uvicorn("transfers", path="/stream/1") as (url, pid):
            idle = resident_mib(pid, "VmRSS")  # after one request: everything has been imported
            transfer(url)
            peak = resident_mib(pid, "VmHWM")
        comparison.rows[name] = figures(idle, peak)
    return [bounded(comparison)]


def figures(idle_mib: float, peak_mib: float) -> dict[str, Figure]:
    """Return the figures of one transfer."""
    found = (peak_mib - idle_mib, idle_mib, peak_mib)
    return {column.name: Figure((value,)) for column, value in zip(COLUMNS, found, strict=True)}


def bounded(comparison: Comparison) -> Comparison:
    """Return it with the target, which is for whichever transfer took most."""
    comparison.subject = max(comparison.rows, key=lambda row: comparison.rows[row][MORE].median)
    comparison.bounds = {MORE: MOST_MORE_MIB}
    return comparison


@contextlib.contextmanager
def setting(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for the servers started inside."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def resident_mib(pid: int, field: str) -> float:
    match = re.search(
        rf"^{field}:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE
    )
    assert match is not None, field
    return int(match[1]) / 1024


def upload(url: str, size_mib: int) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/up/")
        connection.putheader("Content-Length", str(size_mib * MIB))
        connection.endheaders()
        for _ in range(size_mib):
            connection.send(PIECE)
        answer = connection.getresponse().read()
    assert answer == b"%d" % (size_mib * MIB), answer


def download(url: str, path: str, size_mib: int) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        size_bytes = 0
        while piece := response.read(MIB):
            size_bytes += len(piece)
    assert size_bytes == size_mib * MIB, size_bytes
