"""Live: requests that never end are told of, replaced, and counted, as long as they last."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hosted import SETTINGS_VARIABLE
from tests.integration.raw import Connection, fetch, wait_for_log
from tests.integration.servers import UVICORN_HTTPTOOLS, Server, running

pytestmark = [pytest.mark.faults, pytest.mark.live]

_WORKERS = 2
_SPARE = 3
_LOOK_S = 0.05
_TIME_S = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    limits = {"workers": _WORKERS, "spare_workers": _SPARE, "stuck_s": 0.3, "queue_wait_s": 1.0, "worker_idle_s": 0.2}
    environment = {SETTINGS_VARIABLE: json.dumps({"limits": limits})}
    with running(UVICORN_HTTPTOOLS, "tests.faults.hosted:app", tmp_path, environment=environment) as started:
        yield started


def _pool_when(server: Server, **wanted: int) -> dict[str, Any]:
    """Ask until the pool is like that."""
    deadline_s = time.monotonic() + _TIME_S
    while True:
        pool: dict[str, Any] = fetch(server, "GET", "/native/books").json()["bridge"]
        if all(pool[name] == value for name, value in wanted.items()):
            return pool
        assert time.monotonic() < deadline_s, f"not {wanted}: {pool}"
        time.sleep(_LOOK_S)


def _get_stuck(server: Server, stack: ExitStack, count: int) -> list[Connection]:
    connections = [stack.enter_context(Connection(server)) for _ in range(count)]
    for connection in connections:
        connection.send_head("GET", "/stuck")
    return connections


def test_stuck_requests_are_replaced_while_they_last(server: Server) -> None:
    with ExitStack() as stack:
        connections = _get_stuck(server, stack, _WORKERS)
        _pool_when(server, workers_aside=_WORKERS, stuck=_WORKERS)

        assert fetch(server, "GET", "/hello").body == b"hello\n"
        wait_for_log(server, "<GET '/stuck'")
        wait_for_log(server, "_gates[-1].wait")  # where it is

        fetch(server, "GET", "/native/release")
        assert [connection.read_response().body for connection in connections] == [b"let go\n"] * _WORKERS
    _pool_when(server, workers_aside=0, stuck=0, workers_busy=0, requests=0)
    assert fetch(server, "GET", "/hello").body == b"hello\n"


def test_when_no_spare_worker_is_left_requests_are_refused_and_it_is_told(server: Server) -> None:
    with ExitStack() as stack:
        connections = _get_stuck(server, stack, _WORKERS + _SPARE)
        _pool_when(server, workers_busy=_WORKERS + _SPARE, workers_aside=_SPARE)

        refused = fetch(server, "GET", "/hello")
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        wait_for_log(server, "no spare worker is left")

        fetch(server, "GET", "/native/release")
        assert [connection.read_response().body for connection in connections] == [b"let go\n"] * len(connections)
    _pool_when(server, workers_aside=0, stuck=0, requests=0)
    assert fetch(server, "GET", "/hello").body == b"hello\n"
