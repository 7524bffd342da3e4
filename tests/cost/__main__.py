"""``python -m tests.cost``: shows what requests cost, function by function, and brings the ledger up to date.

Everything is counted, so the figures are the same in each run, on any machine, however busy it is; they differ from one
version of Python to the next.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from tests.cost import ledger
from tests.cost.ledger import Figures
from tests.cost.memory import MEMORY, Memory
from tests.cost.scenarios import SCENARIOS
from tests.cost.showing import by_function, by_line, overview

WATCHED = 3
"""The exit code when somebody else traces this process."""


def main() -> int:
    """Do it; the exit code is 1 if the ledger says something else."""
    options = _options()
    if sys.gettrace() is not None or sys.getprofile() is not None:
        print("this process is traced (a debugger, or a measurement of coverage): instructions cannot be counted")
        return WATCHED
    if options.show:
        cost = SCENARIOS[options.show].measure(options.annotate)
        print(by_function(options.show, SCENARIOS[options.show].what, cost))
        if options.annotate:
            print(by_line(cost))
        return 0
    names = options.only or list(SCENARIOS)
    memory = {name: MEMORY[name]() for name in names if name in MEMORY}  # first: tracing takes memory, too
    page = {name: ledger.figures_of(SCENARIOS[name].measure(), memory.get(name)) for name in names}
    if options.json:
        print(_to_json(page, memory))
        return 0
    if options.write:
        if options.only:
            print("a page of the ledger is written as a whole: leave --only out")
            return 2
        print(f"{ledger.write(page)} is written")
        return 0
    return _compare(page)


def _compare(page: dict[str, Figures]) -> int:
    kept = ledger.read()
    print(overview(page, kept or {}))
    if kept is None:
        print(f"\nthe ledger has no page for Python {ledger.version()}; to have one: {ledger.WRITE}")
        return 1
    complaints = [ledger.differences(name, kept[name], figures) for name, figures in page.items() if name in kept]
    complaints += [f"{name} is not in the ledger: {ledger.WRITE}" for name in page if name not in kept]
    for complaint in filter(None, complaints):
        print(f"\n{complaint}")
    return 1 if any(complaints) else 0


def _to_json(page: dict[str, Figures], memory: dict[str, Memory]) -> str:
    return json.dumps(
        {
            "figures": json.loads(ledger.to_text(page)),
            "memory": {name: dataclasses.asdict(taken) for name, taken in memory.items()},
        }
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cost", description=__doc__)
    parser.add_argument(
        "--only", metavar="SCENARIO", nargs="+", choices=SCENARIOS, help=f"some of {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--show", metavar="SCENARIO", choices=SCENARIOS, help="one of them, function by function")
    parser.add_argument("--annotate", metavar="NAME", help="with --show: functions with that in the name, line by line")
    parser.add_argument("--write", action="store_true", help="write the ledger's page for this version of Python")
    parser.add_argument("--json", action="store_true", help="for the tests")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
