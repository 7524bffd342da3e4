"""ASGI applications with WebSockets whose handshake the server has completed itself, without a server (A-146)."""

from __future__ import annotations

import dataclasses
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import ASGIToWSGI, ClientDisconnected
from bridge.errors import ApplicationError
from bridge.websocket.asgi_hosting.handshaken import find_handshaken
from bridge.websocket.asgi_hosting.session import Session
from bridge.websocket.frames import Closed, FrameEnd, Received
from tests.gateway import QUICK, environ_for, hosted
from tests.meeting import TIMEOUT_S, Flag, Helper, until

pytestmark = pytest.mark.requirement("A-146")

LIMITS = dataclasses.replace(QUICK, websocket_close_s=1.0)
SOON_S = 0.05
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class FakeWebSocket:
    """A server's object: the test plays the client, by `say` and `leave`.

    Attributes:
        sent: what the client has got.
        closes: code and reason of each close by our side.
        received: how many messages were asked for.
    """

    def __init__(self, **attributes: Any) -> None:
        self.sent: list[str | bytes] = []
        self.closes: list[tuple[int, str]] = []
        self.received = 0
        self.is_lost = False
        self._inbox: queue.Queue[Any] = queue.Queue()
        vars(self).update(attributes)

    # The client

    def say(self, message: str | bytes | bytearray) -> None:
        self._inbox.put(message)

    def leave(self, error: Exception | None = None) -> None:
        self._inbox.put(error)

    # What servers offer

    def receive(self) -> Any:
        self.received += 1
        item = self._inbox.get(timeout=TIMEOUT_S)
        if isinstance(item, Exception):
            raise item
        return item

    def send(self, message: str | bytes) -> None:
        if self.is_lost:
            raise ConnectionResetError("the client is lost")
        self.sent.append(message)

    def close(self, code: int = 1000, message: str = "") -> None:
        self.closes.append((code, message))
        self.leave()


def handshake_environ(websocket: Any, **more: Any) -> dict[str, Any]:
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "chat, superchat",
    }
    return environ_for(headers=headers, **{"wsgi.websocket": websocket}, **more)


class Served:
    """One WebSocket, served in a thread as a server would.

    Attributes:
        starts: the statuses for which ``start_response`` was called.
    """

    def __init__(self, adapter: ASGIToWSGI, websocket: Any, **more: Any) -> None:
        self.starts: list[str] = []
        environ = handshake_environ(websocket, **more)
        self._helper = Helper(lambda: list(adapter(environ, lambda status, headers: self.starts.append(status))))

    def join(self) -> object:
        return self._helper.join()

    @property
    def is_done(self) -> bool:
        return self._helper.is_done


class App:
    """An ASGI application that does as the test says, and keeps its scope and what it has received."""

    def __init__(self, run: Callable[[App], Any]) -> None:
        self.events: list[dict[str, Any]] = []
        self.over = Flag("the application is over")
        self._run = run

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise NotImplementedError(scope["type"])
        self.scope, self._receive, self._send = scope, receive, send
        try:
            await self._run(self)
        finally:
            self.over.set()

    async def receive(self) -> dict[str, Any]:
        message = await self._receive()
        self.events.append(message)
        return message

    async def send(self, kind: str, **more: Any) -> None:
        await self._send({"type": f"websocket.{kind}", **more})

    async def accept(self, **more: Any) -> None:
        assert await self.receive() == {"type": "websocket.connect"}
        await self.send("accept", **more)

    async def until_gone(self) -> None:
        while (await self.receive())["type"] == "websocket.receive":
            pass

    @property
    def ending(self) -> tuple[int, str]:
        self.over.wait()
        assert self.events[-1]["type"] == "websocket.disconnect"
        return self.events[-1]["code"], self.events[-1]["reason"]


async def echo(app: App) -> None:
    await app.accept()
    while (message := await app.receive())["type"] == "websocket.receive":
        await app.send("send", **{key: value for key, value in message.items() if key != "type"})


async def idle(app: App) -> None:
    await app.accept()
    await app.until_gone()


