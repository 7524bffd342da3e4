"""The page of the bench, ``docs/discussion/under-fire.md``: its measured part is written here."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.faults.attacks import Attack, Watched, attack_named
from tests.faults.bench import BRIDGE
from tests.faults.clients import DROPPED, REFUSED, RIGHT
from tests.faults.outcomes import Result

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "discussion" / "under-fire.md"
BEGIN: Final = "<!-- written by: python -m tests.faults --write -->"
END: Final = "<!-- end of what is written -->"

_NOTHING: Final = "\N{EN DASH}"
_DISTRIBUTIONS: Final = ("uvicorn", "uvloop", "httptools", "a2wsgi")
_GOOD_WORDS: Final = (RIGHT, REFUSED, DROPPED)


def write(results: Sequence[Result], load: float) -> None:
    """Put the results between the two comments of the page.

    Args:
        results: of every attack.
        load: of the machine, before the first of them.
    """
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{generated(results, load)}\n{END}{after}", encoding="utf-8")


def generated(results: Sequence[Result], load: float) -> str:
    """Return the measured part: with what it was measured, the tables, and what did not hold."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _DISTRIBUTIONS)
    watched = [result for result in results if attack_named(result.attack).watched is not Watched.NOTHING]
    others = [result for result in results if attack_named(result.attack).watched is Watched.NOTHING]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    parts = [
        f"{datetime.now(UTC):%d %B %Y}, {python} on {platform.system()}, {os.cpu_count()} cores; {versions}.",
        f"The load of the machine was {load:.1f} before it began.\n",
    ]
    if watched:
        parts += ["### While others want answers\n", table_of_watched(watched)]
    if others:
        parts += ["### Large bodies, unusual clients\n", table_of_others(others)]
    parts += ["### What did not hold\n", misses_of(results)]
    return "\n".join(parts)


def table_of_watched(results: Iterable[Result]) -> str:
    """Return the table of the attacks during which a healthy client asks."""
    head = (
        "Attack",
        "",
        "Rate kept",
        "Work per answer",
        "Slowest answer",
        "Unanswered",
        "The attackers' requests",
        "Iterators closed",
        "Threads",
        "Memory",
    )
    return _table(head, ([*_first_cells(result), *_watched_cells(result)] for result in results))


def _watched_cells(result: Result) -> list[str]:
    return [
        _NOTHING if result.ratio is None else f"{100 * result.ratio:.0f} %",
        _NOTHING if result.more_work is None or result.unanswered else f"{100 * result.more_work:+.0f} %",
        _slowest(result),
        str(result.unanswered),
        outcomes_of(result),
        _iterators(result),
        f"{result.idle.threads}, {result.busy.threads}, {result.after.threads}",
        _memory(result),
    ]


def table_of_others(results: Iterable[Result]) -> str:
    """Return the table of the attacks during which nobody else asks."""
    head = ("Attack", "", "Their requests", "Memory", "Ended after")
    rows = ([*_first_cells(result), outcomes_of(result), _memory(result), _exit(result)] for result in results)
    return _table(head, rows)


def misses_of(results: Iterable[Result]) -> str:
    """Return a list of what did not hold: of the bridge each with the reason, of others which attacks it was."""
    lines: list[str] = []
    of_others: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for text, miss in missed(attack_named(result.attack), result).items():
            if result.contestant == BRIDGE:
                lines.append(f"- {BRIDGE}: {text}: {result.attack}: {miss}\n")
            else:
                of_others.setdefault((result.contestant, text), []).append(result.attack)
    lines += [f"- {contestant}: {text}: {', '.join(names)}\n" for (contestant, text), names in of_others.items()]
    return "".join(lines) or "Nothing.\n"


def missed(attack: Attack, result: Result) -> dict[str, str]:
    """Return the targets that a result misses, and why."""
    misses = {target.text: target.miss(result) for target in attack.targets}
    return {text: miss for text, miss in misses.items() if miss}


def outcomes_of(result: Result) -> str:
    """Return how many of the attackers' requests had which outcome, the wrong ones in one number."""
    parts = [f"{result.count(word):,} {word}" for word in _GOOD_WORDS if result.count(word)]
    if others := result.others(*_GOOD_WORDS):
        parts.append(f"{sum(others.values()):,} without a right answer")
    return ", ".join(parts)


def _first_cells(result: Result) -> list[str]:
    attack = attack_named(result.attack)
    return [attack.describe(attack.full), result.contestant]


def _slowest(result: Result) -> str:
    if result.unanswered or result.slowest_ms is None:
        return _NOTHING
    slowest = _milliseconds(result.slowest_ms)
    if result.onset:
        return slowest
    # What is asked for now and then: its latency is the point.
    p50_ms, p99_ms = (
        max(figures) for figures in zip(*((one.p50_ms, one.p99_ms) for one in result.during), strict=True)
    )
    return f"{slowest} (median {_milliseconds(p50_ms)}, p99 {_milliseconds(p99_ms)})"


def _iterators(result: Result) -> str:
    books = result.books
    if not books:
        return "it does not tell any more"
    if not books["opened"]:
        return _NOTHING
    late = f", the last after {result.closed_after_s:.2f} s" if result.closed_after_s else ""
    return f"{books['closed']:,} of {books['opened']:,}{late}"


def _memory(result: Result) -> str:
    return f"{result.peak_over_idle_mib:.0f} MiB"


def _exit(result: Result) -> str:
    return "had to be killed" if result.exited_after_s is None else f"{result.exited_after_s:.1f} s"


def _milliseconds(number: float) -> str:
    return f"{number:.0f} ms" if number >= 10 else f"{number:.1f} ms"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
