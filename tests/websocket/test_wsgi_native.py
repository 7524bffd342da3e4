"""``environ["wsgi.websocket"]``: a WebSocket of a WSGI application as an object with blocking methods."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from bridge import ClientDisconnected
from bridge.errors import ApplicationTypeError, ApplicationValueError
from tests.conformance.driver import logged, on_both_loops, on_each_backend, until
from tests.websocket.driver import (
    DENIAL,
    Quirks,
    Socket,
    converse,
    make_scope,
    on_each_server,
    using,
)


def echo(environ, start_response):
    ws = environ["wsgi.websocket"]
    while (message := ws.receive()) is not None:
        ws.send(message)
    return []


# ---- Messages -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-003", "S-009")
@on_each_server
@on_each_backend
def test_messages_come_back_as_they_were(backend, quirks: Quirks):
    messages = ["text", "", "grün \U0001f600", b"octets", b"", b"\x00" * 70_000, "t" * 70_000]

    async def script(socket, adapter):
        socket.say(*messages)
        await until(lambda: len(socket.said) == len(messages))
        assert adapter.statistics().websockets == 1
        socket.leave(1000)

    socket = converse(echo, script, socket=Socket(quirks=quirks), backend=backend)

    assert socket.error is None
    assert socket.said == messages
    assert socket.types == ["accept", *["send"] * len(messages)]
    assert socket.accepted == {"type": "websocket.accept", "subprotocol": None, "headers": []}


@pytest.mark.requirement("S-003")
@pytest.mark.parametrize(
    ("message", "binary", "sent"),
    [
        pytest.param("text", None, "text", id="str is text"),
        pytest.param(b"octets", None, b"octets", id="bytes are octets"),
        pytest.param(bytearray(b"octets"), None, b"octets", id="a bytearray is octets"),
        pytest.param(memoryview(b"octets")[::2], None, b"ott", id="a memoryview is octets"),
        pytest.param("grün", True, "grün".encode(), id="str as octets"),
        pytest.param("grün".encode(), False, "grün", id="octets as text"),
        pytest.param("text", False, "text", id="str as text"),
        pytest.param(b"octets", True, b"octets", id="octets as octets"),
    ],
)
def test_what_is_sent_is_what_was_meant(message, binary, sent):
    socket = converse(using(lambda ws: ws.send(message, binary)))

    assert socket.said == [sent]
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-003")
@pytest.mark.parametrize("message", [None, 1, ["a"], object()], ids=repr)
def test_what_is_no_message_is_an_error_and_the_socket_stays_open(message):
    def attempt(ws):
        with pytest.raises(ApplicationTypeError, match="takes str or bytes"):
            ws.send(message)
        ws.send("still here")

    app = using(attempt)
    socket = converse(app)

    assert socket.said == ["still here"]


@pytest.mark.requirement("S-003")
@on_both_loops
def test_text_that_is_no_unicode_is_an_error_of_the_send_and_the_socket_stays_open(backend):
    def attempt(ws):
        with pytest.raises(ApplicationValueError, match="surrogate"):
            ws.send("\ud800")
        ws.send("still here")

    app = using(attempt)
    socket = converse(app, backend=backend)

    assert socket.said == ["still here"]


@pytest.mark.requirement("S-003")
def test_octets_that_are_no_text_are_not_sent_as_text():
    def attempt(ws):
        with pytest.raises(ValueError, match=r"UTF-8|utf-8"):
            ws.send(b"\xff", binary=False)
        ws.send("still here")

    socket = converse(using(attempt))

    assert socket.said == ["still here"]


@pytest.mark.requirement("S-003")
@on_both_loops
def test_receive_gives_up_after_a_time_and_loses_nothing(backend):
    def wait(ws):
        ws.accept()
        early = [ws.receive(0), ws.receive(timeout=0.01)]
        ws.send("ready")
        return [*early, ws.receive(timeout=10)]

    async def script(socket, adapter):
        await until(lambda: socket.said)
        socket.say("late")

    app = using(wait)
    converse(app, script, backend=backend)

    assert app.result == [None, None, "late"]


@pytest.mark.requirement("S-003")
def test_read_message_is_another_name_of_receive():
    async def script(socket, adapter):
        socket.say("hello")

    app = using(lambda ws: ws.read_message())
    converse(app, script)

    assert app.result == "hello"


@pytest.mark.requirement("S-003")
def test_messages_of_two_threads_are_all_sent_and_those_of_each_in_order():
    each = 200

    def talk(ws):
        def count(name):
            for number in range(each):
                ws.send(f"{name}{number}")

        threads = [threading.Thread(target=count, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    socket = converse(using(talk))

    for name in "ab":
        assert [text for text in socket.said if text[0] == name] == [f"{name}{number}" for number in range(each)]
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-003")
@on_both_loops
def test_a_message_of_a_second_thread_never_overtakes_the_accept(backend):
    """The first thread is stopped just before it hands the accept over."""

    def talk(ws):
        other = threading.Thread(target=ws.send, args=("from the other thread",))
        put = ws._put

        def slow_put(message, size_bytes):
            if message["type"] == "websocket.accept":
                other.start()
                other.join(0.1)  # it is either done, and has been too fast, or waits for this thread
            put(message, size_bytes)

        ws._put = slow_put
        ws.accept()
        other.join(20)
        assert not other.is_alive()

    app = using(talk)
    socket = converse(app, backend=backend)

    assert socket.types == ["accept", "send", "close"]


# ---- What is known --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-003", "S-001")
def test_its_attributes_are_those_of_the_handshake():
    seen: dict[str, Any] = {}

    def app(environ, start_response):
        ws = environ["wsgi.websocket"]
        seen.update({name: getattr(ws, name) for name in ("path", "origin", "protocol", "version")})
        seen["is its environ"] = ws.environ is environ
        seen["version in environ"] = environ["wsgi.websocket_version"]
        return echo(environ, start_response)

    async def script(socket, adapter):
        socket.leave()

    scope = make_scope("/grün", subprotocols=["a", "b"], headers=[(b"origin", b"https://example.org")])
    converse(app, script, socket=Socket(scope))

    assert seen == {
        "path": "/grün".encode().decode("latin-1"),
        "origin": "https://example.org",
        "protocol": "a, b",
        "version": "13",
        "is its environ": True,
        "version in environ": "13",
    }


@pytest.mark.requirement("S-003")
def test_without_them_the_fields_of_the_handshake_are_none():
    app = using(lambda ws: (ws.origin, ws.protocol))

    converse(app)

    assert app.result == (None, None)


@pytest.mark.requirement("S-003")
@on_both_loops
def test_its_text_says_where_it_is_and_how_it_is(backend):
    def look(ws):
        texts = [repr(ws)]
        ws.send("hello")
        texts.append(repr(ws))
        ws.receive()
        return [*texts, repr(ws)]

    async def script(socket, adapter):
        await until(lambda: socket.said)
        socket.leave()

    app = using(look)
    converse(app, script, backend=backend)

    assert app.result == [
        "<WebSocket '/socket': not accepted>",
        "<WebSocket '/socket': open>",
        "<WebSocket '/socket': closed>",
    ]


# ---- The end, as applications of gevent-websocket know it -----------------------------------------------------------


@pytest.mark.requirement("S-003", "S-006")
@on_both_loops
def test_receive_returns_none_once_when_the_client_has_left_and_raises_then(backend):
    def use(ws):
        assert [ws.receive(), ws.receive()] == ["hello", None]
        with pytest.raises(ClientDisconnected, match="4001"):
            ws.receive()

    async def script(socket, adapter):
        socket.say("hello")
        socket.leave(4001, "bye")

    app = using(use)
    converse(app, script, backend=backend)


@pytest.mark.requirement("S-003")
@pytest.mark.parametrize("is_known", [True, False])
def test_where_geventwebsocket_is_imported_the_error_is_one_of_its_own_too(is_known, monkeypatch):
    class WebSocketError(Exception):
        """Stands for that of the library."""

    module = ModuleType("geventwebsocket.exceptions")
    module.WebSocketError = WebSocketError
    if is_known:
        monkeypatch.setitem(sys.modules, "geventwebsocket.exceptions", module)
    else:
        monkeypatch.delitem(sys.modules, "geventwebsocket.exceptions", raising=False)

    def use(ws):
        ws.receive()
        ws.receive()

    async def script(socket, adapter):
        socket.leave()

    app = using(use)
    converse(app, script)

    assert isinstance(app.raised, ClientDisconnected)
    assert isinstance(app.raised, WebSocketError) is is_known


@pytest.mark.requirement("S-003", "S-005")
def test_what_an_application_returns_after_it_has_used_the_socket_is_no_response(caplog):
    """Applications of gevent-websocket return nothing, or never call ``start_response``."""

    def app(environ, start_response):
        environ["wsgi.websocket"].send("hello")

    socket = converse(app, socket=Socket(make_scope(**DENIAL)))

    assert socket.types == ["accept", "send", "close"]
    assert socket.closed == (1000, "")
    assert [record.getMessage() for record in logged(caplog, 40)] == []
