"""Every page: its code compiles and uses only what exists, its links lead somewhere, the index leads to it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge import ASGIToWSGI, Limits, WSGIToASGI
from tests.docs.pages import PAGE_IDS, PAGES, TOP, python_blocks

SIGNATURES: dict[str, Any] = {
    "to_asgi": WSGIToASGI,
    "WSGIToASGI": WSGIToASGI,
    "to_wsgi": ASGIToWSGI,
    "ASGIToWSGI": ASGIToWSGI,
    "Limits": Limits,
}
"""What takes the keyword arguments of a call in the documentation."""


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_code_in_the_docs_compiles_and_uses_only_what_exists(page: Path) -> None:
    for block in python_blocks(page.read_text(encoding="utf-8")):
        tree = ast.parse(block, str(page))
        compile(tree, str(page), "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "bridge":
                assert {alias.name for alias in node.names} <= set(bridge.__all__)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                known = SIGNATURES.get(node.func.id)
                if known is not None:
                    given = {keyword.arg for keyword in node.keywords}
                    assert given <= set(inspect.signature(known).parameters), ast.unparse(node)


def test_there_is_code_to_compile() -> None:
    assert sum(len(python_blocks(page.read_text(encoding="utf-8"))) for page in PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    local = [target for target in targets if "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []


def anchors_of(page: Path) -> set[str]:
    """Return what a link can say after the ``#`` to get to a heading of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_to_headings_lead_to_one(page: Path) -> None:
    targets = re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))

    assert [
        (name, anchor) for name, anchor in targets if anchor not in anchors_of((page.parent / name) if name else page)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:examples|benchmarks|tests|docs|bridge)/[\w/.-]+)`", page.read_text(encoding="utf-8"))

    package = Path(bridge.__file__).parents[1]  # elsewhere, where the suite is run against an installed wheel
    assert [name for name in named if not ((TOP / name).exists() or (package / name).exists())] == []


def test_each_page_can_be_reached_from_the_index() -> None:
    index = TOP / "docs" / "index.md"
    targets = {
        (index.parent / target).resolve()
        for target in re.findall(r"\]\(([^)#]+\.md)\)", index.read_text(encoding="utf-8"))
    }

    assert {page.resolve() for page in (TOP / "docs").rglob("*.md")} - targets == {index.resolve()}
