"""How an open WebSocket of a WSGI application ends, for the client and for the log (S-005)."""

from __future__ import annotations

import io
import logging

import pytest
import simple_websocket

from tests.conformance.driver import ClosingBlocks, MiddlewareError, logged, on_both_loops
from tests.websocket.by_hand import TEXT, HandWritten, close_frame, frame
from tests.websocket.driver import DENIAL, GRANIAN, PLAIN, UVICORN, Quirks, Socket, converse, make_scope

pytestmark = pytest.mark.requirement("S-005")


class AppError(Exception):
    """A failure of the application."""


# ---- Ends after the accept ------------------------------------------------------------------------------------------


def native(then):
    def app(environ, start_response):
        environ["wsgi.websocket"].send("hello")
        return then(environ, start_response)

    return app


def wire(then):
    def app(environ, start_response):
        HandWritten(environ).accept().write(frame(TEXT, b"hello"))
        return then(environ, start_response)

    return app


def library(then):
    def app(environ, start_response):
        simple_websocket.Server.accept(environ).send("hello")
        return then(environ, start_response)

    return app


on_each_way = pytest.mark.parametrize("way", [native, wire, library])


def fails(environ, start_response):
    raise AppError("after")


def answers_500(environ, start_response):
    start_response("500 Oh", [("Content-Type", "text/plain")])
    return [b"oh"]


def answers_200(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"lost"]


def answers_nothing(environ, start_response):
    return []


@on_each_way
@pytest.mark.parametrize("then", [answers_200, answers_nothing])
@on_both_loops
def test_an_application_that_returns_has_closed_with_1000(then, way, backend, caplog):
    socket = converse(way(then), socket=Socket(make_scope(**DENIAL)), backend=backend)

    assert socket.error is None
    assert socket.types == ["accept", "send", "close"]
    assert socket.closed == (1000, "")
    assert logged(caplog, logging.ERROR) == []


@on_each_way
@pytest.mark.parametrize("then", [fails, answers_500])
@on_both_loops
def test_an_application_that_fails_has_closed_with_1011_and_the_log_has_it_once(then, way, backend, caplog):
    socket = converse(way(then), socket=Socket(make_scope(**DENIAL)), backend=backend)

    assert socket.error is None
    assert socket.types == ["accept", "send", "close"]
    assert socket.closed == (1011, "")
    (record,) = logged(caplog, logging.ERROR)
    assert "/socket" in record.getMessage()
    assert (record.exc_info is not None) is (then is fails)
    del record
    caplog.clear()


@on_both_loops
def test_an_error_after_the_application_has_closed_leaves_its_code_and_is_logged_once(backend, caplog):
    def app(environ, start_response):
        environ["wsgi.websocket"].send("hello")
        environ["wsgi.websocket"].close(4000, "mine")
        raise AppError("after the close")

    socket = converse(app, backend=backend)

    assert socket.error is None
    assert socket.closed == (4000, "mine")
    assert len(logged(caplog, logging.ERROR)) == 1
    caplog.clear()


@on_both_loops
def test_an_error_after_the_client_has_left_is_logged_once_and_nothing_is_sent(backend, caplog):
    def app(environ, start_response):
        assert environ["wsgi.websocket"].receive() is None
        raise AppError("after the client")

    async def script(socket, adapter):
        socket.leave(1001)

    socket = converse(app, script, backend=backend)

    assert socket.error is None
    assert socket.types == ["accept"]
    assert socket.swallowed == []
    assert len(logged(caplog, logging.ERROR)) == 1
    caplog.clear()


@on_both_loops
def test_an_application_that_just_lets_the_end_rise_has_not_failed(backend, caplog):
    def app(environ, start_response):
        while True:
            environ["wsgi.websocket"].receive()

    async def script(socket, adapter):
        socket.leave(1001)

    socket = converse(app, script, backend=backend)

    assert socket.error is None
    assert logged(caplog, logging.ERROR) == []


