"""Handing over: the line a shell runs, the look at the address, and the server's command in place of ours."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge._settings import Settings
from bridge.errors import ConfigurationError
from bridge.serve import handover
from bridge.serve.handover import check_address, hand_over, shell_line
from bridge.serve.plan import Plan, Request, make_plan
from bridge.serve.servers import Launch
from tests.integration.servers import free_port
from tests.serve.projects import Project

HOST = "127.0.0.1"
ODD = ["a b", "*", "$HOME", "it's", '"', "", "`true`", "\\"]


def launch(**changes: Any) -> Launch:
    return Launch(**{"interface": "asgi", "host": HOST, "port": 0, "reload_dir": ".", **changes})


def refusal(asked: Launch) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_address(asked)
    return str(caught.value)


@pytest.fixture
def plan(project: Project, installed: set[str]) -> Plan:
    """A plan whose application is in a folder that a shell would take apart."""
    project.write("it's $mine/shop.py")
    return make_plan(Request(settings=Settings(app="shop:app"), directory="it's $mine", server="uvicorn", extra=ODD))


# ---- The line for a shell ---------------------------------------------------------------------------------------


def test_the_line_is_the_variables_and_the_command(plan: Plan) -> None:
    parts = shlex.split(shell_line(plan))

    variables = dict(part.split("=", 1) for part in parts[: len(plan.variables)])
    assert variables == plan.variables
    assert parts[len(plan.variables) :] == list(plan.command)


def test_a_shell_runs_the_line_as_it_is(plan: Plan) -> None:
    show = "import os, sys; print(repr([os.environ['BRIDGE_APP'], os.environ['BRIDGE_APP_DIR'], sys.argv[1:]]))"
    shown = SimpleNamespace(variables=plan.variables, command=[sys.executable, "-c", show, *ODD])

    line = shell_line(shown)  # type: ignore[arg-type]
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True, timeout=30)

    assert done.stdout.strip() == repr(["shop:app", plan.variables["BRIDGE_APP_DIR"], ODD])


# ---- The address ------------------------------------------------------------------------------------------------


def test_a_port_that_somebody_listens_on_is_refused() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]

        assert refusal(launch(port=port)) == (
            f"port {port} of {HOST} is in use: stop what listens there, or choose another with --port (0: any that "
            "is free)"
        )


def test_a_port_with_connections_that_are_only_wound_up_is_free() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((HOST, port)):
            listener.accept()[0].close()  # ends first: its side of the connection is kept by the system for a while

    check_address(launch(port=port))


def test_the_port_is_let_go_again() -> None:
    port = free_port()

    check_address(launch(port=port))

    with socket.socket() as ours:
        ours.bind((HOST, port))


@pytest.mark.parametrize(
    "host", [pytest.param("name.invalid", id="unknown"), pytest.param("a" * 64 + ".x", id="no-name")]
)
def test_a_name_of_no_machine_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(name: str, *_: object, **__: object) -> None:
        name.encode("idna")  # what refuses the second name
        raise socket.gaierror(socket.EAI_NONAME, "not known")  # as a resolver does, without asking one

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    assert refusal(launch(host=host)) == f"{host!r} is no address of a machine (--host)"


def test_an_address_of_another_machine_is_refused() -> None:
    assert (
        refusal(launch(host="203.0.113.1")) == "203.0.113.1 is no address of this machine: choose another with --host"
    )


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        pytest.param(
            errno.EACCES,
            "port 80 of 127.0.0.1 is not allowed to this user: choose one from 1024 on with --port",
            id="privileged",
        ),
        pytest.param(
            errno.ENOBUFS, f"127.0.0.1:80 cannot be listened on: [Errno {errno.ENOBUFS}] why", id="anything-else"
        ),
    ],
)
def test_what_the_system_does_not_allow_is_said(number: int, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(number, "why")

    monkeypatch.setattr(socket, "socket", Refusing)

    assert refusal(launch(port=80)) == sentence


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may have any port")
def test_a_privileged_port_is_refused_by_this_system() -> None:
    start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if start.exists() and int(start.read_text()) <= 1:
        pytest.skip("no port is privileged here")

    assert "is not allowed to this user" in refusal(launch(port=1))


def test_the_folder_of_a_socket_has_to_be_there(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "shop.sock")

    assert refusal(launch(uds=path)) == f"there is no folder {tmp_path / 'run'} for the socket {path}"


def test_a_file_is_not_overwritten_by_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    path.write_text("precious")

    assert refusal(launch(uds=str(path))) == f"{path} is there and no socket: choose another path for --uds"


@pytest.mark.parametrize("is_there", [pytest.param(True, id="left-over"), pytest.param(False, id="new")])
def test_a_socket_may_take_the_place_of_an_old_one(
    tmp_path: Path, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a path for a socket is short
    if is_there:
        with socket.socket(socket.AF_UNIX) as old:
            old.bind("shop.sock")

    check_address(launch(uds="shop.sock", port=-1))

    assert os.path.exists("shop.sock") is is_there


# ---- The hand-over ----------------------------------------------------------------------------------------------


def test_the_command_takes_the_place_of_this_process(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(os, "execvpe", lambda *arguments: calls.append(arguments) or sys.exit(0))
    monkeypatch.setenv("LEFT", "alone")

    with pytest.raises(SystemExit):
        hand_over(plan)

    assert calls == [(plan.command[0], list(plan.command), {**os.environ, **plan.variables})]
    assert calls[0][2]["LEFT"] == "alone"


@pytest.mark.parametrize(
    ("ending", "code"),
    [pytest.param(lambda: 3, 3, id="its-own-code"), pytest.param(KeyboardInterrupt, 130, id="control-c")],
)
def test_without_exec_the_exit_code_is_the_servers(
    plan: Plan, ending: Any, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def call(command: Any, *, env: dict[str, str]) -> int:
        calls.append((command, env))
        ended = ending()
        if isinstance(ended, BaseException):
            raise ended
        return ended

    monkeypatch.setattr(handover, "os", SimpleNamespace(name="nt", environ=os.environ))
    monkeypatch.setattr(subprocess, "call", call)

    with pytest.raises(SystemExit) as caught:
        hand_over(plan)

    assert caught.value.code == code
    assert calls == [(plan.command, {**os.environ, **plan.variables})]


def test_a_command_that_cannot_be_run_is_said(plan: Plan) -> None:
    broken = SimpleNamespace(variables={}, command=["/nowhere/uvicorn"])

    with pytest.raises(ConfigurationError, match=r"^/nowhere/uvicorn cannot be run: No such file or directory"):
        hand_over(broken)  # type: ignore[arg-type]
