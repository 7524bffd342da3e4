"""What a client sends stands in log records only escaped: no forged lines, no commands to a terminal."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bridge import WSGIToASGI
from tests.driving import drive
from tests.fakes import LEFT_OUT, make_scope
from tests.gateway import Gateway, environ_for, hosted
from tests.hostile.probing import Recorder, ScopeRecorder
from tests.websocket.driver import DENIAL, Socket, converse, using
from tests.websocket.driver import make_scope as make_websocket_scope

FORGED = "\r\nERROR forged\x1b[2J\x07\x85\u2028\x7f"
"""A line, a command to clear the screen, a bell, and what else some readers end a line at."""


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages, all of which must be plain; there must be one."""
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("bridge")]
    assert messages
    for message in messages:
        assert message.isascii(), message
        assert message.isprintable(), message
    return messages


@pytest.mark.requirement("W-138")
def test_the_record_of_a_refused_request_is_one_plain_line(caplog: pytest.LogCaptureFixture) -> None:
    headers = [(b"x-a" + FORGED.encode(), b"1"), (b"x-b", FORGED.encode())]
    scope = make_scope(method="GET" + FORGED, path="/x" + FORGED, raw_path=LEFT_OUT, root_path=FORGED, headers=headers)

    with caplog.at_level(logging.DEBUG):
        record = drive(WSGIToASGI(Recorder()), scope)

    assert record.checked().status == 400
    assert FORGED.encode() not in record.body
    assert any("forged" in message for message in logged(caplog))


@pytest.mark.requirement("A-031")
def test_the_record_of_a_request_that_an_asgi_application_never_gets_is_one_plain_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = environ_for(CONTENT_LENGTH="5" + FORGED, REQUEST_METHOD="GET" + FORGED, PATH_INFO="/x" + FORGED)

    with caplog.at_level(logging.DEBUG), hosted(ScopeRecorder()) as adapter:
        gateway = Gateway(adapter, environ).run()

    assert gateway.status == "400 Bad Request"
    assert FORGED.encode() not in gateway.body
    assert any("forged" in message for message in logged(caplog))


def test_the_record_of_a_warning_is_one_plain_line(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200", [("Connection", "close" + FORGED)])
        return [b"content"]

    scope = make_scope(method="GET" + FORGED, path="/x" + FORGED, raw_path=LEFT_OUT)
    with caplog.at_level(logging.DEBUG):
        record = drive(WSGIToASGI(app, hop_by_hop="drop"), scope)

    assert record.checked().status == 200
    assert len(logged(caplog)) == 2


@pytest.mark.requirement("S-001")
def test_the_record_of_a_refused_handshake_is_one_plain_line(caplog: pytest.LogCaptureFixture) -> None:
    scope = make_websocket_scope(
        "/x" + FORGED, headers=[(b"x-a", FORGED.encode())], subprotocols=["a" + FORGED], **DENIAL
    )

    with caplog.at_level(logging.DEBUG):
        socket = converse(using(lambda ws: None), socket=Socket(scope))

    assert socket.denial is not None
    assert socket.denial[0] == 400
    logged(caplog)
