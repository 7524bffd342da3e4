"""Under fire: ASGI servers that host a WSGI application are told to end while much is going on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from functools import partial

import pytest

from tests.faults.process_apps import BLOCK, CANCEL_S, SHUTDOWN_S, WORKERS_VARIABLE
from tests.faults.process_servers import (
    ASGI_SERVERS,
    GRACE_S,
    GRANIAN_ASGI,
    GUNICORN_ASGI,
    GUNICORN_UVICORN,
    HYPERCORN,
    MARGIN_S,
    UVICORN,
    UVICORN_FAST,
    WAIT_S,
    WSGI_APP,
    at_once,
    ended_after,
    hosting,
    on_each,
    receive_little,
    tell,
    wait_until,
    wait_until_deaf,
)
from tests.integration.raw import Connection, CutError, wait_for_log
from tests.integration.raw_websocket import RawSocket
from tests.integration.servers import ServerKind
from tests.integration.wsgi_servers import Hosted

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.timeout(120)]

_LIMIT_S = GRACE_S + CANCEL_S + SHUTDOWN_S + MARGIN_S
# Zero, or the signal itself: uvicorn raises it again when it is done.
_ORDERLY = {0, -signal.SIGTERM, -signal.SIGINT}
# These shut the lifespan down after they have given a request up; the others kill the process that runs it.
_NAMES_AT_THE_END = (UVICORN, UVICORN_FAST, HYPERCORN)
_SIGTERM_TWICE = (UVICORN_FAST, HYPERCORN, GUNICORN_UVICORN)
_IN_FLIGHT = 20
_CLOSE = [("Connection", "close")]
# More than the system holds for a connection whose reader has a small window, and more than is held in memory.
_LARGE_BLOCKS = 256
_STUCK = "stuck_in_the_application"


def _leftovers(hosted: Hosted) -> list[str]:
    """Return the files that the server has left in its directory for temporary files."""
    own = ("journal", "gate-")
    names = os.listdir(hosted.directory)
    return [name for name in names if not name.startswith(own) and not name.endswith(".log")]


# ---- Requests in flight ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-142", "W-150")
def test_requests_in_flight_finish_a_stuck_one_is_named_and_does_not_keep_the_process_and_a_second_signal_is_no_harm(
    is_full: bool,
) -> None:
    once = ASGI_SERVERS if is_full else (UVICORN, HYPERCORN, GRANIAN_ASGI, GUNICORN_ASGI)
    twice = ASGI_SERVERS if is_full else (UVICORN, UVICORN_FAST, GUNICORN_UVICORN)
    at_once(
        {f"{kind}, one signal": partial(_end_with_requests_in_flight, kind) for kind in once}
        | {f"{kind}, two signals": partial(_end_by_two_signals, kind) for kind in twice}
        | {
            "uvicorn, hooks that hang": partial(_end_with_hooks_that_hang, UVICORN),
            "uvicorn, no worker for a hook": partial(_end_without_a_worker, UVICORN),
        }
    )


def _end_with_requests_in_flight(kind: ServerKind) -> None:
    marks = [f"h{turn}" for turn in range(_IN_FLIGHT)]
    with hosting(kind, WSGI_APP) as hosted, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(hosted.server)) for _ in marks]
        for turn, (connection, mark) in enumerate(zip(connections, marks, strict=True)):
            streamed = "&streamed=1" if turn % 2 else ""
            connection.send_head("GET", f"/held?id={mark}&gate=all{streamed}")
        stuck = stack.enter_context(Connection(hosted.server))
        stuck.send_head("GET", f"/{_STUCK}?id=stuck")
        for mark in (*marks, "stuck"):
            hosted.wait_for("holds", mark, WAIT_S)
        # Where the process is killed from outside, this is what tells the operator.
        wait_for_log(hosted.server, f"in {_STUCK}", timeout_s=WAIT_S)
        begin = len(hosted.server.log())

        tell(hosted, signal.SIGTERM)
        wait_until_deaf(hosted.server)
        hosted.open_gate("all")
        responses = [connection.read_response() for connection in connections]
        code, _ = ended_after(hosted, _LIMIT_S)

        assert [(one.status, one.body, one.is_complete) for one in responses] == [
            (200, b"finished", True),
            (200, b"held finished", True),
        ] * (_IN_FLIGHT // 2)
        assert code in _ORDERLY
        if kind in _NAMES_AT_THE_END:
            assert f"GET '/{_STUCK}'" in hosted.server.log()[begin:]
            assert f"in {_STUCK}" in hosted.server.log()[begin:]
            assert len(hosted.journal("shutdown")) == 1


def _end_by_two_signals(kind: ServerKind) -> None:
    with hosting(kind, WSGI_APP) as hosted, contextlib.ExitStack() as stack:
        for target in (f"/{_STUCK}?id=stuck", "/held?id=held", "/held?id=streamed&streamed=1"):
            stack.enter_context(Connection(hosted.server)).send_head("GET", target)
        for mark in ("stuck", "held", "streamed"):
            hosted.wait_for("holds", mark, WAIT_S)

        tell(hosted, signal.SIGTERM)
        wait_until_deaf(hosted.server)
        tell(hosted, signal.SIGTERM if kind in _SIGTERM_TWICE else signal.SIGINT)
        code, _ = ended_after(hosted, _LIMIT_S)

        assert code is not None


def _end_with_hooks_that_hang(kind: ServerKind) -> None:
    with hosting(kind, f"{WSGI_APP}_that_hangs_at_its_end") as hosted:
        with Connection(hosted.server) as connection:
            assert connection.request("GET", "/hello", _CLOSE).body == b"hello\n"
        tell(hosted, signal.SIGTERM)
        code, _ = ended_after(hosted, _LIMIT_S + 2 * SHUTDOWN_S)

        assert code in _ORDERLY
        assert "in never_ends\n" in hosted.server.log()
        assert "never_ends_either" in hosted.server.log()
        assert len(hosted.journal("shutdown")) == 1


def _end_without_a_worker(kind: ServerKind) -> None:
    """The only worker is stuck, and the hook for the shutdown wants one."""
    with hosting(kind, WSGI_APP, environment={WORKERS_VARIABLE: "1"}) as hosted, Connection(hosted.server) as stuck:
        stuck.send_head("GET", f"/{_STUCK}?id=stuck")
        hosted.wait_for("holds", "stuck", WAIT_S)
        tell(hosted, signal.SIGTERM)
        code, _ = ended_after(hosted, _LIMIT_S + SHUTDOWN_S)

        assert code in _ORDERLY
        assert f"in {_STUCK}" in hosted.server.log()


# ---- Bodies under way -----------------------------------------------------------------------------------------------

# Without hypercorn: on trio, it does not come to its end while a client does not read, bridge or not.
_READ_SERVERS = (UVICORN, UVICORN_FAST, GRANIAN_ASGI, GUNICORN_ASGI)
# One that is collected in memory, one that is streamed or goes to the disk.
_SIZES = {"small": 100_000, "large": 4_000_000}


@pytest.mark.requirement("W-142")
def test_readers_get_the_rest_uploads_are_whole_or_not_taken_for_whole_and_idle_clients_keep_nothing_alive(
    is_full: bool,
) -> None:
    on_each(_READ_SERVERS if is_full else (UVICORN_FAST, GRANIAN_ASGI, GUNICORN_ASGI), _end_with_bodies_under_way)


def _end_with_bodies_under_way(kind: ServerKind) -> None:
    # The workers are as many as the readers: so, what others wait for is not the readers' pace.
    few = {WORKERS_VARIABLE: "2"}
    with hosting(kind, WSGI_APP, environment=few) as hosted, contextlib.ExitStack() as stack:
        readers = {mark: stack.enter_context(Connection(hosted.server)) for mark in ("slow", "never")}
        uploads = {
            f"{size}-{ending}": stack.enter_context(Connection(hosted.server))
            for size in _SIZES
            for ending in ("whole", "cut")
        }
        for mark, connection in readers.items():
            receive_little(connection)
            connection.send_head("GET", f"/large?id={mark}&number={_LARGE_BLOCKS}", _CLOSE)
            assert connection.read_head().header("content-length") == str(_LARGE_BLOCKS * len(BLOCK))
        with Connection(hosted.server) as other:  # it wants a worker, and gets one
            assert other.request("GET", "/hello", _CLOSE).body == b"hello\n"
        for mark, connection in uploads.items():
            size_bytes = _SIZES[mark.partition("-")[0]]
            connection.send_head("POST", f"/upload?id={mark}", [("Content-Length", str(size_bytes)), *_CLOSE])
            connection.send(b"u" * (size_bytes // 2))
        with Connection(hosted.server) as other:  # by then, the server has seen how all of them began
            assert other.request("GET", "/hello", _CLOSE).body == b"hello\n"
        # The application has done its part: what is unsent lies with the bridge.
        wait_until(lambda: bool(hosted.journal("closed")), "a reader's worker is free")

        tell(hosted, signal.SIGTERM)
        wait_until_deaf(hosted.server)
        for size, size_bytes in _SIZES.items():
            uploads[f"{size}-whole"].send(b"u" * (size_bytes - size_bytes // 2))
            response = uploads[f"{size}-whole"].read_response()
            expected = {"length": size_bytes, "sha256": hashlib.sha256(b"u" * size_bytes).hexdigest()}
            assert (response.status, response.json()) == (200, expected)
        octets = readers["slow"].read_to_end()
        code, _ = ended_after(hosted, _LIMIT_S)

        assert code in _ORDERLY
        assert len(octets) == _LARGE_BLOCKS * len(BLOCK)
        assert hashlib.sha256(octets).digest() == hashlib.sha256(BLOCK * _LARGE_BLOCKS).digest()
        for size in _SIZES:
            assert [entry["error"] for entry in hosted.journal("read", f"{size}-whole")] == [None]
            assert all(entry["error"] for entry in hosted.journal("read", f"{size}-cut"))
            with contextlib.suppress(CutError):
                assert uploads[f"{size}-cut"].read_response().status in (408, 500, 503)
        assert all(entry["in_its_thread"] for entry in hosted.journal("closed"))
        assert _leftovers(hosted) == []


# ---- WebSockets -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-006")
def test_two_hundred_sockets_that_are_being_sent_to_do_not_keep_the_process(is_full: bool) -> None:
    kinds = (UVICORN, GRANIAN_ASGI, GUNICORN_UVICORN) if is_full else (UVICORN, GRANIAN_ASGI)
    on_each(kinds, partial(_end_with_sockets, number=200 if is_full else 50))


def _end_with_sockets(kind: ServerKind, *, number: int) -> None:
    with hosting(kind, WSGI_APP) as hosted, contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(RawSocket(hosted.server, f"/pour?id=p{turn}&pause_s={0.05 if turn % 4 else 0}"))
            for turn in range(number)
        ]
        # Every third one reads, and the others hold their senders back sooner or later.
        readers = sockets[::3]
        for socket in readers:
            frame = socket.read()
            assert frame is not None
            assert frame.payload == b"a" * 4096

        begin_s = time.monotonic()
        tell(hosted, signal.SIGTERM)
        endings = {_ending_of(socket) for socket in readers}
        code, _ = ended_after(hosted, max(0.0, begin_s + _LIMIT_S - time.monotonic()))

        assert code in _ORDERLY
        # Told that the server goes away, or cut off by it; never an ordinary end.
        assert endings <= {1001, 1012, None}
        assert {entry["error"] for entry in hosted.journal("poured")} <= {"ClientDisconnected", "ConnectionClosed"}
        if kind is UVICORN:
            assert len(hosted.journal("poured")) == number


def _ending_of(socket: RawSocket) -> int | None:
    """Return the code of the closing frame, or None if the connection just ends, even within a frame."""
    try:
        close = socket.read_close()
    except AssertionError:
        return None
    return close and close[0]
