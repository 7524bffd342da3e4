"""Under fire: WSGI servers that host an ASGI application are told to end while much is going on.

Their signals differ: some end on SIGTERM, others in an orderly way on SIGINT only. uWSGI is not here: it ends at once
and cuts what is under way, whoever serves it.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import time
from functools import partial

import pytest

from tests.faults.process_apps import BLOCK
from tests.faults.process_servers import (
    ASGI_APP,
    GEVENT,
    GRACE_S,
    GRANIAN_WSGI,
    GTHREAD,
    MARGIN_S,
    SYNC,
    THREADS_OF,
    WAIT_S,
    WAITRESS_THREADS,
    at_once,
    ended_after,
    hosting,
    on_each,
    receive_little,
    tell,
    wait_until_deaf,
)
from tests.faults.to_wsgi_apps import CANCEL_S, SHORT_APP_WAIT_S, SHUTDOWN_S
from tests.integration.raw import Connection, CutError, wait_for_log
from tests.integration.raw_websocket import RawSocket
from tests.integration.websocket_asgi_servers import APP as SOCKETS_APP
from tests.integration.wsgi_servers import CHEROOT, WERKZEUG, Hosted, WSGIServerKind

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.timeout(120)]

_CLOSE = [("Connection", "close")]
_IN_FLIGHT = 20
_LARGE_BLOCKS = 256
# What a host gives itself beyond its limits while its loop may be busy, and what the end of the loop's thread may take.
_BLOCKED_LOOP_S = 5.0 + 5.0
# What the servers themselves wait for their threads (waitress: 5 s), the longest a request waits for a silent
# application, and the end of the host.
_LIMIT_S = max(GRACE_S, 5.0) + SHORT_APP_WAIT_S + 2 * (SHUTDOWN_S + CANCEL_S) + MARGIN_S


def _end_signal(kind: WSGIServerKind) -> signal.Signals:
    assert kind.end is not None
    return kind.end


# ---- Requests in flight ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-102", "A-118")
def test_requests_in_flight_finish_stuck_ones_are_named_and_nothing_keeps_the_process(is_full: bool) -> None:
    busy = THREADS_OF if is_full else (SYNC, GTHREAD, GEVENT, WAITRESS_THREADS, GRANIAN_WSGI)
    # Without cheroot: a signal in the first moment of its stop() keeps it from ending its threads.
    twice = [kind for kind in THREADS_OF if kind is not CHEROOT] if is_full else (GTHREAD, WAITRESS_THREADS)
    # Servers that kill their processes in the end prove little here.
    beyond_help = (GTHREAD, WAITRESS_THREADS, WERKZEUG) if is_full else (WERKZEUG,)
    at_once(
        {f"{kind}, in flight": partial(_end_with_requests_in_flight, kind) for kind in busy}
        | {f"{kind}, two signals": partial(_end_by_two_signals, kind) for kind in twice}
        | {
            f"{kind}, {route}": partial(_end_with_one_beyond_help, kind, route)
            for kind in beyond_help
            for route in ("stubborn", "blocks_the_loop", "blocks_a_thread", "blocks_a_thread_of_anyio")
        }
    )


def _end_with_requests_in_flight(kind: WSGIServerKind) -> None:
    # One thread is for the stuck one; where there is but one thread, there is none.
    number = min(_IN_FLIGHT, max(1, THREADS_OF[kind] - 1))
    with hosting(kind, ASGI_APP) as hosted, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(hosted.server)) for _ in range(number)]
        for turn, connection in enumerate(connections):
            streamed = "&streamed=1" if turn % 2 else ""
            connection.send_head("GET", f"/held?id=h{turn}&gate=all{streamed}", _CLOSE)
        for turn in range(number):
            hosted.wait_for("holds", f"h{turn}", WAIT_S)
        if number < THREADS_OF[kind]:
            stuck = stack.enter_context(Connection(hosted.server))
            stuck.send_head("GET", "/impatient/stuck?id=stuck")
            hosted.wait_for("holds", "stuck", WAIT_S)

        tell(hosted, _end_signal(kind))
        wait_until_deaf(hosted.server)
        hosted.open_gate("all")
        responses = [connection.read_response() for connection in connections]
        code, _ = ended_after(hosted, _LIMIT_S)

        assert [(one.status, one.body) for one in responses] == [
            (200, b"held finished" if turn % 2 else b"finished") for turn in range(number)
        ]
        assert code is not None
        if number < THREADS_OF[kind]:
            wait_for_log(hosted.server, "GET '/stuck'")
            assert "in stuck" in hosted.server.log()


def _end_with_one_beyond_help(kind: WSGIServerKind, route: str) -> None:
    with hosting(kind, ASGI_APP) as hosted, Connection(hosted.server) as connection:
        connection.send_head("GET", f"/impatient/{route}?id=one")
        hosted.wait_for("holds", "one", WAIT_S)

        tell(hosted, _end_signal(kind))
        code, took_s = ended_after(hosted, _LIMIT_S + _BLOCKED_LOOP_S)

        assert code is not None, f"still there after {took_s:.1f} s:\n{hosted.server.log()}"


def _end_by_two_signals(kind: WSGIServerKind) -> None:
    with hosting(kind, ASGI_APP) as hosted, Connection(hosted.server) as connection:
        connection.send_head("GET", "/impatient/stuck?id=stuck")
        hosted.wait_for("holds", "stuck", WAIT_S)

        tell(hosted, _end_signal(kind))
        wait_until_deaf(hosted.server)
        tell(hosted, signal.SIGINT)
        code, _ = ended_after(hosted, _LIMIT_S)

        assert code is not None


# ---- Bodies under way -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-047", "A-091", "A-102")
def test_readers_get_the_rest_uploads_are_whole_or_not_taken_for_whole_and_idle_clients_keep_nothing_alive() -> None:
    # Without waitress, which sends nothing any more of what it holds, whoever has made it.
    on_each([GTHREAD, GEVENT, GRANIAN_WSGI], _end_with_bodies_under_way)


def _end_with_bodies_under_way(kind: WSGIServerKind) -> None:
    size_bytes = 1_000_000
    with hosting(kind, ASGI_APP) as hosted, contextlib.ExitStack() as stack:
        readers = {mark: stack.enter_context(Connection(hosted.server)) for mark in ("slow", "never")}
        uploads = {mark: stack.enter_context(Connection(hosted.server)) for mark in ("whole", "cut")}
        for mark, connection in readers.items():
            receive_little(connection)
            connection.send_head("GET", f"/large?id={mark}&number={_LARGE_BLOCKS}", _CLOSE)
            assert connection.read_head().header("content-length") == str(_LARGE_BLOCKS * len(BLOCK))
            hosted.wait_for("streams", mark, WAIT_S)
        for mark, connection in uploads.items():
            fields = [("Content-Length", str(size_bytes)), *_CLOSE]
            connection.send_head("POST", f"/impatient/pieces?id={mark}", fields)
            connection.send(b"u" * (size_bytes // 2))
            hosted.wait_for("reads", mark, WAIT_S)

        tell(hosted, _end_signal(kind))
        wait_until_deaf(hosted.server)
        uploads["whole"].send(b"u" * (size_bytes - size_bytes // 2))
        response = uploads["whole"].read_response()
        octets = readers["slow"].read_to_end()
        code, _ = ended_after(hosted, _LIMIT_S)

        assert code is not None
        expected = {"length": size_bytes, "sha256": hashlib.sha256(b"u" * size_bytes).hexdigest()}
        assert (response.status, response.json()) == (200, expected)
        assert len(octets) == _LARGE_BLOCKS * len(BLOCK)
        assert hashlib.sha256(octets).digest() == hashlib.sha256(BLOCK * _LARGE_BLOCKS).digest()
        assert {entry["end"] for entry in hosted.journal("read", "cut")} <= {"disconnect"}
        with contextlib.suppress(CutError):
            assert uploads["cut"].read_response().status in (408, 500, 503)


# ---- WebSockets -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-149", "S-027")
def test_two_hundred_sockets_that_are_being_sent_to_do_not_keep_the_process(is_full: bool) -> None:
    on_each([SYNC, GTHREAD, GEVENT, CHEROOT], partial(_end_with_sockets, number=200 if is_full else 50))


def _end_with_sockets(kind: WSGIServerKind, *, number: int) -> None:
    with hosting(kind, SOCKETS_APP) as hosted, contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(RawSocket(hosted.server, f"/pour?id=p{turn}", connection=_with_little_room(hosted)))
            for turn in range(number)
        ]
        # Every third one reads, and the others hold their senders back sooner or later.
        for socket in sockets[::3]:
            assert socket.read() is not None

        begin_s = time.monotonic()
        tell(hosted, _end_signal(kind))
        endings = {_ending_of(socket) for socket in sockets[::3]}
        code, _ = ended_after(hosted, max(0.0, begin_s + _LIMIT_S - time.monotonic()))

        assert code is not None
        # Told that the server goes away, or cut off by it; never an ordinary end.
        assert endings <= {1001, 1012, None}
        assert {entry["error"] for entry in hosted.journal("poured")} == {"ClientDisconnected"}
        assert len(hosted.journal("poured")) == number


def _with_little_room(hosted: Hosted) -> Connection:
    connection = Connection(hosted.server)
    receive_little(connection)
    return connection


def _ending_of(socket: RawSocket) -> int | None:
    """Return the code of the closing frame, or None if the connection just ends, even within a frame."""
    try:
        close = socket.read_close()
    except AssertionError:
        return None
    return close and close[0]
