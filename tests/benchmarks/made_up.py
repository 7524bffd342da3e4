"""Results that nobody measured."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from benchmarks.results import Answer, Column, Comparison, Figure, Run

TIME = Column(name="time", unit="us per request", better="less")
CPU = Column(name="CPU", unit="us per request", better="less")


def comparison(title: str = "Hello, 32 at a time, uvloop", **changes: Any) -> Comparison:
    """Return a comparison of two columns and three rounds; the peer sat the last one out."""
    given = {
        "columns": (TIME, CPU),
        "rows": {
            "floor": {"time": Figure((5.0, 6.0, 5.5)), "CPU": Figure((5.0, 6.0, 5.5))},
            "bridge": {"time": Figure((10.0, 15.0, 11.0)), "CPU": Figure((20.0, 21.0, 22.0))},
            "peer": {"time": Figure((200.0, 300.0))},
        },
        "bases": ("nobody", "floor", "bridge"),
        "targets": {"floor": 2.5, "peer": 1 / 18},
        "notes": ["A note."],
    }
    return Comparison(title=title, **{**given, **changes})


def one_column(better: Literal["less", "more"], unit: str = "us", **rows: tuple[float, ...]) -> Comparison:
    """Return a comparison with one column of figures."""
    column = Column(name="figure", unit=unit, better=better)
    return Comparison(
        title="A title", columns=(column,), rows={name: {"figure": Figure(v)} for name, v in rows.items()}
    )


def run(*answers: Answer, **changes: Any) -> Run:
    """Return a run with those answers."""
    made = Run(
        python="3.13.0",
        build="CPython",
        machine="A processor, 2 cores, Linux",
        revision="abc1234",
        versions={"a2wsgi": "1.10.10"},
        date="2026-01-02 03:04",
        rounds=3,
        quick=False,
        load_before=0.5,
        load_after=1.25,
        answers=list(answers),
    )
    return dataclasses.replace(made, **changes)


def hello(*comparisons: Comparison, failure: str = "") -> Answer:
    """Return an answer to the first question."""
    return Answer(name="hello", text="What does it add?", comparisons=list(comparisons), took_s=1.5, failure=failure)
