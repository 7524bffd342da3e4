"""``environ["wsgi.websocket"]``: how the handshake is completed, and how it closes."""

from __future__ import annotations

import contextlib
import threading

import pytest

from bridge import ClientDisconnected
from bridge.errors import ApplicationError, ApplicationValueError
from tests.conformance.driver import block, on_both_loops
from tests.websocket.driver import (
    DENIAL,
    Quirks,
    Socket,
    converse,
    make_scope,
    on_each_server,
    using,
)

# ---- The handshake --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-003")
@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda ws: ws.receive(timeout=0), id="receive"),
        pytest.param(lambda ws: ws.send(""), id="send"),
        pytest.param(lambda ws: ws.accept(), id="accept"),
    ],
)
def test_the_first_use_accepts(use):
    socket = converse(using(use))

    assert socket.types[0] == "accept"
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-003")
@pytest.mark.parametrize(
    "look",
    [
        pytest.param(bool, id="truth"),
        pytest.param(repr, id="repr"),
        pytest.param(lambda ws: ws.closed, id="closed"),
        pytest.param(lambda ws: (ws.path, ws.origin, ws.protocol, ws.environ, ws.version), id="attributes"),
        pytest.param(lambda ws: (ws.close_code, ws.close_reason), id="close_code"),
    ],
)
def test_a_look_at_it_does_not_accept(look):
    def app(environ, start_response):
        look(environ["wsgi.websocket"])
        start_response("403 Forbidden", [("Content-Length", "2")])
        return [b"no"]

    socket = converse(app, socket=Socket(make_scope(**DENIAL)))

    assert socket.denial == (403, {b"content-length": b"2"}, b"no")


@pytest.mark.requirement("S-003")
@on_both_loops
def test_accept_can_choose_a_subprotocol_and_add_fields(backend):
    fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Name", "grün")]
    app = using(lambda ws: ws.accept(subprotocol="second", headers=fields))

    socket = converse(app, socket=Socket(make_scope(subprotocols=["first", "second"])), backend=backend)

    assert socket.accepted is not None
    assert socket.accepted["subprotocol"] == "second"
    assert socket.accepted["headers"] == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-name", "grün".encode("latin-1")),
    ]


@pytest.mark.requirement("S-003")
@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({"subprotocol": "third"}, id="a subprotocol that was not offered"),
        pytest.param({"headers": [("X-Split", "a\r\nb: c")]}, id="a field with a line break"),
        pytest.param({"headers": [("X Space", "a")]}, id="a name with a space"),
        pytest.param({"headers": [("Connection", "close")]}, id="a field of the connection"),
        pytest.param({"headers": [("Sec-WebSocket-Protocol", "first")]}, id="the subprotocol as a field"),
        pytest.param({"headers": [("Sec-WebSocket-Extensions", "x")]}, id="an extension"),
        pytest.param({"headers": [("Sec-WebSocket-Accept", "x")]}, id="the server's own field"),
    ],
)
def test_an_accept_that_cannot_be_is_an_error_and_may_be_made_good(keywords):
    def attempt(ws):
        with pytest.raises(ApplicationError):
            ws.accept(**keywords)
        ws.accept()
        ws.send("all is well")

    app = using(attempt)
    socket = converse(app, socket=Socket(make_scope(subprotocols=["first", "second"])))

    assert socket.said == ["all is well"]


@pytest.mark.requirement("S-003")
def test_a_subprotocol_that_was_not_offered_is_a_wrong_value():
    app = using(lambda ws: ws.accept(subprotocol="third"))

    converse(app, socket=Socket(make_scope(subprotocols=["first"])))

    assert isinstance(app.raised, ApplicationValueError)
    assert "third" in str(app.raised)


@pytest.mark.requirement("S-003")
def test_a_second_accept_is_an_error():
    def attempt(ws):
        ws.accept()
        ws.accept()

    app = using(attempt)
    socket = converse(app)

    assert isinstance(app.raised, ApplicationError)
    assert socket.types == ["accept", "close"]


@pytest.mark.requirement("S-003")
def test_whoever_has_used_the_object_cannot_use_the_socket():
    def app(environ, start_response):
        environ["wsgi.websocket"].send("native")
        with contextlib.suppress(OSError):  # it is closed, or leads to nobody
            environ["werkzeug.socket"].sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            ends.append(environ["werkzeug.socket"].recv(1))
        return []

    ends: list[bytes] = []

    socket = converse(app)

    assert ends in ([], [b""])
    assert socket.types == ["accept", "send", "close"]
    assert socket.closed == (1000, "")


