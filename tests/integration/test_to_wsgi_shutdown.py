"""Live, ASGI applications on WSGI servers: forking, ending. Each test has a server of its own."""

from __future__ import annotations

import contextlib
import signal
import time

import pytest

from tests.integration.raw import Connection, fetch, wait_for_log
from tests.integration.wsgi_servers import (
    CHEROOT,
    GUNICORN_GEVENT,
    GUNICORN_GTHREAD,
    GUNICORN_SYNC,
    UWSGI,
    UWSGI_PREFORK,
    WAITRESS,
    WERKZEUG,
    WSGI_SERVERS,
    WSGIREF,
    Hosted,
    WSGIServerKind,
    end,
    hosting,
    new_mark,
)

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

# The signal itself: werkzeug's server lets Ctrl-C end the interpreter.
_ORDERLY = {0, -signal.SIGINT}
# What a shutdown would take that does not wait for the request.
_HASTE_S = 0.3


def _pids(hosted: Hosted, event: str) -> list[int]:
    return sorted(entry["pid"] for entry in hosted.journal(event))


def _children_that_serve(hosted: Hosted, requests: int) -> set[int]:
    """Hold so many requests at once, more than one child can, until each has been taken up; return by whom."""
    marks = [new_mark() for _ in range(requests)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(Connection(hosted.server)) for _ in marks]
        for connection, mark in zip(connections, marks, strict=True):
            connection.send_head("GET", f"/long_poll?id={mark}")
        children = {hosted.wait_for("holds", mark)["pid"] for mark in marks}
        for mark in marks:
            hosted.open_gate(mark)
        assert [connection.read_response().body for connection in connections] == [b"held\n"] * requests
    # uWSGI runs no exit hooks in a child that is busy, and it is for a moment after it has closed the connection.
    hosted.server.wait_until_idle()
    return children


def _wait_until_all_serve(hosted: Hosted) -> None:
    """Signals that come while a child of uWSGI still loads the application are lost on it, and some servers swallow
    Ctrl-C, like all exceptions, until they have done with a request.
    """
    if hosted.kind.processes > 1:
        _children_that_serve(hosted, 3)
        return
    assert hosted.is_well()
    hosted.server.wait_until_idle()


@pytest.mark.requirement("A-102", "A-103", "A-118", "A-119", "A-120", "A-121")
@pytest.mark.parametrize("kind", WSGI_SERVERS, ids=str)
def test_the_lifespan_is_shut_down_when_the_server_ends(kind: WSGIServerKind) -> None:
    with hosting(kind) as hosted:
        _wait_until_all_serve(hosted)
        assert hosted.journal("shutdown") == []

        assert kind.end is not None
        code = end(hosted, kind.end)

        # Its shutdown uses a thread, which is possible only before the interpreter shuts its thread pools.
        assert _pids(hosted, "shutdown") == _pids(hosted, "startup") != []
        assert code in _ORDERLY
        assert "Traceback" not in hosted.server.log()


@pytest.mark.requirement("A-108", "A-115", "A-116", "A-117", "A-119")
@pytest.mark.parametrize(
    ("kind", "arguments", "requests"),
    [
        pytest.param(GUNICORN_SYNC, ["--preload", "--workers", "2"], 2, id="gunicorn-preload"),
        pytest.param(UWSGI_PREFORK, [], 3, id="uwsgi-prefork"),
        pytest.param(UWSGI, [], 3, id="uwsgi-lazy"),
    ],
)
def test_every_child_of_a_forking_server_serves_with_a_lifespan_of_its_own(
    kind: WSGIServerKind, arguments: list[str], requests: int
) -> None:
    with hosting(kind, arguments=arguments) as hosted:
        children = _children_that_serve(hosted, requests)
        started = _pids(hosted, "startup")
        code = end(hosted, signal.SIGTERM)

        assert len(children) == 2
        assert hosted.server.process.pid not in children
        assert started == sorted(children)
        assert code == 0
        assert _pids(hosted, "shutdown") == started


@pytest.mark.requirement("A-102")
@pytest.mark.parametrize("kind", [GUNICORN_SYNC, GUNICORN_GTHREAD, GUNICORN_GEVENT], ids=str)
def test_a_request_in_flight_finishes_before_the_lifespan_is_shut_down(kind: WSGIServerKind) -> None:
    mark = new_mark()
    with hosting(kind) as hosted, Connection(hosted.server) as connection:
        connection.send_head("GET", f"/long_poll?id={mark}")
        hosted.wait_for("holds", mark)

        hosted.server.process.terminate()
        wait_for_log(hosted.server, "Handling signal: term")
        time.sleep(_HASTE_S)
        shut_down_early = hosted.journal("shutdown")
        hosted.open_gate(mark)
        response = connection.read_response()
        connection.close()
        code = hosted.server.wait()

        assert (response.status, response.body, response.is_complete) == (200, b"held\n", True)
        assert code == 0
        assert shut_down_early == []
        assert len(hosted.journal("shutdown")) == 1


@pytest.mark.requirement("A-102", "A-113", "A-118")
@pytest.mark.parametrize("kind", [GUNICORN_GTHREAD, GUNICORN_GEVENT, WAITRESS, UWSGI], ids=str)
def test_background_work_that_does_not_end_is_cancelled_and_named(kind: WSGIServerKind) -> None:
    with hosting(kind) as hosted:
        assert fetch(hosted.server, "GET", "/background?id=never").body == b"answered\n"
        _wait_until_all_serve(hosted)

        # Two seconds of `Limits.shutdown_s`, and the server's own time.
        assert kind.end is not None
        code = end(hosted, kind.end)

        assert code == 0
        assert _pids(hosted, "shutdown") == _pids(hosted, "startup")
        wait_for_log(hosted.server, "GET '/background'")
        assert "cancelled" in hosted.server.log()


@pytest.mark.requirement("A-118", "A-121")
@pytest.mark.parametrize("kind", [WAITRESS, WSGIREF, WERKZEUG, CHEROOT], ids=str)
def test_the_loop_does_not_keep_a_server_alive_that_runs_no_exit_hooks(kind: WSGIServerKind) -> None:
    with hosting(kind) as hosted:
        assert fetch(hosted.server, "GET", "/background?id=never").body == b"answered\n"

        # They have no handler for it, so the process ends on the spot: documented.
        code = end(hosted, signal.SIGTERM)

        assert code == -signal.SIGTERM
        assert hosted.journal("shutdown") == []
