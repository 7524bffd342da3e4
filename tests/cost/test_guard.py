"""The guard sees what it is there for: each test makes a copy of the bridge dearer, or a page of the ledger wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.cost import ledger
from tests.cost.children import Measured, edited_bridge, measure
from tests.cost.ledger import Figures
from tests.cost.memory import REQUESTS

pytestmark = pytest.mark.timeout(300)

HELLO = "to_asgi-hello"
ENVIRON = ("translate/environ.py", "environ_from_scope")
SCOPE = ("translate/scope.py", "scope_from_environ")
FIGURES = Figures(
    instructions=1000,
    calls=40,
    c_calls=40,
    library=400,
    switches=2,
    wake_ups=1,
    turns=2,
    held=40,
    functions={"bridge/a:slow": 600, "bridge/a:quick": 400},
)


@pytest.fixture(scope="module")
def now() -> Measured:
    """What a request costs now, each way."""
    return measure(HELLO, "to_wsgi-hello")


@pytest.mark.parametrize(
    ("name", "place", "statement", "complaints"),
    [
        pytest.param(
            HELLO,
            ENVIRON,
            "for _ in range(40): pass",
            ["more than the ledger", "instructions in the bridge", "bridge/translate/environ:environ_from_scope"],
            id="instructions on the worker",
        ),
        pytest.param(
            "to_wsgi-hello",
            SCOPE,
            "for _ in range(40): pass",
            ["more than the ledger", "instructions in the bridge", "bridge/translate/scope:scope_from_environ"],
            id="instructions on the request thread",
        ),
        pytest.param(
            HELLO,
            ("wsgi_to_asgi.py", "WSGIToASGI.__call__"),
            "for _ in range(40): pass",
            ["more than the ledger", "instructions in the bridge", "bridge/wsgi_to_asgi:WSGIToASGI.__call__"],
            id="instructions on the loop",
        ),
        pytest.param(
            HELLO,
            ENVIRON,
            "__import__('copy').deepcopy({'a': [1, 2, 3], 'b': [4, 5, 6]})",
            ["more than the ledger", "instructions in libraries"],
            id="work of a library",
        ),
        pytest.param(
            HELLO,
            ENVIRON,
            "len(scope); " * 12,
            ["more than the ledger", "calls of C functions in the bridge"],
            id="calls of C",
        ),
        pytest.param(
            HELLO,
            ("wsgi_to_asgi.py", "WSGIToASGI.__call__"),
            "await __import__('asyncio').sleep(0)",
            ["more than the ledger", "turns of a loop: 2 -> 3 (+50.0%; exact)"],
            id="a turn of the loop",
        ),
        pytest.param(
            HELLO,
            ENVIRON,
            "scope['kept'] = [[number] for number in range(100)]",
            ["more than the ledger", "blocks of memory for a request under way"],
            id="memory of a request under way",
        ),
    ],
)
def test_what_makes_a_request_dearer_is_told(
    name: str, place: tuple[str, str], statement: str, complaints: list[str], now: Measured, tmp_path: Path
) -> None:
    dearer = measure(name, path=edited_bridge(tmp_path, *place, statement))

    told = ledger.differences(name, now.figures[name], dearer.figures[name])

    for complaint in complaints:
        assert complaint in told
    assert "python -m tests.cost --write" in told


def test_the_function_that_grew_is_named_first(now: Measured, tmp_path: Path) -> None:
    dearer = measure(HELLO, path=edited_bridge(tmp_path, *ENVIRON, "for _ in range(40): pass"))

    told = ledger.differences(HELLO, now.figures[HELLO], dearer.figures[HELLO]).splitlines()

    first = told[told.index("What grew, in instructions (the ledger's -> now):") + 1]
    assert first.endswith("bridge/translate/environ:environ_from_scope")


@pytest.mark.parametrize(
    ("name", "place"), [pytest.param(HELLO, ENVIRON, id="to_asgi"), pytest.param("to_wsgi-hello", SCOPE, id="to_wsgi")]
)
def test_a_leak_and_a_cycle_are_seen(name: str, place: tuple[str, str], tmp_path: Path) -> None:
    statement = "globals().setdefault('_KEPT', []).append([]); cycle = []; cycle.append(cycle)"

    leaking = measure(name, path=edited_bridge(tmp_path, *place, statement)).memory[name]

    assert leaking.left >= REQUESTS
    assert leaking.garbage >= 2 * REQUESTS


def test_counts_are_the_same_however_threads_are_switched(now: Measured) -> None:
    hasty = measure(*now.figures, prelude="sys.setswitchinterval(1e-6)")

    assert _counted(hasty) == _counted(now)


def test_counts_are_the_same_in_whatever_order_scenarios_are_measured(now: Measured) -> None:
    reordered = measure(*reversed(now.figures))

    assert _counted(reordered) == _counted(now)


def _counted(measured: Measured) -> dict[str, Figures]:
    return {name: dataclasses.replace(figures, held=None) for name, figures in measured.figures.items()}


# ---- The ledger itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"instructions": 1050}, "", id="5 % more"),
        pytest.param({"instructions": 1051}, "costs more", id="more than that"),
        pytest.param({"instructions": 850}, "", id="15 % less"),
        pytest.param({"instructions": 849}, "costs less", id="less than that"),
        pytest.param({"calls": 43}, "calls of functions", id="calls"),
        pytest.param({"c_calls": 43}, "calls of C functions", id="calls of C"),
        pytest.param({"library": 440}, "", id="libraries may change a little"),
        pytest.param({"library": 441}, "instructions in libraries", id="and no more"),
        pytest.param({"switches": 3}, "switches of threads: 2 -> 3", id="one switch more"),
        pytest.param({"wake_ups": 2}, "wake-ups of a loop: 1 -> 2", id="one wake-up more"),
        pytest.param({"turns": 1}, "turns of a loop: 2 -> 1", id="one turn less"),
        pytest.param({"held": 47}, "blocks of memory", id="memory"),
        pytest.param({"held": None}, "", id="memory that is not looked at"),
    ],
)
def test_the_margins_are_these(change: dict[str, int | None], expected: str) -> None:
    told = ledger.differences("a", FIGURES, dataclasses.replace(FIGURES, **change))  # type: ignore[arg-type]

    assert bool(told) is bool(expected)
    assert expected in told


def test_a_gain_names_what_shrank_and_asks_to_be_kept() -> None:
    functions = {"bridge/a:slow": 300, "bridge/a:quick": 400}

    told = ledger.differences("a", FIGURES, dataclasses.replace(FIGURES, instructions=700, functions=functions))

    assert "  -300     600 -> 300     bridge/a:slow" in told
    assert "bridge/a:quick" not in told
    assert "Keep the gain: `python -m tests.cost --write`" in told


def test_what_costs_more_here_and_less_there_costs_more() -> None:
    told = ledger.differences("a", FIGURES, dataclasses.replace(FIGURES, instructions=500, turns=3))

    assert "costs more" in told
    assert "instructions in the bridge: 1000 -> 500" in told


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert ledger.read(tmp_path) is None

    ledger.write({"a": FIGURES}, tmp_path)

    assert ledger.read(tmp_path) == {"a": FIGURES}
