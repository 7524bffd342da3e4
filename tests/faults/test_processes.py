"""Under fire: processes that fork before, after and in the middle of everything, in both directions."""

from __future__ import annotations

import contextlib
import os
import signal
from functools import partial

import pytest

from tests.faults.process_apps import WARM_VARIABLE
from tests.faults.process_load import Load
from tests.faults.process_servers import (
    ASGI_APP,
    GEVENT,
    GTHREAD,
    GUNICORN_ASGI,
    GUNICORN_UVICORN,
    SYNC,
    UVICORN,
    UVICORN_FAST,
    WAIT_S,
    WSGI_APP,
    at_once,
    children_of,
    hosting,
    tell,
    wait_until,
)
from tests.integration.raw import Connection, fetch
from tests.integration.raw_websocket import TEXT, Frame, RawSocket
from tests.integration.servers import ServerKind
from tests.integration.wsgi_servers import UWSGI_PREFORK, WAITRESS, Hosted

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.timeout(120)]

_FORKS = 3
_SOCKETS = 5


def _pid_of(hosted: Hosted, target: str) -> int:
    pid = fetch(hosted.server, "GET", target).json()["pid"]
    assert isinstance(pid, int)
    return pid


# ---- Forks in the middle of a request -------------------------------------------------------------------------------


@pytest.mark.requirement("A-115")
def test_a_fork_in_the_middle_of_a_request_leaves_the_parent_unharmed_and_the_child_able_to_serve() -> None:
    at_once(
        {
            "uvicorn": partial(_fork_under_load, UVICORN, WSGI_APP),
            "uvicorn with uvloop": partial(_fork_under_load, UVICORN_FAST, WSGI_APP),
            "gthread": partial(_fork_under_load, GTHREAD, ASGI_APP),
            "waitress": partial(_fork_under_load, WAITRESS, ASGI_APP, sockets=0),  # it has none to take
        }
    )


def _fork_under_load(kind: ServerKind, app: str, *, sockets: int = _SOCKETS) -> None:
    with hosting(kind, app) as hosted, contextlib.ExitStack() as stack:
        open_ones = [stack.enter_context(RawSocket(hosted.server, "/echo")) for _ in range(sockets)]
        held = stack.enter_context(Connection(hosted.server))
        held.send_head("GET", "/held?id=held")
        hosted.wait_for("holds", "held", WAIT_S)

        with Load(hosted.server, clients=2) as load:
            for turn in range(_FORKS):
                for way in ("os", "multiprocessing"):
                    said = fetch(hosted.server, "GET", f"/fork?way={way}").body
                    assert said == b"served", hosted.server.log()
                for number, socket in enumerate(open_ones):
                    text = b"%d after fork %d" % (number, turn)
                    socket.send(TEXT, text)
                    assert socket.read() == Frame(TEXT, text)
                load.go_on(10)
        hosted.open_gate("held")

        assert held.read_response().body == b"finished"
        assert load.wrong == []
        assert load.retried == 0 or kind is WAITRESS
        assert "Traceback" not in hosted.server.log()


# ---- Servers that fork ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-108", "A-115", "A-116", "A-117", "W-150")
def test_children_of_a_process_that_has_served_before_it_forked_serve_and_killed_ones_are_replaced() -> None:
    preload = ["--preload", "--workers", "2"]
    at_once(
        {
            "gunicorn asgi": partial(_serve_in_all_children, GUNICORN_ASGI, WSGI_APP, preload, "/whoami"),
            "gunicorn uvicorn": partial(_serve_in_all_children, GUNICORN_UVICORN, WSGI_APP, preload, "/whoami"),
            "gunicorn gthread": partial(_serve_in_all_children, GTHREAD, ASGI_APP, preload, "/inside"),
            "gunicorn sync": partial(_serve_in_all_children, SYNC, ASGI_APP, preload, "/inside"),
            "gunicorn gevent": partial(_serve_in_all_children, GEVENT, ASGI_APP, preload, "/inside"),
            "uwsgi": partial(_serve_in_all_children, UWSGI_PREFORK, ASGI_APP, [], "/inside"),
            "uvicorn, killed": partial(_lose_a_worker, UVICORN, WSGI_APP, "/whoami"),
            "gthread, killed": partial(_lose_a_worker, GTHREAD, ASGI_APP, "/inside"),
        }
    )


def _serve_in_all_children(kind: ServerKind, app: str, arguments: list[str], target: str) -> None:
    with hosting(kind, app, arguments=arguments, environment={WARM_VARIABLE: "1"}) as hosted:
        with Load(hosted.server) as load:
            seen: set[int] = set()
            _until_seen(hosted, target, seen, 2)
            load.go_on(20)
            if kind is not UWSGI_PREFORK:
                tell(hosted, signal.SIGTTIN)  # one worker more, forked while there is traffic
                _until_seen(hosted, target, seen, 3)
        code = hosted.server.stop(WAIT_S)

        assert load.wrong == []
        assert hosted.server.process.pid not in seen
        assert code == 0


def _until_seen(hosted: Hosted, target: str, seen: set[int], number: int) -> None:
    def is_seen() -> bool:
        seen.add(_pid_of(hosted, target))
        return len(seen) >= number

    wait_until(is_seen, f"{number} processes answer", 2 * WAIT_S)


def _lose_a_worker(kind: ServerKind, app: str, target: str) -> None:
    with hosting(kind, app, arguments=["--workers", "2"]) as hosted:
        seen: set[int] = set()
        _until_seen(hosted, target, seen, 2)
        with Load(hosted.server) as load:
            os.kill(_pid_of(hosted, target), signal.SIGKILL)
            _until_seen(hosted, target, seen, 3)
            load.go_on(20)
        assert hosted.server.stop(WAIT_S) in (0, -signal.SIGTERM)
        wait_until(lambda: not children_of(hosted.server.process.pid), "all have ended")

    # What the killed one had begun to answer is cut; there are at most as many of those as clients.
    assert len(load.wrong) <= 4
    assert not any("complete True" in one for one in load.wrong)
