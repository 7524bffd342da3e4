"""Ratios with their spread, and numbers as they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.ratios import number, ratio
from benchmarks.results import Figure


@pytest.mark.parametrize(
    ("figure", "base", "middle", "lowest", "highest"),
    [
        pytest.param((10.0,), (5.0,), 2.0, 2.0, 2.0, id="one round"),
        pytest.param((10.0, 30.0, 12.0), (5.0, 6.0, 6.0), 2.0, 2.0, 5.0, id="a round in which something else ran"),
        pytest.param((10.0, 10.0, 30.0), (10.0, 10.0, 30.0), 1.0, 1.0, 1.0, id="both were disturbed"),
        pytest.param((10.0,), (5.0, 1.0, 1.0), 2.0, 2.0, 2.0, id="it sat out"),
        pytest.param((10.0, 1.0, 1.0), (5.0,), 2.0, 2.0, 2.0, id="its base sat out"),
    ],
)
def test_a_ratio_is_that_of_the_medians_of_the_rounds_both_took_part_in(figure, base, middle, lowest, highest):
    found = ratio(Figure(figure), Figure(base))

    assert found is not None
    assert (found.middle, found.lowest, found.highest) == (middle, lowest, highest)


@pytest.mark.parametrize(
    ("figure", "base"),
    [
        pytest.param((1.0,), (0.0,), id="the base is nothing"),
        pytest.param((0.0,), (1.0,), id="it is nothing itself"),
        pytest.param((), (1.0,), id="it was never measured"),
    ],
)
def test_there_is_no_ratio_with_nothing(figure, base):
    assert ratio(Figure(figure), Figure(base)) is None


_FIGURES = st.floats(min_value=1e-3, max_value=1e9)


@given(st.lists(st.tuples(_FIGURES, _FIGURES), min_size=1, max_size=9))
def test_the_ratio_of_the_medians_lies_within_the_spread(rounds):
    figure, base = zip(*rounds, strict=True)

    found = ratio(Figure(figure), Figure(base))

    assert found is not None
    assert found.lowest * (1 - 1e-9) <= found.middle <= found.highest * (1 + 1e-9)


def test_the_inverse_swaps_figure_and_base():
    there, back = ratio(Figure((10.0, 30.0)), Figure((5.0, 6.0))), ratio(Figure((5.0, 6.0)), Figure((10.0, 30.0)))

    assert there is not None
    assert back is not None
    assert there.inverse().middle == pytest.approx(back.middle)
    assert there.inverse().by_round == pytest.approx(back.by_round)


@pytest.mark.parametrize(
    ("figure", "base", "shown"),
    [
        pytest.param((4.1,), (1.0,), "4.10", id="one round has no spread"),
        pytest.param((3.9, 4.1, 4.4), (1.0, 1.0, 1.0), "4.10 (3.90-4.40)", id="three rounds"),
        pytest.param((43.0, 41.0, 47.5), (1.0, 1.0, 1.0), "43 (41-47.5)", id="larger"),
    ],
)
def test_a_ratio_is_shown_with_its_spread(figure, base, shown):
    assert str(ratio(Figure(figure), Figure(base))) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(0.0, "0", id="nothing"),
        pytest.param(501.0, "501", id="a count"),
        pytest.param(19694.3, "19,694", id="large"),
        pytest.param(243.4, "243", id="hundreds"),
        pytest.param(23.04, "23.0", id="tens"),
        pytest.param(4.056, "4.06", id="some"),
        pytest.param(0.5, "0.50", id="a half"),
        pytest.param(0.0543, "0.054", id="small"),
    ],
)
def test_a_number_has_as_many_digits_as_mean_anything(value, shown):
    assert number(value) == shown
