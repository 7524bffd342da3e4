"""``python -m tests.faults``: the full attacks on the bridge, and on a peer beside it; the page if it is asked for.

The exit code is 1 if the bridge misses a target. Some ten minutes for all of it; nothing else should be running.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.faults import watching
from tests.faults.attacks import ATTACKS, Attack, Watched, attack_named
from tests.faults.bench import BRIDGE, CONTESTANTS, Plan, run
from tests.faults.outcomes import Result
from tests.faults.page import PAGE, missed, outcomes_of, write
from tests.integration.servers import SERVERS, UVICORN_HTTPTOOLS, ServerKind

_QUIET_LOAD = 0.5
_WINDOW_S = 2.0
# Long enough for what hundreds do at once to be one event in it.
_WAVE_WINDOW_S = 4.0
_LEAD_IN_S = 1.0
# What hangs is given up early, and does not get better by being attacked again.
_PEER_PATIENCE_S = 3.0
# Its slow clients may well hurry afterwards, all five hundred megabytes.
_PEER_CROWD_PATIENCE_S = 10.0
_PEER_SETTLE_S = 2.0


def main() -> int:
    """Run it."""
    options = _options()
    if not watching.can_watch():
        print("this needs Linux: threads, descriptors and memory of the server are read from /proc")
        return 2
    attacks = [attack_named(name) for name in options.attack] if options.attack else list(ATTACKS)
    kind = next(kind for kind in SERVERS if kind.name == options.server)

    load = os.getloadavg()[0]
    if load > _QUIET_LOAD:
        print(f"the machine is busy, its load is {load:.1f}: the rates will mean little\n")
    core = _leave_a_core()
    results = [
        _run(attack, contestant, kind, options.rounds, core) for attack in attacks for contestant in options.against
    ]

    bad = [result for result in results if result.contestant == BRIDGE and missed(attack_named(result.attack), result)]
    print(f"\n{len(results)} runs; the bridge misses targets in {len(bad)}: {', '.join(one.attack for one in bad)}")
    if options.json:
        Path(options.json).write_text(json.dumps([_as_json(one) for one in results], indent=1), encoding="utf-8")
    if options.write:
        if len(attacks) < len(ATTACKS) or kind is not UVICORN_HTTPTOOLS or set(options.against) != set(CONTESTANTS):
            print(f"{PAGE.name} is not written: that takes all attacks, on all contestants, on uvicorn")
            return 1
        write(results, load)
        print(f"{PAGE.name} is written")
    return 1 if bad else 0


def _leave_a_core() -> int | None:
    """Keep away from one processor core, with all that is started here, and return it; None if there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return None
    os.sched_setaffinity(0, others)
    return first


def _run(attack: Attack, contestant: str, kind: ServerKind, rounds: int, core: int | None) -> Result:
    began_s = time.monotonic()
    window_s = _WAVE_WINDOW_S if attack.strikes_early and attack.watched is Watched.SAME_APPLICATION else _WINDOW_S
    if contestant == BRIDGE:
        plan = Plan(attack.full, rounds=rounds, window_s=window_s, lead_in_s=_LEAD_IN_S, core=core)
    else:
        plan = Plan(
            attack.full,
            rounds=1,
            window_s=window_s,
            lead_in_s=_LEAD_IN_S,
            begin_s=_PEER_PATIENCE_S,
            patience_s=_PEER_CROWD_PATIENCE_S,
            healthy_patience_s=_PEER_PATIENCE_S,
            settle_s=_PEER_SETTLE_S,
            core=core,
        )
    with tempfile.TemporaryDirectory() as directory:
        result = run(attack, plan, contestant, kind, Path(directory))
    ratio = "" if result.ratio is None else f"{100 * result.ratio:.0f} % of the rate, "
    work = "" if result.more_work is None else f"{100 * result.more_work:+.0f} % work per answer, "
    slowest = "" if result.slowest_ms is None else f"slowest answer {result.slowest_ms:.0f} ms, "
    print(
        f"{attack.name:28} {contestant:7} {ratio}{work}{slowest}{outcomes_of(result)}, "
        f"{result.peak_over_idle_mib:.0f} MiB over idle ({time.monotonic() - began_s:.0f} s)",
        flush=True,
    )
    for text, miss in missed(attack, result).items():
        print(f"    missed: {text}: {miss}", flush=True)
    return result


def _as_json(result: Result) -> dict[str, object]:
    return {
        **asdict(result),
        "ratio": result.ratio,
        "more_work": result.more_work,
        "missed": missed(attack_named(result.attack), result),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--attack", action="append", choices=[attack.name for attack in ATTACKS], help="only this one")
    parser.add_argument(
        "--against", type=_contestants, default=CONTESTANTS, help=f"who is attacked ({','.join(CONTESTANTS)})"
    )
    parser.add_argument("--server", choices=[kind.name for kind in SERVERS], default=UVICORN_HTTPTOOLS.name)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of windows without and with the attack (3)")
    parser.add_argument("--json", metavar="FILE", help="write all that was seen into a file")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.name}")
    return parser.parse_args()


def _contestants(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := set(chosen) - set(CONTESTANTS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(CONTESTANTS)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
