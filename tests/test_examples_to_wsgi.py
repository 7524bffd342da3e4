"""Every recipe in ``examples/wsgi_hosting`` works: the server it is for runs it, and its lifespan begins and ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backends import ASYNCIO
from tests.examples import running
from tests.integration.servers import HOST, Server, free_port
from tests.integration.wsgi_programs.apache_server import why_unavailable as why_no_apache
from tests.meeting import until

pytestmark = pytest.mark.live

TOP = Path(__file__).resolve().parent.parent
FOLDER = TOP / "examples" / "wsgi_hosting"
ENVIRONMENT = running.environment(FOLDER)


def started(
    directory: Path, *command: str, port: int | None = None, environment: dict[str, str] | None = None
) -> contextlib.AbstractContextManager[Server]:
    """Start a server; ``{port}`` in its command is a free port. It is stopped at the end if it still runs."""
    port = port or free_port()
    replaced = [part.replace("{port}", str(port)) for part in command]
    return running.started(directory, Path(command[0]).name, replaced, port, environment or ENVIRONMENT)


def python(directory: Path, *arguments: str) -> contextlib.AbstractContextManager[Server]:
    return started(directory, sys.executable, *arguments)


def client_of(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=15, trust_env=False)


def said(log: str, what: str) -> Counter[str]:
    """Return how often each process of `api` said something."""
    return Counter(re.findall(rf"api, process (\d+): {what}", log))


def check_api(client: httpx.Client, prefix: str = "") -> int:
    """Use everything the application has; return the process that answered."""
    first = client.get(f"{prefix}/")
    assert first.status_code == 200, first.text
    assert client.post(f"{prefix}/shout", content="grüße").json() == {"shouted": "GRÜSSE"}
    with client.stream("GET", f"{prefix}/countdown") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        pieces = list(response.iter_text())
    assert re.findall("data: (.*)", "".join(pieces)) == ["3", "2", "1", "lift-off"]
    assert len([piece for piece in pieces if piece]) > 1, "the events came in one piece: they were not streamed"
    assert client.post(f"{prefix}/orders").json() == {"order": "accepted"}
    return first.json()["process"]


def assert_background_work_was_done(server: Server) -> None:
    until(lambda: said(server.log(), "order confirmed"), "the background work")


# ---- Servers --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-107", "A-115", "A-121")
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
def test_gunicorn_runs_the_lifespan_in_each_worker(tmp_path: Path, preload: tuple[str, ...]) -> None:
    settings = str(FOLDER / "gunicorn.conf.py")
    with python(
        tmp_path, "-m", "gunicorn", "-c", settings, "-b", f"{HOST}:{{port}}", "--no-control-socket", *preload
    ) as server:
        until(lambda: len(said(server.log(), "startup")) == 2, "the startup before the first request")
        with client_of(server) as client:
            answered = check_api(client)
        assert_background_work_was_done(server)
        assert server.stop() == 0
    workers = said(server.log(), "startup")

    assert str(answered) in workers
    assert str(server.process.pid) not in workers, "the lifespan ran in gunicorn's master"
    assert said(server.log(), "shutdown") == workers == dict.fromkeys(workers, 1)
    assert "Traceback" not in server.log()


@pytest.mark.requirement("A-107", "A-121")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_waitress_runs_the_lifespan_around_the_requests(tmp_path: Path, end: signal.Signals) -> None:
    with python(tmp_path, str(FOLDER / "waitress_server.py"), "--port", "{port}") as server:
        assert said(server.log(), "startup"), "the startup before the first request"
        with client_of(server) as client:
            check_api(client)
        server.process.send_signal(end)
        assert server.wait() == 0

    once = {str(server.process.pid): 1}
    assert said(server.log(), "startup") == said(server.log(), "shutdown") == once
    assert said(server.log(), "order confirmed") == once, "the background work was not waited for"
    assert "Traceback" not in server.log()


@pytest.mark.requirement("A-115", "A-117", "A-121")
@pytest.mark.skipif(find_spec("pyuwsgi") is None, reason="needs pyuwsgi")
def test_uwsgi_runs_the_lifespan_in_each_worker_that_serves(tmp_path: Path) -> None:
    port = free_port()
    recipe = (FOLDER / "uwsgi.ini").read_text(encoding="utf-8")
    assert "127.0.0.1:8000" in recipe
    (tmp_path / "uwsgi.ini").write_text(recipe.replace("127.0.0.1:8000", f"{HOST}:{port}"), encoding="utf-8")
    run = "import pyuwsgi; pyuwsgi.run(['uwsgi.ini'])"
    with started(tmp_path, sys.executable, "-c", run, port=port) as server:
        with client_of(server) as client:
            answered = check_api(client)
        assert_background_work_was_done(server)
        assert server.stop() == 0
    workers = said(server.log(), "startup")

    assert str(answered) in workers
    assert str(server.process.pid) not in workers, "the lifespan ran in uWSGI's master"
    assert said(server.log(), "shutdown") == workers == dict.fromkeys(workers, 1)
    assert "Traceback" not in server.log()


@pytest.mark.requirement("A-121", "A-123")
@pytest.mark.skipif(bool(why_no_apache()), reason=str(why_no_apache()))
def test_mod_wsgi_runs_the_lifespan_in_each_daemon_process_that_serves() -> None:
    recipe = (FOLDER / "apache.conf").read_text(encoding="utf-8")
    assert "python-home=/srv/api/venv" in recipe
    # Not a virtual environment here, but the packages this test runs with.
    packages = f"{TOP}:{sysconfig.get_path('purelib')}"
    recipe = recipe.replace("python-home=/srv/api/venv", f"python-path={packages}").replace("/srv/api", str(FOLDER))
    modules = ("mpm_event", "authz_core", "wsgi")
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # Apache gives up root, and its processes meet here
        settings = Path(name, "site.conf")
        settings.write_text(
            "\n".join(
                [
                    f'ServerRoot "{name}"',
                    "ServerName localhost",
                    f"Listen {HOST}:{port}",
                    "PidFile apache.pid",
                    "ErrorLog /dev/stderr",
                    f'DefaultRuntimeDir "{name}"',
                    *("User www-data\nGroup www-data" for _ in range(os.geteuid() == 0)),
                    *(f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so" for module in modules),
                    f'WSGISocketPrefix "{name}/wsgi"',
                    recipe,
                ]
            ),
            encoding="utf-8",
        )
        with started(Path(name), "/usr/sbin/apache2", "-f", str(settings), "-D", "FOREGROUND", port=port) as server:
            with client_of(server) as client:
                answered = check_api(client)
            assert_background_work_was_done(server)
            assert server.stop(15) == 0
        log = server.log()
    workers = said(log, "startup")

    assert str(answered) in workers
    assert said(log, "shutdown") == workers == dict.fromkeys(workers, 1)
    assert "Traceback" not in log


# ---- Hosts that let one have a file ---------------------------------------------------------------------------------

LIKE_PASSENGER = """
import importlib.util, io, json, os, sys, threading

