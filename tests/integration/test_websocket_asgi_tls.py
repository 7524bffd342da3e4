"""Live, ASGI applications with WebSockets on WSGI servers that speak TLS: the request's thread relays (S-025).

The client is the asynchronous one: that with threads reads and writes a TLS connection at the same time, on which some
interpreters lose a write.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.certificates import make_certificate, trusting
from tests.integration.raw import wait_for_log
from tests.integration.servers import HOST
from tests.integration.websocket_asgi_servers import GUNICORNS, WAIT_S, hosting, wait_until
from tests.integration.wsgi_servers import Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90), pytest.mark.requirement("S-025")]

_MIB = 1024 * 1024


@dataclass
class Secured:
    """A server over TLS, and what its clients trust."""

    hosted: Hosted
    trust: ssl.SSLContext

    @asynccontextmanager
    async def dial(self, target: str) -> AsyncIterator[ClientConnection]:
        """Open a socket; none of what is done with it may take long."""
        url = f"wss://{HOST}:{self.hosted.server.port}{target}"
        async with asyncio.timeout(WAIT_S):
            async with connect(url, ssl=self.trust, proxy=None, max_size=None, compression=None) as socket:
                yield socket

    def is_well(self) -> bool:
        url = f"https://{HOST}:{self.hosted.server.port}/hello"
        return httpx.get(url, verify=self.trust, trust_env=False, timeout=WAIT_S).text == "hello\n"


async def _ending_of(socket: ClientConnection) -> tuple[int | None, str | None]:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed:
        return socket.close_code, socket.close_reason


@pytest.fixture(scope="module", params=GUNICORNS, ids=str)
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    certificate, key = make_certificate(tmp_path_factory.mktemp("tls"))
    with hosting(request.param, arguments=["--certfile", str(certificate), "--keyfile", str(key)]) as hosted:
        yield Secured(hosted, trusting(certificate))


@pytest.mark.requirement("A-144")
def test_messages_come_back_as_they_were(secured: Secured) -> None:
    messages = ["text", "", "grün \U0001f600", b"octets", b"", "t" * _MIB, b"b" * _MIB]

    async def talk() -> list[str | bytes]:
        came = []
        async with secured.dial("/echo") as socket:
            for message in messages:
                await socket.send(message)
                came.append(await socket.recv())
        return came

    assert asyncio.run(talk()) == messages
    assert secured.is_well()


@pytest.mark.requirement("A-144")
def test_much_goes_both_ways_at_the_same_time(secured: Secured) -> None:
    messages = [bytes([number]) * (number * 65_537) for number in range(16)]

    async def talk() -> list[str | bytes]:
        async with secured.dial("/echo") as socket:

            async def send_all() -> None:
                for message in messages:
                    await socket.send(message)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send_all())
                return [await socket.recv() for _ in messages]

    assert asyncio.run(talk()) == messages


@pytest.mark.requirement("A-128")
def test_the_scheme_is_wss(secured: Secured) -> None:
    async def talk() -> str | bytes:
        async with secured.dial("/probe") as socket:
            return await socket.recv()

    assert json.loads(asyncio.run(talk()))["scheme"] == "wss"


@pytest.mark.requirement("A-139", "A-140")
def test_closes_pass_both_ways(secured: Secured) -> None:
    mark = new_mark()

    async def talk() -> tuple[int | None, str | None]:
        async with secured.dial(f"/echo?id={mark}") as socket:
            await socket.close(4321, "grün")
        async with secured.dial("/close?code=4002&reason=enough") as socket:
            return await _ending_of(socket)

    assert asyncio.run(talk()) == (4002, "enough")
    end = secured.hosted.wait_for("disconnect", mark)
    assert (end["code"], end["reason"]) == (4321, "grün")
    assert secured.is_well()


@pytest.mark.requirement("A-139")
def test_a_lost_client_is_a_disconnect_with_1006_and_frees_the_thread(secured: Secured) -> None:
    mark = new_mark()
    begin = len(secured.hosted.server.log())

    async def talk() -> None:
        async with secured.dial(f"/echo?id={mark}") as socket:
            await socket.send("there")
            assert await socket.recv() == "there"
            socket.transport.abort()

    asyncio.run(talk())
    assert secured.hosted.wait_for("disconnect", mark)["code"] == 1006
    assert secured.is_well()
    assert "Traceback" not in secured.hosted.server.log()[begin:]


@pytest.mark.requirement("A-133", "A-134")
@pytest.mark.parametrize(("name", "status"), [("refuse", 403), ("deny", 401)])
def test_a_refusal_is_an_ordinary_response(secured: Secured, name: str, status: int) -> None:
    async def talk() -> None:
        async with secured.dial(f"/{name}"):
            raise AssertionError("it was accepted")

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(talk())

    assert caught.value.response.status_code == status
    assert secured.is_well()


@pytest.mark.requirement("A-142")
def test_a_failure_closes_with_1011_and_is_logged_once(secured: Secured) -> None:
    mark = new_mark()
    begin = len(secured.hosted.server.log())

    async def talk() -> tuple[int | None, str | None]:
        async with secured.dial(f"/raise_after?id={mark}") as socket:
            return await _ending_of(socket)

    assert asyncio.run(talk())[0] == 1011
    wait_for_log(secured.hosted.server, f"ViewError: failed after accept, {mark}.", begin)
    assert secured.is_well()
    assert secured.hosted.server.log()[begin:].count("Traceback") == 1


@pytest.mark.requirement("S-023")
def test_there_is_one_access_line_for_a_socket(secured: Secured) -> None:
    mark = new_mark()

    async def talk() -> None:
        async with secured.dial(f"/echo?id={mark}") as socket:
            await socket.send("there")
            assert await socket.recv() == "there"

    asyncio.run(talk())
    wait_until(lambda: mark in secured.hosted.server.log(), "the access line")
    assert secured.is_well()

    lines = [line for line in secured.hosted.server.log().splitlines() if mark in line]
    assert lines == [f"access GET /echo?id={mark} 101"]
