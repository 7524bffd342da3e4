"""Which core is the server's, and which is its clients'."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NOT_PINNED = "Server and client could not be pinned to cores of their own: read the ratios with care."


def cores() -> tuple[int, int]:
    """Return the core for the server and the one for its clients; the same if there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return -1, -1
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def notes() -> list[str]:
    """Return what a reader of the figures must know about the cores of this machine."""
    server, client = cores()
    return [NOT_PINNED] if server == client else []


@contextlib.contextmanager
def pinned_to(core: int) -> Iterator[None]:
    """Keep the calling thread on one core; so are the processes that it starts meanwhile, for as long as they run.

    A process that is pinned after its start may have looked already at how many cores it has.
    """
    if core < 0:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
