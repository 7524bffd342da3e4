"""``bridge completion``: scripts for shells, and what they are told when the Tab key is pressed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from bridge.cli.completion import SHELLS
from bridge.cli.main import bridge as group
from bridge.cli.main import main


def proposals(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what bash is told to propose for the last word of a line."""
    words = line.split(" ")
    monkeypatch.setenv("_BRIDGE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 0
    return [proposed.partition(",")[2] for proposed in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_registers_the_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0

    script = capsys.readouterr().out
    assert f"_BRIDGE_COMPLETE={shell}_complete" in script
    registers = {
        "bash": "bridge\n",
        "zsh": "compdef _bridge_completion bridge",
        "fish": "complete --no-files --command bridge",
    }
    assert registers[shell] in script


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_one_that_its_shell_can_read(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    main(["completion", shell])
    script = capsys.readouterr().out

    done = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "proposed"),
    [
        pytest.param("bridge serve --ser", ["--server"], id="option"),
        pytest.param("bridge serve --protocol as", ["asgi", "asgi2"], id="choice"),
        pytest.param("bridge se", ["serve"], id="command"),
        pytest.param("bridge completion ", list(SHELLS), id="shells"),
    ],
)
def test_words_are_proposed(
    line: str, proposed: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proposals(line, capsys, monkeypatch) == proposed


def test_each_command_is_proposed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert proposals("bridge ", capsys, monkeypatch) == sorted(group.commands)


def test_each_option_of_serve_is_proposed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    long = {name for one in group.commands["serve"].params for name in one.opts if name.startswith("--")}

    assert set(proposals("bridge serve --", capsys, monkeypatch)) == long | {"--help"}
