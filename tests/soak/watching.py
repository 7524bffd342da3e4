"""A look at a server from inside: memory, threads, descriptors, tasks, and the objects there are, by type.

Linux only: it reads ``/proc``.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import re
import sys
from collections import Counter
from dataclasses import asdict, is_dataclass
from typing import Any

from tests.soak import books

PATH = "/watch"
WITH_TYPES = b"types"
"""The query string that asks for everything, after a collection of garbage; without it the look is a quick one."""
TRIMMED = b"trimmed"
"""The same, after the allocator was asked to give back what it does not use."""


class _MallocInfo(ctypes.Structure):
    """What glibc's ``mallinfo2`` returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


# Once: each CDLL object makes a class of its own.
_libc = ctypes.CDLL(None)
_mallinfo2 = getattr(_libc, "mallinfo2", None)
_malloc_trim = getattr(_libc, "malloc_trim", None)
if _mallinfo2 is not None:
    _mallinfo2.restype = _MallocInfo


def _resident() -> dict[str, int]:
    """Return KiB in physical memory: all, and what no other process shares."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as file:
        found = {name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB$", file.read(), re.MULTILINE)}
    return {"rss KiB": found["Rss"], "uss KiB": found["Private_Clean"] + found["Private_Dirty"]}


def _malloc_used_bytes() -> int | None:
    """Return how much memory the C library has handed out and not got back; None where it does not tell.

    Without Python's own arenas, which come from ``mmap``: `sys.getallocatedblocks` counts what is in them.
    """
    if _mallinfo2 is None:
        return None
    info = _mallinfo2()
    return int(info.uordblks) + int(info.hblkhd)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def look(statistics: Any, query: bytes) -> bytes:
    """Return what there is, as JSON.

    Args:
        statistics: those of the adapters that serve, dataclasses.
        query: one of the constants above, or nothing.
    """
    if query:
        gc.collect()
    if query == TRIMMED and _malloc_trim is not None:
        _malloc_trim(0)
    objects = gc.get_objects()
    seen: dict[str, Any] = {
        **_resident(),
        "threads": len(os.listdir("/proc/self/task")),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # the listing's own
        # By its type: isinstance() would ask proxies for their class, and that makes objects of its own.
        "tasks": sum(issubclass(type(candidate), asyncio.Task) and not candidate.done() for candidate in objects),
        "blocks": sys.getallocatedblocks(),
        "malloc bytes": _malloc_used_bytes(),
        "statistics": [asdict(one) for one in statistics if is_dataclass(one) and not isinstance(one, type)],
        "books": books.counts(),
        "types": dict(Counter(map(_name, map(type, objects)))) if query else {},
    }
    del objects
    return json.dumps(seen).encode()
