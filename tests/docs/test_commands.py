"""Commands of the documentation exist: ours and those of servers take these options, what is installed is known."""

from __future__ import annotations

import importlib
import importlib.util
import re
import runpy
import tomllib
from collections.abc import Callable
from typing import Any, Final

import click
import pytest

from bridge._settings import VARIABLES
from bridge.cli.main import bridge as group
from tests.docs.blocks import blocks_of, commands_in
from tests.docs.pages import PAGES, TOP

CONSOLES: Final = [block for page in PAGES for block in blocks_of(page) if block.language == "console"]
PROJECT: Final = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run_click(command: click.Command, words: list[str]) -> None:
    """Parse the words as the command does."""
    command.make_context(command.name, list(words), resilient_parsing=False).close()


def parse_bridge(words: list[str]) -> None:
    """Parse a command line of ours: what stands after ``--`` is the server's."""
    ours = words[: words.index("--")] if "--" in words else words
    if ours in (["--version"], ["--help"]):
        return
    run_click(group.commands[ours[0]], ours[1:])


def parse_gunicorn(words: list[str]) -> None:
    """Parse a command line of gunicorn."""
    config = importlib.import_module("gunicorn.config")
    config.Config(usage="gunicorn").parser().parse_args(words)


def parse_uvicorn(words: list[str]) -> None:
    """Parse a command line of uvicorn."""
    run_click(importlib.import_module("uvicorn").main, words)


def parse_granian(words: list[str]) -> None:
    """Parse a command line of granian."""
    run_click(importlib.import_module("granian.cli").cli, words)


PARSERS: Final[dict[str, Callable[[list[str]], None]]] = {
    "bridge": parse_bridge,
    "granian": parse_granian,
    "gunicorn": parse_gunicorn,
    "uvicorn": parse_uvicorn,
}


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in CONSOLES])
def test_each_program_takes_the_options_it_is_given(block: Any) -> None:
    for _, (program, *words) in commands_in(block.text):
        if program in PARSERS:
            PARSERS[program](words)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param("bridge", ["serve", "shop:app", "--treads", "4"], id="bridge serve"),
        pytest.param("bridge", ["doctor", "shop:app", "--quick"], id="bridge doctor"),
        pytest.param("granian", ["--interfaces", "wsgi", "main:app"], id="granian"),
        pytest.param("gunicorn", ["--thread-count", "4", "main:app"], id="gunicorn"),
        pytest.param("uvicorn", ["main:app", "--threads", "4"], id="uvicorn"),
    ],
)
def test_an_option_that_there_is_not_is_seen(program: str, words: list[str]) -> None:
    with pytest.raises((click.UsageError, SystemExit)):
        PARSERS[program](words)


def known_distributions() -> set[str]:
    """Return what the extras and the package itself name, extras of it too, in the words of pip."""
    extras = PROJECT["optional-dependencies"]
    required = [*PROJECT["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {re.match(r"[\w.-]+", one)[0].lower() for one in required}
    return names | {PROJECT["name"]}


def unknown_in(words: list[str]) -> list[str]:
    """Return what a ``pip install`` names that is neither of our extras nor used by the test suite."""
    unknown = []
    for word in words:
        if word.startswith("-") or word == "install":
            continue
        name, _, rest = word.partition("[")
        extras = set(filter(None, rest.partition("]")[0].split(",")))
        name = re.split(r"[=<>~!]", name)[0].lower()
        is_ours = name in {".", PROJECT["name"]} or name.startswith((".", "/", "<", "git+"))
        if is_ours:
            unknown += sorted(extras - set(PROJECT["optional-dependencies"]))
        elif name not in known_distributions():
            unknown.append(name)
    return unknown


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in CONSOLES])
def test_what_is_installed_is_known_to_the_test_suite_and_our_extras_exist(block: Any) -> None:
    for _, (program, *words) in commands_in(block.text):
        if re.fullmatch(r"(.*/)?pip3?", program) and words[:1] == ["install"]:
            assert unknown_in(words) == []
        elif re.fullmatch(r"(.*/)?python3?", program) and words[:2] == ["-m", "pip"]:
            assert unknown_in(words[3:]) == []


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        pytest.param(["wsgi-asgi-bridge[cli,websocket]", "uvicorn[standard]"], [], id="known"),
        pytest.param(["wsgi-asgi-bridge[clic]"], ["clic"], id="an extra that is not there"),
        pytest.param(["flaks"], ["flaks"], id="a name that is misspelt"),
        pytest.param(["--upgrade", "gunicorn==27.0"], [], id="an option and a version"),
    ],
)
def test_what_cannot_be_installed_is_seen(words: list[str], unknown: list[str]) -> None:
    assert unknown_in(words) == unknown


def test_the_variables_and_modules_that_commands_name_exist() -> None:
    commands_of_run = runpy.run_path(str(TOP / "run"), run_name="run")["COMMANDS"]
    seen = 0

    for block in CONSOLES:
        for variables, (program, *words) in commands_in(block.text):
            ours = {name for name in variables if name.startswith("BRIDGE_")}
            assert ours <= ({"BRIDGE_VENV"} if words[:1] == ["run"] else set(VARIABLES)), str(block)
            if re.fullmatch(r"(.*/)?python[\w.$]*", program):
                seen += 1
                if words[0] == "-m":
                    is_there = importlib.util.find_spec(words[1]) is not None
                    assert is_there or words[1] in known_distributions(), str(block)
                elif words[0] == "run":
                    assert words[1] in commands_of_run, str(block)
    assert seen >= 5
