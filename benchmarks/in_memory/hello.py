"""What does an adapter add to a request that does nothing? One at a time, 32 at a time, and 256 at a time.

On all cores the interpreter's lock travels between them, with all that the threads have in their caches; what that
costs depends on the machine, and on the hour where it is a virtual one. So the first two are measured with all threads
on one core as well.
"""

from __future__ import annotations

import contextlib
from typing import Any

from benchmarks import apps, pinning
from benchmarks.in_memory.adapters import A2WSGI, FLOOR
from benchmarks.in_memory.driver import clients, compare
from benchmarks.results import Comparison
from benchmarks.settings import Settings

TARGETS = {1: {A2WSGI: 1 / 6}, 32: {FLOOR: 2.5, A2WSGI: 1 / 18}, 256: {}}
ON_ONE_CORE = (1, 32)


def run(settings: Settings) -> list[Comparison]:
    compared = [comparison for at_a_time in TARGETS for comparison in _compare(settings, at_a_time, "")]
    with contextlib.ExitStack() as stack:
        if pinning.cores()[0] >= 0:
            stack.enter_context(pinning.pinned_to(pinning.cores()[0]))
            for at_a_time in ON_ONE_CORE:
                compared += _compare(settings, at_a_time, " on one core")
    return compared


def _compare(settings: Settings, at_a_time: int, where: str) -> list[Comparison]:
    requests = settings.pick(320 if at_a_time == 1 else 1024, 320 if at_a_time == 1 else 640)

    async def together(asgi: Any) -> None:
        await clients(at_a_time, requests, asgi)

    return compare(
        settings,
        f"Hello, {at_a_time} at a time{where}",
        apps.hello,
        together,
        unit="us per request",
        per=1e6 / requests,
        targets=TARGETS[at_a_time],
        turns=settings.pick(9, 1),
    )
