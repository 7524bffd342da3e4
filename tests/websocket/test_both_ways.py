"""Live: applications with WebSockets that go through both halves of the bridge (S-040)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.integration.raw import CutError, wait_for_log
from tests.integration.raw_websocket import RawSocket
from tests.integration.websocket_asgi_servers import GTHREAD, ask, dial, ending_of, hosting
from tests.integration.wsgi_servers import WERKZEUG, Hosted, WSGIServerKind, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90), pytest.mark.requirement("S-040")]

_APPS = "tests.websocket.both_ways_apps"
_UVICORN = WSGIServerKind(
    "uvicorn", ("uvicorn", "{app}", "--host", "{host}", "--port", "{port}", "--no-access-log", "--log-level", "warning")
)
_WAIT_S = 20


@dataclass(frozen=True)
class Way:
    """A running composition, the path below which the sockets are, and what it calls the end of a lost client."""

    hosted: Hosted
    prefix: str
    code_of_lost: int

    def __call__(self, target: str) -> str:
        return f"{self.prefix}{target}"


@pytest.fixture(
    scope="module",
    params=[
        # uvicorn says 1005 of a lost client, and so does simple-websocket.
        pytest.param((_UVICORN, "asgi_there_and_back", "", 1005), id="asgi-uvicorn"),
        # A WSGI application has two ways to its socket.
        pytest.param((GTHREAD, "wsgi_there_and_back", "", 1006), id="wsgi-gunicorn-native"),
        pytest.param((GTHREAD, "wsgi_there_and_back", "/wire", 1005), id="wsgi-gunicorn-wire"),
        pytest.param((WERKZEUG, "wsgi_there_and_back", "", 1006), id="wsgi-werkzeug-native"),
    ],
)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    kind, app, prefix, code_of_lost = request.param
    with hosting(kind, f"{_APPS}:{app}") as hosted:
        yield Way(hosted, prefix, code_of_lost)


def test_messages_come_back_as_they_were(way: Way) -> None:
    messages = ["text", "", "grün \U0001f600", b"octets", b"", "t" * 1_000_000, b"b" * 1_000_000]

    with dial(way.hosted, way("/echo")) as socket:
        came = []
        for message in messages:
            socket.send(message)
            came.append(socket.recv(timeout=_WAIT_S))

    assert came == messages


def test_many_sockets_are_open_beside_http(way: Way) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(dial(way.hosted, way("/echo"))) for _ in range(8)]

        assert way.hosted.is_well()
        for number, socket in enumerate(sockets):
            socket.send(str(number))
        assert [socket.recv(timeout=_WAIT_S) for socket in sockets] == [str(number) for number in range(8)]


def test_the_subprotocol_is_the_one_that_the_application_chooses(way: Way) -> None:
    with dial(way.hosted, way("/choose?choose=superchat"), subprotocols=["chat", "superchat"]) as socket:
        assert socket.subprotocol == "superchat"


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4321, "grün")])
def test_the_client_sees_the_close_of_the_application(way: Way, code: int, reason: str) -> None:
    with dial(way.hosted, way(f"/close?code={code}&reason={reason}".replace("ü", "%C3%BC"))) as socket:
        assert ending_of(socket) == (code, reason)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4321, "grün")])
def test_the_application_sees_the_close_of_the_client(way: Way, code: int, reason: str) -> None:
    mark = new_mark()
    with dial(way.hosted, way(f"/echo?id={mark}")) as socket:
        socket.close(code, reason)

    end = way.hosted.wait_for("disconnect", mark)
    assert (end["code"], end["reason"]) == (code, reason)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_the_application_sees_that_the_client_is_lost(way: Way, how: str) -> None:
    mark = new_mark()
    with RawSocket(way.hosted.server, way(f"/echo?id={mark}")) as socket:
        getattr(socket.connection, how)()

    assert way.hosted.wait_for("disconnect", mark)["code"] == way.code_of_lost


def test_a_denial_is_the_response_of_the_application(way: Way) -> None:
    response = ask(way.hosted, way("/deny"))

    assert (response.status, response.body) == (401, b"who are you?\n")
    assert response.all("x-a") == ["1", "2"]


def test_a_refusal_is_a_403(way: Way) -> None:
    assert ask(way.hosted, way("/refuse")).status == 403


def test_a_failure_before_accept_is_a_500_and_logged_once(way: Way) -> None:
    begin = len(way.hosted.server.log())
    try:
        status = ask(way.hosted, way("/raise_before")).status
    except CutError:
        status = 500
    wait_for_log(way.hosted.server, "ViewError: failed before accept", begin)

    assert status == 500
    assert way.hosted.is_well()
    assert way.hosted.server.log()[begin:].count("ViewError: failed before accept") == 1


def test_a_failure_after_accept_closes_with_1011_and_is_logged_once(way: Way) -> None:
    begin = len(way.hosted.server.log())
    with dial(way.hosted, way("/raise_after")) as socket:
        assert socket.recv(timeout=_WAIT_S) == "so far so good"
        assert ending_of(socket)[0] == 1011
    wait_for_log(way.hosted.server, "ViewError: failed after accept", begin)

    assert way.hosted.is_well()
    assert way.hosted.server.log()[begin:].count("ViewError: failed after accept") == 1
