"""Drives one hosting: starts its server, lets visitors in, looks at the process at regular intervals."""

from __future__ import annotations

import asyncio
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.servers import Server, ServerKind, running
from tests.soak import books, watching
from tests.soak.client import Connection, Unexpected
from tests.soak.contract import FILE_OCTETS, FILE_VARIABLE
from tests.soak.operations import Operation, Visitor, a_round

_UVICORN = ServerKind(
    "uvicorn",
    ("uvicorn", "{app}", "--host", "{host}", "--port", "{port}", "--no-access-log", "--timeout-keep-alive", "75"),
)
_GUNICORN = ServerKind(
    "gunicorn-gthread",
    (
        *("gunicorn", "-k", "gthread", "--workers", "1", "--threads", "8", "--keep-alive", "75"),
        *("-b", "{host}:{port}", "--no-control-socket", "--graceful-timeout", "5", "{app}"),
    ),
)
HOSTINGS = {"to_asgi": _UVICORN, "to_wsgi": _GUNICORN, "native_asgi": _UVICORN, "native_wsgi": _GUNICORN}
"""The server of each hosting; its application has the same name (`tests.soak.hosted`)."""

_VISITORS = 12
_OPERATION_S = 60.0
_REST_S = 20.0
_STILL_S = 1.5
_LOOK_S = 0.05
_MOST_COMPLAINTS = 20
_ALARMS = re.compile(
    r"^.*(?:never retrieved|never awaited|Exception ignored|ResourceWarning|was destroyed but|Fatal|Segmentation|"
    r"Too many open files|WORKER TIMEOUT).*$",
    re.MULTILINE,
)
"""Lines of the server's log that speak of something lost."""
_ZERO_AT_REST = frozenset(
    "requests waiting workers_busy workers_aside bytes_held bytes_spooled streams_open websockets background".split()
)
"""Those of the adapters' statistics that are zero when nobody asks for anything."""
Look = dict[str, Any]


@dataclass
class Run:
    """One hosting that was soaked.

    Attributes:
        hosting: its name.
        requests: how many operations were done in all.
        warm_up: how many of them before the first look.
        looks: what was seen, each with ``requests`` and ``is_at_rest`` added; the first one after the warm-up.
        trimmed: the last look, after the allocator has given back what it could.
        took_s: how long the operations took, without the looks.
        done: how often each operation was done.
        complaints: what was not as it should be.
    """

    hosting: str
    requests: int
    warm_up: int
    looks: list[Look] = field(default_factory=list)
    trimmed: Look = field(default_factory=dict)
    took_s: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)


