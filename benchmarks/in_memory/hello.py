"""What does an adapter add to a request that does nothing? One at a time, 32 at a time, and 256 at a time."""

from __future__ import annotations

from typing import Any

from benchmarks import apps
from benchmarks.in_memory.adapters import A2WSGI, FLOOR
from benchmarks.in_memory.driver import clients, compare
from benchmarks.results import Comparison
from benchmarks.settings import Settings

TARGETS = {1: {A2WSGI: 1 / 6}, 32: {FLOOR: 2.5, A2WSGI: 1 / 18}, 256: {}}


def run(settings: Settings) -> list[Comparison]:
    compared = []
    for at_a_time, targets in TARGETS.items():
        requests = settings.pick(320 if at_a_time == 1 else 1024, 320 if at_a_time == 1 else 640)

        async def together(asgi: Any, at_a_time: int = at_a_time, requests: int = requests) -> None:
            await clients(at_a_time, requests, asgi)

        title = f"Hello, {at_a_time} at a time"
        per = 1e6 / requests
        compared += compare(
            settings,
            title,
            apps.hello,
            together,
            unit="us per request",
            per=per,
            targets=targets,
            turns=settings.pick(9, 1),
        )
    return compared
