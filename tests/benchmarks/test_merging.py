"""Several runs as one report."""

from __future__ import annotations

import pytest

from benchmarks.report.merging import Report
from benchmarks.results import Figure
from tests.benchmarks.made_up import comparison, hello, run

OTHER = comparison(rows={"bridge": {"time": Figure((40.0,))}, "floor": {"time": Figure((10.0,))}})


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param(["3.13.0", "3.11.9", "3.12.1"], ["3.11.9", "3.12.1", "3.13.0"], id="given in any order"),
        pytest.param(["3.10.0", "3.9.0"], ["3.9.0", "3.10.0"], id="as numbers"),
        pytest.param(["3.14.0rc2", "3.14.0"], ["3.14.0", "3.14.0rc2"], id="with letters"),
        pytest.param(["3.13.0", "3.13.0"], ["3.13.0"], id="twice"),
    ],
)
def test_the_pythons_are_in_order(versions, expected):
    assert Report(tuple(run(python=version) for version in versions)).pythons == expected


def test_the_pages_are_about_the_first_runs_python():
    report = Report((run(hello(comparison())), run(hello(OTHER), python="3.11.9")))

    assert report.answer("hello")[1].comparisons == [comparison()]
    assert report.answer("hello", "3.11.9")[1].comparisons == [OTHER]
    assert report.answer("upload") is None
    assert not report.is_of_several_runs()


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(hello(OTHER), [OTHER], id="the later one holds"),
        pytest.param(hello(failure="OSError: no"), [comparison()], id="unless it is a failure"),
    ],
)
def test_runs_of_one_python_complete_each_other(later, expected):
    report = Report((run(hello(comparison())), run(later, date="2026-02-02 00:00")))

    found = report.answer("hello")

    assert found is not None
    assert found[1].comparisons == expected
    assert report.is_of_several_runs()


def test_a_failure_is_an_answer_if_there_is_no_other():
    report = Report((run(hello(failure="OSError: no")),))

    assert report.answer("hello")[1].failure == "OSError: no"


def test_comparisons_with_one_title_stand_beside_each_other():
    only_here = comparison("Only here")
    report = Report((run(hello(comparison(), only_here)), run(hello(OTHER), python="3.11.9")))

    [(found, figures)] = report.beside("hello")

    assert found == comparison()
    assert list(figures) == ["3.11.9", "3.13.0"]
    assert figures["3.11.9"] == {"bridge": Figure((40.0,)), "floor": Figure((10.0,))}


def test_one_python_has_nothing_beside_it():
    assert list(Report((run(hello(comparison())), run(hello(OTHER)))).beside("hello")) == []