@on_both_loops
def test_the_iterable_is_closed_after_a_conversation(backend):
    blocks = ClosingBlocks([])

    def app(environ, start_response):
        environ["wsgi.websocket"].send("hello")
        start_response("200 OK", [])
        return blocks

    converse(app, backend=backend)

    assert len(blocks.closed_in) == 1


def test_what_the_application_writes_to_wsgi_errors_arrives():
    text = io.StringIO()

    def app(environ, start_response):
        environ["wsgi.errors"].write("a line\n")
        environ["wsgi.websocket"].close()
        return []

    converse(app, errors=text)

    assert text.getvalue() == "a line\n"


# ---- Errors of the server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2], ids=["accept", "message", "close"])
@on_both_loops
def test_an_error_of_send_rises_and_the_application_is_told(number, backend):
    def app(environ, start_response):
        ws = environ["wsgi.websocket"]
        ws.send("hello")
        if number < 2:
            while ws.receive() is not None:
                pass
        return []

    error = MiddlewareError("send")
    socket = converse(app, socket=Socket(fail_at={number: error}), backend=backend)

    assert socket.error is error


@on_both_loops
def test_an_error_of_send_ends_a_wait_on_the_wire(backend):
    ends = []

    def app(environ, start_response):
        wire = HandWritten(environ).accept()
        wire.write(frame(TEXT, b"hello"))
        ends.append(wire.read())
        return []

    error = MiddlewareError("send")
    socket = converse(app, socket=Socket(fail_at={1: error}), backend=backend)

    assert socket.error is error
    assert ends == [None]


@pytest.mark.parametrize("quirks", [pytest.param(PLAIN, id="plain"), pytest.param(GRANIAN, id="like granian")])
@on_both_loops
def test_an_error_of_receive_rises_and_the_application_is_told(quirks: Quirks, backend):
    def app(environ, start_response):
        ws = environ["wsgi.websocket"]
        results.append(ws.receive())
        results.append(ws.close_code)
        return []

    results = []
    error = MiddlewareError("receive")
    socket = converse(app, socket=Socket(receive_error=error, quirks=quirks), backend=backend)

    assert socket.error is error
    assert results == [None, 1006]


@pytest.mark.parametrize(
    "event", [{"type": "http.request"}, {"type": "websocket.connect"}, {"type": "lifespan.startup"}], ids=str
)
def test_an_event_that_has_no_place_is_an_error_of_the_server(event):
    def app(environ, start_response):
        assert environ["wsgi.websocket"].receive() is None
        return []

    async def script(socket, adapter):
        socket.give(event)

    socket = converse(app, script)

    assert event["type"] in str(socket.error)


@on_both_loops
def test_a_server_whose_send_raises_for_a_client_that_has_left_sees_no_error(backend, caplog):
    def app(environ, start_response):
        ws = environ["wsgi.websocket"]
        ws.accept()
        socket.block_until(lambda: socket.accepted is not None)
        socket._is_gone = True  # the server knows, and has not said so yet
        ws.send("into the void")
        assert ws.receive() is None
        codes.append(ws.close_code)
        return []

    codes = []
    socket = Socket(quirks=UVICORN)
    converse(app, socket=socket, backend=backend)

    assert socket.error is None
    assert codes == [1006]
    assert logged(caplog, logging.ERROR) == []


@on_both_loops
def test_a_close_that_comes_too_late_is_no_error(backend):
    def app(environ, start_response):
        wire = HandWritten(environ).accept()
        wire.write(frame(TEXT, b"hello"))
        socket.block_until(lambda: bool(socket.said))
        socket._is_gone = True
        wire.write(close_frame(4000))
        return []

    socket = Socket(quirks=UVICORN)
    converse(app, socket=socket, backend=backend)

    assert socket.error is None
    assert socket.types == ["accept", "send"]
