"""Plots: well-formed, complete, readable on light and dark pages, and the same at every run."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree as ET

import pytest

from benchmarks.report import bars, svg
from tests.benchmarks.made_up import comparison, one_column

SVG = "{http://www.w3.org/2000/svg}"
ODD = 'a <b> & "c"\'s loop'


def drawn(*comparisons, title="A plot"):
    panels = [panel for each in comparisons if (panel := bars.panel(each))]
    return ET.fromstring(bars.plot(title, panels))


def texts(root):
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def widths(root, kind="peer"):
    return [float(bar.get("width")) for bar in root.iter(f"{SVG}rect") if bar.get("class") == kind]


def test_every_label_and_every_value_is_there_as_text():
    root = drawn(comparison())

    assert {"floor", "bridge", "peer", "5.50", "11 (2 x)", "250 (45.5 x)"} <= set(texts(root))


def test_it_is_described_to_those_who_do_not_see_it():
    root = drawn(comparison(), title="Hello")

    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")}
    assert root.get("aria-labelledby").split() == list(named)
    assert named["title"] == "Hello"
    for part in ("less is better", "us per request", "times floor", "floor: 5.50", "bridge: 11 (2 x)", "peer: 250"):
        assert part in named["description"]


def test_names_may_have_any_letters():
    root = drawn(one_column("less", **{ODD: (1.0,), "bridge": (2.0,)}), title=ODD)

    assert texts(root).count(ODD) == 2


@pytest.mark.parametrize(
    ("better", "order"),
    [
        pytest.param("less", ["small", "middle", "large"], id="times"),
        pytest.param("more", ["large", "middle", "small"], id="rates"),
    ],
)
def test_the_best_one_comes_first(better, order):
    panel = bars.panel(one_column(better, middle=(2.0,), large=(3.0,), small=(1.0,)))

    assert panel is not None
    assert [bar.label for bar in panel.bars] == order


def test_the_bridge_has_its_colour_and_the_base_its_outline():
    panel = bars.panel(comparison())

    assert panel is not None
    assert [(bar.label, bar.kind) for bar in panel.bars] == [("floor", "base"), ("bridge", "bridge"), ("peer", "peer")]


def test_lengths_are_in_proportion():
    short, middle, long = widths(drawn(one_column("less", a=(5.0,), b=(10.0,), c=(20.0,))))

    assert middle == pytest.approx(2 * short, abs=0.2)
    assert long == pytest.approx(4 * short, abs=0.2)


def test_beyond_twenty_times_the_scale_is_logarithmic_and_says_so():
    root = drawn(one_column("less", a=(1.5,), b=(15.0,), c=(150.0,)))
    short, middle, long = widths(root)

    assert middle - short == pytest.approx(long - middle, abs=0.2)
    assert short > 1
    assert any("logarithmic" in words for words in texts(root))
    assert not any("logarithmic" in words for words in texts(drawn(one_column("less", a=(1.0,), b=(20.0,)))))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("values", [(1.0, 1.0), (1.0, 1.9), (3.3, 9.9), (1.0, 5000.0), (0.8, 17.0)])
@pytest.mark.parametrize("label", ["a", "a label that is much longer than any that was thought of when this was made"])
def test_nothing_is_outside_of_the_picture(values, scale, label):
    root = drawn(one_column("less", **{label: (values[0] * scale,), "b": (values[1] * scale,)}))

    width, height = float(root.get("width")), float(root.get("height"))
    for bar in root.iter(f"{SVG}rect"):
        assert 0 <= float(bar.get("x")) <= float(bar.get("x")) + float(bar.get("width")) <= width
        assert 0 <= float(bar.get("y")) <= float(bar.get("y")) + float(bar.get("height")) <= height
    for text in root.iter(f"{SVG}text"):
        long = svg.width_of("".join(text.itertext()))
        begin = float(text.get("x")) - {None: 0, "middle": long / 2, "end": long}[text.get("text-anchor")]
        assert begin >= 0
        assert begin + long <= width
        assert 0 <= float(text.get("y")) <= height


def test_rows_do_not_overlap():
    root = drawn(comparison(), comparison("Another"))

    places = [(float(bar.get("y")), float(bar.get("height"))) for bar in root.iter(f"{SVG}rect")]
    assert len(places) == 6
    assert all(top + height <= below for (top, height), (below, _) in itertools.pairwise(places))


def test_it_has_colours_for_both_kinds_of_page_and_no_background():
    root = drawn(comparison())

    [style] = [element.text for element in root.iter(f"{SVG}style")]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for kind in ("text", ".bridge", ".peer", ".base", ".quiet", ".grid"):
        assert kind in light
        assert kind in dark
    assert {bar.get("class") for bar in root.iter(f"{SVG}rect")} == {"bridge", "peer", "base"}


def test_it_is_the_same_at_every_run():
    assert ET.tostring(drawn(comparison())) == ET.tostring(drawn(comparison()))


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"bridge": (1.0,)}, id="one"),
        pytest.param({"bridge": (1.0,), "peer": (0.0,)}, id="one and nothing"),
    ],
)
def test_there_is_no_plot_of_less_than_two(rows):
    assert bars.panel(one_column("less", **rows)) is None


def test_rows_can_be_labelled_otherwise_or_left_out():
    panel = bars.panel(comparison(), label=lambda row: {"bridge": "here", "peer": "there"}.get(row, ""))

    assert panel is not None
    assert [(bar.label, bar.kind) for bar in panel.bars] == [("here", "bridge"), ("there", "peer")]
