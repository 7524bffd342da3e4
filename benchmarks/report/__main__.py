"""The command line: ``python -m benchmarks.report`` shows again what was measured, without measuring."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.questions import QUESTIONS
from benchmarks.report import pages, sections, storage
from benchmarks.report.merging import Report


def main() -> int:
    """Read results, merge them, and write pages or Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description="Show stored results. Of several files, those of one Python complete each other (the later ones "
        "hold), and those of others are shown beside it; the first file says which Python the pages are about.",
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="what --save has stored")
    parser.add_argument("--write", nargs="?", type=Path, const=pages.DIRECTORY, metavar="DIRECTORY", help="make pages")
    options = parser.parse_args()
    try:
        runs = [run for path in options.results for run in storage.load(path)]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.write:
        pages.write(options.write, runs)
        return 0
    report = Report(tuple(runs))
    for name in QUESTIONS:
        if found := report.answer(name):
            print(sections.section(found[1]))
    for run in runs:
        print(sections.surroundings(run))
    return 0


if __name__ == "__main__":
    sys.exit(main())
