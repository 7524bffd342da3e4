"""A process seen from outside: threads, descriptors, memory. Linux only; elsewhere there is no such look."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_LOOK_S = 0.05
_RESET_PEAK = "5"
# Positions in /proc/PID/stat behind the name of the program.
_USER_TICKS, _SYSTEM_TICKS = 11, 12


@dataclass(frozen=True, slots=True)
class Look:
    """What a process had at one moment."""

    threads: int
    descriptors: int
    resident_mib: float


NO_LOOK = Look(0, 0, 0.0)
"""Before anybody looked."""


def can_watch() -> bool:
    """Tell whether this system shows what is needed."""
    return Path("/proc/self/smaps").exists()


def look(pid: int) -> Look:
    """Look at a process."""
    threads = len(os.listdir(f"/proc/{pid}/task"))
    return Look(threads, len(os.listdir(f"/proc/{pid}/fd")), _status_mib(pid, "VmRSS"))


def peak_mib(pid: int) -> float:
    """Return the most memory that was resident since the process began, or since `forget_peak`."""
    return _status_mib(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak begin anew, at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")


def processor_s(pid: int) -> float:
    """Return how much processor time a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / os.sysconf("SC_CLK_TCK")


def settle(pid: int, idle: Look, within_s: float) -> Look:
    """Look until the process has no more threads and descriptors than it had, or the time is up."""
    deadline_s = time.monotonic() + within_s
    while True:
        now = look(pid)
        if now.threads <= idle.threads and now.descriptors <= idle.descriptors:
            return now
        if time.monotonic() > deadline_s:
            return now
        time.sleep(_LOOK_S)


def _status_mib(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s+([0-9]+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
