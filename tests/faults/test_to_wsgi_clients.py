"""Under fire: clients that are slow, leave, or go about it in an unusual way, on WSGI servers with an ASGI application.

A request holds a thread of a WSGI server for as long as it lasts, and clients decide how long that is: this the bridge
cannot change, as it gets a request when the server has given it a thread. What bounds it is the server's number of
threads. What must hold: the other threads go on, nothing looks complete that is not, the application learns that its
client has left, and afterwards all is as it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.faults.process_apps import BLOCK
from tests.faults.process_load import Load
from tests.faults.process_servers import (
    ASGI_APP,
    GEVENT,
    GRANIAN_WSGI,
    GTHREAD,
    THREADS,
    WAIT_S,
    WAITRESS_THREADS,
    at_once,
    hosting,
    leave_half_open,
    receive_little,
    wait_until,
)
from tests.integration.raw import Connection, fetch
from tests.integration.wsgi_servers import WERKZEUG, Hosted

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.timeout(120)]

# Two threads are left for others.
_SLOW = THREADS - 4
_TOLD_WITHIN_S = 2.0
_KINDS = (GTHREAD, GEVENT, WAITRESS_THREADS, GRANIAN_WSGI, WERKZEUG)
_CLOSE = [("Connection", "close")]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Hosted]]:
    """One server of each kind, for all tests."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        yield list(pool.map(lambda kind: stack.enter_context(hosting(kind, ASGI_APP)), _KINDS))


@pytest.fixture
def number(is_full: bool) -> int:
    """How many clients leave, in batches of what a server can have under way."""
    return 200 if is_full else 2 * _SLOW


def _on_all(servers: list[Hosted], scenario: Callable[[Hosted], object]) -> None:
    """Run a scenario on each server; afterwards, it has no more of anything than before."""
    at_once({str(hosted.kind): partial(_leaves_nothing, hosted, scenario) for hosted in servers})


def _leaves_nothing(hosted: Hosted, scenario: Callable[[Hosted], object]) -> None:
    with Load(hosted.server, clients=2) as load:  # so that there is what is made once
        load.go_on(10)
    before, begin = _counts(hosted), len(hosted.server.log())

    scenario(hosted)

    # Servers make their own threads as they need them, and keep them; each has a descriptor or two for itself.
    room = {"threads": THREADS + 4, "tasks": 0, "descriptors": 4, "requests": 0, "background": 0, "stuck": 0}
    wait_until(
        lambda: all(count <= before[name] + room[name] for name, count in _counts(hosted).items()),
        f"as it was: {before}",
    )
    if hosted.kind is not GRANIAN_WSGI:  # which logs whatever the application raises
        # A client that leaves is nobody's failure, and no reason to fill the log.
        log = hosted.server.log()[begin:]
        assert "Traceback" not in log, log[:5000]


def _counts(hosted: Hosted) -> dict[str, int]:
    counts = fetch(hosted.server, "GET", "/inside", _CLOSE).json()
    return {name: count for name, count in counts.items() if name != "pid"}


def _leave(connection: Connection, turn: int) -> float:
    """Close the connection, or reset it; return when that was."""
    if turn % 2:
        connection.reset()
    else:
        connection.close()
    return time.monotonic()


# ---- Slow clients ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-041", "A-047")
def test_slow_uploads_hold_their_threads_and_no_others(servers: list[Hosted]) -> None:
    _on_all(servers, _upload_slowly)


