"""Live: starting and stopping. Each test has a server process of its own."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from tests.integration.apps import GATE_VARIABLE
from tests.integration.raw import Connection, fetch, wait_for_counters, wait_for_log
from tests.integration.servers import SERVERS, UVICORN_H11, UVICORN_HTTPTOOLS, Server, ServerKind, running

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

_APP = "tests.integration.apps:app"
_IN_FLIGHT = 5
# Zero, or the signal itself: uvicorn raises it again when it is done.
_ORDERLY = {0, -15}
_NOTICED_S = 3.0


def _wait_until_stopping(server: Server) -> None:
    """Wait until the signal has had its effect: no new connection is taken (some servers go on listening)."""
    deadline_s = time.monotonic() + _NOTICED_S
    while time.monotonic() < deadline_s and server.is_listening():
        time.sleep(0.02)


@pytest.mark.requirement("W-150")
@pytest.mark.parametrize("kind", SERVERS, ids=str)
def test_the_lifespan_hooks_run(tmp_path: Path, kind: ServerKind) -> None:
    if not kind.has_lifespan:
        pytest.skip(f"{kind} does not speak lifespan")
    with running(kind, _APP, tmp_path) as server:
        assert fetch(server, "GET", "/hello").status == 200
        assert server.log().count("the startup hook ran") == 1
        assert "the shutdown hook ran" not in server.log()

        assert server.stop() in _ORDERLY

        assert server.log().count("the shutdown hook ran") == 1


@pytest.mark.requirement("W-150")
def test_requests_work_where_the_lifespan_never_runs(tmp_path: Path) -> None:
    with running(UVICORN_H11, _APP, tmp_path, arguments=["--lifespan", "off"]) as server:
        assert fetch(server, "GET", "/hello").body == b"hello\n"
        assert "hook ran" not in server.log()


@pytest.mark.requirement("W-150")
def test_a_failing_startup_hook_keeps_the_server_from_starting(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="startup hook"):
        with running(UVICORN_H11, "tests.integration.apps:app_that_cannot_start", tmp_path):
            pass  # not reached


@pytest.mark.requirement("W-150")
@pytest.mark.parametrize("query", ["", "?streamed=1"], ids=["before-its-response", "in-its-response"])
@pytest.mark.parametrize("kind", SERVERS, ids=str)
def test_requests_in_flight_finish_after_sigterm(tmp_path: Path, kind: ServerKind, query: str) -> None:
    if not kind.has_lifespan:
        pytest.skip(f"{kind} drops its connections when it is stopped")
    gate = tmp_path / "gate"
    with (
        running(kind, _APP, tmp_path, environment={GATE_VARIABLE: str(gate)}) as server,
        contextlib.ExitStack() as stack,
    ):
        connections = [stack.enter_context(Connection(server)) for _ in range(_IN_FLIGHT)]
        for connection in connections:
            connection.send_head("GET", f"/held{query}")
        wait_for_counters(server, lambda now: now["held"] == _IN_FLIGHT)

        server.process.terminate()
        _wait_until_stopping(server)
        gate.touch()
        responses = [connection.read_response() for connection in connections]
        for connection in connections:
            connection.close()
        code = server.wait(timeout_s=15)

    body = b"held finished" if query else b"finished"
    assert [(one.status, one.body, one.is_complete) for one in responses] == [(200, body, True)] * _IN_FLIGHT
    assert code in _ORDERLY
    assert server.log().count("the shutdown hook ran") == 1


@pytest.mark.requirement("W-142", "W-150")
@pytest.mark.parametrize("kind", [UVICORN_H11, UVICORN_HTTPTOOLS], ids=str)
def test_a_stuck_application_does_not_keep_the_process_alive(tmp_path: Path, kind: ServerKind) -> None:
    with (
        running(kind, _APP, tmp_path, arguments=["--timeout-graceful-shutdown", "1"]) as server,
        Connection(server) as connection,
    ):
        connection.send_head("GET", "/stuck")
        wait_for_counters(server, lambda now: now["held"] == 1)

        # One second of uvicorn's, one of Limits.cancel_s, five of Limits.shutdown_s, and room for a slow machine.
        code = server.stop(timeout_s=20)

    assert code is not None
    # The operator is told which request it was, and where it is.
    wait_for_log(server, "GET '/stuck'")
    assert "in stuck" in server.log()