def soak(
    hosting: str,
    *,
    requests: int,
    warm_up: int,
    looks: int,
    malloc_arenas: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Run:
    """Run a server and soak it.

    Args:
        hosting: one of `HOSTINGS`.
        requests: operations in all.
        warm_up: how many of them come before the first look.
        looks: how many follow, evenly spread.
        malloc_arenas: pools of memory that glibc may have; 0 for as many as it likes. It has several for threads, and
            what is free in one is of no use to the others: so the process grows for as long as its threads take turns,
            whether they leave something behind or not.
        tell: is told a line at each look.
    """
    run = Run(hosting, requests, warm_up)
    with tempfile.TemporaryDirectory(prefix="bridge-soak-") as directory:
        path = Path(directory, "file")
        path.write_bytes(FILE_OCTETS)
        environment = {FILE_VARIABLE: str(path)}
        if malloc_arenas:
            environment["MALLOC_ARENA_MAX"] = str(malloc_arenas)
        app = f"tests.soak.hosted:{hosting}"
        with running(HOSTINGS[hosting], app, Path(directory), environment=environment) as server:
            asyncio.run(_Driver(run, server.port, tell).drive(looks))
            code = server.stop(timeout_s=_REST_S)
            _check_the_end(run, server, code)
    return run


def _check_the_end(run: Run, server: Server, code: int | None) -> None:
    if code not in (0, -15):
        run.complaints.append(f"the server ended with {code}")
    alarms = Counter(line.strip()[:200] for line in _ALARMS.findall(server.log()))
    run.complaints += [f"the log, {times} times: {line}" for line, times in alarms.most_common(_MOST_COMPLAINTS)]


class _Driver:
    """Visits one server.

    Args:
        run: gets what is seen.
        port: where the server is.
        tell: is told a line at each look.
    """

    def __init__(self, run: Run, port: int, tell: Callable[[str], None]) -> None:
        self._run = run
        self._port = port
        self._tell = tell
        self._random = random.Random(run.hosting)  # the same order in every run
        self._number = 0
        self._rest: list[Operation] = []

    async def drive(self, looks: int) -> None:
        """Do all operations, with a look after the warm-up and after each equal part of the others."""
        run = self._run
        await self._visit(run.warm_up)
        level: Look | None = None
        for each in range(looks + 1):
            if each:
                left = run.requests - self._number
                await self._visit(left // (looks + 1 - each))
            await self._look(level)
            level = run.looks[0]
            if len(run.complaints) >= _MOST_COMPLAINTS:
                break
        run.trimmed = await self._watch(watching.TRIMMED)

    async def _visit(self, count: int) -> None:
        began_s = time.monotonic()
        operations = [self._next() for _ in range(count)]
        queue = iter(operations)

        async def visit() -> None:
            visitor = Visitor(self._port)
            try:
                for number, operation in queue:
                    await self._do(visitor, number, operation)
            finally:
                await visitor.leave()

        async with asyncio.TaskGroup() as group:
            for _ in range(_VISITORS):
                group.create_task(visit())
        self._run.took_s += time.monotonic() - began_s

    def _next(self) -> tuple[int, Operation]:
        if not self._rest:
            self._rest = a_round(self._run.hosting)
            self._random.shuffle(self._rest)
        self._number += 1
        return self._number, self._rest.pop()

    async def _do(self, visitor: Visitor, number: int, operation: Operation) -> None:
        if len(self._run.complaints) >= _MOST_COMPLAINTS:
            return
        self._run.done[operation.name] += 1
        try:
            async with asyncio.timeout(_OPERATION_S):
                await operation.run(visitor, number)
                await visitor.tidy()
        except (Unexpected, OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
            self._run.complaints.append(f"{operation.name}, number {number}: {type(error).__name__}: {error}")
            await visitor.leave()

    # ---- Looking ------------------------------------------------------------------------------------------------

    async def _watch(self, query: bytes = b"") -> Look:
        connection = await Connection.open(self._port)
        try:
            async with asyncio.timeout(_OPERATION_S):
                answer = await connection.ask("GET", f"{watching.PATH}?{query.decode()}")
        finally:
            await connection.close()
        look: Look = json.loads(answer.body)
        return look | {"requests": self._number}

    async def _look(self, level: Look | None) -> None:
        """Wait until the server is at rest, for a while, and look at all of it."""
        deadline_s = time.monotonic() + _REST_S
        if level is None:
            await self._wait_until_still(deadline_s)
            await self._watch(watching.WITH_TYPES)  # the first count of types makes a few objects of its own
        look, left = await self._watch_all(level)
        while left and time.monotonic() < deadline_s:
            await asyncio.sleep(_LOOK_S)
            if not _left(await self._watch(), level):
                look, left = await self._watch_all(level)
        if left:
            self._run.complaints.append(f"after {self._number} requests the server does not come to rest: {left}")
        self._run.looks.append(look)
        self._tell(
            f"{self._run.hosting:<12} {self._number:>8,} requests, {self._run.took_s:>5.0f} s, "
            f"{look['uss KiB'] / 1024:.1f} MiB, {look['blocks']:,} blocks, {look['threads']} threads, "
            f"{look['descriptors']} descriptors, {look['tasks']} tasks, {len(self._run.complaints)} complaints"
        )

    async def _watch_all(self, level: Look | None) -> tuple[Look, list[str]]:
        look = await self._watch(watching.WITH_TYPES)
        return look, _left(look, level)

    async def _wait_until_still(self, deadline_s: float) -> None:
        """Wait until nothing goes on, and for some time nothing has changed: how many threads stay is not known."""
        now, since_s = await self._watch(), time.monotonic()
        while time.monotonic() < deadline_s and (what_goes_on(now) or time.monotonic() - since_s < _STILL_S):
            await asyncio.sleep(_LOOK_S)
            before, now = now, await self._watch()
            if what_is_more(now, before) or what_is_more(before, now):
                since_s = time.monotonic()


def _left(look: Look, level: Look | None) -> list[str]:
    return [*what_goes_on(look), *(what_is_more(look, level) if level is not None else ())]


def what_goes_on(look: Look) -> list[str]:
    """Return what is not as it is when nobody asks for anything."""
    found = [
        f"{name}: {number}"
        for statistics in look["statistics"]
        for name, number in statistics.items()
        if name in _ZERO_AT_REST and number
    ]
    kept: dict[str, int] = look["books"]
    found += [f"{one}: {kept[one]}, {other}: {kept[other]}" for one, other in books.PAIRS if kept[one] != kept[other]]
    found += [f"{name}: {kept[name]}" for name in books.NEVER if kept[name]]
    return found


def what_is_more(look: Look, level: Look) -> list[str]:
    """Return what there is more of than there was."""
    return [
        f"{level[name]} {name} before, {look[name]} now"
        for name in ("threads", "descriptors", "tasks")
        if look[name] > level[name]
    ]
