"""How much memory does a large transfer of an ASGI application take on a WSGI server? Peak resident size of gunicorn's
worker (gthread) during 512 MB up or down, against what it had when idle.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.on_servers import servers
from benchmarks.on_servers.memory import COLUMNS, bounded, download, figures, resident_mib, upload
from benchmarks.results import Comparison
from benchmarks.settings import Settings


def run(settings: Settings) -> list[Comparison]:
    size_mib = settings.pick(512, 64)
    comparison = Comparison(title=f"Memory for {size_mib} MiB, gunicorn gthread", columns=COLUMNS)
    if not Path("/proc/self/status").exists():
        comparison.notes.append("Skipped: there is no /proc to read memory from.")
        return [comparison]
    command = ("gunicorn", "-k", "gthread", "--threads", "4", "--timeout", "120", "--bind", "127.0.0.1:{port}")
    transfers: dict[str, Callable[[str], None]] = {
        "upload": lambda url: upload(url, size_mib),
        "download": lambda url: download(url, f"/down/{size_mib}", size_mib),
    }
    for name, transfer in transfers.items():
        with servers.server(*command, "benchmarks.on_servers.served_by_wsgi:transfers", path="/down/1") as (url, pid):
            worker = int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])
            idle = resident_mib(worker, "VmRSS")  # after one request: everything has been imported
            transfer(url)
            peak = resident_mib(worker, "VmHWM")
        comparison.rows[name] = figures(idle, peak)
    return [bounded(comparison)]
