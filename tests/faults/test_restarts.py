"""Under fire: servers that replace their processes under load; clients that retry get nothing wrong and nothing cut.

Gunicorn shows the same with applications of its own kind, without the bridge.
"""

from __future__ import annotations

import contextlib
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.faults.process_load import Load
from tests.faults.process_servers import (
    ASGI_APP,
    GEVENT,
    GTHREAD,
    GUNICORN_ASGI,
    GUNICORN_UVICORN,
    SYNC,
    UVICORN,
    WAIT_S,
    WSGI_APP,
    at_once,
    hosting,
    tell,
    wait_until,
    with_options,
)
from tests.integration.raw import Connection, fetch, wait_for_log
from tests.integration.servers import ServerKind
from tests.integration.wsgi_servers import UWSGI, Hosted

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.timeout(120)]

_HOSTS: dict[ServerKind, str] = {
    GUNICORN_ASGI: WSGI_APP,
    GUNICORN_UVICORN: WSGI_APP,
    SYNC: ASGI_APP,
    GTHREAD: ASGI_APP,
    GEVENT: ASGI_APP,
}
_WORKERS = ["--workers", "2"]


def _wait_for_starts(hosted: Hosted, number: int) -> None:
    wait_until(lambda: len(hosted.journal("startup")) >= number, f"{number} starts of the application", 2 * WAIT_S)


# ---- Reloads and ends ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-102", "W-150")
def test_processes_are_replaced_under_load_and_nothing_is_answered_wrongly_or_cut(is_full: bool) -> None:
    kinds = tuple(_HOSTS) if is_full else (GUNICORN_ASGI, GTHREAD)
    at_once(
        {f"{kind}, reload": partial(_reload_under_load, kind, _HOSTS[kind]) for kind in kinds}
        | {f"{kind}, used up": partial(_use_up_workers, kind, _HOSTS[kind]) for kind in kinds}
        | {"uwsgi, reload": _reload_uwsgi_under_load}
    )


def _reload_under_load(kind: ServerKind, app: str) -> None:
    with hosting(kind, app, arguments=_WORKERS) as hosted:
        with Load(hosted.server) as load:
            load.go_on(20)
            begun = len(hosted.journal("startup"))
            for turn in (1, 2):
                tell(hosted, signal.SIGHUP)
                # Of an application on WSGI servers, its first request is the start.
                _wait_for_starts(hosted, begun + 2 * turn if app == WSGI_APP else begun + turn)
                load.go_on(20)
        code = hosted.server.stop(WAIT_S)

        assert load.wrong == []
        assert code == 0
        if kind is not GUNICORN_UVICORN:  # of which an old worker may still be in its start as it is told to end
            assert len(hosted.journal("shutdown")) == len(hosted.journal("startup"))


def _use_up_workers(kind: ServerKind, app: str) -> None:
    patient = with_options(kind, graceful_timeout=30, max_requests=15, workers=2)
    with hosting(patient, app) as hosted, contextlib.ExitStack() as stack:
        with Load(hosted.server) as load:
            if kind not in (SYNC, GEVENT):
                # In flight while its worker reaches its number; a sync worker would have no other requests.
                held = stack.enter_context(Connection(hosted.server))
                held.send_head("GET", "/held?id=held", [("Connection", "close")])
                hosted.wait_for("holds", "held", WAIT_S)
            _wait_for_starts(hosted, 4)
            load.go_on(10)
            if kind not in (SYNC, GEVENT):
                hosted.open_gate("held")
                assert held.read_response().body == b"finished"

        assert load.wrong == []


def _reload_uwsgi_under_load() -> None:
    # Of the workers alone: the whole of it would be another Python, as it is started here.
    touched = ["--touch-workers-reload", "{directory}/reload"]
    with hosting(UWSGI, ASGI_APP, arguments=touched, files={"reload": ""}) as hosted:
        with Load(hosted.server) as load:
            _wait_for_starts(hosted, 2)
            os.utime(Path(hosted.directory, "reload"), (2e9, 2e9))
            _wait_for_starts(hosted, 4)
            load.go_on(20)

        assert load.wrong == []


# ---- uvicorn's reloader ---------------------------------------------------------------------------------------------

_PROGRAM = """
from tests.faults import process_apps

VERSION = b"{version}"


def application(environ, start_response):
    if environ["PATH_INFO"] == "/version":
        start_response("200 OK", [("Content-Length", str(len(VERSION)))])
        return [VERSION]
    return process_apps.application(environ, start_response)


app = process_apps.WSGIToASGI(application, limits=process_apps.LIMITS)
"""


@pytest.mark.requirement("W-142", "W-150")
def test_a_changed_file_reloads_the_application_under_load_even_if_a_request_is_stuck() -> None:
    files = {"reloaded.py": _PROGRAM.format(version=1)}
    with (
        hosting(UVICORN, "reloaded:app", arguments=["--reload"], files=files) as hosted,
        Connection(hosted.server) as stuck,
    ):
        stuck.send_head("GET", "/stuck_in_the_application?id=stuck")
        hosted.wait_for("holds", "stuck", WAIT_S)
        assert _version(hosted) == b"1"

        with Load(hosted.server, clients=2) as load:
            load.go_on(10)
            Path(hosted.directory, "reloaded.py").write_text(_PROGRAM.format(version=2), encoding="utf-8")
            wait_for_log(hosted.server, "Reloading", timeout_s=WAIT_S)
            wait_until(lambda: _version(hosted) == b"2", "the new version answers", 2 * WAIT_S)
            load.go_on(10)
        code = hosted.server.stop(WAIT_S)

        assert load.wrong == []
        assert code is not None
        assert "GET '/stuck_in_the_application'" in hosted.server.log()


def _version(hosted: Hosted) -> bytes:
    with contextlib.suppress(OSError):
        return fetch(hosted.server, "GET", "/version").body
    return b""
