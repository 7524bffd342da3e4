"""No request costs more than the ledger says, or so much less that the ledger is out of date."""

from __future__ import annotations

import sys

import pytest

from tests.cost import ledger
from tests.cost.children import Measured, measure
from tests.cost.ledger import Figures
from tests.cost.memory import MEMORY, REQUESTS
from tests.cost.scenarios import SCENARIOS

pytestmark = pytest.mark.timeout(300)  # on a machine that does much else


@pytest.fixture(scope="module")
def measured() -> Measured:
    """What all scenarios cost now."""
    return measure()


@pytest.fixture(scope="module")
def kept() -> dict[str, Figures]:
    """What they cost by the ledger."""
    if sys.platform != "linux":
        pytest.skip("the ledger is that of Linux: elsewhere threads and loops are woken in other ways")
    page = ledger.read()
    if page is None:
        pytest.skip(f"the ledger has no page for Python {ledger.version()}; to have one: {ledger.WRITE}")
    return page


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_request_costs_what_the_ledger_says(name: str, kept: dict[str, Figures], measured: Measured) -> None:
    assert name in kept, f"{name} is not in the ledger: {ledger.WRITE}"

    complaint = ledger.differences(name, kept[name], measured.figures[name])

    if complaint:
        pytest.fail(complaint, pytrace=False)


def test_the_ledger_has_no_scenario_that_is_not_measured(kept: dict[str, Figures]) -> None:
    assert set(kept) <= set(SCENARIOS), f"{ledger.WRITE} takes them out"


@pytest.mark.parametrize("name", MEMORY)
def test_a_request_leaves_nothing_behind(name: str, measured: Measured) -> None:
    assert measured.memory[name].left < REQUESTS // 5, f"blocks of memory, after {REQUESTS} requests"


@pytest.mark.parametrize("name", MEMORY)
def test_a_request_leaves_nothing_to_the_garbage_collector(name: str, measured: Measured) -> None:
    assert measured.memory[name].garbage == 0, f"objects in cycles, after {REQUESTS} requests"
