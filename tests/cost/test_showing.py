"""What is shown is what was counted."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from tests.cost.children import TOP
from tests.cost.counting import Cost
from tests.cost.ledger import figures_of
from tests.cost.memory import Memory
from tests.cost.showing import by_function, overview

COST = Cost(switches=2, turns=3, wake_ups=1)
COST.instructions.update({("loop", "bridge/a:f"): 30, ("worker", "bridge/a:f"): 40, ("loop", "asyncio/events:g"): 50})
COST.calls.update({("loop", "bridge/a:f"): 1, ("worker", "bridge/a:f"): 2, ("loop", "asyncio/events:g"): 4})
COST.c_calls.update({("loop", "bridge/a:f"): 8, ("loop", "asyncio/events:g"): 16})


def test_figures_are_of_the_bridge_and_its_libraries_apart() -> None:
    assert dataclasses.asdict(figures_of(COST, Memory(held=5, left=0, garbage=0))) == {
        "instructions": 70,
        "calls": 3,
        "c_calls": 8,
        "library": 50,
        "switches": 2,
        "wake_ups": 1,
        "turns": 3,
        "held": 5,
        "functions": {"bridge/a:f": 70},
    }


def test_functions_are_shown_with_the_dearest_first() -> None:
    shown = by_function("a", "something", COST).splitlines()

    assert [line.split() for line in shown[-3:]] == [
        ["50", "4", "16", "loop", "asyncio/events:g"],
        ["40", "2", "0", "worker", "bridge/a:f"],
        ["30", "1", "8", "loop", "bridge/a:f"],
    ]
    assert shown[2] == "2 switches of threads, 1 wake-ups and 3 turns of the loop"


def test_the_overview_says_how_far_it_is_from_the_ledger() -> None:
    now = figures_of(COST, None)

    assert "140 (+100.0%)" in overview({"a": dataclasses.replace(now, instructions=140)}, {"a": now})
    assert "%" not in overview({"a": now}, {"a": now})


@pytest.mark.timeout(300)
def test_the_command_shows_a_function_line_by_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cost", "--show", "environ", "--annotate", ":environ_from_scope"],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=TOP,
        check=False,
    )
    if "is traced" in done.stdout:
        pytest.skip(done.stdout.strip())

    assert done.returncode == 0, done.stderr
    assert "bridge/translate/environ:environ_from_scope: " in done.stdout
    assert 'scope["method"]' in done.stdout
