"""The matrix: frameworks' applications on servers of both kinds, through `dual`, `bridge.asgi`/`bridge.wsgi`, and
``bridge serve``.

A run of the suite makes a selection (`tests.matrix.table.selections`), another one on each Python version. All of it:
``python -m tests.matrix``.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest

from bridge.serve.servers import SERVERS
from tests.integration.wsgi_servers import WAITRESS
from tests.matrix import page
from tests.matrix.__main__ import is_unexpected
from tests.matrix.running import Outcome, run_cell, run_cells
from tests.matrix.table import (
    DUAL,
    ENTRY,
    HOSTS,
    OBSTACLES,
    SERVE,
    SITES,
    WAYS,
    Cell,
    all_cells,
    obstacle_for,
    selections,
)

_SELECTIONS = selections()
CELLS = _SELECTIONS[sys.version_info.minor % len(_SELECTIONS)]
_JOBS = 3


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[Cell, Outcome]:
    """The outcomes of all cells that were chosen, run before the first of their tests: several servers at a time."""
    chosen = [
        item.callspec.params["cell"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_an_application_answers_on_a_server
    ]
    return {outcome.cell: outcome for outcome in run_cells(chosen, _JOBS)}


@pytest.mark.live
@pytest.mark.timeout(300)  # the first one waits for all
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_an_application_answers_on_a_server(cell: Cell, outcomes: dict[Cell, Outcome]) -> None:
    outcome = outcomes[cell]
    if outcome.unavailable:
        pytest.skip(outcome.unavailable)

    assert not is_unexpected(outcome), outcome.failure or "it works now: its row in OBSTACLES can go"


# ---- The matrix can fail ------------------------------------------------------------------------------------------

_WAITRESS = next(host for host in HOSTS if host.kind is WAITRESS)
_PLAIN = next(site for site in SITES if site.module == "plain_wsgi_site")


@pytest.mark.live
def test_a_wrong_answer_is_a_failure() -> None:
    outcome = run_cell(Cell(replace(_PLAIN, name="something else"), _WAITRESS, DUAL))

    assert outcome.failure.startswith("GET /: 21 bytes came, b'hello from plain WSGI'")
    assert is_unexpected(outcome)


@pytest.mark.live
def test_a_server_that_does_not_start_is_a_failure_with_its_log() -> None:
    outcome = run_cell(Cell(replace(_PLAIN, module="nowhere"), _WAITRESS, SERVE))

    assert "there is no module 'tests.matrix.apps.nowhere'" in outcome.failure
    assert is_unexpected(outcome)


# ---- The tables are complete, the selections fair -----------------------------------------------------------------


def test_the_matrix_has_twelve_frameworks_and_no_application_twice() -> None:
    frameworks = {site.distribution for site in SITES if site.distribution}
    assert len(frameworks) >= 12
    assert len({str(cell) for cell in all_cells()}) == len(all_cells())


def test_the_matrix_has_every_server_that_bridge_serve_knows_with_every_protocol_it_speaks() -> None:
    known = {(kind.name, interface) for kind in SERVERS.values() for interface in kind.protocols}
    assert {(host.served_as, host.interface) for host in SERVE.hosts} == known


@pytest.mark.parametrize("cells", _SELECTIONS)
def test_in_a_selection_every_application_and_every_server_meets_every_way(cells: list[Cell]) -> None:
    for way in WAYS:
        chosen = [cell for cell in cells if cell.way is way]
        assert {cell.site for cell in chosen} == set(SITES)
        assert {cell.host for cell in chosen} == set(way.hosts)


@pytest.mark.parametrize("cells", _SELECTIONS)
def test_in_a_selection_every_application_is_on_servers_of_both_kinds(cells: list[Cell]) -> None:
    for site in SITES:
        assert {cell.host.interface for cell in cells if cell.site is site} == {"asgi", "wsgi"}


def test_python_versions_in_a_row_have_selections_without_a_common_cell() -> None:
    assert len(_SELECTIONS) >= 5
    everything = [cell for cells in _SELECTIONS for cell in cells]
    assert len(set(everything)) == len(everything)


def test_every_obstacle_stands_in_the_way_of_some_cell() -> None:
    assert {obstacle_for(cell) for cell in all_cells()} - {None} == set(OBSTACLES)


# ---- The page -----------------------------------------------------------------------------------------------------


def test_the_page_has_exactly_the_ways_servers_and_applications_of_the_tables() -> None:
    tables = page.read()

    assert list(tables) == [way.name for way in WAYS]
    for way in WAYS:
        head, *rows = tables[way.name]
        assert head == ["", *(host.name for host in way.hosts)]
        assert [row[0] for row in rows] == [site.name for site in SITES]


def test_the_page_shows_no_cell_that_fails_without_a_known_reason() -> None:
    tables = page.read()

    for way in WAYS:
        for site, row in zip(SITES, tables[way.name][1:], strict=True):
            for host, shown in zip(way.hosts, row[1:], strict=True):
                cell = Cell(site, host, way)
                obstacle = obstacle_for(cell)
                expected = page.GOOD if obstacle is None else f"({OBSTACLES.index(obstacle) + 1})"
                assert shown == expected, str(cell)


def test_the_page_says_what_it_was_made_with() -> None:
    text = page.PAGE.read_text(encoding="utf-8").partition(page.BEGIN)[2]

    assert re.search(r"on \d\d \w+ 20\d\d, with CPython 3\.\d+\.\d+", text)
    for name in (*(host.name for host in HOSTS), *(site.name for site in SITES if site.distribution)):
        assert re.search(rf"^\| {re.escape(name)} \| [\w .]*\d[\w .]* \|$", text, re.MULTILINE), name


def test_a_cell_is_shown_as_what_it_came_to() -> None:
    cell = Cell(_PLAIN, _WAITRESS, ENTRY)

    assert page.sign(Outcome(cell)) == page.GOOD
    assert page.sign(Outcome(cell, failure="GET /: status 500")) == page.BAD
    assert page.sign(Outcome(cell, unavailable="not here")) == page.MISSING
