"""The test suite against the wheel: out of the sdist, in a fresh environment, with no other `bridge` in reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from typing import Final

from releasing.archives import Archives
from releasing.faults import ReleaseError

QUICK: Final = (
    "tests/cli/test_main.py",
    "tests/cli/test_serve_command.py",
    "tests/hosting",
    "tests/test_dual.py",
    "tests/test_entry_points.py",
    "tests/test_layers.py",
    "tests/test_loading.py",
    "tests/translate/test_round_trip.py",
    "tests/test_examples.py::test_flask_is_served_by_uvicorn",
    "tests/test_examples_to_wsgi.py::test_waitress_runs_the_lifespan_around_the_requests",
)
"""The command, what is imported by name, the layers, both directions in memory, and a real server for each of them."""

NOT_OF_THE_WHEEL: Final = (
    "--ignore=tests/cost",
    "--ignore=tests/docs/test_site.py",
    "--ignore=tests/releasing",
    *("-m", "not faults"),
)
"""What says nothing of a wheel: costs that are counted for a checkout, the site, this program, and long attacks."""


def unpack_suite(sdist: Path, directory: Path) -> Path:
    """Unpack an sdist without the package itself, and return its folder: what the suite imports is the wheel's."""
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    [folder] = directory.iterdir()
    shutil.rmtree(folder / "bridge")
    return folder


def make_environment(directory: Path, wheel: Path, *, borrows: bool) -> Path:
    """Make an environment with the wheel, and return its Python.

    It has everything from the package index that the extra ``test`` asks for; or, if it ``borrows``, the packages that
    this environment has, and from the index nothing at all. Their place is named in a ``.pth`` file, which does not
    lead on to the ``.pth`` files there: a checkout that is installed as editable here is not seen.
    """
    venv.create(directory, with_pip=False, symlinks=os.name != "nt")
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = directory / scripts / ("python.exe" if os.name == "nt" else "python")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    if borrows:
        subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(directory), "platbase": str(directory)}))
        (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    else:
        subprocess.run([*install, f"{wheel}[test]"], check=True)
    return python


def isolated() -> dict[str, str]:
    """Return the variables of this process without those that lead Python to other places."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def require_wheel(python: Path, folder: Path) -> None:
    """Raise `ReleaseError` if what is imported there is not the wheel of that environment."""
    question = "import bridge; print(bridge.__file__)"
    asked = subprocess.run(
        [str(python), "-c", question], cwd=folder, env=isolated(), capture_output=True, text=True, check=True
    )
    found = Path(asked.stdout.strip())
    if not (found.is_relative_to(python.parents[1]) and "site-packages" in found.parts):
        raise ReleaseError(f"the tests would import {found}, which is not the wheel")


def run_suite(archives: Archives, directory: Path, *, is_quick: bool) -> None:
    """Run the suite, or the quick part of it, against the wheel.

    Raises:
        ReleaseError: a test failed, or the tests would not see the wheel.
    """
    folder = unpack_suite(archives.sdist, directory / "suite")
    python = make_environment(directory / "environment", archives.wheel, borrows=is_quick)
    require_wheel(python, folder)
    chosen = (*QUICK, "--quiet", "--no-header") if is_quick else ()
    command = [str(python), "-m", "pytest", *NOT_OF_THE_WHEEL, *chosen]
    print("$", *command[1:], flush=True)
    if subprocess.run(command, cwd=folder, env=isolated(), check=False).returncode:
        raise ReleaseError(f"tests failed against {archives.wheel.name} with Python {sys.version.split()[0]}")
