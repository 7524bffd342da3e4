"""Flask-Sock and Flask-SocketIO under uvicorn: ``examples/flask_sock_echo.py`` and ``flask_socketio_chat.py``."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.examples.running import TOP, environment
from tests.integration.servers import UVICORN_H11, running

pytestmark = pytest.mark.live

WAIT_S = 10.0


def test_many_sockets_answer_beside_pages_and_a_stranger_is_refused(tmp_path: Path) -> None:
    more_than_workers = 45
    with running(UVICORN_H11, "examples.flask_sock_echo:app", tmp_path) as server:
        address = f"ws://{server.host}:{server.port}/echo"
        with ExitStack() as sockets:
            opened = [
                sockets.enter_context(connect(f"{address}?name={number}", proxy=None, open_timeout=WAIT_S))
                for number in range(more_than_workers)
            ]
            for number, socket in enumerate(opened):
                socket.send("hello")
                assert socket.recv(WAIT_S) == f"{number}: hello"
            assert httpx.get(server.url, trust_env=False, timeout=WAIT_S).text == "a page\n"

            with pytest.raises(InvalidStatus, match="401"):
                connect(f"{address}?name=nobody", proxy=None, open_timeout=WAIT_S)
        assert httpx.get(f"{server.url}/echo", trust_env=False, timeout=WAIT_S).status_code == 400

    assert "Traceback" not in server.log()


def test_two_clients_of_socketio_hear_each_other_by_polling_and_by_websocket(tmp_path: Path) -> None:
    with running(UVICORN_H11, "examples.flask_socketio_chat:app", tmp_path) as server:
        ended = subprocess.run(
            [sys.executable, "examples/flask_socketio_client.py", server.url],
            cwd=TOP,
            env=environment(NO_PROXY="*"),
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "Ann comes by websocket and hears: you are in tea-room",
        "Bob comes by polling and hears: you are in tea-room",
        "Ann hears: ['heard', {'who': 'Ann', 'words': 'Good evening.'}]",
        "Bob hears: ['heard', {'who': 'Ann', 'words': 'Good evening.'}]",
    ]
