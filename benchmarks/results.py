"""What a measurement found, before it becomes a table or a plot."""

from __future__ import annotations

import dataclasses
import statistics
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

    Attributes:
        title: what was done, and how: "Hello, 32 at a time, uvloop".
        columns: the first is the one that the plot shows and the ratios are of.
        rows: the figures of each candidate, by its name and by the column's; not all have all.
        bases: names of rows that the others are shown as times of, where they are present.
        targets: what the bridge is to reach: the base's name, and how many times it (in the first column).
        notes: sentences below the table.
    """

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, dict[str, Figure]] = dataclasses.field(default_factory=dict)
    bases: tuple[str, ...] = ()
    targets: dict[str, float] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
