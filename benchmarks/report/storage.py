"""Results as JSON, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.results import Answer, Column, Comparison, Figure, Run

FORMAT = 1


def save(path: Path, runs: Iterable[Run]) -> None:
    """Store runs in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(runs), encoding="utf-8")


def text(runs: Iterable[Run]) -> str:
    """Return runs as JSON."""
    stored = {"format": FORMAT, "runs": [_stored_run(run) for run in runs]}
    return json.dumps(stored, indent=1, ensure_ascii=False) + "\n"


def load(path: Path) -> list[Run]:
    """Return the runs that a file holds.

    Raises:
        ValueError: it does not hold any, or they are of another time.
    """
    try:
        return runs_of(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; measure again with `--save {path}`") from error


def runs_of(stored_text: str) -> list[Run]:
    """Return the runs that were made to text."""
    stored = json.loads(stored_text)
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ValueError(f"there are no results of format {FORMAT} in it")
    return [_loaded_run(run) for run in stored["runs"]]


def _stored_run(run: Run) -> dict[str, Any]:
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    fields["answers"] = [
        {**vars(answer), "comparisons": [_stored_comparison(comparison) for comparison in answer.comparisons]}
        for answer in run.answers
    ]
    return fields


def _stored_comparison(comparison: Comparison) -> dict[str, Any]:
    rows = {
        row: {column: " ".join(f"{value:.6g}" for value in figure.values) for column, figure in figures.items()}
        for row, figures in comparison.rows.items()
    }
    return {**vars(comparison), "columns": [vars(column) for column in comparison.columns], "rows": rows}


def _loaded_run(stored: dict[str, Any]) -> Run:
    answers = [
        Answer(**{**answer, "comparisons": [_loaded_comparison(comparison) for comparison in answer["comparisons"]]})
        for answer in stored["answers"]
    ]
    return Run(**{**stored, "answers": answers})


def _loaded_comparison(stored: dict[str, Any]) -> Comparison:
    rows = {
        row: {column: Figure(tuple(map(float, values.split()))) for column, values in figures.items()}
        for row, figures in stored["rows"].items()
    }
    columns = tuple(Column(**column) for column in stored["columns"])
    return Comparison(**{**stored, "columns": columns, "bases": tuple(stored["bases"]), "rows": rows})
