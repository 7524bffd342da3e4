"""What people's folders and shells do to `bridge serve` and `bridge doctor`, each in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import bridge
from bridge._settings import Settings
from bridge.cli import slowness
from bridge.serve.plan import Request, _without_effect
from bridge.serve.servers import SERVERS
from tests.serve.projects import ASGI, WSGI, Project, project  # noqa: F401 - a fixture

TIMEOUT_S = 30
THREAD = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"


def run(*arguments: str, folder: Path, redirect: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``python -m bridge`` in a folder; what it prints is kept."""
    line = f"{shlex.join([sys.executable, '-m', 'bridge', *arguments])} {redirect}"
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(bridge.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["serve", "shop:nothing"], 2, id="wrong-input"),
        pytest.param(["serve", "shop:app", "-s", "uvicorn", "--dry-run"], 0, id="dry-run"),
        pytest.param(["doctor", "shop:app", "--no-probe"], 0, id="doctor"),
    ],
)
def test_a_thread_of_the_application_does_not_keep_the_command_alive(project: Project, arguments, code) -> None:  # noqa: F811
    project.write("shop.py", WSGI + THREAD)

    assert run(*arguments, folder=project.folder).returncode == code


@pytest.mark.parametrize("name", ["bridge.py", "bridge/__init__.py", "uvicorn/__init__.py"])
def test_a_name_in_the_project_that_would_hide_what_the_server_imports_is_refused(project: Project, name: str) -> None:  # noqa: F811
    project.write("here/empty.txt", "")
    project.write("shop.py")
    project.write(name, "")

    done = run("serve", "shop:app", "-s", "uvicorn", "--dry-run", "--app-dir", "..", folder=project.folder / "here")

    assert done.returncode == 2
    assert done.stderr.startswith(
        f"bridge: {project.folder / name} hides the package {name.partition('/')[0].removesuffix('.py')}"
    )


def test_a_file_with_the_name_of_a_module_that_is_in_use_is_not_mistaken_for_it(project: Project) -> None:  # noqa: F811
    project.write("site/json.py")

    done = run("serve", "site/json.py", "--dry-run", folder=project.folder)

    assert done.returncode == 2
    assert done.stderr.startswith("bridge: the name json is taken by ")
    assert done.stderr.count("\n") == 1


def test_granian_gets_an_address_for_the_name_of_a_host(project: Project) -> None:  # noqa: F811
    project.write("shop.py")

    done = run("serve", "shop:app", "-s", "granian", "-h", "localhost", "--dry-run", folder=project.folder)

    words = shlex.split(done.stdout)
    assert words[words.index("--host") + 1] in ("127.0.0.1", "::1")


@pytest.mark.parametrize(("server", "module"), [("waitress", "mysite.wsgi"), ("uvicorn", "mysite.asgi")])
def test_of_a_package_that_has_both_the_servers_own_kind_is_taken(project: Project, server: str, module: str) -> None:  # noqa: F811
    project.write("mysite/__init__.py", "")
    project.write("mysite/asgi.py", ASGI)
    project.write("mysite/wsgi.py", WSGI)

    done = run("serve", "mysite", "-s", server, "--dry-run", folder=project.folder)

    assert f"BRIDGE_APP={module}:app" in shlex.split(done.stdout)


def test_a_folder_around_a_package_of_its_name_is_explained(project: Project) -> None:  # noqa: F811
    project.write("mysite/mysite/__init__.py", "")
    project.write("mysite/mysite/wsgi.py")

    done = run("serve", "mysite", folder=project.folder)

    assert (done.returncode, "add --app-dir" in done.stderr) == (2, True)


def test_a_link_to_a_file_is_followed_to_its_neighbours(project: Project) -> None:  # noqa: F811
    project.write("src/store/__init__.py", "")
    project.write("src/store/parts.py")
    project.write("src/store/web.py", "from .parts import app\n")
    (project.folder / "link.py").symlink_to(project.folder / "src/store/web.py")

    done = run("serve", "link.py", "--dry-run", folder=project.folder)

    assert "BRIDGE_APP=store.web:app" in shlex.split(done.stdout), done.stderr


def test_what_has_no_effect_without_an_adapter_is_said() -> None:
    request = Request(settings=Settings(app="shop:app", limits={"workers": "3"}, telemetry=True))

    assert _without_effect(request, SERVERS["uvicorn"], None) == [
        "nothing is between uvicorn and the application, so --limit and --telemetry have no effect"
    ]
    assert _without_effect(request, SERVERS["uvicorn"], "WSGIToASGI") == []


@pytest.mark.parametrize("redirect", ["2>&-", ">/dev/null 2>&-"])
def test_the_doctor_needs_no_standard_error(project: Project, redirect: str) -> None:  # noqa: F811
    project.write("shop.py")

    done = run("doctor", "shop:app", "--json", folder=project.folder, redirect=redirect)

    assert done.returncode == 0
    if done.stdout:
        assert json.loads(done.stdout)["ok"] is True


def test_wrong_input_has_its_exit_code_where_nobody_can_be_told(project: Project) -> None:  # noqa: F811
    assert run("serve", "nothing:app", folder=project.folder, redirect="2>&-").returncode == 2


def test_the_output_of_a_full_disk_is_one_sentence(project: Project) -> None:  # noqa: F811
    project.write("shop.py")

    done = run("doctor", "shop:app", "--no-probe", folder=project.folder, redirect="> /dev/full")

    assert done.returncode == 2
    assert done.stderr.startswith("bridge: the output cannot be written: ")


def test_an_application_that_catches_everything_does_not_hold_the_doctor(project: Project) -> None:  # noqa: F811
    project.write(
        "shop.py",
        """
        import time

        async def app(scope, receive, send):
            while scope["type"] == "http":
                try:
                    time.sleep(60)
                except BaseException:
                    pass
        """,
    )

    done = run("doctor", "shop:app", "--timeout", "0.1", folder=project.folder)

    assert done.returncode == 1
    assert "cannot be interrupted" in done.stderr


def test_an_import_that_takes_long_is_talked_of(monkeypatch, capsys) -> None:
    import threading

    said = threading.Event()
    monkeypatch.setattr(slowness, "NOTICE_AFTER_S", 0.0)
    monkeypatch.setattr(slowness, "_say", lambda *_: said.set())

    with slowness.notice_of_slow_import("shop"):
        assert said.wait(10)

    monkeypatch.undo()
    slowness._say("shop", threading.get_ident())
    assert "bridge: still importing shop" in capsys.readouterr().err


def test_an_import_that_is_quick_is_not(capsys) -> None:
    with slowness.notice_of_slow_import("shop") as loaded:
        loaded()

    assert capsys.readouterr().err == ""
