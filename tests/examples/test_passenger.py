"""``examples/wsgi_hosting/passenger_wsgi.py`` under a real Phusion Passenger, and what the recipe says of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.examples.running import WSGI_HOSTING, environment, started
from tests.integration.servers import HOST, Server, free_port
from tests.meeting import until

PASSENGER = shutil.which("passenger")

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(PASSENGER is None, reason="needs passenger"),
    # The loader of 6.0.18 and older imports `imp`, which Python 3.12 has no more; distributions have such a one.
    pytest.mark.skipif(sys.version_info >= (3, 12), reason="Passenger 6.0.18 and older load nothing there"),
]

ECHO = """

from fastapi import WebSocket


@app.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)
"""


@pytest.fixture(scope="module")
def pid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("passenger") / "passenger.pid"


@pytest.fixture(scope="module")
def passenger(pid_file: Path) -> Iterator[Server]:
    folder = pid_file.parent
    shutil.copy(WSGI_HOSTING / "passenger_wsgi.py", folder)
    (folder / "api.py").write_text((WSGI_HOSTING / "api.py").read_text(encoding="utf-8") + ECHO, encoding="utf-8")
    port = free_port()
    command = f"{PASSENGER} start --engine builtin --address {HOST} --port {port} --app-type wsgi"
    more = "--startup-file passenger_wsgi.py --max-pool-size 2 --force-max-concurrent-requests-per-process 0"
    files = f"--log-file {folder}/passenger.log --pid-file {pid_file} --python {sys.executable}"
    with started(folder, "out", f"{command} {more} {files}".split(), port, environment()) as server:
        yield server


@pytest.fixture
def client(passenger: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=passenger.url, timeout=20, trust_env=False) as client:
        yield client


def test_requests_are_answered_and_uploads_arrive_if_they_have_a_length(client: httpx.Client) -> None:
    assert client.get("/").json()["visits"] >= 1
    assert client.post("/shout", content="grüße").json() == {"shouted": "GRÜSSE"}
    assert client.post("/shout", content=iter([b"tea"])).json() == {"shouted": ""}, "chunked: WSGI cannot tell its end"


def test_a_stream_flows(client: httpx.Client) -> None:
    with client.stream("GET", "/countdown") as response:
        pieces = [piece for piece in response.iter_text() if piece]
    assert "".join(pieces).endswith("data: lift-off\n\n")
    assert len(pieces) > 1


def test_websockets_work_beside_requests(passenger: Server, client: httpx.Client) -> None:
    url = passenger.url.replace("http", "ws") + "/echo"
    with connect(url, proxy=None) as first, connect(url, proxy=None) as second:
        for ws in (first, second):
            ws.send("grüße")
            assert ws.recv(timeout=10) == "grüße"
        assert client.get("/").status_code == 200


def processes_that_said(what: str, passenger: Server) -> set[str]:
    return set(re.findall(rf"api, process (\d+): {what}", passenger.log()))


def test_the_lifespan_is_shut_down_when_passenger_is_told_to_stop(
    passenger: Server, client: httpx.Client, pid_file: Path
) -> None:
    """The last one: Passenger is gone afterwards."""
    assert client.post("/orders").json() == {"order": "accepted"}
    until(lambda: "order confirmed" in passenger.log(), "the background work")
    starts = processes_that_said("startup", passenger)
    assert starts
    subprocess.run([str(PASSENGER), "stop", "--pid-file", str(pid_file)], check=True, capture_output=True, timeout=40)
    until(lambda: processes_that_said("shutdown", passenger) == starts, "the shutdown in each process", 20)
