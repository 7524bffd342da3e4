"""``environ["werkzeug.socket"]``: a WSGI application that speaks frames by itself, by a library or by hand."""

from __future__ import annotations

from typing import Any

import pytest
import simple_websocket

from bridge.errors import ApplicationError
from tests.conformance.driver import logged, on_both_loops, on_each_backend, until
from tests.websocket.by_hand import (
    BINARY,
    TEXT,
    by_hand,
    close_frame,
    frame,
    handshake,
)
from tests.websocket.driver import (
    DENIAL,
    Quirks,
    Socket,
    converse,
    make_scope,
    on_each_server,
)

# ---- What is offered ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-001", "S-002", "S-003")
def test_the_environ_is_that_of_a_get_and_offers_both_ways():
    seen: dict[str, Any] = {}

    def app(environ, start_response):
        seen.update(environ)
        seen["is blocking"] = environ["werkzeug.socket"].gettimeout() is None
        seen["body"] = environ["wsgi.input"].read()
        del seen["werkzeug.socket"], seen["wsgi.websocket"]
        start_response("403 Forbidden", [])
        return []

    scope = make_scope(
        scheme="wss",
        query_string=b"a=1",
        subprotocols=["chat", "superchat"],
        state={"pool": 1},
        headers=[(b"sec-websocket-extensions", b"permessage-deflate"), (b"cookie", b"a=1")],
    )
    converse(app, socket=Socket(scope))

    assert seen["REQUEST_METHOD"] == "GET"
    assert seen["wsgi.url_scheme"] == "https"
    assert seen["QUERY_STRING"] == "a=1"
    assert seen["HTTP_UPGRADE"] == "websocket"
    assert seen["HTTP_CONNECTION"] == "Upgrade"
    assert seen["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert seen["HTTP_SEC_WEBSOCKET_KEY"] == "dGhlIHNhbXBsZSBub25jZQ=="
    assert seen["HTTP_SEC_WEBSOCKET_PROTOCOL"] == "chat, superchat"
    assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in seen
    assert seen["HTTP_COOKIE"] == "a=1"
    assert seen["body"] == b""
    assert seen["is blocking"]
    assert seen["bridge.scope"] is scope
    assert seen["bridge.state"] == {"pool": 1}


@pytest.mark.requirement("S-002")
def test_an_ordinary_request_has_neither():
    from tests.conformance.driver import serve

    found = []

    def app(environ, start_response):
        found.extend({"werkzeug.socket", "wsgi.websocket", "wsgi.websocket_version"} & set(environ))
        start_response("200 OK", [])
        return []

    serve(app)

    assert found == []


@pytest.mark.requirement("S-001")
@on_both_loops
def test_a_handshake_without_a_key_gets_one_that_works(backend):
    scope = make_scope()
    scope["headers"] = [pair for pair in scope["headers"] if not pair[0].startswith(b"sec-")]

    socket = converse(by_hand(lambda wire: wire.accept()), socket=Socket(scope), backend=backend)

    assert socket.types == ["accept", "close"]


# ---- simple-websocket -----------------------------------------------------------------------------------------------


def simple_echo(environ, start_response):
    ws = simple_websocket.Server.accept(environ)
    try:
        while True:
            ws.send(ws.receive())
    except simple_websocket.ConnectionClosed:
        return []


@pytest.mark.requirement("S-002", "S-009")
@on_each_server
@on_each_backend
def test_messages_come_back_as_they_were(backend, quirks: Quirks):
    messages = ["text", "", "grün \U0001f600", b"octets", b"", b"\x00" * 70_000, "t" * 70_000]

    async def script(socket, adapter):
        socket.say(*messages)
        await until(lambda: len(socket.said) == len(messages))
        assert adapter.statistics().websockets == 1
        socket.leave(1000)

    socket = converse(simple_echo, script, socket=Socket(quirks=quirks), backend=backend)

    assert socket.error is None
    assert socket.said == messages
    assert socket.types == ["accept", *["send"] * len(messages)]


@pytest.mark.requirement("S-004")
@on_both_loops
def test_the_subprotocol_the_library_chooses_is_accepted(backend):
    def app(environ, start_response):
        simple_websocket.Server.accept(environ, subprotocols=["second", "third"]).close()
        return []

    scope = make_scope(subprotocols=["first", "second"])
    socket = converse(app, socket=Socket(scope), backend=backend)

    assert socket.accepted == {"type": "websocket.accept", "subprotocol": "second", "headers": []}


@pytest.mark.requirement("S-005", "S-009")
@on_each_server
@on_both_loops
def test_the_code_of_the_application_reaches_the_client(quirks: Quirks, backend):
    def app(environ, start_response):
        ws = simple_websocket.Server.accept(environ)
        ws.receive()
        ws.close(4321, "grün")
        return []

    async def script(socket, adapter):
        socket.say("go")

    socket = converse(app, script, socket=Socket(quirks=quirks), backend=backend)

    assert socket.types == ["accept", "close"]
    assert socket.closed == (4321, "grün")


@pytest.mark.requirement("S-005")
@on_both_loops
def test_a_response_after_the_connection_has_been_used_is_nothing(backend, caplog):
    """Flask-Sock returns one."""

    def app(environ, start_response):
        simple_websocket.Server.accept(environ).close()
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<p>done"]

    socket = converse(app, socket=Socket(make_scope(**DENIAL)), backend=backend)

    assert socket.error is None
    assert socket.types == ["accept", "close"]
    assert socket.closed == (1000, "")
    assert logged(caplog, 40) == []


# ---- By hand: the handshake -----------------------------------------------------------------------------------------


@pytest.mark.requirement("S-004")
@on_both_loops
def test_the_fields_of_the_101_are_those_of_the_accept_without_those_of_the_inner_leg(backend):
    def use(wire):
        wire.accept("Set-Cookie: a=1", "Set-Cookie: b=2", "Sec-WebSocket-Protocol: second", "X-Name: gr\xfcn")

    socket = converse(by_hand(use), socket=Socket(make_scope(subprotocols=["first", "second"])), backend=backend)

    assert socket.accepted is not None
    assert socket.accepted["subprotocol"] == "second"
    assert socket.accepted["headers"] == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-name", b"gr\xfcn")]


@pytest.mark.requirement("S-004")
@on_both_loops
def test_a_handshake_that_comes_in_single_octets_with_a_message_behind_it_is_understood(backend):
    def use(wire):
        for octet in handshake(wire.environ) + frame(TEXT, b"hello"):
            wire.write(bytes([octet]))

    socket = converse(by_hand(use), backend=backend)

    assert socket.said == ["hello"]


@pytest.mark.requirement("S-004")
@on_both_loops
def test_a_handshake_with_messages_in_the_same_breath_is_understood(backend):
    def use(wire):
        wire.write(handshake(wire.environ) + frame(TEXT, b"one") + frame(BINARY, b"two") + close_frame(4000, "done"))
        assert wire.read() is not None

    socket = converse(by_hand(use), backend=backend)

    assert socket.said == ["one", b"two"]
    assert socket.closed == (4000, "done")


@pytest.mark.requirement("S-004")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda environ: b"HELO\r\n\r\n", id="no HTTP"),
        pytest.param(lambda environ: b"\x00" * 100_000, id="octets"),
        pytest.param(lambda environ: handshake(environ, accept="x"), id="a wrong accept value"),
        pytest.param(
            lambda environ: b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            id="no accept value",
        ),
        pytest.param(
            lambda environ: handshake(environ, "Sec-WebSocket-Accept: again"),
            id="two accept values",
        ),
        pytest.param(
            lambda environ: handshake(environ, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"),
            id="two subprotocols",
        ),
        pytest.param(
            lambda environ: handshake(environ, "Sec-WebSocket-Protocol: other"),
            id="a subprotocol that was not offered",
        ),
        pytest.param(
            lambda environ: handshake(environ, "Sec-WebSocket-Extensions: permessage-deflate"),
            id="an extension that was not offered",
        ),
        pytest.param(lambda environ: handshake(environ, "X-Long: " + "x" * 100_000), id="a line without end"),
        pytest.param(lambda environ: handshake(environ, *["X-Many: 1"] * 1000), id="fields without end"),
        pytest.param(
            lambda environ: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
            id="a body without end",
        ),
    ],
)
@on_both_loops
def test_an_answer_that_is_no_handshake_is_an_error_of_the_application_which_is_told_by_the_end(
    answer, backend, caplog
):
    def use(wire):
        try:
            wire.write(answer(wire.environ))
        except BrokenPipeError:  # the rest of it was not wanted any more
            return
        assert wire.read() is None  # it would wait for ever

    socket = converse(by_hand(use), socket=Socket(make_scope(subprotocols=["a", "b"])), backend=backend)

    assert isinstance(socket.error, ApplicationError)
    assert socket.messages == []
    assert logged(caplog, 40) == []


