"""The pages that are written: an index with the targets, a page for each group of questions, and the plots."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.questions import PAGES, QUESTIONS
from benchmarks.report import bars, headline, sections, storage, targets
from benchmarks.report.merging import Report
from benchmarks.report.ratios import number, ratio
from benchmarks.report.tables import markdown
from benchmarks.results import Answer, Comparison, Figure, Run

DIRECTORY = Path(__file__).resolve().parent.parent.parent / "docs" / "performance"
RESULTS = "results.json"
MARK = "<!-- Written by `python -m benchmarks.report`: edits are lost. -->"
_PYTHONS = "pythons"
_INTRODUCTION = (
    "Made by `python -m benchmarks --write`, which measures; `python -m benchmarks.report` shows again what was stored "
    "then (`results.json`).\n"
    "All candidates of a question run side by side in one go, in interleaved rounds, so that whatever else the machine "
    "does hits all of them.\n"
    "Figures are medians; a ratio is that of the medians, and in brackets stand the lowest and the highest ratio of "
    "one and the same round.\n"
    "Ratios carry over to other machines, absolute figures do not.\n\n"
    "The *inline floor* calls the application on the event loop, with a minimal environ and without a single check: "
    "nobody may do that, and nothing can beat it.\n"
    "*Processor* is the time that all threads and processes took of the processors, whatever the clock said."
)
ACCOUNT = "../discussion/where-the-time-goes.md"
"""Why a target that is missed is missed, seen from `DIRECTORY`; written by hand, so it is nowhere else."""
_TARGETS = (
    f"[Where the time goes]({ACCOUNT}) accounts for what is left.\n"
    "Where the medians reach a target and some round does not, or the other way round, the table says so."
)


def write(directory: Path, runs: list[Run]) -> None:
    """Write all pages, the plots and the results themselves; what was written there before is replaced."""
    made = files(runs)
    (directory / "plots").mkdir(parents=True, exist_ok=True)
    for old in [*directory.glob("*.md"), *directory.glob("plots/*.svg")]:
        if MARK in old.read_text(encoding="utf-8"):
            old.unlink()
    for name, text in made.items():
        (directory / name).write_text(text, encoding="utf-8")


def files(runs: list[Run]) -> dict[str, str]:
    """Return the text of each file by its name."""
    results = storage.text(runs)
    report = Report(tuple(storage.runs_of(results)))  # as whoever reads the file will see them
    plots = _plots(report)
    made = {RESULTS: results, "index.md": _index(report), f"{_PYTHONS}.md": _pythons(report)}
    made |= {f"{page}.md": _page(page, report, plots) for page in PAGES}
    made |= {name: bars.plot(panel.title, [panel]) for name, panel in plots.values()}
    for name, (title, panels) in headline.plots(report).items():
        made[f"plots/{name}"] = bars.plot(title, panels)
    return {name: f"{text}{MARK}\n" if name.endswith(".svg") else text for name, text in made.items()}


Plots = dict[tuple[str, str], tuple[str, bars.Panel]]


def _plots(report: Report) -> Plots:
    """Return name and panel of each plot, by the question and the comparison's title."""
    found: Plots = {}
    taken: set[str] = set()
    for question in QUESTIONS:
        answered = report.answer(question)
        for comparison in answered[1].comparisons if answered else ():
            if panel := bars.panel(comparison):
                stem = re.sub(r"[^a-z0-9]+", "-", f"{question} {comparison.title}".lower()).strip("-")
                name = next(name for name in _numbered(f"plots/{stem}") if name not in taken)
                taken.add(name)
                found[question, comparison.title] = name, panel
    return found


def _numbered(stem: str) -> Iterator[str]:
    yield f"{stem}.svg"
    for number_of_it in itertools.count(2):
        yield f"{stem}-{number_of_it}.svg"


def _joined(*parts: str) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


# ---- A page for each group of questions -----------------------------------------------------------------------------


