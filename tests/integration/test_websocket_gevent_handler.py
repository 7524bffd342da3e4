"""Live: ASGI applications with WebSockets on servers with gevent-websocket, which complete the handshakes (A-146)."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.integration.raw import fetch, wait_for_log
from tests.integration.raw_websocket import ACCEPT, CLOSE, PING, PONG, TEXT, Frame, RawSocket, close_payload
from tests.integration.websocket_asgi_apps import FEW_SOCKETS, SMALL_BYTES
from tests.integration.websocket_asgi_servers import dial, ending_of, hosting, wait_until
from tests.integration.wsgi_servers import GUNICORN_GEVENT, Hosted, WSGIServerKind, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90), pytest.mark.requirement("A-146")]

_WORKER = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"
_GUNICORN = replace(
    GUNICORN_GEVENT,
    name="gunicorn-gevent-websocket",
    arguments=[_WORKER if argument == "gevent" else argument for argument in GUNICORN_GEVENT.arguments],
)
_PYWSGI = WSGIServerKind(
    "pywsgi-handler",
    ("tests.integration.wsgi_programs.pywsgi_handler_server", "{app}", "{host}", "{port}"),
    end=signal.SIGINT,
)
_MIB = 1024 * 1024
_WAIT_S = 20


@pytest.fixture(scope="module", params=[_PYWSGI, _GUNICORN], ids=str)
def host(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    with hosting(request.param) as started:
        yield started


# ---- Opening --------------------------------------------------------------------------------------------------------


def test_the_server_answers_the_handshake_and_nobody_answers_it_again(host: Hosted) -> None:
    with RawSocket(host.server, "/echo") as socket:
        assert socket.response.all("sec-websocket-accept") == [ACCEPT]
        socket.send(TEXT, b"hello")

        assert socket.read() == Frame(TEXT, b"hello")


def test_what_a_client_sends_before_the_application_accepts_is_not_lost(host: Hosted) -> None:
    mark = new_mark()
    with RawSocket(host.server, f"/gated?id={mark}") as socket:
        socket.send(TEXT, b"early")
        host.wait_for("asked", mark)
        host.open_gate(mark)

        assert socket.read() == Frame(TEXT, b"early")


def test_a_denial_is_not_offered(host: Hosted) -> None:
    with dial(host, "/probe", subprotocols=["b", "a"]) as socket:
        scope = json.loads(socket.recv(timeout=_WAIT_S))

        assert socket.subprotocol is None
    assert scope["extensions"] == {}
    assert (scope["type"], scope["scheme"], scope["subprotocols"]) == ("websocket", "ws", ["b", "a"])


# ---- Messages -------------------------------------------------------------------------------------------------------


def test_messages_come_back_as_they_were(host: Hosted) -> None:
    messages = ["text", "", "grün \U0001f600", b"octets", b"", bytes(range(256)), "t" * _MIB, b"b" * _MIB]

    with dial(host, "/echo") as socket:
        came = []
        for message in messages:
            socket.send(message)
            came.append(socket.recv(timeout=_WAIT_S))

    assert came == messages


def test_open_sockets_hold_up_neither_each_other_nor_requests(host: Hosted) -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(RawSocket(host.server, "/echo")) for _ in range(12)]

        assert host.is_well()
        for number, socket in enumerate(sockets):
            socket.send(TEXT, b"%d" % number)
        assert [socket.read() for socket in sockets] == [Frame(TEXT, b"%d" % number) for number in range(12)]


def test_sockets_and_requests_share_one_loop(host: Hosted) -> None:
    with dial(host, "/probe") as socket:
        scope = json.loads(socket.recv(timeout=_WAIT_S))

    assert scope["where"] == fetch(host.server, "GET", "/where").json()


def test_a_message_that_is_too_large_closes_with_1009(host: Hosted) -> None:
    with dial(host, "/small/echo") as socket:
        socket.send(bytes(SMALL_BYTES + 1))

        assert ending_of(socket)[0] == 1009


def test_a_client_is_pinged_and_closed_when_it_no_longer_answers(host: Hosted) -> None:
    with RawSocket(host.server, "/lively/echo") as socket:
        ping = socket.read()
        assert ping is not None
        assert ping.opcode == PING
        socket.send(PONG, ping.payload)
        close = socket.read_close()

    assert close is not None
    assert close[0] == 1011


# ---- Ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-140", "A-145")
@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        pytest.param("/close?", 1000, "", id="nothing given"),
        pytest.param("/close?code=4321&reason=gr%C3%BCn", 4321, "grün", id="the application's own"),
        pytest.param("/refuse?", 4403, "not you", id="before accept"),
    ],
)
def test_the_client_sees_the_close_of_the_application(host: Hosted, target: str, code: int, reason: str) -> None:
    mark, begin = new_mark(), len(host.server.log())
    with RawSocket(host.server, f"{target}&id={mark}") as socket:
        came = socket.read_close()
        socket.send(CLOSE, close_payload(code, reason))

        assert came == (code, reason)
        assert socket.is_ended(), "something follows the closing frame"
    end = host.wait_for("disconnect", mark)
    assert (end["code"], end["reason"]) == (code, reason)
    assert "Traceback" not in host.server.log()[begin:]


@pytest.mark.requirement("A-139", "A-145")
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        pytest.param(b"", 1005, "", id="no code"),
        pytest.param(close_payload(4321, "grün"), 4321, "grün", id="the client's own"),
    ],
)
def test_the_application_sees_the_close_of_the_client(host: Hosted, payload: bytes, code: int, reason: str) -> None:
    mark, begin = new_mark(), len(host.server.log())
    with RawSocket(host.server, f"/echo?id={mark}") as socket:
        socket.send(CLOSE, payload)

        assert socket.read() == Frame(CLOSE, payload)
        assert socket.is_ended(), "something follows the closing frame"
    end = host.wait_for("disconnect", mark)
    assert (end["code"], end["reason"]) == (code, reason)
    assert "Traceback" not in host.server.log()[begin:]


@pytest.mark.requirement("A-139")
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_lost_client_is_a_disconnect_with_1006(host: Hosted, how: str) -> None:
    mark = new_mark()
    with RawSocket(host.server, f"/echo?id={mark}") as socket:
        getattr(socket.connection, how)()

    assert host.wait_for("disconnect", mark)["code"] == 1006
    assert host.is_well()


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_failure_closes_with_1011_and_is_logged_once(host: Hosted, where: str) -> None:
    mark, begin = new_mark(), len(host.server.log())
    with dial(host, f"/raise_{where}?id={mark}") as socket:
        assert ending_of(socket) == (1011, "")
    logged = f"ViewError: failed {where} accept, {mark}."
    wait_for_log(host.server, logged, begin)

    assert host.is_well()
    assert host.server.log()[begin:].count(logged) == 1


@pytest.mark.requirement("A-142")
def test_an_application_that_returns_closes_the_socket(host: Hosted) -> None:
    with dial(host, "/return_after") as socket:
        assert socket.recv(timeout=_WAIT_S) == "that is all"
        assert ending_of(socket) == (1000, "")


def test_a_socket_beyond_the_limit_is_closed_with_1013(host: Hosted) -> None:
    marks = [new_mark() for _ in range(FEW_SOCKETS)]
    with contextlib.ExitStack() as stack:
        for mark in marks:
            socket = stack.enter_context(dial(host, f"/few/echo?id={mark}"))
            socket.send("there")
            assert socket.recv(timeout=_WAIT_S) == "there"
        with dial(host, "/few/echo") as one_more:
            assert ending_of(one_more) == (1013, "")
        assert host.is_well()

    def is_free() -> bool:
        with dial(host, "/few/echo") as socket, contextlib.suppress(OSError):
            socket.close(1000)
        return socket.close_code == 1000

    wait_until(is_free, "a place is free")
