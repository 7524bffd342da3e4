"""``bridge serve`` as people run it: real servers in place of the command, with their own reloader and workers."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.serve.servers import SERVERS as TABLE
from tests.integration.servers import HOST, Server, ServerKind, running
from tests.serve.test_servers import COMMANDS

pytestmark = pytest.mark.live

TOP = Path(__file__).resolve().parents[2]
LIMIT_S = 20.0

APP = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{word} %d" % os.getpid()]
"""
FLASK = """
from flask import Flask

def create_app():
    app = Flask(__name__)

    @app.post("/echo")
    def echo():
        from flask import request
        return request.get_data()[::-1]

    return app
"""
FASTAPI = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/")
def index():
    return "store"
"""


def write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")


def serving(directory: Path, app: str, *options: str) -> contextlib.AbstractContextManager[Server]:
    """Run ``bridge serve`` in a directory until the server it hands over to takes connections."""
    dashes = options.index("--") if "--" in options else len(options)
    kind = ServerKind(
        "bridge-serve", ("bridge", "serve", "{app}", *options[:dashes], "--port", "{port}", *options[dashes:])
    )
    return running(kind, app, directory)


def get(server: Server, path: str = "/", body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(server.url + path, body, timeout=LIMIT_S) as response:
        return response.read()


def wait_until(is_so: Callable[[], bool], what: Callable[[], str]) -> None:
    """Look until something in another process is so."""
    deadline_s = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            pytest.fail(f"it never was so: {what()}")
        time.sleep(0.05)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as listening:
        yield listening


# ---- The hand-over ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server_name", "adapter", "by_itself"),
    [
        pytest.param(
            "uvicorn",
            "through WSGIToASGI",
            ("uvicorn", "--port={port}", "--interface=asgi3", "tests.integration.apps:app"),
            id="uvicorn",
        ),
        pytest.param(
            "gunicorn",
            "with nothing in between",
            ("gunicorn", "--bind={host}:{port}", "-k=gthread", "{app}"),
            id="gunicorn",
        ),
    ],
)
def test_the_server_takes_the_place_of_the_process_and_ends_as_it_does_by_itself(
    server_name: str, adapter: str, by_itself: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path / "shop.py", APP.format(word="shop"))

    with serving(tmp_path, "shop:app", "-s", server_name) as server:
        body = get(server)
        command = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().split(b"\0")
        code = server.stop()
        line = server.log().splitlines()[0]
    with running(ServerKind("by-itself", by_itself), "shop:app", tmp_path) as alone:
        expected = alone.stop()

    assert body.startswith(b"shop ")
    assert server_name.encode() in command
    assert b"serve" not in command
    assert code == expected
    assert code is not None
    assert re.fullmatch(
        rf"shop:app speaks WSGI; {server_name} \S+ (\(WSGI\) )?serves it {adapter} on {server.url}", line
    )


def test_arguments_after_two_dashes_reach_the_server(tmp_path: Path) -> None:
    write(tmp_path / "shop.py", APP.format(word="shop"))

    with serving(tmp_path, "shop:app", "-s", "uvicorn", "--", "--header", "X-From:us") as server:
        with urllib.request.urlopen(server.url, timeout=LIMIT_S) as response:
            field = response.headers["X-From"]

    assert field == "us"


def test_a_port_in_use_ends_it_with_one_sentence(tmp_path: Path, listener: socket.socket) -> None:
    write(tmp_path / "shop.py", APP.format(word="shop"))
    port = listener.getsockname()[1]

    done = subprocess.run(
        [sys.executable, "-m", "bridge", "serve", "shop:app", "--port", str(port)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TOP)},
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bridge: port {port} of {HOST} is in use: ")
    assert done.stderr.count("\n") == 1


# ---- The server's own machinery ---------------------------------------------------------------------------------


@pytest.mark.parametrize("server_name", ["uvicorn", "uwsgi"])  # uWSGI runs its own program anew, which it has to find
def test_a_change_of_the_file_is_served_with_reload(server_name: str, tmp_path: Path) -> None:
    write(tmp_path / "shop.py", APP.format(word="before"))

    with serving(tmp_path, "shop.py", "-s", server_name, "--reload") as server:
        before = get(server)
        written_s = 0.0

        def is_new() -> bool:
            nonlocal written_s
            if time.monotonic() - written_s > 5:  # again, for a reloader that was not watching yet
                write(tmp_path / "shop.py", APP.format(word="afterwards"))
                written_s = time.monotonic()
            with contextlib.suppress(OSError):
                return get(server).startswith(b"afterwards ")
            return False

        wait_until(is_new, server.log)

    assert before.startswith(b"before ")


@pytest.mark.parametrize(
    ("server_name", "started"),
    [
        pytest.param("uvicorn", r"Started server process \D*(\d+)", id="uvicorn"),
        pytest.param("gunicorn", r"Booting worker with pid: (\d+)", id="gunicorn"),
    ],
)
def test_the_worker_processes_are_the_servers(server_name: str, started: str, tmp_path: Path) -> None:
    write(tmp_path / "shop.py", APP.format(word="shop"))

    def workers() -> set[str]:
        return set(re.findall(started, server.log()))

    with serving(tmp_path, "shop:app", "-s", server_name, "--workers", "2") as server:
        wait_until(lambda: len(workers()) == 2, server.log)
        answered_by = get(server).split()[1].decode()

    assert answered_by in workers()
    assert str(server.process.pid) not in workers()


# ---- Names of applications --------------------------------------------------------------------------------------


def test_a_file_with_a_factory_is_served(tmp_path: Path) -> None:
    write(tmp_path / "my-shop.py", FLASK)

    with serving(tmp_path, "my-shop.py:create_app", "-s", "uvicorn", "--factory") as server:
        assert get(server, "/echo", b"abc") == b"cba"


def test_a_package_in_another_folder_is_served(tmp_path: Path) -> None:
    write(tmp_path / "src" / "store" / "__init__.py", "")
    write(tmp_path / "src" / "store" / "main.py", FASTAPI)

    with serving(tmp_path, "src/store", "-s", "waitress") as server:
        assert get(server) == b'"store"'


@pytest.mark.parametrize(
    ("app", "options"),
    [
        pytest.param("shop:app", ["--app-dir", "inner"], id="app-dir"),
        pytest.param("inner/shop.py:app", [], id="file"),
    ],
)
def test_what_was_looked_at_is_what_is_served_though_the_current_folder_has_its_like(
    app: str, options: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "shop.py", APP.format(word="outer"))
    write(tmp_path / "inner" / "shop.py", APP.format(word="inner"))

    with serving(tmp_path, app, "-s", "gunicorn", *options) as server:
        assert get(server).startswith(b"inner ")


# ---- The table of servers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("server_name", TABLE)
def test_the_options_a_server_is_given_are_ones_it_has(server_name: str) -> None:
    kind = TABLE[server_name]
    if not kind.is_installed():
        pytest.skip(f"{server_name} is not installed")
    lines = [line for (name, _), commands in COMMANDS.items() if name == server_name for line in commands.values()]
    given = {word.partition("=")[0] for line in lines for word in line.split() if word.startswith("-")}
    program = kind.program()
    start = [program] if kind.is_program and program else [sys.executable, "-m", kind.module]

    done = subprocess.run(
        [*start, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    )

    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", done.stdout + done.stderr))
    assert sorted(given - known) == []
    assert len(known) > 5
