"""Live, ASGI applications with WebSockets on WSGI servers: how a socket ends, and how it is kept alive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.raw_websocket import CLOSE, PING, PONG, TEXT, Frame, RawSocket, close_payload
from tests.integration.websocket_asgi_servers import (
    GUNICORNS,
    SOCKET_SERVERS,
    WAIT_S,
    dial,
    ending_of,
    shared_host,
    wait_until,
)
from tests.integration.wsgi_servers import Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]


@pytest.fixture(scope="session", params=SOCKET_SERVERS, ids=str)
def host(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """A running server of each kind whose connections can be taken over."""
    with shared_host(request.param) as started:
        yield started


# ---- Ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-140", "A-145", "A-147", "S-023")
@pytest.mark.parametrize(
    ("asked", "code", "reason"),
    [
        pytest.param("", 1000, "", id="nothing given"),
        pytest.param("code=1000&reason=done", 1000, "done", id="normal"),
        pytest.param("code=4321&reason=gr%C3%BCn", 4321, "grün", id="the application's own"),
    ],
)
def test_the_client_sees_the_close_of_the_application(host: Hosted, asked: str, code: int, reason: str) -> None:
    mark = new_mark()
    with RawSocket(host.server, f"/close?id={mark}&{asked}") as socket:
        came = socket.read_close()
        socket.send(CLOSE, close_payload(code, reason))

        assert came == (code, reason)
        assert socket.is_ended(), "something follows the closing frame"
    end = host.wait_for("disconnect", mark)
    assert (end["code"], end["reason"]) == (code, reason)


@pytest.mark.requirement("A-139", "A-145", "A-147")
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        pytest.param(b"", 1005, "", id="no code"),
        pytest.param(close_payload(1000), 1000, "", id="normal"),
        pytest.param(close_payload(4321, "grün"), 4321, "grün", id="the client's own"),
    ],
)
def test_the_application_sees_the_close_of_the_client(host: Hosted, payload: bytes, code: int, reason: str) -> None:
    mark = new_mark()
    with RawSocket(host.server, f"/echo?id={mark}") as socket:
        socket.send(CLOSE, payload)

        assert socket.read() == Frame(CLOSE, payload)
        assert socket.is_ended(), "something follows the closing frame"
    end = host.wait_for("disconnect", mark)
    assert (end["code"], end["reason"]) == (code, reason)


@pytest.mark.requirement("A-139", "A-147")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_lost_client_is_a_disconnect_with_1006(host: Hosted, how: str) -> None:
    mark = new_mark()
    with RawSocket(host.server, f"/echo?id={mark}") as socket:
        socket.send(TEXT, b"there")
        assert socket.read() == Frame(TEXT, b"there")
        getattr(socket.connection, how)()

    assert host.wait_for("disconnect", mark)["code"] == 1006


@pytest.mark.requirement("A-141")
def test_a_send_after_the_end_raises_an_os_error(host: Hosted) -> None:
    mark = new_mark()
    with dial(host, f"/late?id={mark}"):
        pass

    assert host.wait_for("late", mark)["error"] == "ClientDisconnected"


@pytest.mark.requirement("A-142")
def test_an_application_that_returns_closes_the_socket(host: Hosted) -> None:
    with dial(host, "/return_after") as socket:
        assert socket.recv(timeout=WAIT_S) == "that is all"
        assert ending_of(socket) == (1000, "")


@pytest.mark.requirement("S-023")
def test_a_socket_is_one_line_of_an_access_log(host: Hosted) -> None:
    mark = new_mark()
    with dial(host, f"/echo?id={mark}") as socket:
        socket.send("there")
        assert socket.recv(timeout=WAIT_S) == "there"
    host.wait_for("disconnect", mark)
    if host.kind in GUNICORNS:
        wait_until(lambda: mark in host.server.log(), "the access line")
    assert host.is_well()

    lines = [line for line in host.server.log().splitlines() if mark in line]
    if host.kind in GUNICORNS:
        assert lines == [f"access GET /echo?id={mark} 101"]
    else:
        assert len(lines) <= 1


# ---- Keeping alive --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-138", "S-026")
def test_a_client_is_pinged_and_closed_when_it_no_longer_answers(host: Hosted) -> None:
    mark = new_mark()
    with RawSocket(host.server, f"/lively/echo?id={mark}") as socket:
        for _ in range(3):
            ping = socket.read()
            assert ping is not None
            assert ping.opcode == PING
            socket.send(PONG, ping.payload)
        close = socket.read_close()

    assert close is not None
    assert close[0] == 1011
    assert host.wait_for("disconnect", mark)["code"] in (1006, 1011)
