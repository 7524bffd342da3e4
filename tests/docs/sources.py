"""The package's own sources, as far as the documentation has to say what is in them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import bridge

PACKAGE = Path(bridge.__file__).parent
DEAF = ("cli", "doctor")
"""Rooms that print, and answer nobody."""


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    """Return the modules of the package that serve requests."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in DEAF]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def sentence_of(node: ast.expr) -> str | None:
    """Return a text as the page has it; None for what is no text."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
