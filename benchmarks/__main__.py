"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import signal
import sys
from pathlib import Path

from benchmarks.settings import Settings

QUESTIONS = {
    "hello": "in_memory",
    "small_blocks": "in_memory",
    "download": "in_memory",
    "upload": "in_memory",
    "blocking": "in_memory",
    "under_servers": "on_servers",
    "memory": "on_servers",
    "dropped_streams": "on_servers",
    "under_wsgi_servers": "on_servers",
    "wsgi_memory": "on_servers",
    "serve": "on_servers",
    "websockets": "on_servers",
    "websocket_load": "on_servers",
}
PACKAGES = (
    "a2wsgi",
    "asgiref",
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "waitress",
    "gunicorn",
    "granian",
    "websockets",
    "flask_sock",
    "simple_websocket",
)


def main() -> None:
    """Measure what was asked for and write Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the bridge beside its peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does everything work?")
    parser.add_argument(
        "--only", action="append", choices=tuple(QUESTIONS), metavar="NAME", help="one question; repeatable"
    )
    parser.add_argument("--rounds", type=int, help="measurements of each candidate (default: 5; 1 if quick)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the results to a file")
    options = parser.parse_args()
    settings = Settings(quick=options.quick, rounds=options.rounds or (1 if options.quick else 5))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended with us
    parts = [_heading(settings)]
    print(parts[0], flush=True)
    for name in options.only or QUESTIONS:
        question = importlib.import_module(f"benchmarks.{QUESTIONS[name]}.{name}")
        part = f"## {name}\n\n{question.__doc__.strip()}\n\n"
        part += "\n".join(table.markdown() for table in question.run(settings))
        parts.append(part)
        print(part, flush=True)
    if options.output:
        options.output.write_text("\n".join(parts), encoding="utf-8")


def _heading(settings: Settings) -> str:
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} (not installed)")
    how = "quick, so of little worth" if settings.quick else "medians"
    return (
        f"# Measurements\n\nCPython {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, rounds: {settings.rounds} ({how}).\n{', '.join(versions)}.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
