"""What does streaming cost per block? 5,000 blocks of 100 bytes, none of which may be held back.

uvicorn's adapter has a queue without a bound: it never waits for a client, however slow, and pays with memory.
"""

from __future__ import annotations

from typing import Any

from benchmarks import apps
from benchmarks.in_memory.adapters import A2WSGI, NATIVE
from benchmarks.in_memory.driver import compare, request
from benchmarks.results import Comparison
from benchmarks.settings import Settings


def run(settings: Settings) -> list[Comparison]:
    count = settings.pick(5000, 1000)

    async def stream(asgi: Any) -> None:
        assert await request(asgi) == count * len(apps.SMALL_BLOCK)

    return compare(
        settings,
        f"{count:,} blocks of 100 bytes",
        apps.small_blocks(count),
        stream,
        unit="ms",
        per=1e3,
        turns=settings.pick(3, 1),
        native=apps.native_stream(apps.SMALL_BLOCK, count),
        targets={NATIVE: 4, A2WSGI: 1 / 40},
    )