# ---- Closing --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-005", "S-009")
@on_each_server
@on_both_loops
@pytest.mark.parametrize(
    ("arguments", "closed"),
    [
        pytest.param((), (1000, ""), id="plain"),
        pytest.param((4321, "grün"), (4321, "grün"), id="code and reason"),
        pytest.param((1011, b"octets"), (1011, "octets"), id="octets for a reason"),
    ],
)
def test_the_code_of_the_application_reaches_the_client(arguments, closed, quirks: Quirks, backend):
    app = using(lambda ws: (ws.receive(), ws.close(*arguments), ws.closed))

    async def script(socket, adapter):
        socket.say("go")

    socket = converse(app, script, socket=Socket(quirks=quirks), backend=backend)

    assert app.result == ("go", None, True)
    assert socket.types == ["accept", "close"]
    assert socket.closed == closed


@pytest.mark.requirement("S-005", "S-009")
@on_each_server
@on_both_loops
def test_a_close_right_after_the_accept_reaches_the_client(quirks: Quirks, backend):
    def use(ws):
        ws.accept()
        ws.close(4000, "no room")

    socket = converse(using(use), socket=Socket(quirks=quirks), backend=backend)

    assert socket.types == ["accept", "close"]
    assert socket.closed == (4000, "no room")


@pytest.mark.requirement("S-005")
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(1005, "", id="1005"),
        pytest.param(1006, "", id="1006"),
        pytest.param(999, "", id="too low"),
        pytest.param(5000, "", id="too high"),
        pytest.param("1000", "", id="no number"),
        pytest.param(1000, "x" * 124, id="a reason that is too long"),
        pytest.param(1000, None, id="a reason that is none"),
    ],
)
def test_a_close_that_must_not_be_sent_is_an_error_and_the_socket_stays_open(code, reason):
    def attempt(ws):
        ws.send("before")
        with pytest.raises(ApplicationError):
            ws.close(code, reason)
        ws.send("after")

    app = using(attempt)
    socket = converse(app)

    assert socket.said == ["before", "after"]
    assert socket.closed == (1000, "")


@pytest.mark.requirement("S-003", "S-005")
@pytest.mark.parametrize("extra", [pytest.param({}, id="plain"), pytest.param(DENIAL, id="with denial responses")])
@on_both_loops
def test_a_close_before_the_accept_refuses_the_handshake(extra, backend):
    def app(environ, start_response):
        environ["wsgi.websocket"].close()
        start_response("200 OK", [])
        return [b"lost"]

    socket = converse(app, socket=Socket(make_scope(**extra)), backend=backend)

    assert socket.messages == [{"type": "websocket.close"}]


@pytest.mark.requirement("S-003")
@on_both_loops
def test_after_its_close_nothing_is_received_and_what_is_sent_is_lost_once_and_then_an_error(backend):
    def use(ws):
        ws.send("last")
        ws.close(4000)
        ws.close(4001)
        ws.send("lost")
        with pytest.raises(ClientDisconnected):
            ws.send("refused")
        assert ws.receive() is None
        with pytest.raises(ClientDisconnected):
            ws.receive()
        return ws.closed

    app = using(use)
    socket = converse(app, backend=backend)

    assert app.result is True
    assert socket.said == ["last"]
    assert socket.closed == (4000, "")


@pytest.mark.requirement("S-003")
def test_after_a_refusal_nothing_can_be_accepted_any_more():
    def use(ws):
        ws.close()
        assert ws.receive() is None
        with pytest.raises(ClientDisconnected):
            ws.receive()
        ws.send("lost")
        with pytest.raises(ClientDisconnected):
            ws.send("refused")
        with pytest.raises((ApplicationError, ClientDisconnected)):
            ws.accept()

    app = using(use)
    socket = converse(app)

    assert socket.messages == [{"type": "websocket.close"}]


@pytest.mark.requirement("S-003")
@on_both_loops
def test_a_thread_in_receive_wakes_when_another_one_closes(backend):
    def use(ws):
        results = []
        entered = threading.Event()

        def read():
            entered.set()
            results.append(ws.receive())

        reader = threading.Thread(target=read)
        ws.accept()
        reader.start()
        block(entered)
        ws.close(4000)
        reader.join(20)
        assert not reader.is_alive()
        return results

    app = using(use)
    converse(app, backend=backend)

    assert app.result == [None]
