"""``examples/deploy``: the container ends as Kubernetes wants it, its probes tell the truth, the numbers fit."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml

from tests.backends import ASYNCIO
from tests.examples.running import DEPLOY, TOP, WSGI_HOSTING, environment, started, takes_connections
from tests.integration.raw import Connection
from tests.integration.servers import HOST, free_port
from tests.meeting import Hold, until

pytestmark = pytest.mark.once

PAGE = (TOP / "docs" / "recipes" / "kubernetes.md").read_text(encoding="utf-8")


def container_command() -> list[str]:
    """Return the command of the Dockerfile."""
    [command] = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return json.loads(command)


def deployment() -> dict[str, Any]:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    assert [document["kind"] for document in documents] == ["Deployment", "Service"]
    assert documents[0]["spec"]["template"]["metadata"]["labels"] == documents[1]["spec"]["selector"]
    return documents[0]["spec"]["template"]["spec"]


@pytest.fixture
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("in_a_container", DEPLOY / "in_a_container.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- The end --------------------------------------------------------------------------------------------------------

GUNICORN = "gunicorn --bind 0.0.0.0:8000 --graceful-timeout 25 --worker-tmp-dir /dev/shm --no-control-socket"


@pytest.mark.live
@pytest.mark.parametrize(
    ("command", "folder", "target"),
    [
        pytest.param(container_command(), DEPLOY, ("PUT", "/uploads"), id="the Dockerfile's uvicorn"),
        pytest.param(
            f"{GUNICORN} --worker-class asgi in_a_container:app".split(),
            DEPLOY,
            ("PUT", "/uploads"),
            id="gunicorn, asgi",
        ),
        pytest.param(
            f"{GUNICORN} --threads 32 wsgi:app".split(),
            WSGI_HOSTING,
            ("POST", "/shout"),
            id="gunicorn, threads, ASGI on WSGI",
        ),
    ],
)
def test_at_sigterm_a_request_under_way_is_finished(
    tmp_path: Path, command: list[str], folder: Path, target: tuple[str, str]
) -> None:
    if command != container_command():
        assert " ".join(command) in PAGE
    port = free_port()
    here = [part.replace("0.0.0.0", HOST).replace("8000", str(port)) for part in command]
    with started(tmp_path, command[0], [sys.executable, "-m", *here], port, environment(folder)) as server:
        with Connection(server) as connection:
            connection.send_head(*target, [("Content-Length", "10")])
            connection.send(b"first")
            # Its answer comes after the head above on the same loop, or by another thread: the request is under way.
            httpx.get(server.url, timeout=15, trust_env=False).raise_for_status()
            server.process.send_signal(signal.SIGTERM)
            if command[0] == "gunicorn":  # its workers keep the socket: connections wait there, and get no answer
                until(lambda: "Handling signal: term" in server.log(), "the signal to be handled", 15)
            else:
                until(lambda: not takes_connections(port), "the end of new connections", 15)
            assert server.process.poll() is None, "it ended with a request under way"
            connection.send(b"-half")
            response = connection.read_response()
        code = server.wait(15)

    assert response.status == 200
    assert response.json() in ({"bytes": 10}, {"shouted": "FIRST-HALF"})
    # uvicorn ends by the signal itself when it has done all; a process 1 cannot, and ends with 0.
    assert code == (-signal.SIGTERM if command[0] == "uvicorn" else 0), server.log()
    assert "Traceback" not in server.log()


# ---- The probes -----------------------------------------------------------------------------------------------------


def test_a_full_service_is_alive_but_not_ready_and_recovers(program: ModuleType) -> None:
    hold = Hold("a view")

    def view() -> str:
        hold.stop_here()
        return "done"

    program.flask_app.view_functions["home"] = view
    workers, queue = program.limits.workers, program.limits.queue

    async def probe() -> tuple[list[int], list[int], list[int]]:
        transport = httpx.ASGITransport(program.app)
        async with (
            program.app.router.lifespan_context(program.app),
            httpx.AsyncClient(transport=transport, base_url="http://pod", timeout=20) as client,
        ):
            probes = ("/alive", "/ready")
            before = [(await client.get(path)).status_code for path in probes]
            requests = [asyncio.ensure_future(client.get("/")) for _ in range(workers + queue // 2 + 1)]
            async with asyncio.timeout(20):
                while program.shop.statistics().waiting <= queue // 2:
                    await asyncio.sleep(0)
                full = [(await client.get(path)).status_code for path in probes]
                hold.release()
                assert {(await request).text for request in requests} == {"done"}
            after = [(await client.get(path)).status_code for path in probes]
        return before, full, after

    assert ASYNCIO.run(probe) == ([200, 200], [200, 503], [200, 200])


# ---- The numbers ----------------------------------------------------------------------------------------------------


def test_the_grace_period_has_room_for_all_that_may_be_waited_for(program: ModuleType) -> None:
    pod = deployment()
    [container] = pod["containers"]
    sleep, pre_stop_s = container["lifecycle"]["preStop"]["exec"]["command"]
    command = container_command()
    graceful_s = int(command[command.index("--timeout-graceful-shutdown") + 1])

    assert sleep == "sleep"
    waits_s = int(pre_stop_s) + graceful_s + program.limits.cancel_s + program.limits.shutdown_s
    assert waits_s < pod["terminationGracePeriodSeconds"]


def test_the_probes_ask_for_routes_beside_the_mount_at_the_port_of_the_command(program: ModuleType) -> None:
    [container] = deployment()["containers"]
    command = container_command()
    paths = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}

    assert [str(port["containerPort"]) for port in container["ports"]] == [command[command.index("--port") + 1]]
    assert paths == {route.path for route in program.app.routes if hasattr(route, "endpoint")}


def test_temporary_files_have_a_volume_with_room_for_all_the_bridge_may_write(program: ModuleType) -> None:
    pod = deployment()
    [container] = pod["containers"]
    [mount] = container["volumeMounts"]
    [volume] = pod["volumes"]

    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert (mount["mountPath"], mount["name"]) == ("/tmp", volume["name"])
    assert volume["emptyDir"] == {"sizeLimit": "1Gi"}
    assert program.limits.spool_bytes < 1024**3


def test_the_image_has_all_that_its_program_imports() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (\S+) \.$", dockerfile, re.MULTILINE)
    needed = set((DEPLOY / "requirements.txt").read_text(encoding="utf-8").split())
    imported = set(
        re.findall(r"^(?:from|import) (\w+)", (DEPLOY / "in_a_container.py").read_text("utf-8"), re.MULTILINE)
    )

    assert copied == ["requirements.txt", "in_a_container.py"]
    assert all((DEPLOY / name).exists() for name in copied)
    assert needed == {"flask", "starlette", "uvicorn[standard]", "wsgi-asgi-bridge"}
    assert imported - set(sys.stdlib_module_names) == {"flask", "starlette", "bridge"}


def test_each_file_to_deploy_is_used_by_a_test() -> None:
    files = {path.name for path in DEPLOY.iterdir() if path.is_file()}
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert {name for name in files if name not in tests and f"{Path(name).stem}:app" not in tests} == set()