def _page(name: str, report: Report, plots: Plots) -> str:
    def picture(answer: Answer, comparison: Comparison) -> str:
        file, _ = plots.get((answer.name, comparison.title), ("", None))
        return f"![{comparison.title}]({file})" if file else ""

    page = PAGES[name]
    parts = [MARK, f"# {page.title}", page.text, "[All measurements, and how to read them](index.md)"]
    for question in QUESTIONS.values():
        if question.page != name:
            continue
        found = report.answer(question.name)
        if found is None:
            parts.append(f"## {question.title}\n\n{question.text()}\n\nThis was not measured.")
            continue
        run, answer = found
        remark = ""
        if report.is_of_several_runs():
            rounds = "a quick run" if run.quick else f"{run.rounds} rounds"
            remark = f"Measured {run.date}, revision {run.revision}, {rounds}."
        parts.append(sections.section(answer, remark=remark, picture=picture))
    return _joined(*parts)


# ---- The index ------------------------------------------------------------------------------------------------------


def _index(report: Report) -> str:
    pictures = [f"![{title}](plots/{name})" for name, (title, _) in headline.plots(report).items()]
    links = [f"- [{page.title}]({name}.md)" for name, page in PAGES.items()]
    links.append(f"- [The Pythons beside each other]({_PYTHONS}.md)")
    quick = "These are of a quick run, and so of little worth." if any(run.quick for run in report.runs) else ""
    parts = [MARK, "# Measurements", quick, _INTRODUCTION, "\n".join(links), *pictures, "## What was to be reached"]
    tables = {name: list(_target_rows(name, report)) for name in PAGES}
    if any(tables.values()):
        parts += [targets.tally(verdict for rows in tables.values() for _, verdict in rows), _TARGETS]
        parts += [f"### {PAGES[name].title}\n\n{_target_table(rows)}" for name, rows in tables.items() if rows]
    else:
        parts.append("Nothing was measured that has a target.")
    if missing := [name for name in QUESTIONS if report.answer(name) is None]:
        parts.append(f"Not measured at all: {', '.join(missing)}.")
    if failed := [name for name in QUESTIONS if (found := report.answer(name)) and found[1].failure]:
        parts.append(f"Failed: {', '.join(failed)}.")
    parts.append("## Where and when")
    parts += [sections.surroundings(run) for run in report.runs]
    return _joined(*parts)


def _target_rows(page: str, report: Report) -> Iterator[tuple[str, targets.Verdict]]:
    """Yield for each target of a page what was done, with a link to it, and the verdict."""
    for name, question in QUESTIONS.items():
        found = report.answer(name) if question.page == page else None
        for comparison in found[1].comparisons if found else ():
            for verdict in targets.verdicts(comparison):
                yield f"[{comparison.title}]({page}.md#{anchor(comparison.title)})", verdict


def anchor(heading: str) -> str:
    """Return what leads to a heading, as GitHub and others name it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _target_table(rows: list[tuple[str, targets.Verdict]]) -> str:
    cells = [[what, verdict.target, verdict.found, str(verdict)] for what, verdict in rows]
    return markdown(["What", "Target", "Found", "Reached"], cells, text_columns=2)


# ---- The Pythons ----------------------------------------------------------------------------------------------------


def _pythons(report: Report) -> str:
    parts = [MARK, "# The Pythons beside each other", "[All measurements, and how to read them](index.md)"]
    tables = [
        f"## {comparison.title}\n\n{_python_table(comparison, figures)}"
        for question in QUESTIONS
        for comparison, figures in report.beside(question)
    ]
    if not tables:
        tables.append(f"Only Python {report.runs[0].python} was measured.")
    return _joined(*parts, *tables)


def _python_table(comparison: Comparison, figures: dict[str, dict[str, Figure]]) -> str:
    column = comparison.columns[0]
    base = next((base for base in comparison.bases if base in comparison.rows), None)
    sentence = f"{column.unit}; {column.better} is better"
    if base:
        sentence += f"; in brackets: times {base}"
    rows = []
    for row in comparison.rows:
        cells = [row]
        for of_python in figures.values():
            mine, theirs = of_python.get(row), of_python.get(base or "")
            found = ratio(mine, theirs) if mine and theirs and row != base else None
            cells.append("" if mine is None else number(mine.median) + (f" ({number(found.middle)})" if found else ""))
        rows.append(cells)
    return f"{sentence[0].upper()}{sentence[1:]}.\n\n{markdown(['', *figures], rows)}"
