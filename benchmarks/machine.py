"""What a run is to be read with: the machine, the interpreter, the versions, and what else was going on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

_TOP = Path(__file__).resolve().parent.parent
_DISTRIBUTION = "wsgi-asgi-bridge"
PACKAGES = (
    "a2wsgi",
    "asgiref",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "hypercorn",
    "granian",
    "gunicorn",
    "waitress",
    "pyuwsgi",
    "flask",
    "django",
    "websockets",
    "flask-sock",
    "simple-websocket",
)


def versions() -> dict[str, str]:
    """Return the version of each package that takes part; those that are not installed are missing."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def build() -> str:
    """Return what is to be known of this interpreter beside its version, because it makes it faster or slower."""
    configured = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    parts = [platform.python_implementation()]
    if os.name == "posix" and configured:
        optimised = "--enable-optimizations" in configured
        parts.append("profile-guided optimisation" if optimised else "no profile-guided optimisation")
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        parts.append("free-threading")
    return ", ".join(parts)


def describe() -> str:
    """Return processor, cores and system."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {usable} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown processor"
    match = re.search(r"^model name\s*:\s*(.+)$", described, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or "unknown processor"


def load() -> float | None:
    """Return how many processes wanted to run in the last minute, on average."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):  # not on this system
        return None


def revision() -> str:
    """Return the commit that is measured, marked if the files are not those of the commit; else the version."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "bridge") else "")
    except (OSError, subprocess.SubprocessError):  # no git, or no repository
        pass
    try:
        return importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _git(*arguments: str) -> str:
    finished = subprocess.run(
        ["git", *arguments], cwd=_TOP, capture_output=True, text=True, check=True, timeout=30, stdin=subprocess.DEVNULL
    )
    return finished.stdout.strip()
