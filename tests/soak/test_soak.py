"""The short soak: every answer exact, and nothing left in the server. The long one is a program (`tests.soak`)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.soak import books
from tests.soak.driving import HOSTINGS, Run, soak, what_goes_on
from tests.soak.judging import MEASURES, failures_of, growing_types, slope
from tests.soak.operations import OPERATIONS, PER_ROUND, a_round

_REQUESTS = 1_600
_WARM_UP = 600
_ALLOWANCE = 8
"""An object left behind by each hundredth request would be ten."""


@pytest.mark.live
@pytest.mark.faults
@pytest.mark.timeout(240)
@pytest.mark.parametrize("hosting", ["to_asgi", "to_wsgi"])
def test_mixed_requests_are_answered_exactly_and_leave_nothing_behind(hosting: str) -> None:
    run = soak(hosting, requests=_REQUESTS, warm_up=_WARM_UP, looks=3)

    assert run.complaints == []  # wrong answers; more threads, descriptors or tasks than before; alarms in the log
    assert growing_types(run, _ALLOWANCE) == {}
    assert sum(run.done.values()) == _REQUESTS
    assert {row.name for row in OPERATIONS if hosting in row.hostings} <= run.done.keys()
    last: dict[str, int] = run.looks[-1]["books"]
    assert last["cut uploads"] > 0
    assert last["streams closed"] > 0
    assert last["sockets ended"] > 0


# ---- The soak itself ------------------------------------------------------------------------------------------------


def _look(requests: int, **more: Any) -> dict[str, Any]:
    usual = {"uss KiB": 40_000, "blocks": 200_000, "malloc bytes": 9_000_000, "types": {"dict": 5_000}}
    return {"requests": requests, "threads": 5, "descriptors": 9, "tasks": 2, **usual, **more}


def _run_of(*looks: dict[str, Any]) -> Run:
    return Run("to_asgi", requests=looks[-1]["requests"], warm_up=looks[0]["requests"], looks=list(looks))


@pytest.mark.parametrize("hosting", HOSTINGS)
def test_a_round_has_each_operation_of_the_hosting_as_often_as_its_weight_says(hosting: str) -> None:
    done = [operation.name for operation in a_round(hosting)]

    assert len(done) == PER_ROUND
    assert done.count("hello") > 0
    for row in OPERATIONS:
        assert done.count(row.name) == (row.weight if hosting in row.hostings else 0)


def test_the_growth_is_that_of_the_line_through_all_looks() -> None:
    run = _run_of(*(_look(requests, blocks=1_000 + requests // 100) for requests in (20_000, 70_000, 120_000)))

    assert slope(run, "blocks") == pytest.approx(1_000)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.key)
def test_what_grows_faster_than_its_bound_is_a_failure(measure: Any) -> None:
    def grown(times: float) -> Run:
        step = times * measure.most * measure.divisor
        return _run_of(*(_look(requests, **{measure.key: step * requests / 100_000}) for requests in (0, 200_000)))

    assert failures_of(grown(0.9)) == []
    assert [sentence.partition(":")[0] for sentence in failures_of(grown(1.1))] == [measure.name]


def test_a_type_is_growing_if_there_are_more_at_all_late_looks_than_at_all_early_ones() -> None:
    counts = [100, 90, 100, 104, 98, 109, 109, 120, 109]
    looks = [
        _look(number, types={"dict": 5_000 + (number == 4) * 900, "kept": kept}) for number, kept in enumerate(counts)
    ]

    assert growing_types(_run_of(*looks), allowance=8) == {"kept": (100, 109)}
    assert growing_types(_run_of(*looks), allowance=9) == {}


@pytest.mark.parametrize(
    ("statistics", "kept", "found"),
    [
        pytest.param({"requests": 0, "refused": 7, "workers_idle": 3}, {}, [], id="nothing"),
        pytest.param({"requests": 1, "stuck": 0}, {}, ["requests: 1"], id="a-request"),
        pytest.param({"websockets": 2}, {}, ["websockets: 2"], id="sockets"),
        pytest.param({}, {"streams opened": 3}, ["streams opened: 3, streams closed: 0"], id="an-open-stream"),
        pytest.param({}, {books.NEVER[0]: 1}, [f"{books.NEVER[0]}: 1"], id="what-must-never-be"),
    ],
)
def test_a_server_is_at_rest_when_nothing_is_under_way(
    statistics: dict[str, int], kept: dict[str, int], found: list[str]
) -> None:
    assert what_goes_on({"statistics": [statistics], "books": dict.fromkeys(books.counts(), 0) | kept}) == found
