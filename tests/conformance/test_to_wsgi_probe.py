"""What tells a waiting request thread that its client has left, and what comes of it (A-095)."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bridge._asgi_hosting.offers import client_probe
from bridge.errors import ClientDisconnected
from tests.backends import Backend
from tests.gateway import Gateway, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold, until

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
SOCKET_KEYS = ("gunicorn.socket", "werkzeug.socket")


def block(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


class Connection:
    """Two ends of a connection: the server's and the client's.

    Attributes:
        asked: how often somebody wanted the descriptor of the server's end, to look at it.
    """

    def __init__(self, kind: str) -> None:
        self.asked = 0
        if kind == "pair":
            self.server, self.client = socket.socketpair()
            return
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname())
            self.server, _ = listener.accept()

    def fileno(self) -> int:
        self.asked += 1
        return self.server.fileno()

    def reset(self) -> None:
        """Let the client go without a farewell: what is on its way is lost."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    def arrived(self) -> None:
        """Wait until the server's end has noticed what the client did last; nothing is taken."""
        ready, _, _ = select.select([self.server], [], [], 5.0)
        assert ready

    def close(self) -> None:
        self.server.close()
        self.client.close()


@pytest.fixture(params=["pair", "tcp"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    made = Connection(request.param)
    yield made
    made.close()


@pytest.fixture
def tcp() -> Iterator[Connection]:
    made = Connection("tcp")
    yield made
    made.close()


class Waiter:
    """An application that waits until its client has left.

    Args:
        has_begun: a block is sent before.

    Attributes:
        is_waiting: raised when it waits; the body is over then.
        events: what it received after that.
        error: what came out of ``send`` then.
        done: raised when it returns.
    """

    def __init__(self, *, has_begun: bool = False) -> None:
        self.is_waiting = Flag("the application waits")
        self.events: list[str] = []
        self.error: BaseException | None = None
        self.done = Flag("the application is done")
        self._has_begun = has_begun

    async def __call__(self, scope, receive, send):
        await receive()
        if self._has_begun:
            await send(START)
            await send(block(b"begun", more=True))
        self.is_waiting.set()
        self.events += [(await receive())["type"], (await receive())["type"]]
        try:
            await send(block(b"", more=True) if self._has_begun else START)
        except OSError as error:
            self.error = error
        self.done.set()


def host(app: Any, backend: Backend) -> Any:
    return hosted(app, lifespan="off", event_loop=backend.name)


def assert_was_told(app: Waiter) -> None:
    app.done.wait()
    assert app.events == ["http.disconnect"] * 2
    assert isinstance(app.error, ClientDisconnected)


# ---- A request thread that waits ----------------------------------------------------------------------------------


@pytest.mark.requirement("A-095", "A-091", "A-093")
def test_waitress_is_asked_and_sets_the_request_thread_free(backend):
    app = Waiter()
    asked: list[bool] = []

    def client_disconnected() -> bool:
        asked.append(len(asked) > 0)
        return asked[-1]

    with host(app, backend) as adapter:
        gateway = Gateway(adapter, environ_for(**{"waitress.client_disconnected": client_disconnected}))
        with pytest.raises(ClientDisconnected):
            gateway.call()
        assert_was_told(app)

    assert asked == [False, True]
    assert gateway.starts == []


@pytest.mark.requirement("A-095", "A-091", "A-092")
def test_a_client_that_leaves_in_mid_stream_is_noticed_while_the_application_is_silent(backend):
    app = Waiter(has_begun=True)

    with host(app, backend) as adapter:
        gateway = Gateway(adapter, environ_for(**{"waitress.client_disconnected": app.is_waiting.is_set})).call()
        first = gateway.step()
        with pytest.raises(ClientDisconnected):
            gateway.step()
        gateway.close()
        assert_was_told(app)

    assert first == b"begun"


@pytest.mark.requirement("A-095")
@pytest.mark.parametrize("key", SOCKET_KEYS)
def test_a_closed_connection_sets_the_request_thread_free(key, tcp, backend):
    app = Waiter()

    with host(app, backend) as adapter:
        requesting = Helper(lambda: run(adapter, environ_for(**{key: tcp})))
        app.is_waiting.wait()
        tcp.client.close()
        with pytest.raises(ClientDisconnected):
            requesting.join()
        assert_was_told(app)

    assert tcp.server.fileno() >= 0, "the server's socket is not ours to close"


@pytest.mark.requirement("A-095")
def test_the_next_request_on_the_connection_is_no_hang_up_and_stays_where_it_is(tcp, backend):
    """A client may send its next request before it has the answer (RFC 9112 section 9.3.2)."""
    hold = Hold("the application waits")

    async def app(scope, receive, send):
        await hold.stop_here_on_loop()
        await send(START)
        await send(block(b"hello"))

    tcp.client.sendall(b"GET /next HTTP/1.1\r\n")
    tcp.arrived()
    with host(app, backend) as adapter:
        requesting = Helper(lambda: run(adapter, environ_for(**{"gunicorn.socket": tcp})))
        until(lambda: tcp.asked > 1, "the connection has been looked at twice")
        hold.release()
        gateway = requesting.join()

    assert isinstance(gateway, Gateway)
    assert gateway.body == b"hello"
    assert tcp.server.recv(100) == b"GET /next HTTP/1.1\r\n"


@pytest.mark.requirement("A-095")
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"waitress.client_disconnected": None, "gunicorn.socket": None}, id="None"),
        pytest.param({"gunicorn.socket": object()}, id="no socket"),
        pytest.param({"uwsgi.version": b"2.0"}, id="uwsgi by name only"),
    ],
)
def test_a_server_that_does_not_tell_is_not_asked(environ):
    assert client_probe(environ_for() | environ) is None


