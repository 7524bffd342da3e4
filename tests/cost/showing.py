"""What costs how much, as text."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import bridge
from tests.cost.counting import Cost, is_ours
from tests.cost.ledger import MARGINS, Figures

_TOP = Path(bridge.__file__).parents[1]
_SHORT = ("instr.", "calls", "C calls", "library", "switches", "wake-ups", "turns", "held")


def overview(page: dict[str, Figures], kept: dict[str, Figures]) -> str:
    """Return a line for each scenario; where the ledger says something else, how much more or less this is."""
    lines = [f"{'':<18}" + "".join(f"{name:>16}" for name in _SHORT)]
    for name, figures in page.items():
        old = kept.get(name)
        cells = [_cell(getattr(figures, key), None if old is None else getattr(old, key)) for key in MARGINS]
        lines.append(f"{name:<18}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(lines)


def _cell(value: int | None, kept: int | None) -> str:
    if value is None:
        return ""
    return str(value) if not kept or kept == value else f"{value} ({(value - kept) / kept:+.1%})"


def by_function(name: str, what: str, cost: Cost) -> str:
    """Return the instructions and calls of all functions, the dearest first, with the threads they run on."""
    by_thread: Counter[str] = Counter()
    for (thread, function), count in cost.instructions.items():
        by_thread[f"{thread}, {'bridge' if is_ours(function) else 'libraries'}"] += count
    lines = [
        f"{name}: {what}",
        "; ".join(f"{place}: {count}" for place, count in by_thread.most_common()),
        f"{cost.switches} switches of threads, {cost.wake_ups} wake-ups and {cost.turns} turns of the loop",
        f"{'instr.':>7} {'calls':>6} {'C':>5}  {'thread':<14}  function",
    ]
    for key, count in cost.instructions.most_common():
        thread, function = key
        lines.append(f"{count:>7} {cost.calls[key]:>6} {cost.c_calls[key]:>5}  {thread:<14}  {function}")
    return "\n".join(lines)


def by_line(cost: Cost) -> str:
    """Return the source of the functions that were asked for, with the instructions of each line beside it."""
    lines: list[str] = []
    for function in sorted({name for name, _ in cost.lines}):
        place = function.partition(":")[0]
        source = (_TOP / f"{place}.py").read_text(encoding="utf-8").splitlines() if is_ours(function) else []
        counts = {number: count for (name, number), count in cost.lines.items() if name == function}
        lines.append(f"\n{function}: {sum(counts.values())}")
        for number in range(min(counts), max(counts) + 1):
            text = source[number - 1] if number <= len(source) else ""
            lines.append(f"{counts.get(number, ''):>7}  {number:>4}  {text}")
    return "\n".join(lines)
