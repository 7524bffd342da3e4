"""A comparison as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.report.ratios import number, ratio
from benchmarks.results import Column, Comparison


def table(comparison: Comparison) -> str:
    """Return the figures of a comparison: medians, and in the first column also the ratios with their spread."""
    if not comparison.rows:
        return ""
    first, *others = comparison.columns
    bases = [base for base in comparison.bases if first.name in comparison.rows.get(base, {})]
    head = ["", _head(first), *(f"x {base}" for base in bases), *(_head(column) for column in others)]
    rows = []
    for name, figures in comparison.rows.items():
        mine = figures.get(first.name)
        cells = [name, number(mine.median) if mine else ""]
        for base in bases:
            found = ratio(mine, comparison.rows[base][first.name]) if mine else None
            cells.append("1" if name == base else str(found or ""))
        cells += [number(figures[column.name].median) if column.name in figures else "" for column in others]
        rows.append(cells)
    return markdown(head, rows)


def _head(column: Column) -> str:
    """Return what stands above a column: its name and unit, or one of them if it says it all."""
    if column.unit.startswith(column.name):
        return column.unit
    return f"{column.name}, {column.unit}" if column.unit else column.name


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]], *, text_columns: int = 1) -> str:
    """Return a Markdown table; the first columns are text, the others numbers."""
    head = list(head)
    ruler = ["---" if place < text_columns else "---:" for place in range(len(head))]
    return "".join(f"| {' | '.join(map(_cell, cells))} |\n" for cells in (head, ruler, *rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
