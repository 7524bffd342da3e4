"""``python -m tests.matrix``: runs every cell, prints a line for each and the tables, writes the page if asked to."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from itertools import count

from tests.matrix.page import GOOD, PAGE, sign, table_of, write
from tests.matrix.running import Outcome, run_cells, shorten
from tests.matrix.table import WAYS, Cell, all_cells, obstacle_for


def main() -> int:
    """Run it; the exit code is 1 if a cell failed that should not, or one did not that should."""
    options = _options()
    cells = [cell for cell in all_cells() if re.search(options.only, str(cell))]

    outcomes = run_cells(cells, options.jobs, _reporter(len(cells)))

    signs = {outcome.cell: sign(outcome) for outcome in outcomes}
    for way in WAYS:
        print(f"\n{way.name}\n\n{table_of(way, signs)}")
    bad = [outcome for outcome in outcomes if is_unexpected(outcome)]
    for outcome in bad:
        print(f"\n{outcome.cell}: {outcome.failure or 'works now: its row in OBSTACLES can go'}")
    missing = {outcome.unavailable for outcome in outcomes if outcome.unavailable}
    for reason in missing:
        print(f"\nnot run: {reason}")
    good = sum(one == GOOD for one in signs.values())
    print(f"\n{good} of {len(outcomes)} cells are good, {len(bad)} are not as they should be")
    if options.write:
        if bad or missing or len(cells) < len(all_cells()):
            print(f"{PAGE.name} is not written: that takes all cells, each run, each as it should be")
            return 1
        write(outcomes)
        print(f"{PAGE.name} is written")
    return 1 if bad else 0


def is_unexpected(outcome: Outcome) -> bool:
    """Tell whether a cell failed that should not, or in another way, or did not fail though it is said to."""
    obstacle = obstacle_for(outcome.cell)
    if outcome.unavailable:
        return False
    return bool(outcome.failure) if obstacle is None else obstacle.symptom not in outcome.failure


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--jobs", type=int, default=4, help="servers at a time (4)")
    parser.add_argument("--only", default="", metavar="REGEX", help="cells whose name (site-server-way) has this")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.name}")
    return parser.parse_args()


def _reporter(total: int) -> Callable[[Outcome], None]:
    numbers = count(1)

    def report(outcome: Outcome) -> None:
        cell: Cell = outcome.cell
        said = outcome.unavailable or shorten(outcome.failure) or "good"
        print(f"{next(numbers):>4}/{total}  {cell!s:<46}  {said}", flush=True)

    return report


if __name__ == "__main__":
    sys.exit(main())
