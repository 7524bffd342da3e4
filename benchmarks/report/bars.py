"""Horizontal bars: candidates beside each other, the bridge in colour, what they are compared with in outline."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

from benchmarks.report import svg
from benchmarks.report.ratios import number, ratio
from benchmarks.results import Comparison

_NARROWEST = 760
_NARROWEST_BARS = 400
_MARGIN = 12
_GAP = 10
_ROW = 25
_BAR = 16
_HIGH_TITLE = 34
_HIGH_HEAD = 24
_HIGH_AXIS = 26
_ROOM_FOR_VALUE = 130
_LOGARITHMIC_FROM = 20
"""How many times the smallest the largest value must be for the scale to be logarithmic: below, lengths are honest."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bar:
    """One candidate: its name, its figure, and how many times the base that is."""

    label: str
    value: float
    times: str = ""
    kind: Literal["bridge", "base", "peer"] = "peer"

    @property
    def words(self) -> str:
        return f"{number(self.value)} ({self.times} x)" if self.times else number(self.value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """Bars on one scale, the best one first."""

    title: str
    unit: str
    better: Literal["less", "more"]
    bars: tuple[Bar, ...]
    base: str = ""

    @property
    def is_logarithmic(self) -> bool:
        values = [bar.value for bar in self.bars]
        return max(values) > _LOGARITHMIC_FROM * min(values)

    @property
    def head(self) -> str:
        scale = "; logarithmic scale" if self.is_logarithmic else ""
        times = f"; in brackets: times {self.base}" if self.base else ""
        return f"{self.unit}: {self.better} is better{times}{scale}"

    @property
    def height(self) -> float:
        return _HIGH_HEAD + _ROW * len(self.bars) + _HIGH_AXIS


def panel(comparison: Comparison, *, title: str | None = None, label: Callable[[str], str] = str) -> Panel | None:
    """Return the first column of a comparison as bars; None where there are less than two.

    Args:
        comparison: what is shown.
        title: instead of the comparison's.
        label: returns what is written beside a row of that name; a row for which that is nothing is left out.
    """
    column = comparison.columns[0]
    measured = {
        name: figures[column.name]
        for name, figures in comparison.rows.items()
        if column.name in figures and figures[column.name].median > 0 and label(name)
    }
    if len(measured) < 2:
        return None
    base = next((name for name in comparison.bases if name in measured and not name.startswith("bridge")), None)
    bars = []
    for name, figure in measured.items():
        found = ratio(figure, measured[base]) if base and name != base else None
        kind: Literal["bridge", "base", "peer"] = "base" if name == base else "peer"
        if name.startswith("bridge"):
            kind = "bridge"
        bars.append(Bar(label=label(name), value=figure.median, times=number(found.middle) if found else "", kind=kind))
    bars.sort(key=lambda bar: bar.value, reverse=column.better == "more")
    return Panel(
        title=comparison.title if title is None else title,
        unit=column.unit,
        better=column.better,
        bars=tuple(bars),
        base=label(base) if base else "",
    )


def plot(title: str, panels: list[Panel]) -> str:
    """Return panels below each other as a file of SVG."""
    labels = [bar.label for panel in panels for bar in panel.bars]
    left = _MARGIN + max(map(svg.width_of, labels)) + _GAP
    widest_head = max(svg.width_of(f"{each.title} {each.head}") for each in panels)
    width = max(
        _NARROWEST,
        left + _NARROWEST_BARS + _ROOM_FOR_VALUE + _MARGIN,
        svg.width_of(title, size=16) + 2 * _MARGIN,
        widest_head + 2 * _MARGIN,
    )
    parts = [svg.text(_MARGIN, 22, title, style="title")]
    top: float = _HIGH_TITLE
    for each in panels:
        is_only = len(panels) == 1 and each.title == title
        parts += _drawn(each, left, top, width - _MARGIN - _ROOM_FOR_VALUE, "" if is_only else each.title)
        top += each.height
    return svg.document(width, top, title=title, description=_description(panels), parts=parts)


def _description(panels: list[Panel]) -> str:
    told = []
    for each in panels:
        values = "; ".join(f"{bar.label}: {bar.words}" for bar in each.bars)
        told.append(f"{each.title}. {each.head}. {values}.")
    return " ".join(told)


def _drawn(each: Panel, left: float, top: float, right: float, title: str) -> list[str]:
    scale, ticks = _logarithmic(each) if each.is_logarithmic else _linear(each)

    def place(value: float) -> float:
        return left + scale(value) * (right - left)

    parts = [svg.text(_MARGIN, top + 13, title, style="panel", followed_by=each.head)]
    first, last = top + _HIGH_HEAD, top + _HIGH_HEAD + _ROW * len(each.bars)
    for tick in ticks:
        parts.append(svg.line(place(tick), first, last, style="grid"))
        parts.append(svg.text(place(tick), last + 14, number(tick), style="quiet", anchor="middle"))
    parts += [svg.line(place(bar.value), first, last, style="level") for bar in each.bars if bar.kind == "base"]
    for row, bar in enumerate(each.bars):
        foot = first + _ROW * row + (_ROW + _BAR) / 2
        style = "strong" if bar.kind == "bridge" else ""
        parts.append(svg.text(left - _GAP, foot - 3, bar.label, style=style, anchor="end"))
        parts.append(svg.bar(left, foot - _BAR, max(1.0, place(bar.value) - left), _BAR, style=bar.kind))
        parts.append(svg.text(place(bar.value) + 6, foot - 3, bar.words, style=style))
    return parts


def _linear(each: Panel) -> tuple[Callable[[float], float], list[float]]:
    """Return where on the way from left (0) to right (1) a value is, and the values that are marked: from zero."""
    highest = max(bar.value for bar in each.bars)
    size = 10 ** math.floor(math.log10(highest))
    step = next(step for step in (size / 5, size / 2, size, 2 * size) if highest / step <= 5)
    ticks = [step * count for count in range(int(highest / step) + 1)]
    return (lambda value: value / highest), ticks


def _logarithmic(each: Panel) -> tuple[Callable[[float], float], list[float]]:
    """Return the same for a scale of powers of ten; the shortest bar has a length, too."""
    values = [bar.value for bar in each.bars]
    lowest = math.floor(math.log10(min(values) * 0.8))
    span = math.log10(max(values)) - lowest
    ticks = [10.0**power for power in range(lowest, math.floor(math.log10(max(values))) + 1)]
    return (lambda value: (math.log10(value) - lowest) / span), ticks
