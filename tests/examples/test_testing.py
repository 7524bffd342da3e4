"""The tests in ``examples/testing``, which show how to test, pass; and fail if the application does not do its work."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.running import TOP, environment

pytestmark = [pytest.mark.once, pytest.mark.live]

FOLDER = TOP / "examples" / "testing"


def run_pytest(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as somebody with a directory of their own would, warnings being errors."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments],
        cwd=directory,
        env=environment(NO_PROXY="*"),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for path in FOLDER.glob("test_*.py"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_all_of_them_pass(directory: Path) -> None:
    ended = run_pytest(directory)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"^9 passed in ", ended.stdout, re.MULTILINE), ended.stdout


def test_each_file_fails_if_its_application_does_not_do_its_work(directory: Path) -> None:
    for file, right, wrong in (
        ("test_flask_app.py", 'request.form["name"]', '"Bob"'),
        ("test_fastapi_app.py", "prices.clear()", "pass"),
        ("test_live.py", "is_closed.set()", "pass"),
    ):
        path = directory / file
        source = path.read_text(encoding="utf-8").replace("is_closed.wait(WAIT_S)", "is_closed.wait(1)")
        assert source.count(right) == 1
        path.write_text(source.replace(right, wrong), encoding="utf-8")

    ended = run_pytest(directory)

    assert re.search(r"^3 failed, 6 passed in ", ended.stdout, re.MULTILINE), ended.stdout + ended.stderr
    assert sorted(set(re.findall(r"^FAILED (\w+)", ended.stdout, re.MULTILINE))) == [
        "test_fastapi_app",
        "test_flask_app",
        "test_live",
    ]
