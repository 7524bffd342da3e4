"""What the clock says, and what all threads of this process took of the processors, over the same span."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from benchmarks.results import Column, Figure

TIME, PROCESSOR = "time", "processor"


class Span(NamedTuple):
    """How long something took."""

    clock_s: float
    cpu_s: float


@contextlib.contextmanager
def stopwatch(spans: list[Span]) -> Iterator[None]:
    """Add the time that is spent inside to a list."""
    cpu_ns, clock_ns = time.process_time_ns(), time.perf_counter_ns()
    yield
    spans.append(Span((time.perf_counter_ns() - clock_ns) / 1e9, (time.process_time_ns() - cpu_ns) / 1e9))


def middle(spans: Iterable[Span]) -> Span:
    """Return the median of several spans."""
    clock, cpu = zip(*spans, strict=True)
    return Span(statistics.median(clock), statistics.median(cpu))


def time_columns(unit: str) -> tuple[Column, Column]:
    """Return the columns of times in one unit."""
    return Column(name=TIME, unit=unit, better="less"), Column(name=PROCESSOR, unit=unit, better="less")


def figures(spans: Iterable[Span], per: float) -> dict[str, Figure]:
    """Return the figures of a row: seconds times ``per``."""
    clock, cpu = zip(*spans, strict=True)
    return {TIME: Figure(tuple(s * per for s in clock)), PROCESSOR: Figure(tuple(s * per for s in cpu))}
