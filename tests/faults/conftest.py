"""The load of the fault bench: ``--faults=full`` runs the tests with what is measured, by default they are modest."""

from __future__ import annotations

import pytest

MODEST, FULL = "modest", "full"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option; it is there when ``tests/faults`` (or a file in it) is named on the command line."""
    parser.addoption("--faults", choices=[MODEST, FULL], default=MODEST, help="the load of the tests in tests/faults")


@pytest.fixture(scope="session")
def is_full(request: pytest.FixtureRequest) -> bool:
    """Whether the full loads were asked for."""
    return bool(request.config.getoption("--faults", default=MODEST) == FULL)
