"""What does a large response cost? 64 MiB in blocks of 64 KiB, to a client that takes them at once.

The queues of uvicorn's and starlette's adapters have no bound: they never wait for a client, and pay with memory.
"""

from __future__ import annotations

from typing import Any

from benchmarks import apps
from benchmarks.in_memory.adapters import A2WSGI
from benchmarks.in_memory.driver import compare, request
from benchmarks.results import Comparison
from benchmarks.settings import MIB, Settings


def run(settings: Settings) -> list[Comparison]:
    size_mib = settings.pick(64, 16)
    count = size_mib * MIB // len(apps.BLOCK)

    async def download(asgi: Any) -> None:
        assert await request(asgi) == size_mib * MIB

    return compare(
        settings,
        f"{size_mib} MiB down, in memory",
        apps.download(count),
        download,
        unit="ms",
        per=1e3,
        turns=settings.pick(3, 1),
        native=apps.native_stream(apps.BLOCK, count),
        targets={A2WSGI: 1 / 20},
    )
