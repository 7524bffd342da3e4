"""The command: a report for people, one for programs, exit codes, and an end whatever the application does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import bridge
from bridge._settings import Settings
from bridge.cli.doctor import doctor
from bridge.doctor import Report, examine
from bridge.doctor.examination import servers_for
from bridge.doctor.report import Application, Probe, ProbeRow
from bridge.doctor.rules import hazard, worst_first
from bridge.errors import LoadError, NotAnAppError
from bridge.serve.servers import SERVERS

WSGI = """
def app(environ, start_response):
    print("printed by the application")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
FAILING = """
def app(environ, start_response):
    raise KeyError("shop")
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return what writes a module and gives its path; the import system forgets it afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)

    def write_module(text, name="doctored"):
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        return str(path)

    yield write_module
    for name in set(sys.modules) - known:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def run(*arguments):
    return CliRunner().invoke(doctor, arguments)


def run_apart(*arguments, directory, environment=None):
    """Run the command in a process of its own."""
    path = os.pathsep.join([str(Path(bridge.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "bridge", "doctor", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


# ---- For people -----------------------------------------------------------------------------------------------------


def test_the_report_says_what_it_is_who_hosts_it_and_what_came_back(write):
    done = run(write(WSGI))

    assert done.exit_code == 0, done.output
    for text in (
        "speaks     wsgi, because it takes two arguments (environ, start_response)",
        "framework  none that is known",
        "through WSGIToASGI",
        "none found",
        "Probe (called as WSGI)",
        "OPTIONS *",
        "Nothing to repair was found.",
    ):
        assert text in done.stdout


def test_what_the_application_prints_goes_to_standard_error(write):
    done = run(write(WSGI))

    assert "printed by the application" not in done.stdout
    assert "printed by the application" in done.stderr


def test_without_the_probe_the_application_is_not_called(write):
    done = run(write(FAILING), "--no-probe")

    assert done.exit_code == 0
    assert "Probe" not in done.stdout


def test_a_failing_probe_is_named_and_the_traceback_shown_if_asked_for(write):
    path = write(FAILING)

    quiet, loud = run(path), run(path, "--traceback")

    assert (quiet.exit_code, loud.exit_code) == (1, 1)
    assert "failed: it raised KeyError: 'shop'" in quiet.stdout
    assert "the probe failed for GET /, HEAD /, OPTIONS *" in quiet.stdout
    assert "Traceback" not in quiet.output
    assert "Traceback" in loud.stderr


def test_warnings_fail_only_if_it_is_strict(write):
    path = write("from flask import Flask\napp = Flask(__name__)\napp.debug = True")

    assert run(path, "--no-probe").exit_code == 0
    assert "1 warning" in run(path, "--no-probe").stdout
    assert run(path, "--no-probe", "--strict").exit_code == 1


def test_a_factory_and_a_directory_are_options(write, tmp_path):
    write(WSGI + "\ndef create():\n    return app\n", "made")

    assert run("made:create", "--factory", "--app-dir", str(tmp_path)).exit_code == 0


def test_an_application_that_could_be_either_needs_the_protocol(write):
    path = write(WSGI.replace("(environ, start_response)", "(*args)").replace("start_response(", "args[1]("))

    assert run(f"{path}:app", "--protocol", "wsgi").exit_code == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("import there_is_no_such_module", LoadError, id="cannot be imported"),
        pytest.param("app = 1", LoadError, id="no application"),
        pytest.param("app =", LoadError, id="syntax"),
    ],
)
def test_wrong_input_rises_for_the_command_line_to_say(write, text, error):
    assert isinstance(run(write(text)).exception, error)


def test_what_is_no_application_rises_too(write):
    assert isinstance(run(f"{write('app = 1')}:app").exception, NotAnAppError)


def test_help_has_examples_and_exit_codes():
    text = run("--help").output

    assert "bridge doctor shop:app --json | jq .hazards" in text
    assert "Exit codes:" in text


# ---- For programs ---------------------------------------------------------------------------------------------------


def test_json_is_one_object_and_nothing_else(write):
    done = run(write(WSGI), "--json")

    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["application"]["protocol"] == "wsgi"
    assert [row["status"] for row in report["probe"]["rows"]] == [200] * 4


def test_the_servers_are_those_that_can_be_served_with():
    for_wsgi = {server.name: server for server in servers_for("wsgi")}
    for_asgi = {server.name: server for server in servers_for("asgi")}

    assert list(for_wsgi) == list(SERVERS)
    assert for_wsgi["uvicorn"].adapter == "WSGIToASGI"
    assert for_wsgi["waitress"].adapter is None
    assert for_asgi["waitress"].adapter == "ASGIToWSGI"
    assert for_asgi["uvicorn"].version is not None
    assert for_asgi["hypercorn"].install == "pip install 'hypercorn'"


def test_a_report_fails_for_errors_and_failing_rows_only():
    def report(*rules, outcome=None):
        row = ProbeRow("GET /", 200, "", 0, 1.0, outcome or "ok", "")
        application = Application("shop:app", "wsgi", "", None, None)
        hazards = worst_first([hazard(rule, "", "") for rule in rules])
        return Report(application, (), (), hazards, Probe("wsgi", (row,)) if outcome else None)

    assert not report().has_failed()
    assert not report("lifespan-missing", "debug-on", outcome="ok").has_failed()
    assert not report(outcome="unsupported").has_failed(is_strict=True)
    assert report("debug-on").has_failed(is_strict=True)
    assert not report("lifespan-missing").has_failed(is_strict=True)
    assert report("lifespan-not-run").has_failed()
    assert all(report(outcome=outcome).has_failed() for outcome in ("failed", "violation", "timeout"))
    ordered = report("lifespan-missing", "debug-on", "lifespan-not-run").hazards
    assert [one.severity for one in ordered] == ["error", "warning", "note"]


def test_a_lifespan_that_is_missing_is_a_note(write):
    path = write("async def app(scope, receive, send):\n    assert scope['type'] == 'http'\n")

    report = examine(Settings(app=path))

    assert [(one.rule, one.severity) for one in report.hazards] == [("lifespan-missing", "note")]


# ---- In a process of its own ----------------------------------------------------------------------------------------

HANGING = """
import os, threading, time
from flask import Flask
threading.Thread(target=time.sleep, args=(600,), name="stays").start()
os.write(1, b"written to descriptor 1")
app = Flask(__name__)
@app.get("/")
def home():
    time.sleep(600)