def serve(application, path, body=b""):
    started = []
    environ = {
        "REQUEST_METHOD": "POST" if body else "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
        "SERVER_NAME": "host", "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.1",
        "CONTENT_LENGTH": str(len(body)), "wsgi.version": (1, 0), "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.multithread": False,
        "wsgi.multiprocess": True, "wsgi.run_once": False,
    }
    blocks = application(environ, lambda status, headers, exc_info=None: started.append(status))
    try:
        return started[0], b"".join(blocks).decode()
    finally:
        blocks.close()

spec = importlib.util.spec_from_file_location("passenger_wsgi", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
answers = {"threads before the fork": threading.active_count(), "children": []}
for _ in range(2):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        paths = [("/",), ("/shout", b"tea"), ("/countdown",), ("/",)]
        os.write(writing, json.dumps([serve(module.application, *path) for path in paths]).encode())
        os._exit(0)  # Passenger runs no exit hooks
    os.close(writing)
    with open(reading) as answer:
        answers["children"].append(json.loads(answer.read()))
    answers.setdefault("exits", []).append(os.waitpid(child, 0)[1])
print(json.dumps(answers))
"""


@pytest.mark.requirement("A-115", "A-116", "A-121")
@pytest.mark.parametrize("file", ["passenger_wsgi.py", "pythonanywhere_com_wsgi.py"])
def test_the_file_may_be_imported_once_and_the_processes_forked_from_that(tmp_path: Path, file: str) -> None:
    program = [sys.executable, "-c", LIKE_PASSENGER, str(FOLDER / file)]
    done = subprocess.run(
        program, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=40, check=True
    )
    answers: dict[str, Any] = json.loads(done.stdout)

    assert answers["threads before the fork"] == 1
    assert answers["exits"] == [0, 0]
    workers = said(done.stderr, "startup")
    assert workers == dict.fromkeys(workers, 1)
    for first, shout, countdown, last in answers["children"]:
        process = json.loads(first[1])["process"]
        assert str(process) in workers
        assert first == ["200 OK", json.dumps({"process": process, "visits": 1}, separators=(",", ":"))]
        assert shout == ["200 OK", '{"shouted":"TEA"}']
        assert re.findall("data: (.*)", countdown[1]) == ["3", "2", "1", "lift-off"]
        assert json.loads(last[1])["visits"] == 2
    assert len(workers) == 2


@pytest.mark.requirement("A-102", "A-107", "A-118")
@pytest.mark.parametrize(
    ("path", "body", "answer", "is_ordered"),
    [
        pytest.param("/", b"", r'{"process":\d+,"visits":1}', False, id="plain"),
        pytest.param("/shout", b"tea", '{"shouted":"TEA"}', False, id="with a body"),
        pytest.param("/countdown", b"", "data: 3\n\ndata: 2\n\ndata: 1\n\ndata: lift-off\n\n", False, id="streamed"),
        pytest.param("/orders", b"x", '{"order":"accepted"}', True, id="background work"),
    ],
)
def test_a_cgi_process_has_a_whole_lifespan_and_ends(
    tmp_path: Path, path: str, body: bytes, answer: str, is_ordered: bool
) -> None:
    request = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "POST" if body else "GET",
        "SCRIPT_NAME": "/index.cgi",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
    }
    program = [sys.executable, str(FOLDER / "index.cgi")]
    done = subprocess.run(
        program, cwd=tmp_path, env=ENVIRONMENT | request, input=body, capture_output=True, timeout=20, check=True
    )
    head, _, content = done.stdout.decode().replace("\r\n", "\n").partition("\n\n")
    log = done.stderr.decode()

    assert re.match(r"Status: 20[02] ", head)
    assert re.fullmatch(answer, content)
    assert len(said(log, "startup")) == 1
    assert said(log, "shutdown") == said(log, "startup")
    assert bool(said(log, "order confirmed")) is is_ordered
    assert "Traceback" not in log


# ---- Inside WSGI applications ---------------------------------------------------------------------------------------


@pytest.mark.requirement("A-018", "A-019")
@pytest.mark.parametrize(
    ("target", "around"),
    [
        pytest.param("fastapi_in_flask:app", "Flask", id="flask"),
        pytest.param("fastapi_beside_django:application", "Django", id="django, wsgi.py"),
        pytest.param("fastapi_in_django_urls:application", "Django", id="django, urls.py"),
    ],
)
def test_fastapi_answers_below_its_prefix_and_the_old_application_elsewhere(
    tmp_path: Path, target: str, around: str
) -> None:
    arguments = ("-k", "gthread", "--threads", "8", "-b", f"{HOST}:{{port}}", "--no-control-socket", target)
    with python(tmp_path, "-m", "gunicorn", *arguments) as server:
        with client_of(server) as client:
            assert client.get("/").json()["answered_by"] == around
            assert check_api(client, "/api")
            assert client.get("/apis").status_code == 404
            assert client.head("/api/").status_code == 405  # FastAPI has no HEAD for a GET route
            assert client.get("/api/nowhere").json() == {"detail": "Not Found"}
        assert_background_work_was_done(server)
        assert server.stop() == 0

    assert len(said(server.log(), "startup")) == 1
    assert said(server.log(), "shutdown") == said(server.log(), "startup"), (
        "no hook runs it here but the exit of Python"
    )
    assert "Traceback" not in server.log()


@pytest.mark.requirement("A-077", "A-096")
def test_a_model_uses_the_tools_of_an_mcp_server_inside_flask(tmp_path: Path) -> None:
    mcp = pytest.importorskip("mcp")

    async def session(url: str, mode: str) -> tuple[list[str], Any, bool]:
        async with mcp.Client(url, mode=mode) as client:
            tools = await client.list_tools()
            price = await client.call_tool("price", {"item": "tea"})
            unknown = await client.call_tool("price", {"item": "gold"})
            return [tool.name for tool in tools.tools], price.structured_content, unknown.is_error

    arguments = ("-k", "gthread", "--threads", "8", "-b", f"{HOST}:{{port}}", "--no-control-socket", "mcp_in_flask:app")
    with python(tmp_path, "-m", "gunicorn", *arguments) as server:
        with client_of(server) as client:
            assert client.get("/prices/tea").text == "<p>tea: 3 EUR"
            # Without a handshake; and with "initialize", a session and a stream for what the server has to say.
            for mode in ("auto", "legacy"):
                for url in (f"{server.url}/mcp", f"{server.url}/mcp/"):
                    assert ASYNCIO.run(session, url, mode) == (["price"], {"result": 3}, True)
            assert client.get("/prices/rice").status_code == 200
        assert server.stop() == 0

    log = server.log()
    assert "Error handling request" not in log
    assert "failed afterwards" not in log
