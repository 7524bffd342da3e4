"""What is wrong with a wheel or an sdist is said: missing files, files that do not belong there, metadata."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from releasing.archives import faults_of_sdist, faults_of_wheel
from releasing.installed import QUICK
from releasing.tree import TOP

pytestmark = pytest.mark.once

REPOSITORY = ("bridge/__init__.py", "bridge/py.typed", "tests/test_it.py", "run", "pyproject.toml")
INFORMATION = "wsgi_asgi_bridge-1.5.0.dist-info"
METADATA = "Metadata-Version: 2.4\nName: wsgi-asgi-bridge\nVersion: {version}\n\n{description}"
GOOD = {
    "bridge/__init__.py": "",
    "bridge/py.typed": "",
    f"{INFORMATION}/METADATA": METADATA.format(version="1.5.0", description="What it is. " * 100),
    f"{INFORMATION}/entry_points.txt": "[console_scripts]\nbridge = bridge.__main__:main\n",
    f"{INFORMATION}/licenses/LICENSE": "",
}


def wheel(directory: Path, files: dict[str, str]) -> Path:
    path = directory / "it.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def sdist(directory: Path, names: list[str]) -> Path:
    path = directory / "it.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"wsgi_asgi_bridge-1.5.0/{name}"), io.BytesIO())
    return path


def test_a_wheel_that_is_as_it_should_be_has_no_faults(tmp_path: Path) -> None:
    assert faults_of_wheel(wheel(tmp_path, GOOD), "1.5.0", REPOSITORY) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param({"bridge/py.typed": None}, "bridge/py.typed is not in the wheel", id="no types"),
        pytest.param({"bridge/__init__.py": None}, "bridge/__init__.py is not in the wheel", id="a module missing"),
        pytest.param({"tests/test_it.py": ""}, "tests/test_it.py does not belong into the wheel", id="tests"),
        pytest.param({"bridge/left.py": ""}, "bridge/left.py does not belong into the wheel", id="a stray module"),
        pytest.param({f"{INFORMATION}/licenses/LICENSE": None}, "the licence is not in the wheel", id="no licence"),
        pytest.param(
            {f"{INFORMATION}/entry_points.txt": "[console_scripts]\n"},
            "the wheel does not install the command bridge",
            id="no command",
        ),
        pytest.param(
            {f"{INFORMATION}/METADATA": METADATA.format(version="1.5.0", description="")},
            "the wheel has no description",
            id="no description",
        ),
        pytest.param(
            {f"{INFORMATION}/METADATA": METADATA.format(version="1.4.0", description="x" * 2000)},
            "the wheel says it is 1.4.0, not 1.5.0",
            id="another version",
        ),
    ],
)
def test_what_is_wrong_with_a_wheel_is_said(tmp_path: Path, change: dict[str, str | None], fault: str) -> None:
    files = {name: text for name, text in {**GOOD, **change}.items() if text is not None}

    assert faults_of_wheel(wheel(tmp_path, files), "1.5.0", REPOSITORY) == [fault]


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        pytest.param([*REPOSITORY, "PKG-INFO"], [], id="whole"),
        pytest.param(["PKG-INFO", *REPOSITORY[:3], "pyproject.toml"], ["run is not in the sdist"], id="a file missing"),
        pytest.param([*REPOSITORY, "secret.key"], ["secret.key does not belong into the sdist"], id="a stray file"),
    ],
)
def test_what_is_wrong_with_an_sdist_is_said(tmp_path: Path, names: list[str], faults: list[str]) -> None:
    assert faults_of_sdist(sdist(tmp_path, names), REPOSITORY) == faults


@pytest.mark.parametrize("chosen", QUICK)
def test_what_the_quick_part_names_is_there(chosen: str) -> None:
    path, _, name = chosen.partition("::")

    assert (TOP / path).exists()
    assert f"def {name}" in ((TOP / path).read_text(encoding="utf-8") if name else "def ")
