"""The answer to one question as a section of Markdown, on the terminal and on a page."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.questions import QUESTIONS
from benchmarks.report import targets
from benchmarks.report.tables import markdown, table
from benchmarks.results import Answer, Comparison, Run


def section(answer: Answer, *, remark: str = "", picture: Callable[[Answer, Comparison], str] = lambda *_: "") -> str:
    """Return the question, and what was found.

    Args:
        answer: to one question.
        remark: a sentence below the heading.
        picture: returns the Markdown that shows a comparison's plot, or nothing.
    """
    parts = [f"## {QUESTIONS[answer.name].title}", remark, answer.text.strip()]
    if answer.failure:
        parts.append(f"This could not be measured: {answer.failure}")
    for comparison in answer.comparisons:
        parts += [
            f"### {comparison.title}",
            table(comparison).rstrip("\n"),
            picture(answer, comparison),
            "\n".join(targets.lines(comparison)),
            *comparison.notes,
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def surroundings(run: Run) -> str:
    """Return what is to be known of a run: when, where, of what."""
    return markdown(["", "Run"], [[name, value] for name, value in facts(run).items()], text_columns=2)


def facts(run: Run) -> dict[str, str]:
    """Return the same as names and texts."""
    load = "not known"
    if run.load_before is not None and run.load_after is not None:
        load = f"{run.load_before:.2f} before, {run.load_after:.2f} after"
    return {
        "date (UTC)": run.date,
        "Python": f"{run.python} ({run.build})",
        "machine": run.machine,
        "revision of the bridge": run.revision,
        "rounds": f"{run.rounds} (quick, so of little worth)" if run.quick else str(run.rounds),
        "load": load,
        "versions": ", ".join(f"{package} {version}" for package, version in run.versions.items()),
    }