def _upload_slowly(hosted: Hosted) -> None:
    marks = [f"slow-upload-{turn}" for turn in range(_SLOW)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(hosted.server)) for _ in marks]
        for connection, mark in zip(connections, marks, strict=True):
            connection.send_head("POST", f"/pieces?id={mark}", [("Content-Length", "10000"), *_CLOSE])
        with Load(hosted.server, clients=2) as load:
            for _ in range(10):
                for connection in connections:
                    connection.send(b"x")
                load.go_on(5)
        for connection in connections[::2]:  # half of them get to their end after all
            connection.send(b"x" * (10_000 - 10))
            assert connection.read_response().json()["length"] == 10_000

    assert (load.wrong, load.retried) == ([], 0)
    for turn, mark in enumerate(marks):
        if turn % 2 == 0:
            assert [entry["end"] for entry in hosted.journal("read", mark)] == ["complete"]
        elif hosted.kind.streams_body:
            assert hosted.wait_for("read", mark)["end"] == "disconnect"
    assert {entry["end"] for mark in marks[1::2] for entry in hosted.journal("read", mark)} <= {"disconnect"}


@pytest.mark.requirement("A-067", "A-091")
def test_slow_readers_hold_their_threads_and_no_others_and_the_application_back(servers: list[Hosted]) -> None:
    _on_all(servers, _read_slowly)


def _read_slowly(hosted: Hosted) -> None:
    marks = [f"slow-reader-{turn}" for turn in range(_SLOW)]
    blocks = 512
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(hosted.server)) for _ in marks]
        for connection, mark in zip(connections, marks, strict=True):
            receive_little(connection)
            connection.send_head("GET", f"/large?id={mark}&number={blocks}", _CLOSE)
            hosted.wait_for("streams", mark, WAIT_S)
        with Load(hosted.server, clients=2) as load:
            load.go_on(30)
        connections[0].read_head()
        assert hashlib.sha256(connections[0].read_to_end()).digest() == hashlib.sha256(BLOCK * blocks).digest()
        left_s = {mark: _leave(connections[turn], turn) for turn, mark in enumerate(marks) if turn}

        assert (load.wrong, load.retried) == ([], 0)
        for mark, at_s in left_s.items():
            entry = hosted.wait_for("left", mark, WAIT_S)
            assert (entry["error"], entry["then"]) == ("ClientDisconnected", "http.disconnect")
            assert entry["at_s"] - at_s < _TOLD_WITHIN_S
        assert hosted.wait_for("sent", marks[0])


# ---- Clients that leave ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-091", "A-092", "A-093")
def test_clients_that_leave_streams_are_noticed_within_two_seconds(servers: list[Hosted], number: int) -> None:
    _on_all(servers, partial(_leave_streams, target="/drip", number=number))


@pytest.mark.requirement("A-050", "A-095")
def test_clients_that_leave_silent_streams_are_noticed_within_two_seconds_where_the_server_can_tell(
    servers: list[Hosted],
) -> None:
    telling = [hosted for hosted in servers if hosted.kind.tells_of_silent_clients]
    assert telling
    _on_all(telling, partial(_leave_streams, target="/idle_events", number=30))


def _leave_streams(hosted: Hosted, *, target: str, number: int) -> None:
    left_s: dict[str, float] = {}
    marks = [f"{target[1:]}-{turn}" for turn in range(number)]
    for begin in range(0, number, _SLOW):
        batch = marks[begin : begin + _SLOW]
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(Connection(hosted.server)) for _ in batch]
            for connection, mark in zip(connections, batch, strict=True):
                connection.send_head("GET", f"{target}?id={mark}", _CLOSE)
            for connection, mark in zip(connections, batch, strict=True):
                connection.read_head()
                begun = b""
                while b"data" not in begun:
                    more = connection.read_some()
                    assert more, begun
                    begun += more
                hosted.wait_for("streams", mark, WAIT_S)
            for turn, (connection, mark) in enumerate(zip(connections, batch, strict=True)):
                left_s[mark] = _leave(connection, turn)
        for mark in batch:
            assert hosted.wait_for("left", mark, WAIT_S)["then"] == "http.disconnect"

    late_s = {mark: hosted.wait_for("left", mark)["at_s"] - at_s for mark, at_s in left_s.items()}
    assert {mark: took_s for mark, took_s in late_s.items() if took_s > _TOLD_WITHIN_S} == {}


@pytest.mark.requirement("A-047")
def test_uploads_that_are_dropped_half_way_never_look_complete(servers: list[Hosted], number: int) -> None:
    _on_all(servers, partial(_drop_uploads, number=number))