@pytest.mark.requirement("A-095")
def test_an_answer_of_any_type_counts():
    """Servers' callables need not return a ``bool``."""
    probe = client_probe({"waitress.client_disconnected": lambda: ["closed"]})

    assert probe is not None
    assert probe() is True


# ---- The probe of a socket ----------------------------------------------------------------------------------------


@pytest.fixture(params=["poll", "no poll", "neither poll nor MSG_DONTWAIT"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the platform has: Windows has neither."""
    if request.param != "poll":
        monkeypatch.delattr(select, "poll")
    if request.param.startswith("neither"):
        monkeypatch.delattr(socket, "MSG_DONTWAIT")
    return request.param


def has_left(environ: dict[str, Any]) -> object:
    """Ask the probe once, in a thread of its own: it may not wait."""
    probe = client_probe(environ)
    assert probe is not None
    return Helper(probe).join()


@pytest.mark.requirement("A-095")
def test_a_quiet_client_is_there_and_nobody_waits_for_it(platform, connection):
    try:
        answer = has_left({"gunicorn.socket": connection})
    finally:
        with suppress(OSError):
            connection.client.sendall(b"x")  # ends a probe that waits, so that its thread is not left

    assert answer is False


@pytest.mark.requirement("A-095")
def test_a_client_that_sends_is_there_and_nothing_is_taken(platform, connection):
    connection.client.sendall(b"next")
    connection.arrived()

    answers = [has_left({"werkzeug.socket": connection}) for _ in range(3)]

    assert answers == [False, False, False]
    assert connection.server.recv(100) == b"next"


@pytest.mark.requirement("A-095")
def test_a_client_that_closed_has_left(platform, connection):
    connection.client.close()
    connection.arrived()

    assert has_left({"gunicorn.socket": connection}) is True


@pytest.mark.requirement("A-095")
def test_a_client_that_reset_the_connection_has_left(platform, tcp):
    tcp.reset()
    tcp.arrived()

    assert has_left({"gunicorn.socket": tcp}) is True


@pytest.mark.requirement("A-095")
def test_a_client_that_reset_the_connection_with_data_on_its_way_has_left(tcp):
    tcp.client.sendall(b"next")
    tcp.arrived()
    tcp.reset()
    until(lambda: select_poll(tcp.server) & select.POLLHUP, "the reset has arrived")

    assert has_left({"gunicorn.socket": tcp}) is True


def select_poll(server: socket.socket) -> int:
    poller = select.poll()
    poller.register(server, select.POLLIN)
    events = poller.poll(0)
    return events[0][1] if events else 0


@pytest.mark.requirement("A-095")
def test_a_socket_that_the_server_has_closed_is_a_client_that_has_left(platform, connection):
    connection.server.close()

    assert has_left({"gunicorn.socket": connection}) is True


@pytest.mark.requirement("A-095")
def test_a_descriptor_that_is_closed_behind_its_socket_is_a_client_that_has_left(platform):
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)

    assert has_left({"gunicorn.socket": SimpleNamespace(fileno=lambda: reader)}) is True


@pytest.mark.requirement("A-095")
@pytest.mark.parametrize("default_s", [None, 5.0], ids=["no default timeout", "default timeout"])
def test_the_servers_socket_stays_open_and_as_it_was(connection, default_s):
    """A default timeout makes Python's new socket objects non-blocking, which is a property of the descriptor."""
    connection.client.sendall(b"x")
    connection.arrived()
    descriptor = connection.server.fileno()
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(default_s)
    try:
        has_left({"gunicorn.socket": connection})
    finally:
        socket.setdefaulttimeout(before)

    assert connection.server.fileno() == descriptor
    assert os.get_blocking(descriptor)


@pytest.mark.requirement("A-095")
def test_uwsgi_gives_the_descriptor_of_the_connection_of_the_calling_thread(connection, monkeypatch):
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(connection_fd=connection.fileno))
    environ = {"uwsgi.version": b"2.0.30"}

    before = has_left(environ)
    connection.client.close()
    connection.arrived()
    after = has_left(environ)

    assert (before, after) == (False, True)
