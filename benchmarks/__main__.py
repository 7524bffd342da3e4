"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import measure
from benchmarks.questions import QUESTIONS
from benchmarks.report import pages, sections, storage
from benchmarks.results import Answer, Run
from benchmarks.settings import Settings

_TOP = Path(__file__).resolve().parent.parent


def main() -> int:
    """Measure what was asked for; return 1 if a question could not be answered."""
    parser = _parser()
    options = parser.parse_args()
    if options.list:
        for name, question in QUESTIONS.items():
            print(f"{name:25} {' '.join(question.text().partition('?')[0].split())}?")
        return 0
    if missing := [python for python in options.python if not shutil.which(python)]:
        parser.error(f"there is no {', '.join(missing)}: --python takes the path of an interpreter")
    rounds = options.rounds or (1 if options.quick else 5)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are ended with us
    print(f"# Measurements: {'quick, so of little worth' if options.quick else f'{rounds} rounds'}\n", flush=True)

    def answered(so_far: Run, answer: Answer) -> None:
        print(sections.section(answer), flush=True)
        if options.save:
            storage.save(options.save, [so_far])  # what took an hour is not lost with the rest

    run = measure(options.only or QUESTIONS, Settings(quick=options.quick, rounds=rounds), answered)
    print(sections.surroundings(run))
    runs, is_whole = [run], not any(answer.failure for answer in run.answers)
    for python in options.python:
        theirs, went_well = _measured_by(python, options, rounds)
        runs += theirs
        is_whole &= went_well
    if options.save:
        storage.save(options.save, runs)
    if options.write:
        pages.write(options.write, runs)
    return 0 if is_whole else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the bridge beside its peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does everything work?")
    parser.add_argument("--only", nargs="+", action="extend", choices=tuple(QUESTIONS), metavar="NAME", help="these")
    parser.add_argument("--rounds", type=_positive, help="measurements of each candidate (default: 5; 1 if quick)")
    parser.add_argument("--list", action="store_true", help="show the questions and their names, measure nothing")
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="store the results as they are")
    parser.add_argument(
        "--write",
        nargs="?",
        type=Path,
        const=pages.DIRECTORY,
        metavar="DIRECTORY",
        help="make pages with tables and plots of the results (default: docs/performance)",
    )
    parser.add_argument(
        "--python", action="append", default=[], metavar="PATH", help="let this interpreter measure as well; repeatable"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("one round is the least")
    return number


def _measured_by(python: str, options: argparse.Namespace, rounds: int) -> tuple[list[Run], bool]:
    """Let another interpreter measure the same; return what it found, and whether it could answer everything."""
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory, "results.json")
        command = [python, "-m", "benchmarks", "--rounds", str(rounds), "--save", str(results)]
        command += ["--quick"] * options.quick
        command += ["--only", *options.only] if options.only else []
        finished = subprocess.run(command, cwd=_TOP, env=os.environ | {"PYTHONPATH": str(_TOP)}, check=False)
        return (storage.load(results) if results.exists() else []), finished.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