"""
DJANGO = """
import os
import gevent.monkey
gevent.monkey.patch_all()
import django
from django.conf import settings
settings.configure(
    DEBUG=True, SECRET_KEY="x" * 50, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
)
django.setup()
urlpatterns = []
from django.core.wsgi import get_wsgi_application
from fastapi import FastAPI
from starlette.middleware.sessions import SessionMiddleware
from bridge import to_asgi
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="x", session_cookie="sessionid")
app.mount("/old", to_asgi(get_wsgi_application()))
"""


def test_an_application_that_hangs_does_not_hang_the_doctor(write, tmp_path):
    write(HANGING, "hanging")

    done = run_apart("hanging:app", "--json", "--timeout", "0.3", directory=tmp_path)

    report = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert [one["rule"] for one in report["hazards"]] == ["thread-at-import"]
    assert [row["outcome"] for row in report["probe"]["rows"]] == ["timeout", "timeout", "ok", "ok"]
    assert "written to descriptor 1" in done.stderr


def test_django_in_fastapi_in_a_patched_process(write, tmp_path):
    write(DJANGO, "patched")

    done = run_apart(
        "patched:app",
        *["--json", "--no-probe"],
        directory=tmp_path,
        environment={"DJANGO_ALLOW_ASYNC_UNSAFE": "1", "PYTHONWARNINGS": "ignore"},
    )

    report = json.loads(done.stdout)
    assert [(one["rule"], one["where"]) for one in report["hazards"]] == [
        ("gevent-patched", "gevent.monkey"),
        ("async-unsafe-allowed", "the environment"),
        ("debug-on", "Django's settings"),
        ("shared-session-cookie", "cookie 'sessionid'"),
    ]
    assert [(part["framework"], part["path"]) for part in report["parts"]] == [("fastapi", "/"), ("django", "/old")]
