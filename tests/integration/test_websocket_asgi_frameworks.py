"""Live, ASGI frameworks with WebSockets on WSGI servers: what their users rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import socketio

from tests.integration.raw import fetch, wait_for_log
from tests.integration.websocket_asgi_servers import (
    GEVENT,
    GTHREAD,
    PYWSGI,
    SOCKET_SERVERS,
    ask,
    dial,
    ending_of,
    shared_host,
)
from tests.integration.wsgi_servers import WERKZEUG, Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

FRAMEWORKS = ("starlette", "fastapi", "quart", "channels")
each_framework = pytest.mark.parametrize("framework", FRAMEWORKS)
_WAIT_S = 20


@pytest.fixture(scope="session", params=SOCKET_SERVERS, ids=str)
def host(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """A running server of each kind whose connections can be taken over."""
    with shared_host(request.param) as started:
        yield started


@pytest.mark.requirement("S-020", "S-024")
@each_framework
def test_messages_come_back_as_they_were(host: Hosted, framework: str) -> None:
    with dial(host, f"/{framework}/echo", subprotocols=["chat", "superchat"]) as socket:
        assert socket.subprotocol == "chat"
        for message in ("text", "grün", b"octets", "t" * 100_000, b"b" * 100_000):
            socket.send(message)
            assert socket.recv(timeout=_WAIT_S) == message


@pytest.mark.requirement("S-024")
@pytest.mark.parametrize("framework", [*FRAMEWORKS, "channels/sync"])
def test_what_one_says_all_hear(host: Hosted, framework: str) -> None:
    if framework == "channels/sync" and host.kind in (GEVENT, PYWSGI):
        pytest.skip("where gevent has replaced threads, asgiref cannot wait in one for the loop")
    with dial(host, f"/{framework}/room") as one, dial(host, f"/{framework}/room") as two:
        assert [one.recv(timeout=_WAIT_S), two.recv(timeout=_WAIT_S)] == ["welcome", "welcome"]
        one.send("from one")
        assert [one.recv(timeout=_WAIT_S), two.recv(timeout=_WAIT_S)] == ["from one", "from one"]
        two.send("from two")
        assert [one.recv(timeout=_WAIT_S), two.recv(timeout=_WAIT_S)] == ["from two", "from two"]
        name = framework.partition("/")[0]
        assert fetch(host.server, "GET", f"/{name}/page").body.startswith(name.encode())


@pytest.mark.requirement("A-139")
@pytest.mark.parametrize("framework", ["starlette", "fastapi", "channels"])
def test_a_framework_sees_the_close_of_the_client(host: Hosted, framework: str) -> None:
    mark = new_mark()
    with dial(host, f"/{framework}/echo?id={mark}") as socket:
        socket.close(4321, "enough")

    end = host.wait_for(framework, mark)
    assert end["code"] == 4321
    assert end.get("reason", "enough") == "enough"


@pytest.mark.requirement("A-140")
@each_framework
def test_the_client_sees_the_close_of_a_framework(host: Hosted, framework: str) -> None:
    with dial(host, f"/{framework}/close") as socket:
        assert ending_of(socket) == (4002, "enough")


@pytest.mark.requirement("A-133", "A-134")
@each_framework
def test_a_framework_refuses(host: Hosted, framework: str) -> None:
    assert ask(host, f"/{framework}/refuse").status == 403


@pytest.mark.requirement("A-134")
def test_starlette_denies_with_a_response_of_its_own(host: Hosted) -> None:
    response = ask(host, "/starlette/deny")

    assert (response.status, response.body, response.header("x-a")) == (402, b"no ticket", "1")


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize("framework", ["starlette", "fastapi", "channels"])
def test_a_view_that_fails_closes_with_1011(host: Hosted, framework: str) -> None:
    begin = len(host.server.log())
    with dial(host, f"/{framework}/fail") as socket:
        assert ending_of(socket)[0] == 1011

    wait_for_log(host.server, f"ViewError: {framework} fails", begin)
    assert host.server.log()[begin:].count(f"ViewError: {framework} fails") == 1


@pytest.mark.requirement("A-134")
def test_the_error_page_of_quart_is_the_answer(host: Hosted) -> None:
    response = ask(host, "/quart/fail")

    assert response.status == 500
    assert b"Internal Server Error" in response.body


# ---- Socket.IO ------------------------------------------------------------------------------------------------------


def _client() -> socketio.AsyncSimpleClient:
    return socketio.AsyncSimpleClient(request_timeout=_WAIT_S)


async def _talk(url: str, transports: list[str]) -> dict[str, Any]:
    """Let two clients talk; return what was seen."""
    seen: dict[str, Any] = {}
    async with asyncio.timeout(2 * _WAIT_S), _client() as one, _client() as two:
        for client in (one, two):
            await client.connect(url, transports=transports, socketio_path="socketio/socket.io", wait_timeout=_WAIT_S)
        seen["transports"] = {one.transport, two.transport}
        seen["echo"] = await one.call("echo", {"text": "grün", "octets": b"\x00\xff"}, timeout=_WAIT_S)
        await one.emit("say", "hello")
        seen["said"] = [await client.receive(timeout=_WAIT_S) for client in (one, two)]
        seen["sid"] = one.sid
        if one.transport == "polling":  # else it waits until the poll that is under way is answered
            for client in (one, two):
                await client.client.eio.disconnect(abort=True)
    return seen


@pytest.mark.requirement("S-020")
def test_socket_io_talks(host: Hosted) -> None:
    ways = {"websocket": ["websocket"]}
    if host.kind in (GTHREAD, WERKZEUG):  # each poll holds a thread
        ways |= {"polling": ["polling"], "upgrade": ["polling", "websocket"]}

    seen = {name: asyncio.run(_talk(host.server.url, transports)) for name, transports in ways.items()}

    for name, one in seen.items():
        assert one["transports"] == {"polling" if name == "polling" else "websocket"}
        assert one["echo"] == {"text": "grün", "octets": b"\x00\xff"}
        assert one["said"] == [["said", "hello"], ["said", "hello"]]
        if name != "polling":
            host.wait_for("socketio", one["sid"])
    assert host.is_well()


def test_socket_io_refuses_a_client(host: Hosted) -> None:
    async def come() -> None:
        async with _client() as client:
            await client.connect(
                host.server.url,
                transports=["websocket"],
                socketio_path="socketio/socket.io",
                auth="wrong",
                wait_timeout=_WAIT_S,
            )

    with pytest.raises(socketio.exceptions.ConnectionError):
        asyncio.run(come())
    assert host.is_well()
