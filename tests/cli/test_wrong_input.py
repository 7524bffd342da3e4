"""``bridge serve`` says of wrong input, in one sentence, what is wrong and what to do; the exit code is 2."""

from __future__ import annotations

import socket

import pytest

from bridge.cli.main import main
from bridge.serve.plan import Plan
from tests.serve.projects import ASGI, WSGI, Project

pytestmark = pytest.mark.usefixtures("installed")

EXPLICIT = "say what it is: mark('wsgi')(app) or mark('asgi')(app) from bridge, or --protocol on the command line"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one sentence that is said of wrong input."""
    code = main(["serve", *arguments])
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, ""), captured
    assert captured.err.startswith("bridge: ")
    assert captured.err.count("\n") == 1
    return captured.err[len("bridge: ") : -1]


APPLICATIONS = [
    pytest.param(
        "shopp:app",
        WSGI,
        "there is no module 'shopp' to import: is the name right, and its folder the current one or given by "
        "--app-dir (or PYTHONPATH)?",
        id="no-such-module",
    ),
    pytest.param("shop:ap", WSGI, "shop has no attribute 'ap'; did you mean 'app'?", id="no-such-attribute"),
    pytest.param("shops.py", WSGI, "there is no file or folder {folder}/shops.py", id="no-such-file"),
    pytest.param(
        "shop:app",
        "app = {}",
        "an instance of builtins.dict cannot be called, so it is neither a WSGI nor an ASGI application: name the "
        "application object",
        id="not-callable",
    ),
    pytest.param(
        "shop:app",
        "x = 1\ndef app(:\n",
        "{folder}/shop.py, line 2 cannot be read by Python: invalid syntax",
        id="syntax-error",
    ),
    pytest.param(
        "shop:app",
        "x = 1\nraise RuntimeError('no database')\n",
        "importing shop failed with RuntimeError: no database ({folder}/shop.py, line 2)",
        id="exception-at-import",
    ),
    pytest.param(
        "shop:app",
        "import sys\nsys.exit(3)\n",
        "importing shop failed with SystemExit: 3 ({folder}/shop.py, line 2)",
        id="exit-at-import",
    ),
    pytest.param(
        "shop:app",
        "import surely_not_installed\n",
        "shop was found, but it imports 'surely_not_installed', which is not installed (or not on the import path) "
        "({folder}/shop.py, line 1)",
        id="missing-import",
    ),
    pytest.param(
        "shop:app",
        "from aiohttp import web\napp = web.Application()\n",
        "an instance of aiohttp.web_app.Application is neither a WSGI nor an ASGI application: aiohttp speaks a "
        "protocol of its own; run it with aiohttp.web.run_app() beside the others, or move its handlers to an ASGI "
        "framework",
        id="neither",
    ),
    pytest.param(
        "shop:app",
        "def app(*args): ...\n",
        f"the function shop.app could be WSGI or ASGI: it is no coroutine function, and its parameters (*args) fit "
        f"both; {EXPLICIT}; if it makes the application, call it or use --factory",
        id="ambiguous",
    ),
    pytest.param(
        "shop",
        "def create_app(): ...\n",
        "shop has no application, but create_app(): write shop:create_app and --factory (or BRIDGE_FACTORY=1)",
        id="only-a-factory",
    ),
]


@pytest.mark.parametrize(("named", "source", "sentence"), APPLICATIONS)
def test_what_is_wrong_with_the_application_is_one_sentence(
    project: Project, capsys: pytest.CaptureFixture[str], handed: list[Plan], named: str, source: str, sentence: str
) -> None:
    project.write("shop.py", source)

    assert refusal(capsys, named) == sentence.replace("{folder}", str(project.folder))
    assert handed == []


WRONG = [
    pytest.param(["-s", "apache"], "there is no server 'apache' here", id="unknown-server"),
    pytest.param(["-s", "waitress", "--interface", "asgi"], "waitress does not speak ASGI", id="interface"),
    pytest.param(["--protocol", "asgi"], "shop:app speaks wsgi, because", id="protocol"),
    pytest.param(["-s", "waitress", "-w", "2"], "waitress has no --workers here", id="workers"),
    pytest.param(["--reload", "-w", "2"], "--reload is for one process: leave --workers out", id="reload-and-workers"),
    pytest.param(
        ["--threads", "2", "--limit", "workers=3"], "--threads and --limit workers=... say the same", id="threads-twice"
    ),
    pytest.param(["-p", "70000"], "a port is a number from 0 to 65535, not 70000", id="port"),
    pytest.param(["--uds", "no/shop.sock"], "there is no folder {folder}/no for the socket no/shop.sock", id="uds"),
    pytest.param(["--app-dir", "no"], "there is no folder {folder}/no (--app-dir)", id="app-dir"),
    pytest.param(["--limit", "queue"], "--limit takes name=value; 'queue' is not that", id="limit-no-pair"),
    pytest.param(["--limit", "queue=1,workers=2"], "--limit takes name=value; 'queue=1,workers=", id="two-limits"),
    pytest.param(["--limit", "queues=1"], "there is no limit 'queues'; there are workers,", id="limit-unknown"),
    pytest.param(["--limit", "queue=many"], "the limit queue is a whole number; 'many' is not", id="limit-no-number"),
    pytest.param(["--limit", "workers=0"], "Limits.workers must be at least 1, not 0", id="limit-too-small"),
    pytest.param(["--option", "lifespan"], "--option takes name=value; 'lifespan' is not that", id="option-no-pair"),
    pytest.param(["--option", "life=on"], "there is no option 'life'; there are ", id="option-unknown"),
    pytest.param(["--option", "strict=maybe"], "strict is a switch, 1 or 0; 'maybe' is neither", id="option-no-switch"),
    pytest.param(["--option", "on_error=panic"], "on_error must be one of 'raise', 'respond'", id="option-no-choice"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_wrong_input_is_one_sentence(
    project: Project, capsys: pytest.CaptureFixture[str], handed: list[Plan], arguments: list[str], sentence: str
) -> None:
    project.write("shop.py")

    assert refusal(capsys, "shop:app", *arguments).startswith(sentence.replace("{folder}", str(project.folder)))
    assert handed == []


def test_a_port_in_use_is_one_sentence(
    project: Project, capsys: pytest.CaptureFixture[str], handed: list[Plan]
) -> None:
    project.write("shop.py")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        sentence = refusal(capsys, "shop:app", "-p", port)

    assert sentence.startswith(f"port {port} of 127.0.0.1 is in use")
    assert handed == []


@pytest.mark.parametrize(
    ("missing", "arguments", "sentence"),
    [
        pytest.param(
            "hypercorn", ["-s", "hypercorn"], "hypercorn is not installed: pip install 'hypercorn'", id="server"
        ),
        pytest.param(
            "watchfiles",
            ["-s", "granian", "--reload"],
            "--reload on granian needs watchfiles: pip install 'granian[reload]'",
            id="reloader",
        ),
    ],
)
def test_what_has_to_be_installed_is_named_with_its_command(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    installed: set[str],
    missing: str,
    arguments: list[str],
    sentence: str,
) -> None:
    project.write("shop.py")
    installed.remove(missing)

    assert refusal(capsys, "shop:app", *arguments) == sentence


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        pytest.param("BRIDGE_LIMITS", "queue", "BRIDGE_LIMITS takes name=value, separated by commas", id="no-pair"),
        pytest.param("BRIDGE_FACTORY", "maybe", "Invalid value for '--factory'", id="no-switch"),
        pytest.param(
            "BRIDGE_LIMIT",
            "queue=1",
            "there is no variable BRIDGE_LIMIT; BRIDGE_LIMITS is probably meant",
            id="misspelt",
        ),
    ],
)
def test_a_wrong_variable_is_one_sentence_before_a_server_is_started(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    handed: list[Plan],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    text: str,
    sentence: str,
) -> None:
    project.write("shop.py")
    monkeypatch.setenv(variable, text)

    assert refusal(capsys, "shop:app", "-p", "0").startswith(sentence)
    assert handed == []


def test_the_place_in_the_application_is_shown_with_a_traceback(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("shop.py", f"{ASGI}\nraise RuntimeError('no database')\n")

    assert main(["serve", "shop:app", "--traceback"]) == 2

    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "raise RuntimeError('no database')" in err
