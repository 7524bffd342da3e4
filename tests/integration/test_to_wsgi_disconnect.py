"""Live, ASGI applications on WSGI servers: clients that leave, on every server."""

from __future__ import annotations

import time

import pytest

from tests.integration.raw import Connection
from tests.integration.wsgi_servers import Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_CLIENTS = 3
# Less than the applications wait for their gates.
_NOTICED_S = 15.0
_CLOSE = [("Connection", "close")]
# The adapter looks for its client four times a second: let it look, and find nothing wrong.
_LOOKS_S = 0.3


@pytest.mark.requirement("A-091", "A-092", "A-093", "A-094")
@pytest.mark.parametrize("leaves", ["close", "reset"])
def test_a_stream_learns_that_its_client_has_left(hosted: Hosted, leaves: str) -> None:
    mark = new_mark()
    with Connection(hosted.server) as connection:
        connection.send_head("GET", f"/endless?id={mark}")
        connection.read_head()
        connection.read_some()
        getattr(connection, leaves)()
        entry = hosted.wait_for("left", mark, _NOTICED_S)

    assert (entry["error"], entry["then"]) == ("ClientDisconnected", "http.disconnect")
    assert hosted.is_well()
    assert len(hosted.journal("left", mark)) == 1


@pytest.mark.requirement("A-067", "A-091")
def test_a_stream_that_its_client_does_not_read_learns_it_too(hosted: Hosted) -> None:
    mark = new_mark()
    with Connection(hosted.server) as connection:
        # Without a pause: the connection is full when the client leaves.
        connection.send_head("GET", f"/endless?id={mark}&pause_s=0")
        connection.read_head()
        connection.reset()
        hosted.wait_for("left", mark, _NOTICED_S)

    assert hosted.is_well()


@pytest.mark.requirement("A-087", "A-091")
def test_streams_dropped_one_after_the_other_leave_nothing_behind(hosted: Hosted) -> None:
    begin = len(hosted.server.log())
    for _ in range(_CLIENTS):
        mark = new_mark()
        with Connection(hosted.server) as connection:
            connection.send_head("GET", f"/endless?id={mark}")
            connection.read_head()
            connection.read_some()
        hosted.wait_for("left", mark, _NOTICED_S)

    assert hosted.is_well()
    # That its client left is no failure of the application.
    assert "the application failed" not in hosted.server.log()[begin:]


@pytest.mark.requirement("A-050", "A-095")
@pytest.mark.parametrize("leaves", ["close", "reset"])
def test_a_silent_application_learns_that_its_client_has_left_where_the_server_lets_one_know(
    hosted: Hosted, leaves: str
) -> None:
    mark = new_mark()
    with Connection(hosted.server) as connection:
        connection.send_head("GET", f"/long_poll?id={mark}")
        hosted.wait_for("holds", mark)
        getattr(connection, leaves)()
        if not hosted.kind.tells_of_silent_clients:  # then it finds out when it speaks
            hosted.open_gate(mark)
        entry = hosted.wait_for("held", mark, _NOTICED_S)

    assert entry["heard"] == ("http.disconnect" if hosted.kind.tells_of_silent_clients else "")
    assert hosted.is_well()


@pytest.mark.requirement("A-050", "A-051")
def test_a_client_that_waits_is_not_taken_for_gone(hosted: Hosted) -> None:
    mark = new_mark()
    with Connection(hosted.server) as connection:
        connection.send_head("POST", f"/long_poll?id={mark}", [("Content-Length", "0"), *_CLOSE])
        hosted.wait_for("holds", mark)
        if hosted.kind.tells_of_silent_clients:
            time.sleep(_LOOKS_S)
        hosted.open_gate(mark)
        response = connection.read_response()

    assert (response.status, response.body) == (200, b"held\n")
    assert hosted.journal("held", mark)[0]["heard"] == ""


@pytest.mark.requirement("A-095")
def test_a_pipelined_request_is_not_taken_for_the_end(hosted: Hosted) -> None:
    if not hosted.kind.keeps_alive:
        pytest.skip(f"{hosted.kind} answers one request per connection")
    mark = new_mark()
    with Connection(hosted.server) as connection:
        connection.send_head("GET", f"/long_poll?id={mark}")
        hosted.wait_for("holds", mark)
        connection.send_head("GET", "/hello", _CLOSE)  # octets that the adapter may see and must leave alone
        if hosted.kind.tells_of_silent_clients:
            time.sleep(_LOOKS_S)
        hosted.open_gate(mark)
        first, second = connection.read_response(), connection.read_response()

    assert (first.body, second.body) == (b"held\n", b"hello\n")
    assert hosted.journal("held", mark)[0]["heard"] == ""
