"""Targets: at most so many times where less is better, at least so many times where more is."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.report.targets import lines, tally, verdicts
from benchmarks.results import Column, Comparison, Figure
from tests.benchmarks.made_up import comparison, one_column


@pytest.mark.parametrize(
    ("better", "times", "bridge", "target", "found", "reached"),
    [
        pytest.param("less", 2.5, (25.0,), "at most 2.5 times floor", "2.50", True, id="a time, just"),
        pytest.param("less", 2.5, (25.1,), "at most 2.5 times floor", "2.51", False, id="a time, just not"),
        pytest.param("less", 1 / 18, (0.5,), "at least 18 times faster than floor", "20", True, id="times faster"),
        pytest.param("less", 1 / 18, (0.6,), "at least 18 times faster than floor", "16.7", False, id="not as fast"),
        pytest.param("more", 2.8, (28.0,), "at least 2.8 times floor", "2.80", True, id="a rate, just"),
        pytest.param("more", 2.8, (27.9,), "at least 2.8 times floor", "2.79", False, id="a rate, just not"),
        pytest.param("less", 1, (10.0,), "no more than floor", "1", True, id="a time as short"),
        pytest.param("more", 1, (9.9,), "no less than floor", "0.99", False, id="a rate not as high"),
        pytest.param("more", 0.8, (8.0,), "at least 0.8 times floor", "0.80", True, id="a part of a rate"),
        pytest.param("more", 0.8, (7.9,), "at least 0.8 times floor", "0.79", False, id="too small a part"),
    ],
)
def test_a_target_is_reached_or_not(better, times, bridge, target, found, reached):
    made = one_column(better, bridge=bridge, floor=(10.0,))
    made.targets = {"floor": times}

    [verdict] = verdicts(made)

    assert (verdict.target, verdict.found, verdict.reached) == (target, found, reached)


def test_what_is_no_time_is_not_called_fast():
    made = one_column("less", "MiB", bridge=(1.0,), peer=(10.0,))
    made.targets = {"peer": 1 / 4}

    assert verdicts(made)[0].target == "at least 4 times less than peer"


@pytest.mark.parametrize(
    ("better", "value", "target", "reached"),
    [
        pytest.param("less", 3.9, "at most 4 us", True, id="less"),
        pytest.param("less", 4.1, "at most 4 us", False, id="not less"),
        pytest.param("more", 4.1, "at least 4 us", True, id="more"),
        pytest.param("more", 3.9, "at least 4 us", False, id="not more"),
    ],
)
def test_a_bound_needs_no_base(better, value, target, reached):
    made = one_column(better, bridge=(value,))
    made.bounds = {"figure": 4.0}

    [verdict] = verdicts(made)

    assert (verdict.target, verdict.reached) == (target, reached)


def test_a_column_beside_the_first_is_named():
    made = comparison(targets={}, targets_beside={"CPU": {"floor": 3.0}}, bounds={"CPU": 30.0})

    assert [(verdict.target, verdict.reached) for verdict in verdicts(made)] == [
        ("CPU: at most 3 times floor", False),
        ("CPU: at most 30 us per request", True),
    ]


@pytest.mark.parametrize(
    ("bridge", "shown"),
    [
        pytest.param((10.0, 10.0, 10.0), "yes", id="always"),
        pytest.param((10.0, 10.0, 21.0), "yes, in 2 of 3 rounds", id="not always"),
        pytest.param((10.0, 21.0, 21.0), "**no**, but in 1 of 3 rounds", id="sometimes"),
        pytest.param((21.0, 21.0, 21.0), "**no**", id="never"),
    ],
)
def test_a_near_thing_is_told(bridge, shown):
    made = one_column("less", bridge=bridge, floor=(10.0, 10.0, 10.0))
    made.targets = {"floor": 2.0}

    assert str(verdicts(made)[0]) == shown


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param({"bridge": (1.0,)}, id="the base is missing"),
        pytest.param({"floor": (1.0,)}, id="the bridge is missing"),
        pytest.param({"bridge": (1.0,), "floor": (0.0,)}, id="the base is nothing"),
    ],
)
def test_what_was_not_measured_is_neither_reached_nor_missed(rows):
    made = one_column("less", **rows)
    made.targets = {"floor": 2.0}

    [verdict] = verdicts(made)

    assert (verdict.reached, str(verdict)) == (None, "not measured")
    assert tally([verdict]) == "0 of 1 targets were reached, 1 could not be measured."


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param("", "bridge, asyncio", id="the first one that begins with bridge"),
        pytest.param("bridge, uvloop", "bridge, uvloop", id="the one that is named"),
        pytest.param("bridge, trio", None, id="one that was not measured"),
    ],
)
def test_the_targets_are_for_one_row(subject, expected):
    column = Column(name="figure", unit="us", better="less")
    rows = {name: {"figure": Figure((1.0,))} for name in ("plain", "bridge, asyncio", "bridge, uvloop")}

    assert Comparison(title="", columns=(column,), rows=rows, subject=subject).bridge() == expected


def test_verdicts_are_a_list_below_the_table_and_are_counted():
    made = comparison()

    assert list(lines(made)) == [
        "- Target: at most 2.5 times floor; found 2 (2-2.50). Reached: yes.",
        "- Target: at least 18 times faster than peer; found 20 (20-20). Reached: yes.",
    ]
    assert tally(verdicts(made)) == "2 of 2 targets were reached."
    assert tally(dataclasses.replace(verdict, reached=False) for verdict in verdicts(made)).startswith("0 of 2")
