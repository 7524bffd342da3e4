"""The suite sees the wheel and nothing else, and no step uploads anything unless it is told to."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from releasing import __main__ as program
from releasing.faults import ReleaseError
from releasing.installed import isolated, make_environment, require_wheel, unpack_suite

pytestmark = [pytest.mark.once, pytest.mark.timeout(120)]


def small_wheel(directory: Path) -> Path:
    """Make a wheel of a package ``bridge`` that has nothing in it."""
    information = "wsgi_asgi_bridge-9.0.dist-info"
    files = {
        "bridge/__init__.py": "",
        f"{information}/METADATA": "Metadata-Version: 2.1\nName: wsgi-asgi-bridge\nVersion: 9.0\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = directory / "wsgi_asgi_bridge-9.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{information}/RECORD": "".join(f"{name},,\n" for name in files)}.items():
            archive.writestr(name, text)
    return path


def test_an_environment_has_the_wheel_borrows_the_rest_and_sees_no_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = make_environment(tmp_path / "environment", small_wheel(tmp_path), borrows=True)
    folder = tmp_path / "suite"
    folder.mkdir()

    require_wheel(python, folder)
    borrowed = subprocess.run([str(python), "-c", "import pytest"], cwd=folder, env=isolated(), check=False)
    assert borrowed.returncode == 0

    (folder / "bridge").mkdir()
    (folder / "bridge" / "__init__.py").touch()
    with pytest.raises(ReleaseError, match="not the wheel"):
        require_wheel(python, folder)

    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert "PYTHONPATH" not in isolated()


def test_the_suite_is_unpacked_without_the_package(tmp_path: Path) -> None:
    inside = tmp_path / "it-1.0"
    for name in ("bridge/__init__.py", "tests/test_it.py", "pyproject.toml"):
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).touch()
    with tarfile.open(tmp_path / "it-1.0.tar.gz", "w:gz") as archive:
        archive.add(inside, "it-1.0")

    folder = unpack_suite(tmp_path / "it-1.0.tar.gz", tmp_path / "out")

    assert sorted(path.name for path in folder.iterdir()) == ["pyproject.toml", "tests"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "STEP", id="no step"),
        pytest.param(["upload"], "repository", id="nowhere to upload to"),
        pytest.param(["upload", "elsewhere"], "elsewhere", id="a place that is unknown"),
        pytest.param(["prepare"], "version", id="no version"),
    ],
)
def test_a_step_that_is_not_named_in_full_does_nothing(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", None)  # nothing is started

    with pytest.raises(SystemExit) as stopped:
        program.main(arguments)

    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_only_the_step_that_uploads_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.5.0"\n', encoding="utf-8")
    monkeypatch.setattr(program, "TOP", tmp_path)
    monkeypatch.setattr(subprocess, "run", run)

    with pytest.raises(SystemExit, match=r"no wheel and sdist of 1\.5\.0"):
        program.main(["upload", "testpypi"])
    assert commands == []

    (tmp_path / "dist").mkdir()
    names = ["it-1.5.0-py3-none-any.whl", "it-1.5.0.tar.gz"]
    for name in [*names, "it-1.4.0.tar.gz"]:
        (tmp_path / "dist" / name).touch()
    program.main(["upload", "testpypi"])

    files = [str(tmp_path / "dist" / name) for name in names]
    assert commands == [
        [sys.executable, "-m", "twine", "check", "--strict", *files],
        [sys.executable, "-m", "twine", "upload", "--repository", "testpypi", *files],
    ]