@pytest.mark.requirement("S-004")
@on_both_loops
def test_an_application_that_hangs_up_in_the_middle_of_the_handshake_has_failed(backend):
    socket = converse(by_hand(lambda wire: wire.write(handshake(wire.environ)[:-5])), backend=backend)

    assert isinstance(socket.error, ApplicationError)
    assert socket.messages == []


# ---- By hand: an answer instead of a handshake ----------------------------------------------------------------------


@pytest.mark.requirement("S-004", "S-005")
@pytest.mark.parametrize(
    ("written", "body"),
    [
        pytest.param(b"Content-Length: 3\r\n\r\nno.", b"no.", id="with a length"),
        pytest.param(b"Connection: close\r\n\r\nno.", b"no.", id="until the end"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n3\r\nno.\r\n0\r\n\r\n", b"no.", id="chunked"),
        pytest.param(b"Content-Length: 0\r\n\r\n", b"", id="empty"),
    ],
)
@on_both_loops
def test_a_response_on_the_socket_is_a_denial(written, body, backend):
    def use(wire):
        wire.write(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n" + written)

    socket = converse(by_hand(use), socket=Socket(make_scope(**DENIAL)), backend=backend)

    assert socket.error is None
    assert socket.denial == (
        401,
        {b"www-authenticate": b"Bearer", b"content-length": b"%d" % len(body)},
        body,
    )


@pytest.mark.requirement("S-004", "S-005")
@on_both_loops
def test_without_the_extension_a_response_on_the_socket_is_a_plain_refusal(backend):
    def use(wire):
        wire.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno.")

    socket = converse(by_hand(use), backend=backend)

    assert socket.error is None
    assert socket.messages == [{"type": "websocket.close"}]


@pytest.mark.requirement("S-004")
def test_a_response_on_the_socket_wins_over_what_is_returned():
    def app(environ, start_response):
        environ["werkzeug.socket"].sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno.")
        start_response("200 OK", [("Content-Length", "5")])
        return [b"other"]

    socket = converse(app, socket=Socket(make_scope(**DENIAL)))

    assert socket.denial is not None
    assert socket.denial[0] == 401
