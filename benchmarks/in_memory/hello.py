"""What does an adapter add to a request that does nothing? 32 at a time, and one at a time."""

from __future__ import annotations

from typing import Any

from benchmarks import apps
from benchmarks.in_memory.driver import clients, compare
from benchmarks.settings import Settings, Table


def run(settings: Settings) -> list[Table]:
    requests = settings.pick(3200, 640)

    async def many(asgi: Any) -> None:
        await clients(32, requests, asgi)

    async def one(asgi: Any) -> None:
        await clients(1, requests // 2, asgi)

    return [
        *compare(settings, "Hello, 32 at a time", apps.hello, many, unit="us per request", per=1e6 / requests),
        *compare(settings, "Hello, 1 at a time", apps.hello, one, unit="us per request", per=1e6 / (requests // 2)),
    ]
