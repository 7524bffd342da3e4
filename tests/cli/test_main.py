"""The command itself: its help, its version, and how what goes wrong is said."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import click
import pytest

import bridge
from bridge.cli import main as module
from bridge.cli.main import bridge as group
from bridge.cli.main import main
from bridge.errors import ConfigurationError

TOP = os.path.dirname(os.path.dirname(bridge.__file__))
COMMANDS = [pytest.param(name, id=name) for name in sorted(group.commands)]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is refused."""

    @click.command()
    @click.option("--traceback", is_flag=True)
    def fail(**_: object) -> None:
        raise ConfigurationError("there is no such thing")

    monkeypatch.setitem(group.commands, "fail", fail)


def test_the_help_names_each_command_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    out = capsys.readouterr().out
    assert "  Examples:\n    bridge serve shop:app" in out
    listed = out.partition("Commands:\n")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == sorted(group.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0

    out = capsys.readouterr().out
    assert out.startswith(f"Usage: bridge {name} ")
    assert re.search(
        rf"^Examples:\n(?:  .+\n)*  .*\bbridge {name}\b", out.replace("  Examples:", "Examples:"), re.MULTILINE
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_says_what_it_is_for(name: str) -> None:
    options = [one for one in group.commands[name].params if isinstance(one, click.Option)]

    assert [one.name for one in options if not one.help] == []


def test_without_a_command_the_help_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    main([])

    captured = capsys.readouterr()
    shown = (captured.out + captured.err).strip()
    main(["--help"])
    assert shown == capsys.readouterr().out.strip()


def test_the_version_is_that_of_the_distribution(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"bridge \S+\n", capsys.readouterr().out)

    monkeypatch.setattr(module.metadata, "version", lambda name: {"wsgi-asgi-bridge": "1.2"}[name])
    assert module._version() == "1.2"

    def missing(name: str) -> str:
        raise module.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "version", missing)
    assert module._version() == "unknown"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["srve"], "bridge: No such command 'srve'", id="command"),
        pytest.param(["serve"], "bridge: Missing argument 'APPLICATION'; see 'bridge serve --help'", id="argument"),
        pytest.param(["serve", "shop:app", "--sever", "x"], "bridge: No such option '--sever'", id="option"),
        pytest.param(
            ["serve", "shop:app", "--port", "http"],
            "bridge: Invalid value for '-p' / '--port': 'http' is not a valid integer; see 'bridge serve --help'",
            id="number",
        ),
        pytest.param(
            ["serve", "shop:app", "--protocol", "cgi"],
            "bridge: Invalid value for '--protocol': 'cgi' is not one of 'wsgi', 'asgi', 'asgi2', 'dual'; "
            "see 'bridge serve --help'",
            id="choice",
        ),
        pytest.param(["completion", "tcsh"], "bridge: Invalid value for '{bash|zsh|fish}'", id="shell"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BRIDGE_APP", raising=False)

    code = main(arguments)

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    # How options are quoted, and what is proposed instead, changes with click.
    assert (
        captured.err.replace(" option:", " option").replace("option --sever", "option '--sever'").startswith(sentence)
    )
    assert captured.err.count("\n") == 1
    assert re.search(r"; see 'bridge( serve| completion)? --help'\n$", captured.err)


@pytest.mark.usefixtures("failing")
def test_an_error_of_ours_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fail"]) == 2
    assert capsys.readouterr().err == "bridge: there is no such thing\n"


@pytest.mark.usefixtures("failing")
def test_a_traceback_is_shown_to_those_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fail", "--traceback"]) == 2

    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.endswith("\nbridge: there is no such thing\n")


@pytest.mark.parametrize(
    "error", [pytest.param(KeyboardInterrupt(), id="control-c"), pytest.param(click.Abort(), id="abort")]
)
def test_an_interrupted_command_has_the_exit_code_of_the_signal(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def interrupted() -> None:
        raise error

    monkeypatch.setitem(group.commands, "interrupted", interrupted)

    assert main(["interrupted"]) == 130


def test_a_command_may_have_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @click.pass_context
    def three(context: click.Context) -> None:
        context.exit(3)

    monkeypatch.setitem(group.commands, "three", three)

    assert main(["three"]) == 3


def test_a_mistake_of_ours_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(group.commands, "broken", broken)

    with pytest.raises(ZeroDivisionError):
        main(["broken"])


def test_the_arguments_are_those_of_the_process_where_none_are_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bridge", "--version"])

    assert main() == 0
    assert capsys.readouterr().out.startswith("bridge ")


def test_without_click_the_command_that_installs_it_is_named() -> None:
    hide = "import sys; sys.modules['click'] = None; import runpy; runpy.run_module('bridge', run_name='__main__')"

    done = subprocess.run(
        [sys.executable, "-c", hide, "serve", "shop:app"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=os.environ | {"PYTHONPATH": TOP},
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "bridge: the command line needs click: pip install 'wsgi-asgi-bridge[cli]'\n"
