"""Several runs as one report: of several interpreters, or of some questions asked again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks.results import Answer, Comparison, Figure, Run


@dataclasses.dataclass(frozen=True)
class Report:
    """Runs in the order they were given.

    The Python of the first one is the one that the pages are about; the others are shown beside it. Where two runs of
    one Python have answers to the same question, the later one holds, unless it is a failure.
    """

    runs: tuple[Run, ...]

    @property
    def pythons(self) -> list[str]:
        """Return all versions, the older ones first."""
        return sorted({run.python for run in self.runs}, key=_parts)

    def answer(self, name: str, python: str | None = None) -> tuple[Run, Answer] | None:
        """Return what one question was answered with, and in which run; None if it was not asked.

        Args:
            name: of the question.
            python: a version; the first run's if it is None.
        """
        chosen = None
        for run in self.runs:
            if run.python != (python or self.runs[0].python):
                continue
            for answer in run.answers:
                if answer.name == name and (chosen is None or not answer.failure):
                    chosen = run, answer
        return chosen

    def is_of_several_runs(self) -> bool:
        """Tell whether one Python's answers come from more than one run."""
        return len(self.runs) > len(self.pythons)

    def beside(self, name: str) -> Iterator[tuple[Comparison, dict[str, dict[str, Figure]]]]:
        """Yield each comparison of a question that more than one Python has: it, and first figures by Python and row.

        The comparison is the first run's.
        """
        answers = {python: found[1] for python in self.pythons if (found := self.answer(name, python))}
        of_first = answers.get(self.runs[0].python)
        for comparison in of_first.comparisons if of_first else ():
            figures = {
                python: _first_figures(other)
                for python, answer in answers.items()
                for other in answer.comparisons
                if other.title == comparison.title
            }
            if len(figures) > 1:
                yield comparison, figures


def _first_figures(comparison: Comparison) -> dict[str, Figure]:
    first = comparison.columns[0].name
    return {row: figures[first] for row, figures in comparison.rows.items() if first in figures}


def _parts(version: str) -> tuple[tuple[int, str], ...]:
    """Return what versions are sorted by: 3.9 comes before 3.10."""
    pieces = []
    for piece in version.split("."):
        digits = "".join(letter for letter in piece if letter.isdigit())
        pieces.append((int(digits or 0), piece))
    return tuple(pieces)
