"""Live: clients that leave, on every server; nothing of their requests stays behind."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tests.integration.raw import Connection, counters_of, fetch, wait_for_counters
from tests.integration.servers import Server

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_CLOSED_WITHIN_S = 2.0

_CLIENTS = 20


def _is_at_rest(now: dict[str, Any]) -> bool:
    """Only the request that asks is under way."""
    return (now["busy"], now["requests"], now["streams"], now["bytes_held"]) == (1, 1, 0, 0)


@pytest.mark.requirement("W-114", "W-115", "W-140")
@pytest.mark.parametrize("leaves", ["close", "reset"])
@pytest.mark.parametrize(
    "query",
    [
        pytest.param("", id="blocked-by-its-client"),
        pytest.param("?pause_s=0.05", id="slow-by-itself"),
    ],
)
def test_dropped_streams_are_closed_in_their_own_threads(server: Server, query: str, leaves: str) -> None:
    before = counters_of(server)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(server)) for _ in range(_CLIENTS)]
        for connection in connections:
            connection.send_head("GET", f"/endless{query}")
        for connection in connections:
            assert connection.read_head().status == 200
            assert connection.read_some()
        for connection in connections:
            getattr(connection, leaves)()

        after = wait_for_counters(server, lambda now: now["closed"] - before["closed"] == _CLIENTS, _CLOSED_WITHIN_S)
    assert after["opened"] - before["opened"] == _CLIENTS
    assert after["closed_elsewhere"] == 0
    now = wait_for_counters(server, _is_at_rest)
    assert now["closed"] - before["closed"] == _CLIENTS  # once each


@pytest.mark.requirement("W-145")
def test_worker_threads_end_when_they_have_nothing_to_do(server: Server) -> None:
    # The applications are hosted with half a second of patience.
    wait_for_counters(server, lambda now: now["idle"] + now["busy"] <= 2)


@pytest.mark.requirement("W-140")
def test_a_computation_that_asks_learns_that_nobody_waits(server: Server) -> None:
    before = counters_of(server)
    with Connection(server) as connection:
        connection.send_head("GET", "/asks")
        wait_for_counters(server, lambda now: now["held"] == 1)

    after = wait_for_counters(server, lambda now: now["held"] == 0)
    assert after["disconnects_seen"] - before["disconnects_seen"] == 1


@pytest.mark.requirement("W-111")
def test_a_client_that_does_not_read_holds_its_stream_back(server: Server) -> None:
    with Connection(server) as connection:
        connection.send_head("GET", "/endless")
        connection.read_head()
        held = wait_for_counters(server, lambda now: now["bytes_held"] > 0)

        # Limits.response_memory_bytes, and the block that went over it.
        assert held["bytes_held"] < 1.5 * 1024 * 1024
        assert fetch(server, "GET", "/hello").body == b"hello\n"
    wait_for_counters(server, _is_at_rest)


def test_the_loop_keeps_answering_while_all_clients_stall(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(_CLIENTS):
            connection = stack.enter_context(Connection(server))
            connection.send_head("POST", "/echo", [("Content-Length", "1000")])
            connection.send(b"half")

        # Half bodies take no worker: forty workers, and no more than this request's is busy.
        # One that has just answered may need a moment to lie down; what these took would never come back.
        wait_for_counters(server, lambda now: now["busy"] == 1)
