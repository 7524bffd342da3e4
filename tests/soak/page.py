"""The tables of the soak, and the page they stand in: ``docs/discussion/soak.md``."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.soak import books
from tests.soak.driving import Run
from tests.soak.judging import MEASURES, PER, Measure, allowance_for, growing_types, slope
from tests.soak.operations import OPERATIONS, Operation

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "discussion" / "soak.md"
BEGIN: Final = "<!-- written by: python -m tests.soak --write -->"
END: Final = "<!-- end of what is written -->"
TITLES: Final = {
    "to_asgi": "WSGI on uvicorn, by the bridge",
    "native_asgi": "ASGI on uvicorn, without it",
    "to_wsgi": "ASGI on gunicorn, by the bridge",
    "native_wsgi": "WSGI on gunicorn, without it",
}
_PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "gunicorn", "flask-sock", "simple-websocket", "websockets")
_MOST_TYPES = 5


def write(runs: Sequence[Run]) -> None:
    """Put the tables between the two comments of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{generated(runs)}\n{END}{after}", encoding="utf-8")


def generated(runs: Sequence[Run]) -> str:
    """Return what was measured with what, and the tables."""
    python = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    libc = " ".join(platform.libc_ver())
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in _PACKAGES)
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y}, with {python}, {libc}, {os.cpu_count()} cores; {versions}.\n\n"
        f"{table_of_results(runs)}\n### What was done\n\n{table_of_operations(runs)}"
    )


def table_of_results(runs: Sequence[Run]) -> str:
    """Return a column for each hosting, a row for each thing that was looked at."""
    rows: list[list[str]] = [
        ["requests", *(f"{run.requests:,}" for run in runs)],
        ["of them before the first look", *(f"{run.warm_up:,}" for run in runs)],
        ["seconds", *(f"{run.took_s:.0f}" for run in runs)],
        ["wrong answers, and other complaints", *(str(len(run.complaints)) for run in runs)],
    ]
    for measure in MEASURES:
        rows.append([f"{measure.name}: at the first look, at the last", *(_ends(run, measure) for run in runs)])
        growths = (f"{slope(run, measure.key) / measure.divisor:+.2f}" for run in runs)
        rows.append([f"growth for each {PER:,} requests (bound: {measure.most:g})", *growths])
    rows += [[f"{name} at rest, first and last", *(_first_and_last(run, name) for run in runs)] for name in _COUNTED]
    rows += [[" / ".join(pair), *(_books(run, pair) for run in runs)] for pair in books.PAIRS]
    rows.append(["cut uploads noticed / that looked whole", *(_books(run, _CUTS) for run in runs)])
    rows.append(["slow readers whose response left the worker early", *(_books(run, _FROM_FILES) for run in runs)])
    rows.append(["types of which there are more and more objects", *(_types(run) for run in runs)])
    return _table(["", *(TITLES[run.hosting] for run in runs)], rows)


_COUNTED: Final = ("threads", "descriptors", "tasks")
_FROM_FILES: Final = ("responses sent from a file",)
_CUTS: Final = ("cut uploads", "cut uploads that looked whole")


def table_of_operations(runs: Sequence[Run]) -> str:
    """Return how often what was done."""
    names = ["hello", *(operation.name for operation in OPERATIONS if _was_done(operation, runs))]
    rows = ([name, *(f"{run.done[name]:,}" if run.done[name] else "" for run in runs)] for name in names)
    return _table(["", *(TITLES[run.hosting] for run in runs)], rows)


def _was_done(operation: Operation, runs: Iterable[Run]) -> bool:
    return any(run.done[operation.name] for run in runs)


def _ends(run: Run, measure: Measure) -> str:
    first, last = (run.looks[place][measure.key] for place in (0, -1))
    return f"{first / measure.divisor:.1f}, {last / measure.divisor:.1f}" if first is not None else ""


def _first_and_last(run: Run, name: str) -> str:
    return f"{run.looks[0][name]}, {run.looks[-1][name]}"


def _books(run: Run, names: Iterable[str]) -> str:
    return " / ".join(f"{run.looks[-1]['books'][name]:,}" for name in names)


def _types(run: Run) -> str:
    growing = growing_types(run, allowance_for(run))
    said = [f"`{name}` {first:,} to {last:,}" for name, (first, last) in growing.items()]
    return "; ".join(said[:_MOST_TYPES]) or "none"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
