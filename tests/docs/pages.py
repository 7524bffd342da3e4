"""The pages of the documentation, and what can be read out of them."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
PAGE_IDS = [page.relative_to(TOP).as_posix() for page in PAGES]


def text_of(page: str) -> str:
    """Return the text of a page below ``docs/``."""
    return (TOP / "docs" / page).read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    """Return the Python code of a page, block by block."""
    return re.findall(r"^```python[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(page: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head."""
    section = text_of(page).partition(f"\n## {heading}\n")[2]
    assert section, f"{page} has no section {heading!r}"
    lines = section.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| ---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("| ").split(" | ")])
    return rows


def section(page: str, heading: str) -> str:
    """Return what is below a heading of the third level."""
    text = text_of(page).partition(f"\n### {heading}\n")[2]
    assert text, f"{page} has no section {heading!r}"
    return re.split(r"^##+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def code(cell: str) -> str:
    """Return the code that a cell of a table is."""
    match = re.fullmatch(r"`([^`]+)`", cell)
    assert match, f"not a single piece of code: {cell!r}"
    return match[1]
