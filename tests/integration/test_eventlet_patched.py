"""Live, eventlet's server in a process that it has patched: one thread, in which the event loop is a green one."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.green_app import WAIT_S
from tests.integration.raw import fetch, wait_for_log
from tests.integration.raw_websocket import CLOSE, TEXT, Frame, RawSocket, close_payload
from tests.integration.servers import Server, running
from tests.integration.wsgi_servers import WSGIServerKind

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

KIND = WSGIServerKind(
    "eventlet-patched",
    ("tests.integration.wsgi_programs.eventlet_patched_server", "{app}", "{host}", "{port}"),
    end=signal.SIGINT,
)
APP = "tests.integration.green_app:app"
MANY = 20
_MOST_S = 0.9 * MANY * WAIT_S
"""One after the other they would take longer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that let it live."""
    with running(KIND, APP, tmp_path_factory.mktemp("eventlet")) as started:
        yield started


@pytest.mark.requirement("A-109", "A-124")
@pytest.mark.parametrize("path", ["/sleep", "/thread", "/to_thread", "/slow-log"])
def test_many_requests_wait_at_the_same_time(server: Server, path: str) -> None:
    """On the loop, in threads of the application, and while both the server and the application log."""
    assert fetch(server, "GET", "/").body == b"hello\n"
    with ThreadPoolExecutor(MANY) as clients:
        began_s = time.monotonic()
        answers = list(clients.map(lambda _: fetch(server, "GET", path), range(MANY)))
        took_s = time.monotonic() - began_s

    assert {(answer.status, answer.body) for answer in answers} == {(200, b"hello\n")}
    assert took_s < _MOST_S


@pytest.mark.requirement("A-124", "S-020", "S-022")
def test_many_sockets_are_open_beside_requests_that_are_answered(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(RawSocket(server, "/")) for _ in range(MANY)]
        for turn in range(3):
            for number, socket in enumerate(sockets):
                socket.send(TEXT, b"%d, turn %d" % (number, turn))
            assert fetch(server, "GET", "/sleep").body == b"hello\n"
            assert [socket.read() for socket in sockets] == [
                Frame(TEXT, b"%d, turn %d" % (number, turn)) for number in range(MANY)
            ]
        sockets[0].send(CLOSE, close_payload(4001))
        assert sockets[0].read_close() == (4001, "")
        wait_for_log(server, "socket over with 4001")

    assert fetch(server, "GET", "/").body == b"hello\n"


@pytest.mark.requirement("A-120", "A-124", "S-027")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell what a process does")
def test_at_the_end_sockets_are_told_and_the_lifespan_is_shut_down(tmp_path: Path) -> None:
    with running(KIND, APP, tmp_path) as server, RawSocket(server, "/") as socket:
        socket.send(TEXT, b"still there")
        assert socket.read() == Frame(TEXT, b"still there")

        server.wait_until_idle()  # what runs when the signal comes is interrupted by it; nothing shall be
        server.process.send_signal(signal.SIGINT)

        assert socket.read_close() == (1001, "")
        socket.send(CLOSE, close_payload(1001))
        assert server.wait() == 0
        wait_for_log(server, "lifespan over in a thread")
        assert "Traceback" not in server.log()
