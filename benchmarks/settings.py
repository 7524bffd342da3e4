"""How long and how often to measure, and in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

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


def interleaved(
    rounds: int, candidates: Mapping[str, Callable[[], float]], *, budget_s: float = 20.0
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
