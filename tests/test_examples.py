"""Every program in ``examples/`` runs and does what its docstring says: real servers, real requests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.live

TOP = Path(__file__).resolve().parent.parent
START_S = 30.0
STOP_S = 15.0


@contextlib.contextmanager
def running(*command: str) -> Iterator[httpx.Client]:
    """Start a server that reports its port as uvicorn does; give a client for it; end it and expect a clean exit."""
    environment = os.environ | {"PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=TOP,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        log: list[str] = []
        port: list[int] = []
        is_settled = threading.Event()

        def read_log() -> None:
            for line in process.stderr:
                log.append(line)
                if match := re.search(r"running on http://127\.0\.0\.1:([0-9]+)", line):
                    port.append(int(match[1]))
                    is_settled.set()
            is_settled.set()

        reader = threading.Thread(target=read_log)
        reader.start()
        try:
            assert is_settled.wait(START_S), "".join(log)
            assert port, "".join(log)
            with httpx.Client(base_url=f"http://127.0.0.1:{port[0]}", timeout=10, trust_env=False) as client:
                yield client
            process.send_signal(signal.SIGINT)
            process.wait(STOP_S)
        finally:
            if process.poll() is None:
                process.kill()
            reader.join()
        assert "Traceback" not in "".join(log), "".join(log)
        assert any("Application shutdown complete" in line for line in log), "".join(log)


def uvicorn(module: str) -> contextlib.AbstractContextManager[httpx.Client]:
    return running("-m", "uvicorn", f"examples.{module}:app", "--port", "0")


def wait_for(is_so: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("examples/flask_under_uvicorn.py", "--port", "0"), id="as a program"),
        pytest.param(("-m", "uvicorn", "examples.flask_under_uvicorn:app", "--port", "0"), id="by uvicorn"),
    ],
)
def test_flask_is_served_by_uvicorn(command: tuple[str, ...]) -> None:
    with running(*command) as client:
        home = client.get("/")
        assert home.status_code == 200
        assert "bridge-worker" in home.text
        assert 'href="/hello/world"' in home.text
        assert client.get("/hello/you").json() == {"hello": "you"}
        assert client.post("/shout", data={"words": "grüße"}).text == "GRÜSSE"
        assert client.get("/environ").json()["SERVER_PROTOCOL"] == "'HTTP/1.1'"
        with client.stream("GET", "/countdown") as response:
            pieces = list(response.iter_text())
        assert "".join(pieces).split() == [*map(str, range(10, 0, -1)), "lift-off"]
        assert len(pieces) > 1, "the countdown came in one piece: it was not streamed"


@pytest.mark.parametrize(
    ("path", "own_url"),
    [
        pytest.param("/de/items/2", "/de/items/2", id="flask"),
        pytest.param("/jp/items/2", "/jp/items/2", id="another flask"),
        pytest.param("/blog/articles/a-b", "/blog/articles/a-b", id="django"),
        pytest.param("/intranet/blog/articles/a-b", "/intranet/blog/articles/a-b", id="the same django again"),
    ],
)
def test_urls_made_under_a_mount_carry_its_prefix(starlette_client: httpx.Client, path: str, own_url: str) -> None:
    assert starlette_client.get(path).json()["self"] == own_url


def test_the_mounts_in_starlette_answer_each_with_its_own_application(starlette_client: httpx.Client) -> None:
    assert starlette_client.get("/de/items/2").json()["price"] == "20 EUR"
    assert starlette_client.get("/jp/items/2").json()["price"] == "20 JPY"
    assert starlette_client.get("/").json()["workers"]["max"] == 20
    assert starlette_client.get("/nowhere").status_code == 404


@pytest.fixture(scope="module")
def starlette_server() -> Iterator[str]:
    with uvicorn("mounts_in_starlette") as client:
        yield str(client.base_url)


@pytest.fixture
def starlette_client(starlette_server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=starlette_server, timeout=10, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/orders/7", {"order": "7", "answered_by": "FastAPI"}, id="taken over"),
        pytest.param(
            "/users/ann", {"user": "ann", "answered_by": "Flask", "self": "/users/ann"}, id="not yet taken over"
        ),
        pytest.param("/v1/orders/7", {"order": "7", "answered_by": "Flask", "self": "/v1/orders/7"}, id="old version"),
        pytest.param(
            "/billing/invoices/3", {"invoice": 3, "answered_by": "Django", "self": "/billing/invoices/3"}, id="django"
        ),
    ],
)
def test_fastapi_answers_what_it_has_and_leaves_the_rest_to_the_mounts(
    fastapi_client: httpx.Client, path: str, answer: dict[str, object]
) -> None:
    assert fastapi_client.get(path).json() == answer


@pytest.fixture(scope="module")
def fastapi_server() -> Iterator[str]:
    with uvicorn("mounts_in_fastapi") as client:
        yield str(client.base_url)


@pytest.fixture
def fastapi_client(fastapi_server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fastapi_server, timeout=10, trust_env=False) as client:
        yield client


def test_events_reach_all_listeners_and_the_generators_of_those_who_leave_are_closed() -> None:
    with uvicorn("sse_from_flask") as client:

        def status() -> dict[str, int]:
            return client.get("/status").json()

        with contextlib.ExitStack() as listeners:
            streams = [listeners.enter_context(client.stream("GET", "/events")).iter_lines() for _ in range(5)]
            assert [next(lines) for lines in streams] == ["retry: 1000"] * 5
            assert status() == {"streams_open": 5, "workers_busy": 6, "subscriptions": 5, "closed_streams": 0}

            assert client.post("/publish", content="tea is ready").json() == {"listeners": 5}

            for lines in streams:
                assert "data: tea is ready" in lines
        wait_for(
            lambda: status() == {"streams_open": 0, "workers_busy": 1, "subscriptions": 0, "closed_streams": 5},
            "streams were left open, or workers were not freed",
        )


def test_a_large_file_goes_up_and_comes_down_unharmed() -> None:
    content = os.urandom(1024 * 1024) * 5 + b"the end"
    with uvicorn("uploads_and_downloads") as client:
        receipt = client.put("/files/large", content=content)
        assert (receipt.status_code, receipt.json()) == (
            201,
            {"name": "large", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
        )
        pieces = (content[start : start + 100_000] for start in range(0, len(content), 100_000))
        chunked = client.put("/files/chunked", content=pieces)  # no Content-Length
        assert chunked.json()["sha256"] == hashlib.sha256(content).hexdigest()

        whole = client.get("/files/chunked")
        assert whole.content == content
        assert whole.headers["content-length"] == str(len(content))
        tail = client.get("/files/large", headers={"range": "bytes=-7"})
        assert (tail.status_code, tail.content) == (206, b"the end")
        unchanged = client.get("/files/large", headers={"if-none-match": client.head("/files/large").headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert client.get("/files/never-sent").status_code == 404


def test_flask_and_fastapi_share_one_pool_on_one_loop() -> None:
    with uvicorn("shared_async_resource") as client:
        from_flask = client.get("/flask/users/1").json()
        from_fastapi = client.get("/users/2").json()

        assert from_flask["on_the_loop_of_the_pool"] is True
        assert from_fastapi["on_the_loop_of_the_pool"] is True
        assert (from_flask["parameters"], from_fastapi["parameters"]) == ([1], [2])
        assert client.get("/queries").json() == {"queries": 2}
