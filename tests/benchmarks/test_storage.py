"""Results that are stored come back as they were."""

from __future__ import annotations

import json

import pytest

from benchmarks.report import storage
from benchmarks.results import Answer, Figure
from tests.benchmarks.made_up import comparison, hello, run

FULL = comparison(
    targets_beside={"CPU": {"floor": 1.3}}, bounds={"time": 4.0}, subject="bridge", notes=["Über 'alles'."]
)


def test_runs_come_back_as_they_were(tmp_path):
    runs = [run(hello(FULL)), run(hello(failure="OSError: no"), Answer(name="upload", text=""), load_before=None)]

    storage.save(tmp_path / "new" / "results.json", runs)

    assert storage.load(tmp_path / "new" / "results.json") == runs


def test_figures_are_stored_with_six_digits():
    stored = storage.text([run(hello(comparison(rows={"bridge": {"time": Figure((1 / 3, 2e9))}})))])

    [loaded] = storage.runs_of(stored)
    assert loaded.answers[0].comparisons[0].rows["bridge"]["time"].values == (0.333333, 2e9)
    assert storage.text([loaded]) == stored


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut off"),
        pytest.param("[]", id="a list"),
        pytest.param(json.dumps({"format": 0, "runs": []}), id="of another time"),
    ],
)
def test_what_holds_no_results_is_refused_with_advice(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=r"results\.json: .*; measure again with `--save"):
        storage.load(path)
