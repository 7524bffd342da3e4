"""What a measurement found, before it becomes a table or a plot: the seam between who measures and who shows."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Figure:
    """One thing that was measured in several rounds, in the unit that the comparison names."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One kind of figure: how long, how many, how much."""

    name: str
    unit: str
    """``us per request``, ``requests per second``, ``MiB``..."""
    better: Literal["less", "more"]


@dataclasses.dataclass(kw_only=True)
class Comparison:
    """Candidates beside each other, measured in one run in interleaved rounds.

    What a target means, written down once: with ``times = targets[base]``, the bridge's figure in the first column is
    to be *at most* ``times`` the base's where less is better, and *at least* ``times`` the base's where more is. So
    "18 times faster than a2wsgi" is ``{"a2wsgi": 1 / 18}`` for a time, and ``{"a2wsgi": 18}`` for a rate.

    Attributes:
        title: what was done, and how: "Hello, 32 at a time, uvloop".
        columns: the first is the one that the plot shows and the ratios are of.
        rows: the figures of each candidate, by its name and by the column's; not all have all.
        bases: names of rows that the others are shown as times of, where they are present.
        targets: what the bridge is to reach in the first column, as times of a row, by the row's name.
        targets_beside: the same for other columns, by the column's name.
        bounds: what the bridge is to reach in itself, in the column's unit, by the column's name.
        subject: the row that the targets are for; if it is not named, the first one that begins with "bridge".
        notes: sentences below the table.
    """

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, dict[str, Figure]] = dataclasses.field(default_factory=dict)
    bases: tuple[str, ...] = ()
    targets: dict[str, float] = dataclasses.field(default_factory=dict)
    targets_beside: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    bounds: dict[str, float] = dataclasses.field(default_factory=dict)
    subject: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, column: str, figures: Mapping[str, Iterable[float]]) -> None:
        """Put one column's figures into the rows, by the candidates' names; who has none gets none."""
        for row, values in figures.items():
            if found := tuple(values):
                self.rows.setdefault(row, {})[column] = Figure(found)

    def bridge(self) -> str | None:
        """Return the name of the row that the targets are for, or None if it was not measured."""
        if self.subject:
            return self.subject if self.subject in self.rows else None
        return next((row for row in self.rows if row.startswith("bridge")), None)


@dataclasses.dataclass(kw_only=True)
class Answer:
    """What one question was answered with.

    Attributes:
        name: of the question, as the command line has it.
        text: the question.
        comparisons: what was found.
        took_s: how long it took, in seconds.
        failure: why there is no answer, if there is none.
    """

    name: str
    text: str
    comparisons: list[Comparison] = dataclasses.field(default_factory=list)
    took_s: float = 0.0
    failure: str = ""


@dataclasses.dataclass(kw_only=True)
class Run:
    """All that was measured by one interpreter in one go.

    Attributes:
        python: its version: "3.13.0".
        build: what else is to be known of it.
        machine: name of the processor, number of cores, system.
        revision: of the bridge.
        versions: of the packages that took part.
        date: when it began, in UTC.
        rounds: how often each candidate was measured.
        quick: whether it was only to see if all works.
        load_before: processes that wanted to run in the minute before.
        load_after: the same for the last minute: those that measure are among them.
        answers: one for each question.
    """

    python: str
    build: str
    machine: str
    revision: str
    versions: dict[str, str]
    date: str
    rounds: int
    quick: bool
    load_before: float | None = None
    load_after: float | None = None
    answers: list[Answer] = dataclasses.field(default_factory=list)
