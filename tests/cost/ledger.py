"""The ledger: what requests cost when it was last written, and how far that may be from what they cost now.

There is a page for each version of Python, because each has its own instructions: ``ledger/3.13.json``.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.cost.counting import Cost, is_ours
from tests.cost.memory import Memory

PAGES = Path(__file__).parent / "ledger"
WRITE = "python -m tests.cost --write"
_GREW_MOST = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What one scenario costs.

    Attributes:
        instructions: of Python, run in the bridge's own functions.
        calls: of the bridge's functions.
        c_calls: of C functions by the bridge's functions.
        library: instructions run in what the bridge uses: asyncio, anyio, threading...
        switches: from one thread to another.
        wake_ups: of an event loop that had nothing to do.
        turns: of event loops.
        held: blocks of memory for one request under way; None where it is not looked at.
        functions: the instructions of each of the bridge's functions.
    """

    instructions: int
    calls: int
    c_calls: int
    library: int
    switches: int
    wake_ups: int
    turns: int
    held: int | None
    functions: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Margin:
    """How far a figure may be from the ledger's: more by a share, less by a share; and by so little in any case."""

    name: str
    more: float
    less: float
    at_least: int = 0


# Who hands over once more often has changed the course of a request: no margin. Instructions of libraries, and what a
# block of memory holds, change a little from one release of Python to the next.
MARGINS = {
    "instructions": Margin("instructions in the bridge", 0.05, 0.15),
    "calls": Margin("calls of functions in the bridge", 0.05, 0.15, 1),
    "c_calls": Margin("calls of C functions in the bridge", 0.05, 0.15, 1),
    "library": Margin("instructions in libraries", 0.10, 0.25, 20),
    "switches": Margin("switches of threads", 0, 0),
    "wake_ups": Margin("wake-ups of a loop", 0, 0),
    "turns": Margin("turns of a loop", 0, 0),
    "held": Margin("blocks of memory for a request under way", 0.10, 0.25, 3),
}


def figures_of(cost: Cost, memory: Memory | None) -> Figures:
    """Return what the ledger keeps of what was counted."""

    def ours(counts: Iterable[tuple[tuple[str, str], int]]) -> int:
        return sum(count for (_, function), count in counts if is_ours(function))

    instructions = ours(cost.instructions.items())
    functions: dict[str, int] = {}
    for (_, function), count in cost.instructions.items():
        if is_ours(function):
            functions[function] = functions.get(function, 0) + count
    return Figures(
        instructions=instructions,
        calls=ours(cost.calls.items()),
        c_calls=ours(cost.c_calls.items()),
        library=sum(cost.instructions.values()) - instructions,
        switches=cost.switches,
        wake_ups=cost.wake_ups,
        turns=cost.turns,
        held=None if memory is None else memory.held,
        functions=dict(sorted(functions.items())),
    )


# ---- Reading and writing ---------------------------------------------------------------------------------------------


def version() -> str:
    """Return whose page is asked for: that of the running Python."""
    is_locked = getattr(sys, "_is_gil_enabled", bool)() or sys.version_info < (3, 13)
    return f"{sys.version_info.major}.{sys.version_info.minor}{'' if is_locked else 't'}"


def read(pages: Path = PAGES) -> dict[str, Figures] | None:
    """Return the page of the running Python, None if there is none."""
    try:
        text = (pages / f"{version()}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return from_text(text)


def write(page: dict[str, Figures], pages: Path = PAGES) -> Path:
    """Write the page of the running Python; return its path."""
    pages.mkdir(exist_ok=True)
    path = pages / f"{version()}.json"
    path.write_text(to_text(page), encoding="utf-8")
    return path


def to_text(page: dict[str, Figures]) -> str:
    """Return a page as JSON."""
    return json.dumps({name: dataclasses.asdict(figures) for name, figures in page.items()}, indent=1) + "\n"


def from_text(text: str) -> dict[str, Figures]:
    """Return the page that `to_text` made a text of."""
    return {name: Figures(**figures) for name, figures in json.loads(text).items()}


# ---- Comparing -------------------------------------------------------------------------------------------------------


def differences(name: str, kept: Figures, now: Figures) -> str:
    """Say what is too far from the ledger, which functions it comes from, and what to do; empty if nothing is.

    Args:
        name: of the scenario.
        kept: the ledger's.
        now: as counted now.
    """
    dearer, cheaper = _beyond(kept, now)
    if not dearer and not cheaper:
        return ""
    head = f"{name} costs {'more' if dearer else 'less'} than the ledger says (Python {version()}):"
    grown = _by_function(kept, now, is_growth=bool(dearer))
    what = "What grew" if dearer else "What shrank"
    lines = [head, *dearer, *cheaper]
    if grown:
        lines += [f"{what}, in instructions (the ledger's -> now):", *grown]
    lines.append(f"All of it: python -m tests.cost --show {name}")
    if dearer:
        lines.append(f"If it is worth that, accept it with `{WRITE}` on each Python, and say why in the commit.")
    else:
        lines.append(f"Keep the gain: `{WRITE}` on each Python.")
    return "\n".join(lines)


def _beyond(kept: Figures, now: Figures) -> tuple[list[str], list[str]]:
    dearer: list[str] = []
    cheaper: list[str] = []
    for key, margin in MARGINS.items():
        old, new = getattr(kept, key), getattr(now, key)
        if old is None or new is None or old == new:
            continue
        allowed = max(margin.at_least, old * (margin.more if new > old else margin.less))
        if abs(new - old) > allowed:
            share = f"{(new - old) / old:+.1%}" if old else "from none"
            limit = f"{margin.more:.0%} more and {margin.less:.0%} less are allowed" if margin.more else "exact"
            line = f"  {margin.name}: {old} -> {new} ({share}; {limit})"
            (dearer if new > old else cheaper).append(line)
    return dearer, cheaper


def _by_function(kept: Figures, now: Figures, *, is_growth: bool) -> list[str]:
    changes = {
        function: now.functions.get(function, 0) - kept.functions.get(function, 0)
        for function in kept.functions.keys() | now.functions.keys()
    }
    order = sorted(changes, key=lambda function: (-changes[function] if is_growth else changes[function], function))
    chosen = [function for function in order if (changes[function] > 0 if is_growth else changes[function] < 0)]
    return [
        f"  {changes[name]:+6}  {kept.functions.get(name, 0):>6} -> {now.functions.get(name, 0):<6}  {name}"
        for name in chosen[:_GREW_MOST]
    ]
