"""Measuring in a process of its own: what the test runner has done to this one does not count."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cost import ledger
from tests.cost.__main__ import WATCHED
from tests.cost.ledger import Figures
from tests.cost.memory import Memory

TOP = Path(__file__).resolve().parents[2]
PATIENCE_S = 240.0
# What changes how Python works, or lets somebody trace it.
_NOT_PASSED_ON = ("PYTHON", "COV_", "COVERAGE_")


@dataclass(frozen=True)
class Measured:
    """What a child has found: figures and memory by the names of scenarios."""

    figures: dict[str, Figures]
    memory: dict[str, Memory]


def measure(*names: str, path: Path = TOP, prelude: str = "") -> Measured:
    """Measure scenarios, all of them if none is named.

    Args:
        names: of scenarios.
        path: where to import ``bridge`` from.
        prelude: statements to begin with.
    """
    arguments = ["tests.cost", "--json", *(["--only", *names] if names else [])]
    code = (
        f"import runpy, sys\nsys.path[:0] = {[str(path), str(TOP)]!r}\n{prelude}\n"
        f"sys.argv = {arguments!r}\nrunpy.run_module('tests.cost', run_name='__main__')"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment,
        cwd=path,
        check=False,
    )
    if done.returncode == WATCHED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    return Measured(
        ledger.from_text(json.dumps(found["figures"])),
        {name: Memory(**taken) for name, taken in found["memory"].items()},
    )


def edited_bridge(directory: Path, file: str, function: str, statement: str) -> Path:
    """Copy ``bridge`` to a directory, with one statement more at the beginning of a function; return the directory.

    Args:
        directory: where to.
        file: path of the file in ``bridge``.
        function: its name, with that of its class and a dot before it if it is a method.
        statement: in one line.
    """
    shutil.copytree(TOP / "bridge", directory / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    path = directory / "bridge" / file
    text = path.read_text(encoding="utf-8")
    body: list[ast.stmt] = ast.parse(text).body
    for name in function.split("."):
        (body,) = (
            node.body
            for node in body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        )
    first = body[1] if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) else body[0]
    lines = text.splitlines(keepends=True)
    lines.insert(first.lineno - 1, f"{' ' * first.col_offset}{statement}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return directory
