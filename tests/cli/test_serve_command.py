"""``bridge serve``: arguments and variables to a plan that is handed over, or printed."""

from __future__ import annotations

import shlex
import socket
import sys

import pytest

from bridge.cli.main import main
from bridge.serve import servers
from bridge.serve.plan import Plan
from tests.integration.servers import free_port
from tests.serve.projects import Project

pytestmark = pytest.mark.usefixtures("installed")


# ---- What is handed over ----------------------------------------------------------------------------------------


def test_the_line_is_said_on_stderr_and_the_plan_handed_over(
    project: Project, handed: list[Plan], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("shop.py")
    monkeypatch.setattr(servers.metadata, "version", lambda _: "1.2")
    port = free_port()

    assert main(["serve", "shop:app", "--port", str(port)]) == 0

    assert [plan.kind.name for plan in handed] == ["uvicorn"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"shop:app speaks WSGI; uvicorn 1.2 serves it through WSGIToASGI on http://127.0.0.1:{port}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        pytest.param(["--host", "127.0.0.2"], "host", "127.0.0.2", id="host"),
        pytest.param(["-h", "127.0.0.2"], "host", "127.0.0.2", id="host-short"),
        pytest.param(["--uds", "shop.sock"], "uds", "shop.sock", id="uds"),
        pytest.param(["--workers", "4"], "workers", 4, id="workers"),
        pytest.param(["-w", "4"], "workers", 4, id="workers-short"),
        pytest.param(["--reload"], "reload", True, id="reload"),
        pytest.param(["--log-level", "debug"], "log_level", "debug", id="log-level"),
        pytest.param(["--root-path", "/api"], "root_path", "/api", id="root-path"),
        pytest.param(["-s", "gunicorn", "--threads", "3"], "threads", 3, id="threads"),
        pytest.param(["-s", "gunicorn", "--interface", "asgi"], "interface", "asgi", id="interface"),
    ],
)
def test_an_option_is_passed_on(
    project: Project, handed: list[Plan], arguments: list[str], name: str, value: object
) -> None:
    project.write("shop.py")

    assert main(["serve", "shop:app", "-p", "0", *arguments]) == 0

    assert getattr(handed[0].launch, name) == value


@pytest.mark.parametrize(
    ("arguments", "variable", "value"),
    [
        pytest.param([], "BRIDGE_APP", "shop:app", id="application"),
        pytest.param(["--protocol", "wsgi"], "BRIDGE_PROTOCOL", "wsgi", id="protocol"),
        pytest.param(["--limit", "queue=5", "--limit", "workers=2"], "BRIDGE_LIMITS", "queue=5,workers=2", id="limits"),
        pytest.param(["--option", "large_body=spool"], "BRIDGE_OPTIONS", "large_body=spool", id="options"),
        pytest.param(["--threads", "3"], "BRIDGE_LIMITS", "workers=3", id="threads"),
        pytest.param(["--telemetry"], "BRIDGE_TELEMETRY", "1", id="telemetry"),
    ],
)
def test_what_is_said_of_the_application_becomes_a_variable(
    project: Project, handed: list[Plan], arguments: list[str], variable: str, value: str
) -> None:
    project.write("shop.py")

    assert main(["serve", "shop:app", "-p", "0", *arguments]) == 0

    assert handed[0].variables[variable] == value


@pytest.mark.parametrize(
    ("variables", "arguments", "variable", "value"),
    [
        pytest.param({"BRIDGE_LIMITS": "queue=5"}, ["--limit", "queue=6"], "BRIDGE_LIMITS", "queue=6", id="limits"),
        pytest.param(
            {"BRIDGE_LIMITS": "queue=5 workers=2"},
            ["--limit", "queue=6"],
            "BRIDGE_LIMITS",
            "queue=6,workers=2",
            id="both",
        ),
        pytest.param({"BRIDGE_OPTIONS": "strict=1"}, [], "BRIDGE_OPTIONS", "strict=1", id="options"),
        pytest.param({"BRIDGE_PROTOCOL": "asgi"}, ["--protocol", "wsgi"], "BRIDGE_PROTOCOL", "wsgi", id="protocol"),
    ],
)
def test_the_command_line_wins_over_the_variables(
    project: Project,
    handed: list[Plan],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: list[str],
    variable: str,
    value: str,
) -> None:
    project.write("shop.py")
    for name, text in variables.items():
        monkeypatch.setenv(name, text)

    assert main(["serve", "shop:app", "-p", "0", *arguments]) == 0

    assert handed[0].variables[variable] == value


def test_the_application_may_be_named_by_the_variable(
    project: Project, handed: list[Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("shop.py", "def create_app():\n    def app(environ, start_response): ...\n    return app\n")
    monkeypatch.setenv("BRIDGE_APP", "shop:create_app")
    monkeypatch.setenv("BRIDGE_FACTORY", "1")

    assert main(["serve", "-p", "0"]) == 0

    assert handed[0].loaded.target.is_factory


def test_what_follows_two_dashes_goes_to_the_server(project: Project, handed: list[Plan]) -> None:
    project.write("shop.py")

    assert main(["serve", "shop:app", "-p", "0", "--", "--proxy-headers", "--port", "1"]) == 0

    assert list(handed[0].command[-3:]) == ["--proxy-headers", "--port", "1"]
    assert handed[0].launch.port == 0


def test_a_dry_run_prints_a_line_for_a_shell_and_nothing_else(
    project: Project, handed: list[Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("my shop/shop.py")

    # Not looked for: another program may listen there now.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        assert main(["serve", "shop:app", "--app-dir", "my shop", "-p", port, "--dry-run"]) == 0

    captured = capsys.readouterr()
    assert (captured.err, handed) == ("", [])
    assert captured.out.count("\n") == 1
    assert shlex.split(captured.out) == [
        "BRIDGE_APP=shop:app",
        f"BRIDGE_APP_DIR={project.folder}/my shop",
        *[sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", port, "bridge.asgi:app"],
    ]
