"""What was to be reached, and whether it was. What a target means is written at `benchmarks.results.Comparison`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from benchmarks.report.ratios import Ratio, number, ratio
from benchmarks.results import Column, Comparison, Figure

_TIMES = ("ns", "us", "ms", "s", "seconds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """One target beside what was found.

    Attributes:
        target: in words.
        found: in figures; empty if nothing was.
        reached: whether the medians reach it; None where it could not be measured.
        rounds: in how many rounds it was reached, and how many there were.
    """

    target: str
    found: str = ""
    reached: bool | None = None
    rounds: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        """Say whether it was reached, and when it was a near thing, in how many rounds."""
        if self.reached is None:
            return "not measured"
        some, all_of_them = self.rounds
        if self.reached:
            return "yes" if some == all_of_them else f"yes, in {some} of {all_of_them} rounds"
        return "**no**" if some == 0 else f"**no**, but in {some} of {all_of_them} rounds"


def verdicts(comparison: Comparison) -> list[Verdict]:
    """Return a verdict for each target of a comparison."""
    columns = {column.name: column for column in comparison.columns}
    first = comparison.columns[0]
    found = [_beside(comparison, first, base, times) for base, times in comparison.targets.items()]
    for name, targets in comparison.targets_beside.items():
        found += [_beside(comparison, columns[name], base, times) for base, times in targets.items()]
    found += [_in_itself(comparison, columns[name], bound) for name, bound in comparison.bounds.items()]
    return found


def _beside(comparison: Comparison, column: Column, base: str, times: float) -> Verdict:
    is_less = column.better == "less"
    what = "" if column is comparison.columns[0] else f"{column.name}: "
    is_inverted = is_less and times < 1
    if is_inverted:
        faster = "faster" if column.unit.split(" ")[0] in _TIMES else "less"
        sentence = f"{what}at least {1 / times:.3g} times {faster} than {base}"
    elif times == 1:
        sentence = f"{what}no {'more' if is_less else 'less'} than {base}"
    else:
        sentence = f"{what}at {'most' if is_less else 'least'} {times:.3g} times {base}"
    mine, theirs = _figure(comparison, comparison.bridge(), column), _figure(comparison, base, column)
    found = ratio(mine, theirs) if mine and theirs else None
    if found is None:
        return Verdict(target=sentence)
    shown: Ratio = found.inverse() if is_inverted else found
    return _verdict(sentence, str(shown), column, found.middle, found.by_round, times)


def _in_itself(comparison: Comparison, column: Column, bound: float) -> Verdict:
    what = "" if column is comparison.columns[0] else f"{column.name}: "
    sentence = f"{what}at {'most' if column.better == 'less' else 'least'} {number(bound)} {column.unit}"
    figure = _figure(comparison, comparison.bridge(), column)
    if figure is None:
        return Verdict(target=sentence)
    return _verdict(sentence, number(figure.median), column, figure.median, figure.values, bound)


def _figure(comparison: Comparison, row: str | None, column: Column) -> Figure | None:
    return comparison.rows.get(row or "", {}).get(column.name)


def _verdict(
    sentence: str, shown: str, column: Column, middle: float, by_round: tuple[float, ...], limit: float
) -> Verdict:
    def is_enough(value: float) -> bool:
        return value <= limit if column.better == "less" else value >= limit

    return Verdict(
        target=sentence,
        found=shown,
        reached=is_enough(middle),
        rounds=(sum(map(is_enough, by_round)), len(by_round)),
    )


def tally(found: Iterable[Verdict]) -> str:
    """Say how many of them were reached."""
    marks = [verdict.reached for verdict in found]
    sentence = f"{marks.count(True)} of {len(marks)} targets were reached"
    return f"{sentence}, {marks.count(None)} could not be measured." if None in marks else f"{sentence}."


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield the verdicts as lines of a Markdown list."""
    for verdict in verdicts(comparison):
        found = f"; found {verdict.found}" if verdict.found else ""
        yield f"- Target: {verdict.target}{found}. Reached: {verdict}."
