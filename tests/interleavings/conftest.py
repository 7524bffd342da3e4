"""At the end of a verbose run: how many schedules each test has explored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interleavings import schedules

_DEEP_TIMEOUT_S = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give large sizes more time than other tests have."""
    if schedules.DEEP:
        for item in items:
            if "interleavings" in item.path.parts:
                item.add_marker(pytest.mark.timeout(_DEEP_TIMEOUT_S))


_explored: dict[str, list[schedules.Report]] = {}


@pytest.fixture(autouse=True)
def noted(request: pytest.FixtureRequest) -> Iterator[None]:
    schedules.reports.clear()
    yield
    if schedules.reports:
        _explored[request.node.nodeid] = list(schedules.reports)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _explored and terminalreporter.config.option.verbose > 0:
        terminalreporter.section("schedules (repeats given up, longest)")
        for name, reports in _explored.items():
            for report in reports:
                numbers = f"{report.schedules:>7} ({report.repeats}, {report.steps} steps)"
                terminalreporter.write_line(f"{numbers:<32} {name.partition('interleavings/')[2]}")
