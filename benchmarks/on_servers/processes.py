"""What processes use: processor time, memory and threads of a server and all that it has started, from ``/proc``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from benchmarks.settings import MIB

_PROC = Path("/proc")


@dataclasses.dataclass(frozen=True)
class Usage:
    """What one process has used so far, or several together.

    Attributes:
        cpu_s: processor time, in user and in system mode, of all threads; those that have ended count as well.
        resident_mib: memory. Pages that a parent shares with its child are counted in both.
        threads: how many there are now.
    """

    cpu_s: float
    resident_mib: float
    threads: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_s + other.cpu_s, self.resident_mib + other.resident_mib, self.threads + other.threads)


def parse_stat(line: str) -> tuple[int, Usage]:
    """Return the parent's id and the usage that the text of a ``/proc/<pid>/stat`` tells.

    The second field is the name of the program in parentheses, and may itself contain spaces and parentheses: only
    behind the last of them can fields be counted.
    """
    _, _, behind = line.rpartition(")")
    fields = behind.split()  # the first one is the state, which is the third of proc(5)
    ticks = int(fields[11]) + int(fields[12])
    pages = int(fields[21])
    usage = Usage(
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
        resident_mib=pages * os.sysconf("SC_PAGE_SIZE") / MIB,
        threads=int(fields[17]),
    )
    return int(fields[1]), usage


def family(top: int, parents: dict[int, int]) -> set[int]:
    """Return a process and all its descendants.

    Args:
        top: its id.
        parents: of all processes.
    """
    found = {top}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def usage_of(top: int) -> Usage | None:
    """Return what a process and its descendants have used; None where there is no ``/proc`` to tell it."""
    parents: dict[int, int] = {}
    usages: dict[int, Usage] = {}
    for directory in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            pid = int(directory.name)
            parents[pid], usages[pid] = parse_stat((directory / "stat").read_text(encoding="utf-8", errors="replace"))
    if top not in usages:
        return None
    return sum((usages[pid] for pid in family(top, parents)), Usage(0.0, 0.0, 0))
