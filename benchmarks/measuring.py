"""Ask the questions, one after the other."""

from __future__ import annotations

import datetime as dt
import platform
import time
import traceback
from collections.abc import Callable, Iterable

from benchmarks import machine
from benchmarks.questions import QUESTIONS
from benchmarks.results import Answer, Run
from benchmarks.settings import Settings


def measure(names: Iterable[str], settings: Settings, answered: Callable[[Run, Answer], None] = lambda *_: None) -> Run:
    """Ask the questions of those names.

    One that fails does not take the others with it: some of these programs run for an hour.

    Args:
        names: keys of `QUESTIONS`.
        settings: how long and how often.
        answered: called with each answer as soon as it is there, and with all that there is so far.
    """
    run = Run(
        python=platform.python_version(),
        build=machine.build(),
        machine=machine.describe(),
        revision=machine.revision(),
        versions=machine.versions(),
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M"),
        rounds=settings.rounds,
        quick=settings.quick,
        load_before=machine.load(),
    )
    for name in names:
        answer = _ask(name, settings)
        run.answers.append(answer)
        run.load_after = machine.load()
        answered(run, answer)
    return run


def _ask(name: str, settings: Settings) -> Answer:
    question = QUESTIONS[name]
    answer = Answer(name=name, text=question.text())
    began_s = time.perf_counter()
    try:
        answer.comparisons = question.ask(settings)
    except Exception as error:
        traceback.print_exc()
        answer.failure = f"{type(error).__name__}: {error}"
    answer.took_s = round(time.perf_counter() - began_s, 1)
    return answer
