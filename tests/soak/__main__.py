"""``python -m tests.soak``: soaks both directions, says what is not flat, writes the page if asked to."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.soak.driving import Run, soak
from tests.soak.judging import failures_of
from tests.soak.page import PAGE, table_of_operations, table_of_results, write

_NATIVE = {"to_asgi": "native_asgi", "to_wsgi": "native_wsgi"}
_WARM_UP_SHARE = 10
_NATIVE_SHARE = 10


def main() -> int:
    """Run it; the exit code is 1 if an answer was wrong, or something grows, where the bridge is at work."""
    options = _options()
    directions = ["to_asgi", "to_wsgi"] if options.direction == "both" else [options.direction]
    native = options.requests // _NATIVE_SHARE if options.native is None else options.native
    runs: list[Run] = []
    for direction in directions:
        runs.append(_soak(direction, options.requests, options))
        if native:
            runs.append(_soak(_NATIVE[direction], native, options))

    print(f"\n{table_of_results(runs)}\n{table_of_operations(runs)}")
    failures = {run.hosting: failures_of(run) for run in runs}
    for hosting, sentences in failures.items():
        for sentence in sentences:
            print(f"{hosting}: {sentence}")
    if options.json:
        Path(options.json).write_text(json.dumps([vars(run) for run in runs], indent=1), encoding="utf-8")
    is_well = not any(failures[direction] for direction in directions)
    if options.write:
        if not is_well or len(directions) == 1 or not native:
            print(f"{PAGE.name} is not written: that takes both directions and the comparison, and nothing that grows")
            return 1
        write(runs)
        print(f"{PAGE.name} is written")
    return 0 if is_well else 1


def _soak(hosting: str, requests: int, options: argparse.Namespace) -> Run:
    return soak(
        hosting,
        requests=requests,
        warm_up=requests // _WARM_UP_SHARE,
        looks=options.looks,
        malloc_arenas=options.malloc_arenas,
        tell=lambda line: print(line, flush=True),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, help="for each direction (200,000)")
    parser.add_argument("--direction", choices=["to_asgi", "to_wsgi", "both"], default="both", help="(both)")
    parser.add_argument("--native", type=int, metavar="N", help="requests without the bridge (a tenth; 0: none)")
    parser.add_argument("--looks", type=int, default=18, metavar="N", help="looks after the first one (18)")
    parser.add_argument(
        "--malloc-arenas", type=int, default=1, metavar="N", help="of glibc; 0: as many as it likes (1)"
    )
    parser.add_argument("--json", metavar="FILE", help="all that was seen")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
