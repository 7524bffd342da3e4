"""Live: Flask-SocketIO with ``async_mode="threading"``, unmodified, on every ASGI server, by each of its transports."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from itertools import count
from typing import Any

import engineio
import pytest
import requests
import socketio
from engineio.packet import CLOSE, Packet

from tests.integration.servers import Server
from tests.integration.websocket_wsgi_driving import WAIT_S, RawSocket, ended

pytest_plugins = ("tests.integration.websocket_wsgi_fixtures",)
pytestmark = [pytest.mark.live, pytest.mark.timeout(90), pytest.mark.requirement("S-041")]

_ids = count(1)
TRANSPORTS = [
    pytest.param(["polling"], "polling", id="polling"),
    pytest.param(["websocket"], "websocket", id="websocket"),
    pytest.param(["polling", "websocket"], "websocket", id="upgrade"),
]


class _Engine(engineio.Client):
    """The transport, with a writer that sends everything up to the end and then ends.

    The library's looks at the state too, which changes meanwhile: it may end before it has said good-bye, or miss the
    end and keep its thread for half a minute.
    """

    def disconnect(self, abort: bool = False, reason: str | None = None) -> None:
        writer = self.write_loop_task
        if self.state == "connected" and writer is not None:
            for last in (Packet(CLOSE), None, None):  # the one ends a batch, the other the writer
                self.queue.put(last)
            writer.join(WAIT_S)
        super().disconnect(abort, reason)

    def _reset(self) -> None:
        super()._reset()  # takes everything out of the queue
        self.queue.put(None)


class _Client(socketio.Client):
    def _engineio_client_class(self) -> type[engineio.Client]:
        return _Engine


class Member:
    """A client that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: queue.Queue[Any] = queue.Queue()
        self.left: queue.Queue[Any] = queue.Queue()
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands before the loopback
        self.client = _Client(
            reconnection=False, handle_sigint=False, http_session=self._session, request_timeout=WAIT_S
        )
        self.client.on("heard", self.heard.put)
        self.client.on("disconnect", self.left.put)

    def close(self) -> None:
        """Leave, and wait until no thread is left."""
        connection = self.client.eio.ws
        self.client.disconnect()
        self.client.eio.wait()
        if connection is not None:
            connection.shutdown()  # the library leaves that to the garbage collector, if the server was first
        self._session.close()


@contextlib.contextmanager
def _member(server: Server, transports: list[str], mark: str = "") -> Iterator[Member]:
    member = Member()
    try:
        member.client.connect(
            f"{server.url}?id={mark}",
            transports=transports,
            socketio_path="socketio/socket.io",
            wait_timeout=WAIT_S,
        )
        yield member
    finally:
        member.close()


def _no_failure(server: Server, begin: int) -> None:
    """See that neither the bridge nor the server took the end for a failure.

    A traceback of a thread of Engine.IO may be there: it may write to a connection that another has just closed.
    """
    failures = [
        line
        for line in server.log()[begin:].splitlines()
        if "application failed" in line
        or "Exception in" in line.replace("Exception in thread", "")
        or "Error in" in line
    ]
    assert failures == []


@pytest.mark.parametrize(("transports", "used"), TRANSPORTS)
def test_a_call_is_answered_and_all_are_told(socket_server: Server, transports: list[str], used: str) -> None:
    begin = len(socket_server.log())
    with (
        _member(socket_server, transports) as caller,
        _member(socket_server, ["polling"]) as by_polling,
        _member(socket_server, ["websocket"]) as by_websocket,
    ):
        assert caller.client.transport() == used
        answer = caller.client.call("shout", "caf\u00e9 " * 1000, timeout=WAIT_S)
        heard = [member.heard.get(timeout=WAIT_S) for member in (caller, by_polling, by_websocket)]

    assert answer == "told them " + "caf\u00e9 " * 1000
    assert heard == ["CAF\u00c9 " * 1000] * 3
    _no_failure(socket_server, begin)


@pytest.mark.requirement("S-006")
@pytest.mark.parametrize(("transports", "used"), TRANSPORTS)
def test_a_client_that_leaves_is_noticed_without_a_record(
    socket_server: Server, transports: list[str], used: str
) -> None:
    mark = f"leaves-{used}-{next(_ids)}"
    begin = len(socket_server.log())
    with _member(socket_server, transports, mark) as member:
        assert member.client.transport() == used

    # The packet and the closing frame come together; which is seen first is a matter of luck.
    assert ended(socket_server, mark)["reason"] in {"client disconnect", "transport close"}
    _no_failure(socket_server, begin)


@pytest.mark.requirement("S-005")
@pytest.mark.parametrize(("transports", "used"), TRANSPORTS)
def test_the_application_can_send_a_client_away(socket_server: Server, transports: list[str], used: str) -> None:
    begin = len(socket_server.log())
    with _member(socket_server, transports) as member:
        assert member.client.transport() == used
        member.client.emit("leave")
        member.left.get(timeout=WAIT_S)

    _no_failure(socket_server, begin)


@pytest.mark.requirement("S-006")
def test_a_client_that_vanishes_is_noticed(socket_server: Server) -> None:
    mark = f"vanishes-{next(_ids)}"
    begin = len(socket_server.log())
    with RawSocket(socket_server, f"/socketio/socket.io/?EIO=4&transport=websocket&id={mark}") as client:
        assert client.read_message().startswith(b"0{")
        client.send("40")
        assert client.read_message().startswith(b"40{")
        client.reset()

    assert ended(socket_server, mark)["reason"] == "transport close"
    _no_failure(socket_server, begin)
