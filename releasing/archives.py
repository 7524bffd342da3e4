"""Wheel and sdist: how they are built, and what must be in them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

from releasing.faults import ReleaseError


@dataclass(frozen=True)
class Archives:
    """The two files of a release."""

    wheel: Path
    sdist: Path


def build(top: Path, directory: Path) -> Archives:
    """Build the sdist, and the wheel from that sdist, each in an environment that has only what it asks for."""
    command = [sys.executable, "-m", "build", "--outdir", str(directory), str(top)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"the build failed:\n{done.stdout}{done.stderr}")
    [wheel], [sdist] = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return Archives(wheel, sdist)


def faults_of_wheel(path: Path, version: str, repository: Iterable[str]) -> list[str]:
    """Say what is wrong with a wheel: files that are missing or do not belong there, and metadata."""
    with zipfile.ZipFile(path) as archive:
        inside = set(archive.namelist())
        [information] = {name.partition("/")[0] for name in inside if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(f"{information}/METADATA").decode())
        entry_points = archive.read(f"{information}/entry_points.txt").decode().split("\n")
    package = {name for name in repository if name.startswith("bridge/")}
    here = {name for name in inside if not name.startswith(f"{information}/")}
    faults = [f"{name} is not in the wheel" for name in sorted(package | {"bridge/py.typed"}) if name not in here]
    faults += [f"{name} does not belong into the wheel" for name in sorted(here - package)]
    if metadata["Version"] != version:
        faults.append(f"the wheel says it is {metadata['Version']}, not {version}")
    if not any(name.endswith("/LICENSE") for name in inside):
        faults.append("the licence is not in the wheel")
    if "bridge = bridge.__main__:main" not in entry_points:
        faults.append("the wheel does not install the command bridge")
    if len(str(metadata.get_payload())) < 1000:  # noqa: PLR2004 - the README is longer than that
        faults.append("the wheel has no description")
    return faults


def faults_of_sdist(path: Path, repository: Iterable[str]) -> list[str]:
    """Say which files of the repository are not in an sdist, and which are in it and not in the repository."""
    with tarfile.open(path) as archive:
        inside = {member.name.partition("/")[2] for member in archive if member.isfile()}
    files = set(repository)
    faults = [f"{name} is not in the sdist" for name in sorted(files - inside)]
    return faults + [f"{name} does not belong into the sdist" for name in sorted(inside - files - {"PKG-INFO"})]
