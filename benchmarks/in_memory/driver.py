"""An ASGI server in memory: ``receive`` and ``send`` that cost next to nothing, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.in_memory.adapters import BRIDGE, FLOOR, NATIVE, candidates
from benchmarks.in_memory.stopwatch import Span, figures, middle, stopwatch, time_columns
from benchmarks.results import Comparison
from benchmarks.settings import KIB, Settings

PIECE = bytes(64 * KIB)
HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
    (b"accept", b"text/html,application/xhtml+xml"),
    (b"accept-encoding", b"gzip, deflate, br"),
]


def make_scope(upload_bytes: int = 0) -> dict[str, Any]:
    """Return the scope of a GET, or of a POST with a body."""
    headers = list(HEADERS)
    if upload_bytes:
        headers.append((b"content-length", b"%d" % upload_bytes))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST" if upload_bytes else "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }


async def request(asgi: Any, *, pieces: int = 0) -> int:
    """Make one request with a body of that many pieces; return the length of the response.

    Raises:
        AssertionError: the response was not a whole one with status 200.
    """
    status = size_bytes = 0
    is_ended = False
    left = pieces

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        if left >= 0:
            return {"type": "http.request", "body": PIECE, "more_body": left > 0}
        if left == -1 and not pieces:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.get_running_loop().create_future()  # the client stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, size_bytes, is_ended
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            size_bytes += len(message.get("body", b""))
            is_ended = not message.get("more_body", False)

    await asgi(make_scope(pieces * len(PIECE)), receive, send)
    assert status == 200, status
    assert is_ended
    return size_bytes


async def clients(count: int, requests: int, asgi: Any) -> None:
    """Let ``count`` clients make ``requests`` together, each of them one after the other."""
    left = requests

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await request(asgi)

    await asyncio.gather(*(client() for _ in range(count)))


def loops() -> dict[str, Callable[[Any], Any]]:
    """Return the event loops there are: a way to run a coroutine on each."""
    found: dict[str, Callable[[Any], Any]] = {"asyncio": asyncio.run}
    try:
        import uvloop

        found["uvloop"] = uvloop.run
    except ImportError:
        pass
    return found


def compare(
    settings: Settings,
    title: str,
    app: Any,
    once: Callable[[Any], Any],
    *,
    unit: str,
    per: float,
    native: Any = None,
    targets: dict[str, float] | None = None,
    leave_out: frozenset[str] = frozenset(),
    workers: int = 40,
    budget_s: float = 20.0,
    turns: int = 1,
) -> list[Comparison]:
    """Measure one application behind all adapters on all loops; return a comparison for each loop.

    Args:
        settings: rounds.
        title: of the comparisons, to which the loop's name is added.
        app: the WSGI application.
        once: a coroutine function that takes the ASGI application: one measurement.
        unit: of the figures.
        per: figures are seconds times this.
        native: an ASGI application that does the same without any adapter.
        targets: what the bridge is to reach, as in `Comparison`.
        leave_out: names of candidates not to measure.
        workers: threads for the adapters that can be told.
        budget_s: a candidate that has taken longer sits further rounds out.
        turns: how often each is measured in a round, one after the other; the median counts. A machine that is slow for
            an instant is so for one of them.
    """
    compared = []
    for loop_name, run in loops().items():
        spans: dict[str, list[Span]] = {}

        async def measure(spans: dict[str, list[Span]] = spans) -> None:
            adapters = {name: make(app) for name, make in candidates(workers).items() if name not in leave_out}
            if native is not None:
                adapters = {NATIVE: native, **adapters}
            for _ in range(settings.rounds):
                taken: dict[str, list[Span]] = {}
                for _ in range(turns):
                    for name, asgi in adapters.items():
                        earlier = spans.setdefault(name, [])
                        if sum(span.clock_s for span in earlier) * turns < budget_s:
                            if not (earlier or name in taken):
                                await request(asgi, pieces=1)  # not measured: threads start, caches fill
                            with stopwatch(taken.setdefault(name, [])):
                                await once(asgi)
                for name, spans_taken in taken.items():
                    spans[name].append(middle(spans_taken))

        run(measure())
        compared.append(
            Comparison(
                title=f"{title}, {loop_name}",
                columns=time_columns(unit),
                rows={name: figures(found, per) for name, found in spans.items()},
                bases=(NATIVE, FLOOR, BRIDGE),
                targets=dict(targets or {}),
            )
        )
    return compared
