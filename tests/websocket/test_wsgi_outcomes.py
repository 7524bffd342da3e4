"""How a handshake that a WSGI application does not accept ends, for the client and for the log (S-004, S-005)."""

from __future__ import annotations

import logging

import pytest

from bridge.errors import ApplicationError
from tests.conformance.driver import ClosingBlocks, logged, on_both_loops, until
from tests.websocket.driver import DENIAL, PLAIN, Socket, converse, make_scope

pytestmark = pytest.mark.requirement("S-005")

with_denial = pytest.mark.parametrize(
    "extra", [pytest.param(DENIAL, id="with denial responses"), pytest.param({}, id="without")]
)


class AppError(Exception):
    """A failure of the application."""


def answering(status="403 Forbidden", headers=(), blocks=(b"no",)):
    def app(environ, start_response):
        start_response(status, list(headers))
        return blocks

    return app


# ---- Denials --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-003", "S-004")
@on_both_loops
def test_a_response_instead_of_a_conversation_is_a_denial(backend):
    app = answering("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Set-Cookie", "a=1")], [b"who ", b"are you?"])

    socket = converse(app, socket=Socket(make_scope(**DENIAL)), backend=backend)

    assert socket.error is None
    assert socket.denial == (401, {b"www-authenticate": b"Bearer", b"set-cookie": b"a=1"}, b"who are you?")


@on_both_loops
def test_without_the_extension_it_is_a_plain_refusal(backend):
    socket = converse(answering("401 Unauthorized"), backend=backend)

    assert socket.error is None
    assert socket.messages == [{"type": "websocket.close"}]


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found", "426 Upgrade Required", "500 Oh"])
def test_any_status_is_a_denial(status):
    blocks = () if status[:3] == "204" else (b"x",)

    socket = converse(answering(status, blocks=blocks), socket=Socket(make_scope(**DENIAL)))

    assert socket.denial is not None
    assert socket.denial[0] == int(status[:3])


@on_both_loops
def test_a_denial_is_streamed(backend):
    """The second block is not made before the first one has gone out."""

    def app(environ, start_response):
        start_response("403 Forbidden", [])

        def blocks():
            yield b"first"
            socket.block_until(lambda: any(message.get("body") == b"first" for message in socket.messages))
            yield b"second"

        return blocks()

    socket = Socket(make_scope(**DENIAL))
    converse(app, socket=socket, backend=backend)

    assert socket.denial == (403, {}, b"firstsecond")


@with_denial
def test_the_iterable_of_a_denial_is_closed(extra):
    blocks = ClosingBlocks()

    converse(answering(blocks=blocks), socket=Socket(make_scope(**extra)))

    assert len(blocks.closed_in) == 1


@on_both_loops
def test_a_denial_that_fails_half_way_is_not_ended_and_the_error_rises(backend):
    def app(environ, start_response):
        start_response("403 Forbidden", [])
        yield b"first"
        socket.block_until(lambda: len(socket.messages) == 2)
        raise AppError

    socket = Socket(make_scope(**DENIAL))
    converse(app, socket=socket, backend=backend)

    assert isinstance(socket.error, AppError)
    assert socket.types == ["http.response.start", "http.response.body"]
    assert socket.messages[-1]["more_body"] is True


@on_both_loops
def test_a_denial_without_end_ends_when_the_client_has_left(backend):
    blocks = ClosingBlocks(iter(lambda: b"x" * 1024, None))
    scope = make_scope(**DENIAL)

    async def script(socket, adapter):
        await until(lambda: len(socket.messages) > 3)
        socket.leave(1006)

    socket = converse(answering(blocks=blocks), script, socket=Socket(scope, quirks=PLAIN), backend=backend)

    assert socket.error is None
    assert len(blocks.closed_in) == 1


@on_both_loops
def test_a_response_without_end_that_nobody_will_see_is_ended(backend):
    """There is no denial response here, so the client has its 403."""
    blocks = ClosingBlocks(iter(lambda: b"x" * 1024, None))

    socket = converse(answering(blocks=blocks), backend=backend)

    assert socket.error is None
    assert socket.messages == [{"type": "websocket.close"}]
    assert len(blocks.closed_in) == 1


def test_a_handshake_that_the_client_gives_up_does_not_reach_the_application():
    socket = Socket()
    socket._incoming[0] = {"type": "websocket.disconnect", "code": 1006}

    def app(environ, start_response):
        raise AssertionError("the application was called")

    converse(app, socket=socket)

    assert socket.error is None
    assert socket.messages == []


# ---- Errors before anything was answered ----------------------------------------------------------------------------


@with_denial
@on_both_loops
def test_an_error_before_the_accept_rises_to_the_server(extra, backend, caplog):
    error = AppError("before")

    def app(environ, start_response):
        raise error

    socket = converse(app, socket=Socket(make_scope(**extra)), backend=backend)

    assert socket.error is error
    assert socket.messages == []
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, StopIteration])
def test_what_would_stop_the_loop_rises_as_something_else(error):
    def app(environ, start_response):
        raise error

    socket = converse(app)

    assert isinstance(socket.error, ApplicationError)
    assert isinstance(socket.error.__cause__, error)


def test_an_application_that_does_nothing_at_all_has_failed():
    socket = converse(lambda environ, start_response: [])

    assert isinstance(socket.error, ApplicationError)
    assert "start_response" in str(socket.error)


@on_both_loops
def test_where_errors_are_answered_the_client_sees_500_and_the_log_has_it_once(backend, caplog):
    def app(environ, start_response):
        raise AppError("before")

    socket = converse(app, socket=Socket(make_scope(**DENIAL)), backend=backend, on_error="respond")

    assert socket.error is None
    assert socket.denial is not None
    assert socket.denial[0] == 500
    (record,) = logged(caplog, logging.ERROR)
    assert isinstance(record.exc_info[1], AppError)
    caplog.clear()


def test_where_errors_are_answered_without_the_extension_the_handshake_is_refused(caplog):
    def app(environ, start_response):
        raise AppError("before")

    socket = converse(app, on_error="respond")

    assert socket.error is None
    assert socket.messages == [{"type": "websocket.close"}]
    assert len(logged(caplog, logging.ERROR)) == 1
    caplog.clear()


@with_denial
def test_a_handshake_that_cannot_be_translated_is_refused_and_the_application_not_called(extra, caplog):
    def app(environ, start_response):
        raise AssertionError("the application was called")

    socket = converse(app, socket=Socket(make_scope(subprotocols=["se cret"], **extra)))

    assert socket.error is None
    if extra:
        assert socket.denial is not None
        assert socket.denial[0] == 400
    else:
        assert socket.messages == [{"type": "websocket.close"}]
    (record,) = logged(caplog, logging.WARNING)
    assert "refused" in record.getMessage()
    assert "se cret" not in record.getMessage()