def _drop_uploads(hosted: Hosted, *, number: int) -> None:
    marks = [f"dropped-{turn}" for turn in range(number)]
    for turn, mark in enumerate(marks):
        # From a few octets up to nearly all of them, and in pieces that the server has to wait for.
        size_bytes = 1000 * (turn + 1)
        with Connection(hosted.server) as connection:
            connection.send_head("POST", f"/pieces?id={mark}", [("Content-Length", str(size_bytes))])
            connection.send(b"x" * (size_bytes * (turn % 10) // 10))
            if hosted.kind.streams_body and turn % 3 == 0:
                hosted.wait_for("reads", mark, WAIT_S)
            _leave(connection, turn)
    if hosted.kind.streams_body:
        for mark in marks[::6]:  # closed, and begun by then
            assert hosted.wait_for("read", mark)["end"] == "disconnect"
    assert {entry["end"] for mark in marks for entry in hosted.journal("read", mark)} <= {"disconnect"}


# ---- Unusual ways ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-048", "A-053")
def test_pipelined_requests_with_bodies_are_answered_in_order(servers: list[Hosted]) -> None:
    _on_all([hosted for hosted in servers if hosted.kind.keeps_alive], _pipeline)


def _pipeline(hosted: Hosted) -> None:
    bodies = [bytes([turn]) * (turn * 7000) for turn in range(8)]
    with Connection(hosted.server) as connection:
        for turn, body in enumerate(bodies):
            last = _CLOSE if turn == len(bodies) - 1 else []
            if turn % 2:
                connection.send_head("POST", f"/pieces?id=p{turn}", [("Transfer-Encoding", "chunked"), *last])
                connection.send_chunks([body[:10], body[10:]])
            else:
                connection.send_head("POST", f"/pieces?id=p{turn}", [("Content-Length", str(len(body))), *last])
                connection.send(body)
        hashes = [connection.read_response().json()["sha256"] for _ in bodies]

    assert hashes == [hashlib.sha256(body).hexdigest() for body in bodies]


@pytest.mark.requirement("A-095")
def test_a_client_that_will_send_no_more_is_answered(servers: list[Hosted]) -> None:
    # Granian takes that for the client's leaving, whoever serves it.
    _on_all([hosted for hosted in servers if hosted.kind is not GRANIAN_WSGI], _half_close)


def _half_close(hosted: Hosted) -> None:
    for turn in range(10):
        with Connection(hosted.server) as connection:
            body = b"x" * (turn * 20_000)
            connection.send_head("POST", f"/pieces?id=half-{turn}", [("Content-Length", str(len(body))), *_CLOSE])
            connection.send(body)
            leave_half_open(connection)
            response = connection.read_response()
        assert response.json()["length"] == len(body)


@pytest.mark.requirement("A-048")
def test_clients_that_wait_for_100_continue_and_then_send_slowly_are_answered(servers: list[Hosted]) -> None:
    _on_all(servers, _wait_for_continue)


def _wait_for_continue(hosted: Hosted) -> None:
    fields = [("Content-Length", "10"), ("Expect", "100-continue"), *_CLOSE]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(hosted.server)) for _ in range(_SLOW)]
        for turn, connection in enumerate(connections):
            connection.send_head("POST", f"/pieces?id=expects-{turn}", fields)
        if hosted.kind.continues != "never":
            assert {connection.read_interim() for connection in connections} == {100}
        with Load(hosted.server, clients=2) as load:
            for _ in range(9):
                for connection in connections:
                    connection.send(b"x")
                load.go_on(3)
        for connection in connections[1::2]:
            connection.send(b"x")
            assert connection.read_response().json()["length"] == 10

    assert (load.wrong, load.retried) == ([], 0)
    ends = {entry["end"] for turn in range(0, _SLOW, 2) for entry in hosted.journal("read", f"expects-{turn}")}
    assert ends <= {"disconnect"}
