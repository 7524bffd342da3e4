"""What does a large request body cost? 64 MiB in events of 64 KiB, read in pieces of 64 KiB.

The floor, starlette's, uvicorn's and hypercorn's adapters join the body in memory; asgiref spools it to a temporary
file; a2wsgi streams it; so does the bridge, since it comes fast (`large_body="auto"`).
"""

from __future__ import annotations

from typing import Any

from benchmarks import apps
from benchmarks.in_memory.adapters import A2WSGI
from benchmarks.in_memory.driver import PIECE, compare, request
from benchmarks.results import Comparison
from benchmarks.settings import MIB, Settings


def run(settings: Settings) -> list[Comparison]:
    size_mib = settings.pick(64, 16)
    pieces = size_mib * MIB // len(PIECE)

    async def upload(asgi: Any) -> None:
        assert await request(asgi, pieces=pieces) == len(str(size_mib * MIB))

    # Starlette's grows quadratically: one round of 64 MiB takes longer than all others together, so it has only one.
    return compare(
        settings,
        f"{size_mib} MiB up, in memory",
        apps.upload,
        upload,
        unit="ms",
        per=1e3,
        native=apps.native_upload,
        targets={A2WSGI: 1 / 8},
        budget_s=10,
    )