@pytest.fixture(autouse=True)
def only_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Look at warnings and worse, whatever other tests have done to the root logger."""
    caplog.set_level(logging.WARNING)


@pytest.fixture
def host() -> Iterator[Callable[..., Served]]:
    """Host an application and serve it a WebSocket; all ends with the test."""
    stops: list[Any] = []

    def serve(app: App, websocket: Any, environ: dict[str, Any] | None = None, **options: Any) -> Served:
        hosting = hosted(app, **({"limits": LIMITS, "event_loop": "asyncio"} | options))
        stops.append(hosting)
        return Served(hosting.__enter__(), websocket, **(environ or {}))

    yield serve
    for hosting in stops:
        hosting.__exit__(None, None, None)


# ---- What counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("websocket", "more"),
    [
        pytest.param(None, {}, id="there is none"),
        pytest.param(SimpleNamespace(receive=len, send=len), {}, id="it cannot be closed"),
        pytest.param(SimpleNamespace(receive=len, send=len, close=0), {}, id="a method is none"),
        pytest.param(FakeWebSocket(), {"werkzeug.socket": object()}, id="the handshake is yet to come"),
    ],
)
def test_what_is_no_open_websocket_is_not_taken_for_one(websocket, more):
    assert find_handshaken(handshake_environ(websocket, **more)) is None


def test_to_look_for_a_websocket_uses_none_of_its_methods():
    websocket = SimpleNamespace(receive=pytest.fail, send=pytest.fail, close=pytest.fail)

    assert find_handshaken(handshake_environ(websocket)) is not None


# ---- Accept ---------------------------------------------------------------------------------------------------------


def test_the_application_is_offered_no_denial_and_all_that_the_client_has_asked_for(host):
    app, websocket = App(idle), FakeWebSocket()
    served = host(app, websocket)
    websocket.leave()
    served.join()

    assert app.scope["extensions"] == {}
    assert app.scope["subprotocols"] == ["chat", "superchat"]


def test_a_handshake_in_another_version_is_served_since_the_server_has_completed_it(host):
    app, websocket = App(echo), FakeWebSocket()
    served = host(app, websocket, {"HTTP_SEC_WEBSOCKET_VERSION": "8"})
    websocket.say("hello")
    until(lambda: websocket.sent)
    websocket.leave()
    served.join()

    assert websocket.sent == ["hello"]


def test_an_accept_sends_nothing_and_starts_no_response(host):
    accepted = Flag("accepted")

    async def run(app: App) -> None:
        await app.accept()
        accepted.set()
        await app.until_gone()

    app, websocket = App(run), FakeWebSocket()
    served = host(app, websocket)
    accepted.wait()
    websocket.leave()

    assert served.join() == []
    assert served.starts == []
    assert (websocket.sent, websocket.closes) == ([], [])


@pytest.mark.parametrize(
    ("accept", "named"),
    [
        pytest.param({"subprotocol": "superchat"}, ["'superchat'"], id="another subprotocol"),
        pytest.param({"headers": [(b"x-a", b"1"), (b"x-b", b"2")]}, ["x-a, x-b"], id="fields"),
        pytest.param(
            {"subprotocol": "superchat", "headers": [(b"x-a", b"1")]}, ["'superchat'", "x-a"], id="both at once"
        ),
    ],
)
def test_what_can_no_longer_be_sent_is_left_out_with_one_warning(host, caplog, accept, named):
    async def run(app: App) -> None:
        await app.accept(**accept)
        await app.until_gone()

    app, websocket = App(run), FakeWebSocket(subprotocol="chat")
    served = host(app, websocket)
    websocket.leave()
    served.join()
    app.over.wait()

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert all(name in record.getMessage() for name in named)


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"subprotocol": "chat"}, id="told"),
        pytest.param(
            {
                "handler": SimpleNamespace(
                    response_headers=[(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Protocol", b"chat")]
                )
            },
            id="in the response",
        ),
    ],
)
def test_the_subprotocol_of_the_server_may_be_accepted(host, caplog, attributes):
    async def run(app: App) -> None:
        await app.accept(subprotocol="chat")
        await app.until_gone()

    app, websocket = App(run), FakeWebSocket(**attributes)
    served = host(app, websocket)
    websocket.leave()
    served.join()
    app.over.wait()

    assert caplog.records == []


# ---- Messages -------------------------------------------------------------------------------------------------------


def test_messages_go_both_ways_as_they_are(host):
    app, websocket = App(echo), FakeWebSocket()
    served = host(app, websocket)
    for message in ("text", "", "grün", b"octets", b"", bytearray(b"of gevent"), "t" * 300_000):
        websocket.say(message)
    until(lambda: len(websocket.sent) == 7)
    websocket.leave()
    served.join()

    assert websocket.sent == ["text", "", "grün", b"octets", b"", b"of gevent", "t" * 300_000]
    assert [type(message) for message in websocket.sent] == [str, str, str, bytes, bytes, bytes, str]


@pytest.mark.requirement("A-143")
def test_what_the_application_does_not_take_stays_with_the_server(host):
    go = Flag("go")

    async def run(app: App) -> None:
        await app.accept()
        await go.wait_on_loop()
        await app.until_gone()

    app, websocket = App(run), FakeWebSocket()
    count = 1000
    served = host(app, websocket, limits=dataclasses.replace(LIMITS, websocket_queue_bytes=1))
    for _ in range(count):
        websocket.say(bytes(65536))
    websocket.leave()
    until(lambda: websocket.received > 1)
    taken = 0
    while taken != (taken := websocket.received):  # until nothing moves any more
        threading.Event().wait(SOON_S)
    assert taken < count // 2

    go.set()
    served.join()
    assert app.ending == (1005, "")
    assert len(app.events) == count + 2


def test_a_message_that_is_too_large_closes_with_1009(host):
    app, websocket = App(idle), FakeWebSocket()
    served = host(app, websocket, limits=dataclasses.replace(LIMITS, websocket_message_bytes=10))
    websocket.say("more than ten")
    served.join()

    assert [code for code, _ in websocket.closes] == [1009]
    assert app.ending[0] == 1009


def test_an_object_is_not_pinged_since_only_its_server_knows_its_client():
    handshaken = find_handshaken(handshake_environ(FakeWebSocket()))

    assert handshaken is not None
    assert handshaken.limits(LIMITS) == dataclasses.replace(LIMITS, websocket_ping_s=None)


# ---- Endings by the client ------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-139", "A-147")
@pytest.mark.parametrize(
    ("attributes", "error", "ending"),
    [
        pytest.param({}, None, (1005, ""), id="closed, and nothing known"),
        pytest.param({"close_code": 4321, "close_reason": "bye"}, None, (4321, "bye"), id="closed with a code"),
        pytest.param({"close_code": 1000, "close_reason": None}, None, (1000, ""), id="closed without a reason"),
        pytest.param({"close_code": 99, "close_reason": "x"}, None, (1005, ""), id="closed with an impossible code"),
        pytest.param({"close_code": None}, ConnectionResetError(), (1006, ""), id="lost"),
        pytest.param({}, RuntimeError("its own kind"), (1006, ""), id="ended with an error of its own"),
        pytest.param({"close_code": 4000}, RuntimeError("closed"), (4000, ""), id="closed, told by an error"),
    ],
)
def test_the_application_hears_how_the_client_has_left(host, attributes, error, ending):
    app, websocket = App(idle), FakeWebSocket(**attributes)
    served = host(app, websocket)
    websocket.say("last words")
    websocket.leave(error)

    assert served.join() == []
    assert app.ending == ending
    assert app.events[1]["text"] == "last words"
    assert websocket.closes == []


def test_messages_to_a_lost_client_are_dropped_until_its_end_is_heard_of(host):
    sent = Flag("sent")

    async def run(app: App) -> None:
        await app.accept()
        for _ in range(10):
            await app.send("send", text="hello?")
        sent.set()
        await app.until_gone()
        with pytest.raises(ClientDisconnected):
            await app.send("send", text="too late")

    app, websocket = App(run), FakeWebSocket(is_lost=True)
    served = host(app, websocket)
    sent.wait()
    websocket.leave(ConnectionResetError())
    served.join()

    assert app.ending == (1006, "")
    assert websocket.sent == []


# ---- Endings by the application -------------------------------------------------------------------------------------


@pytest.mark.requirement("A-140")
@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4321, "grün")])
def test_the_close_of_the_application_reaches_the_client_after_its_messages(host, code, reason):
    async def run(app: App) -> None:
        await app.accept()
        await app.send("send", text="last words")
        await app.send("close", code=code, reason=reason)
        await app.until_gone()

    app, websocket = App(run), FakeWebSocket()
    host(app, websocket).join()

    assert websocket.sent == ["last words"]
    assert websocket.closes == [(code, reason)]
    assert app.ending == (code, reason)


@pytest.mark.parametrize(
    ("close", "ending"),
    [
        pytest.param({}, (1008, ""), id="nothing given"),
        pytest.param({"code": 1000, "reason": "go"}, (1008, "go"), id="normal, which is no refusal"),
        pytest.param({"code": 4403, "reason": "not you"}, (4403, "not you"), id="its own"),
    ],
)
def test_a_close_before_accept_is_a_close_frame(host, close, ending):
    async def run(app: App) -> None:
        await app.receive()
        await app.send("close", **close)
        await app.until_gone()

    app, websocket = App(run), FakeWebSocket()
    served = host(app, websocket)

    assert served.join() == []
    assert served.starts == []
    assert websocket.closes == [ending]
    assert app.ending == ending


def test_a_close_before_accept_with_a_code_that_must_not_be_sent_raises(host, caplog):
    errors = []

    async def run(app: App) -> None:
        await app.receive()
        with pytest.raises(ApplicationError) as caught:
            await app.send("close", code=1006)
        errors.append(caught.value)

    app, websocket = App(run), FakeWebSocket()
    host(app, websocket).join()

    assert "1006" in str(errors[0])
    assert websocket.closes == [(1011, "")]


def test_a_denial_is_an_error_of_the_application(host, caplog):
    async def run(app: App) -> None:
        await app.receive()
        await app.send("http.response.start", status=401, headers=[])

    app, websocket = App(run), FakeWebSocket()
    served = host(app, websocket)

    assert served.join() == []
    assert served.starts == []
    assert websocket.closes == [(1011, "")]
    (record,) = caplog.records
    assert "scope['extensions']" in str(record.exc_info[1])


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize("on_error", ["raise", "respond"])
def test_a_failure_before_accept_closes_with_1011_and_is_logged_once(host, caplog, on_error):
    async def run(app: App) -> None:
        raise LookupError("of the application")

    websocket = FakeWebSocket()
    served = host(App(run), websocket, on_error=on_error)

    assert served.join() == []
    assert served.starts == []
    assert websocket.closes == [(1011, "")]
    (record,) = caplog.records
    assert (record.levelname, str(record.exc_info[1])) == ("ERROR", "of the application")


@pytest.mark.requirement("A-142")
def test_a_failure_after_accept_closes_with_1011_and_is_logged_once(host, caplog):
    async def run(app: App) -> None:
        await app.accept()
        raise LookupError("of the application")

    websocket = FakeWebSocket()
    served = host(App(run), websocket)

    assert served.join() == []
    assert websocket.closes == [(1011, "")]
    until(lambda: caplog.records)
    (record,) = caplog.records
    assert (record.levelname, str(record.exc_info[1])) == ("ERROR", "of the application")


@pytest.mark.requirement("A-142")
def test_an_application_that_returns_closes_with_1000(host):
    websocket = FakeWebSocket()
    host(App(lambda app: app.accept()), websocket).join()

    assert websocket.closes == [(1000, "")]


def test_what_the_bridge_refuses_is_closed_with_1013(caplog):
    app, first, second = App(idle), FakeWebSocket(), FakeWebSocket()
    with hosted(app, limits=dataclasses.replace(LIMITS, websockets=1), event_loop="asyncio") as adapter:
        one = Served(adapter, first)
        until(lambda: app.events)
        two = Served(adapter, second)

        assert two.join() == []
        assert two.starts == []
        assert second.closes == [(1013, "")]
        first.leave()
        one.join()
        until(lambda: not adapter.statistics().websockets)
    assert first.closes == []


@pytest.mark.requirement("A-149")
def test_at_shutdown_the_client_is_told_1001():
    app, websocket = App(idle), FakeWebSocket()
    with hosted(app, limits=LIMITS, event_loop="asyncio") as adapter:
        served = Served(adapter, websocket)
        until(lambda: app.events)
        websocket.say("there")
        until(lambda: len(app.events) == 2)

    served.join()
    assert websocket.closes == [(1001, "")]
    assert app.ending == (1001, "")


def test_an_accept_that_fails_halfway_closes_with_1011(host, monkeypatch, caplog):
    async def fail(session: Session, own: socket.socket, head: bytes) -> None:
        own.close()
        raise OSError("no line")

    monkeypatch.setattr(Session, "open", fail)
    websocket = FakeWebSocket()
    served = host(App(idle), websocket)

    assert served.join() == []
    assert websocket.closes == [(1011, "")]


# ---- gevent-websocket's own objects ---------------------------------------------------------------------------------


class OfGevent(FakeWebSocket):
    """It is told by its module; none of its methods is to be used."""

    __module__ = "geventwebsocket.websocket"
    receive = send = close = pytest.fail


class Client:
    """The other end of a server's connection, which speaks frames."""

    def __init__(self) -> None:
        self.server_side, self._socket = socket.socketpair()
        self._socket.settimeout(TIMEOUT_S)
        self._frames = FrameEnd("client", max_message_bytes=None)
        self._events: list[Any] = []

    def send(self, message: str | bytes) -> None:
        self._frames.send(message)
        self._flush()

    def close(self, code: int, reason: str) -> None:
        self._frames.close(code, reason)
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._frames.octets_to_send()[0])

    def next(self) -> Any:
        while not self._events:
            octets = self._socket.recv(65536)
            self._events += self._frames.feed(octets) if octets else self._frames.feed_end()
        with suppress(OSError):  # nobody waits for an answer to the last one
            self._flush()
        return self._events.pop(0)

    def hang_up(self) -> None:
        self._socket.close()
        self.server_side.close()


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.hang_up()


