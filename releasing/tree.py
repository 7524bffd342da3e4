"""The checkout: its version, what git says of it, and the fragments of its changelog."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from releasing.faults import ReleaseError

TOP: Final = Path(__file__).resolve().parents[1]
_WHEN: tuple[str, ...] = ()
"""More arguments of towncrier: which day it is, in tests."""
_VERSION_LINE: Final = re.compile(r'^version = "([^"]*)"$', re.MULTILINE)


def project(top: Path) -> dict[str, Any]:
    """Return ``pyproject.toml``."""
    return tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))


def version_of(top: Path) -> str:
    """Return the version, which stands in ``pyproject.toml`` and nowhere else."""
    version: str = project(top)["project"]["version"]
    return version


def set_version(top: Path, version: str) -> None:
    """Write the version into ``pyproject.toml``.

    Raises:
        ReleaseError: it is no version, not in its normal form, or not after the one that is there.
    """
    before = version_of(top)
    try:
        parsed = Version(version)
    except InvalidVersion:
        raise ReleaseError(f"{version!r} is no version (as in 1.2.0 or 1.2.0rc1)") from None
    if str(parsed) != version or parsed.local:
        raise ReleaseError(f"{version!r} is not how a version is written for others: {parsed.public}")
    if parsed <= Version(before):
        raise ReleaseError(f"{version} does not come after {before}")
    path = top / "pyproject.toml"
    text, times = _VERSION_LINE.subn(f'version = "{version}"', path.read_text(encoding="utf-8"))
    if times != 1:
        raise ReleaseError(f"pyproject.toml has {times} lines with a version, not one")
    path.write_text(text, encoding="utf-8")


def fragments_of(top: Path) -> list[Path]:
    """Return the fragments of the changelog.

    Raises:
        ReleaseError: one has a name or a kind that towncrier does not know and would leave out, or says nothing.
    """
    kinds = "|".join(kind["directory"] for kind in project(top)["tool"]["towncrier"]["type"])
    found = sorted(set((top / "changelog.d").glob("*.md")) - {top / "changelog.d" / "README.md"})
    for path in found:
        if not re.fullmatch(rf"(\d+|\+[\w-]+)\.({kinds})\.md", path.name):
            raise ReleaseError(f"changelog.d/{path.name}: the name is <number>.<kind>.md or +<words>.<kind>.md")
        if not path.read_text(encoding="utf-8").strip():
            raise ReleaseError(f"changelog.d/{path.name} is empty")
    return found


def changelog(top: Path, version: str, *, is_draft: bool) -> str:
    """Make a section of ``CHANGELOG.md`` of the fragments and remove these; a draft only returns it."""
    if not fragments_of(top):
        raise ReleaseError("there is nothing in changelog.d: a release without a change")
    command = [sys.executable, "-m", "towncrier", "build", "--version", version, *_WHEN]
    command.append("--draft" if is_draft else "--yes")
    done = subprocess.run(command, cwd=top, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"towncrier failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def git(top: Path, *words: str) -> str:
    """Return what git says.

    Raises:
        ReleaseError: it fails, or there is none.
    """
    try:
        return subprocess.run(["git", *words], cwd=top, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as failure:
        raise ReleaseError(f"git {' '.join(words)} failed: {getattr(failure, 'stderr', failure)}") from None


def files_of(top: Path) -> list[str]:
    """Return the files of the repository, and those that a commit of everything would add, as paths from the top."""
    names = git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [name for name in names if name and (top / name).is_file()]


def require_clean(top: Path) -> None:
    """Raise `ReleaseError` if there is anything in the checkout that is not committed."""
    if left := git(top, "status", "--porcelain"):
        raise ReleaseError(f"not everything is committed:\n{left}")
