"""How long and how often to measure; what a question returns."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable

KIB = 1024
MIB = 1024 * KIB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What the command line said."""

    quick: bool
    rounds: int

    def pick(self, full: int, quick: int) -> int:
        """Return one of two sizes."""
        return quick if self.quick else full


@dataclasses.dataclass(kw_only=True)
class Table:
    """One table of results: a title, a head and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def markdown(self) -> str:
        """Return the table as Markdown; the first column is text, the others are numbers."""
        lines = [f"### {self.title}", ""]
        if self.rows:
            lines += [_row(self.head), _row(("---", *("---:" for _ in self.head[1:])))]
            lines += [_row(row) for row in self.rows]
            lines.append("")
        for note in self.notes:
            lines += [note, ""]
        return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def interleaved(
    rounds: int, candidates: dict[str, Callable[[], float]], *, budget_s: float = 20.0
) -> dict[str, list[float]]:
    """Measure all candidates round by round; one that has used up its time (in seconds) sits the other rounds out.

    Args:
        rounds: how often each is measured.
        candidates: each returns its figure; figures that are times are used for the budget.
        budget_s: time per candidate.
    """
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, measure in candidates.items():
            if sum(figures[name]) < budget_s:
                figures[name].append(measure())
    return figures


def medians(figures: dict[str, list[float]]) -> dict[str, float]:
    """Return the median of each candidate's figures."""
    return {name: statistics.median(values) for name, values in figures.items() if values}


def ratio(value: float, base: float) -> str:
    """Show how many times ``base`` a value is, with as many digits as mean anything."""
    times = value / base
    return f"{times:.2f}" if times < 10 else f"{times:.0f}"
