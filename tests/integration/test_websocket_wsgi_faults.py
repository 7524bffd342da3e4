"""Live: WebSockets of WSGI applications that fail, of clients that do not read, of too many, and at the end."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.integration.raw import Connection, counters_of, fetch, wait_for_counters, wait_for_log
from tests.integration.servers import Server, running
from tests.integration.websocket_wsgi_driving import (
    APP,
    PECULIAR,
    UVICORN,
    WAIT_S,
    Peculiar,
    RawSocket,
    closing_of,
    connected,
    ended,
    frame_of,
    open_gate,
)
from tests.integration.websocket_wsgi_plain_apps import KIB, MESSAGE

pytest_plugins = ("tests.integration.websocket_wsgi_fixtures",)
pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

_ids = count(1)
_MIB = 1024 * KIB
# More than all the buffers on the way hold together: those of the system, of the server and of the bridge.
_MORE_THAN_BUFFERED_BYTES = 32 * _MIB
_PATIENCE_S = 0.5
# Zero, or the signal itself: uvicorn raises it again when it is done.
_ORDERLY = {0, -15}


# ---- Applications that fail -----------------------------------------------------------------------------------------


@pytest.mark.requirement("S-005")
def test_a_failure_before_the_socket_is_open_is_500_and_one_record(peculiar: Peculiar, socket_server: Server) -> None:
    mark = f"early-{next(_ids)}-"
    begin = len(socket_server.log())
    with pytest.raises(InvalidStatus) as refused:
        connected(socket_server, f"/raises?early=1&mark={mark}")

    assert refused.value.response.status_code == peculiar.failed_status
    _one_record(socket_server, f"RuntimeError: failed on purpose {mark}", begin)


@pytest.mark.requirement("S-005")
@pytest.mark.parametrize("target", ["/raises", "/wire_raises", "/flask/raises"])
def test_a_failure_after_that_is_1011_and_one_record(peculiar: Peculiar, socket_server: Server, target: str) -> None:
    mark = f"after-{next(_ids)}-"
    begin = len(socket_server.log())
    with connected(socket_server, f"{target}?mark={mark}") as client:
        client.send("go on")
        code, _ = closing_of(client)

    assert code == 1011
    _one_record(socket_server, f"RuntimeError: failed on purpose {mark}", begin, 1 if peculiar.reserved_codes else 2)


@pytest.mark.requirement("S-005")
def test_an_error_page_after_that_is_1011_and_one_record(peculiar: Peculiar, socket_server: Server) -> None:
    begin = len(socket_server.log())
    with connected(socket_server, "/fails") as client:
        client.send("go on")
        code, _ = closing_of(client)

    assert code == 1011
    _one_record(socket_server, "'/fails'", begin, 0 if peculiar.reserved_codes else 1)


def _one_record(server: Server, line: str, begin: int, tracebacks: int = 1) -> None:
    wait_for_log(server, line, begin)
    if tracebacks:
        wait_for_log(server, "Traceback", begin)
    # Servers log from the same loop that answers the next request, so a second record would be there by then.
    fetch(server, "GET", "/counters")
    log = server.log()[begin:]
    assert log.count(line) == 1
    assert log.count("Traceback (most recent call last)") == tracebacks


# ---- Backpressure ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-008")
@pytest.mark.parametrize("target", ["/deaf", "/wire_deaf"])
def test_a_client_is_held_back_while_the_application_does_not_read(
    peculiar: Peculiar, socket_server: Server, target: str
) -> None:
    if not peculiar.holds_back:
        pytest.skip(f"{peculiar} holds nobody back")
    mark = f"deaf-{next(_ids)}"
    with RawSocket(socket_server, f"{target}?id={mark}") as client:
        assert client.read_message() == b"ready"
        before = counters_of(socket_server)["resident_bytes"]
        sent = client.send_until_held_back(frame_of(MESSAGE), _MORE_THAN_BUFFERED_BYTES, _PATIENCE_S)
        after = counters_of(socket_server)["resident_bytes"]

        open_gate(socket_server, mark)
        client.complete()
        client.send(b"")
        total = client.read_message()

    assert after - before < _MORE_THAN_BUFFERED_BYTES
    assert total == b"%d" % (sent * len(MESSAGE))


@pytest.mark.requirement("S-006", "S-008")
@pytest.mark.parametrize("target", ["/endless", "/wire_endless"])
def test_an_application_is_held_back_while_the_client_does_not_read(
    peculiar: Peculiar, socket_server: Server, target: str
) -> None:
    if not peculiar.holds_back:
        pytest.skip(f"{peculiar} holds nobody back")
    mark = f"endless-{next(_ids)}"
    before = counters_of(socket_server)
    begin = len(socket_server.log())
    with RawSocket(socket_server, f"{target}?id={mark}", receive_buffer_bytes=64 * KIB) as client:
        held = _held_back(socket_server, before["sent"])
        sent_bytes = held["sent"] - before["sent"]
        for _ in range(sent_bytes // len(MESSAGE)):
            assert client.read_message() == MESSAGE
        went_on = wait_for_counters(socket_server, lambda now: now["sent"] > held["sent"])
        client.reset()
        outcome = ended(socket_server, mark)

    assert 0 < sent_bytes < _MORE_THAN_BUFFERED_BYTES
    assert held["resident_bytes"] - before["resident_bytes"] < _MORE_THAN_BUFFERED_BYTES
    assert went_on["sent"] - before["sent"] < 2 * _MORE_THAN_BUFFERED_BYTES
    assert {"ConnectionClosed", "OSError"} & set(outcome["error"])  # ClientDisconnected is an OSError
    assert "Traceback" not in socket_server.log()[begin:]


def _held_back(server: Server, sent_before: int) -> dict[str, int]:
    """Wait until something and then nothing more is sent; return the counters."""
    deadline_s = time.monotonic() + WAIT_S
    last, since_s = counters_of(server), time.monotonic()
    while time.monotonic() - since_s < _PATIENCE_S or last["sent"] == sent_before:
        assert time.monotonic() < deadline_s, f"still sending: {last}"
        now = counters_of(server)
        if now["sent"] != last["sent"]:
            last, since_s = now, time.monotonic()
        time.sleep(0.02)
    return last


# ---- Many -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-007")
def test_beyond_the_limit_a_handshake_is_answered_503(peculiar: Peculiar, socket_server: Server) -> None:
    with connected(socket_server, "/few/echo") as first, connected(socket_server, "/few/wire_echo") as second:
        with pytest.raises(InvalidStatus) as refused:
            connected(socket_server, "/few/echo")
        for client in (first, second):
            client.send("still here")
            assert client.recv(WAIT_S) == "still here"

    assert refused.value.response.status_code == (503 if peculiar.has_denial else 403)
    with contextlib.ExitStack() as stack:
        deadline_s = time.monotonic() + WAIT_S
        client = None
        while client is None:  # the thread of one that has left may need a moment
            assert time.monotonic() < deadline_s
            with contextlib.suppress(InvalidStatus):
                client = stack.enter_context(connected(socket_server, "/few/echo"))
        client.send("a free place")
        assert client.recv(WAIT_S) == "a free place"


@pytest.mark.requirement("S-007")
@pytest.mark.parametrize("number", [pytest.param(200, id="200")])
def test_sockets_do_not_hold_the_one_worker_of_http(uvicorn: Server, number: int) -> None:
    targets = ["/echo", "/wire_echo", "/flask/echo/you", "/bottle/echo"]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(uvicorn, targets[turn % len(targets)])) for turn in range(number)]
        for client in clients:
            client.send(b"all together")
        assert {client.read_message() for client in clients} == {b"all together"}

        with Connection(uvicorn, timeout_s=WAIT_S) as connection:
            for _ in range(20):
                assert connection.request("GET", "/flask/page").body == b"a page of Flask"
        now = counters_of(uvicorn)
        for client in clients:
            client.send(b"still here")
        assert {client.read_message() for client in clients} == {b"still here"}

    assert now["threads"] > number
    assert now["busy"] == 1  # the one that counts


@pytest.mark.requirement("S-007")
def test_a_thousand_opened_and_dropped_leave_nothing(uvicorn: Server) -> None:
    targets = ["/echo", "/wire_echo"]
    before = wait_for_counters(uvicorn, lambda now: now["open"] == 0, WAIT_S)
    begin = len(uvicorn.log())
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(RawSocket(uvicorn, targets[turn % 2])) for turn in range(100)]
            for client in clients:
                client.send(b"hello")
            for turn, client in enumerate(clients):
                match turn % 5:
                    case 0:
                        client.reset()
                    case 1:
                        client.send_close(b"\x03\xe8")
                    case 2:
                        assert client.read_message() == b"hello"
    for _ in range(100):
        with RawSocket(uvicorn, "/denies?status=403") as refused:
            assert refused.response.status == 403

    wait_for_counters(
        uvicorn,
        lambda now: now["threads"] <= before["threads"] and now["descriptors"] <= before["descriptors"],
        2 * WAIT_S,
    )
    assert "Traceback" not in uvicorn.log()[begin:]


# ---- The end --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-006")
@pytest.mark.parametrize("stopping", [one for one in PECULIAR if one.stops], ids=str)
def test_a_server_with_open_sockets_stops_in_time(tmp_path: Path, stopping: Peculiar) -> None:
    soon = ["--graceful-timeout", "1"] if "hypercorn" in stopping.kind.name else []
    kind = replace(stopping.kind, arguments=[*stopping.kind.arguments, *soon])
    with running(kind, APP, tmp_path) as server, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(connected(server, target))
            for target in ("/echo", "/wire_echo", "/flask/echo/you", "/resource/room")
        ]
        for client in clients[:3]:
            client.send(b"hello")
            assert client.recv(WAIT_S) == b"hello"
        clients[3].recv(WAIT_S)

        code = server.stop()
        closings = [closing_of(client)[0] for client in clients]

    assert code in _ORDERLY
    if "uvicorn" in kind.name:
        assert set(closings) == {1012}
    assert "Traceback" not in server.log()


@pytest.mark.requirement("S-006")
def test_applications_that_never_return_do_not_keep_the_process(tmp_path: Path) -> None:
    with (
        running(UVICORN.kind, APP, tmp_path, arguments=["--timeout-graceful-shutdown", "1"]) as server,
        RawSocket(server, "/deaf") as client,
        RawSocket(server, "/wire_deaf") as wire_client,
    ):
        assert client.read_message() == b"ready"
        assert wire_client.read_message() == b"ready"

        # One second of uvicorn's, one of Limits.cancel_s, five of Limits.shutdown_s, and room for a slow machine.
        code = server.stop(timeout_s=20)

    assert code is not None
    # The operator is told which they were, and where they are.
    for line in ("GET '/deaf'", "in deaf", "GET '/wire_deaf'", "in wire_deaf"):
        assert line in server.log()
