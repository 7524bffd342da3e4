"""How close to the ideal does a pool of 40 threads come, with an application that blocks for 10 ms and 100 requests
at a time? The ideal is 10 ms / 40 = 250 us per request.

asgiref has one thread for all requests; starlette uses anyio's 40; hypercorn has the loop's executor, whose size
depends on the processors.
"""

from __future__ import annotations

from typing import Any

from benchmarks import apps
from benchmarks.in_memory.adapters import FLOOR
from benchmarks.in_memory.driver import clients, compare
from benchmarks.in_memory.stopwatch import TIME
from benchmarks.results import Comparison, Figure
from benchmarks.settings import Settings

IDEAL = "the ideal"
IDEAL_US = 10_000 / 40


def run(settings: Settings) -> list[Comparison]:
    requests = settings.pick(2000, 200)

    async def many(asgi: Any) -> None:
        await clients(100, requests, asgi)

    compared = compare(
        settings,
        "10 ms of blocking, 100 at a time, 40 workers",
        apps.blocking,
        many,
        unit="us per request",
        per=1e6 / requests,
        leave_out=frozenset({FLOOR}),  # it would block the loop: 10,000 us per request
        budget_s=10,
    )
    for comparison in compared:
        comparison.rows = {IDEAL: {TIME: Figure((IDEAL_US,) * settings.rounds)}, **comparison.rows}
        comparison.bases = (IDEAL, *comparison.bases)
    return compared
