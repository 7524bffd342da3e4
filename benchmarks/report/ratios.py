"""How many times another a figure is, and how sure that is; and numbers with as many digits as mean anything."""

from __future__ import annotations

import dataclasses

from benchmarks.results import Figure


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times its base a figure is.

    Attributes:
        middle: the ratio of the medians.
        by_round: the ratio in each round; what the machine did in a round, it did to both.
    """

    middle: float
    by_round: tuple[float, ...]

    @property
    def lowest(self) -> float:
        return min(self.by_round)

    @property
    def highest(self) -> float:
        return max(self.by_round)

    def inverse(self) -> Ratio:
        """Return how many times the figure its base is."""
        return Ratio(middle=1 / self.middle, by_round=tuple(1 / times for times in self.by_round))

    def __str__(self) -> str:
        """Show it with its spread: ``4.10 (3.90-4.40)``; one round has no spread."""
        if len(self.by_round) == 1:
            return number(self.middle)
        return f"{number(self.middle)} ({number(self.lowest)}-{number(self.highest)})"


def ratio(figure: Figure, base: Figure) -> Ratio | None:
    """Return how many times its base a figure is; None where one of them is nothing at all.

    Candidates are measured in turns, and a slow one may sit the last rounds out: only the rounds that both took part in
    are compared. So the ratio of the medians always lies between the lowest and the highest ratio.
    """
    rounds = min(len(figure.values), len(base.values))
    mine, theirs = Figure(figure.values[:rounds]), Figure(base.values[:rounds])
    if not rounds or not all(mine.values) or not all(theirs.values):
        return None
    by_round = tuple(value / other for value, other in zip(mine.values, theirs.values, strict=True))
    return Ratio(middle=mine.median / theirs.median, by_round=by_round)


def number(value: float) -> str:
    """Show a number with three digits or so, and all digits before the point."""
    size = abs(value)
    if float(value).is_integer() or size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1:
        return f"{value:.2f}"
    return f"{value:.2g}"