def test_the_connection_of_gevents_is_taken_over_and_the_call_is_over_at_once(host, client, backend):
    app = App(echo)
    client.send("before the accept")  # the client has seen the 101
    served = host(app, OfGevent(), {"gunicorn.socket": client.server_side}, event_loop=backend.name)
    with pytest.raises(ConnectionResetError):
        served.join()

    assert client.next() == Received("before the accept")
    client.send(b"octets")
    assert client.next() == Received(b"octets")
    client.close(4321, "bye")
    assert client.next() == Closed(4321, "bye")
    assert app.ending == (4321, "bye")


def test_the_connection_of_gevents_is_found_when_the_input_is_not_the_servers(host, client):
    websocket = OfGevent(handler=SimpleNamespace(socket=client.server_side))
    served = host(App(echo), websocket)
    with pytest.raises(ConnectionResetError):
        served.join()

    client.send("hello")
    assert client.next() == Received("hello")


def test_a_client_of_gevents_is_pinged_as_everywhere(client):
    handshaken = find_handshaken(handshake_environ(OfGevent(), **{"gunicorn.socket": client.server_side}))

    assert handshaken is not None
    assert handshaken.limits(LIMITS) is LIMITS


def test_a_close_of_gevents_before_accept_is_a_close_frame_with_its_code(host, client):
    async def run(app: App) -> None:
        await app.receive()
        await app.send("close", code=4403, reason="not you")

    served = host(App(run), OfGevent(), {"gunicorn.socket": client.server_side})
    with pytest.raises(ConnectionResetError):
        served.join()

    assert client.next() == Closed(4403, "not you")


def test_a_failure_before_accept_closes_the_connection_of_gevents_with_1011(host, client, caplog):
    async def run(app: App) -> None:
        raise LookupError("of the application")

    client.send("not read by anybody")
    served = host(App(run), OfGevent(), {"gunicorn.socket": client.server_side})
    with pytest.raises(ConnectionResetError):
        served.join()

    assert client.next() == Closed(1011, "")
    assert len(caplog.records) == 1
