"""What the looks at a server say: how fast what grows, and whether that is flat."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from tests.soak.driving import Run

PER = 100_000
"""Growth is told per so many requests, and judged from so many on: that of a shorter run is chance."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that must not grow.

    Attributes:
        key: its name in a look.
        name: its name in the page.
        divisor: from the unit of a look to the unit of the page.
        most: the bound, in units of the page per `PER` requests.
    """

    key: str
    name: str
    divisor: float
    most: float


MEASURES = (
    # What the process has from the system; one environ left behind by each hundredth request would be 5.
    Measure("uss KiB", "memory (USS), MiB", 1024, 4.0),
    # What is in use of it: one object left behind by each hundredth request would be 1.
    Measure("blocks", "Python's memory blocks in use, thousands", 1000, 1.0),
    # The rest of what is in use: one buffer of 1 KiB left behind by each hundredth request would be 1.
    Measure("malloc bytes", "other memory in use, MiB", 1024 * 1024, 1.0),
)


def slope(run: Run, key: str) -> float:
    """Return the growth per `PER` requests, by least squares over all looks."""
    points = [(look["requests"], look[key]) for look in run.looks if look[key] is not None]
    if len(points) < 2:
        return 0.0
    return PER * statistics.linear_regression(*zip(*points, strict=True)).slope


def growing_types(run: Run, allowance: int) -> dict[str, tuple[int, int]]:
    """Return the types of which there are more and more objects: how many at the first look and at the last.

    Args:
        run: with some looks.
        allowance: how many more at the end than at the beginning are none; beginning and end are a third of the looks
            each, so one odd look makes no difference.
    """
    third = max(1, len(run.looks) // 3)
    begin, end = ([look["types"] for look in looks] for looks in (run.looks[:third], run.looks[-third:]))
    growing = {}
    for name in end[-1]:
        before = max(types.get(name, 0) for types in begin)
        if min(types.get(name, 0) for types in end) > before + allowance:
            growing[name] = (begin[0].get(name, 0), end[-1][name])
    return dict(sorted(growing.items(), key=lambda item: item[1][0] - item[1][1]))


def allowance_for(run: Run) -> int:
    """Return how many objects more are no growth in a long run: one for a thousand requests, and some odd ones."""
    return 10 + (run.requests - run.warm_up) // 1000


def failures_of(run: Run) -> list[str]:
    """Return in sentences what is not flat, and all complaints."""
    failures = list(run.complaints)
    for measure in MEASURES:
        growth = slope(run, measure.key) / measure.divisor
        if growth > measure.most and run.requests - run.warm_up >= PER:
            failures.append(f"{measure.name}: grows by {growth:.2f} per {PER:,} requests, {measure.most} at the most")
    for name, (first, last) in growing_types(run, allowance_for(run)).items():
        failures.append(f"objects of the type {name}: {first:,} at first, {last:,} at last")
    return failures
