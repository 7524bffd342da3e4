"""The two plots that stand in the README: what they are made of."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.report.bars import Panel, panel
from benchmarks.report.merging import Report
from benchmarks.results import Comparison

REQUESTS = "headline-requests.svg"
COST = "headline-cost.svg"


def plots(report: Report) -> dict[str, tuple[str, list[Panel]]]:
    """Return title and panels by the name of the file; a plot whose figures were not measured is missing."""
    candidates = {
        REQUESTS: (
            "Requests per second, 32 connections, one core",
            [_panel(report, "under_servers", "32 connections", "Hello, world", _on_server)],
        ),
        COST: (
            "What an adapter costs, in memory",
            [
                _panel(report, "hello", "32 at a time", "One request, 32 at a time"),
                _panel(report, "small_blocks", "blocks", "A stream of small blocks"),
            ],
        ),
    }
    found = {name: (title, [each for each in panels if each]) for name, (title, panels) in candidates.items()}
    return {name: (title, panels) for name, (title, panels) in found.items() if panels}


def _panel(
    report: Report, question: str, part_of_title: str, title: str, label: Callable[[str], str] = str
) -> Panel | None:
    """Return bars of the comparison whose title has these words, on uvloop if there is one."""
    answered = report.answer(question)
    fitting = [each for each in answered[1].comparisons if part_of_title in each.title] if answered else []
    if not fitting:
        return None
    chosen: Comparison = next((each for each in fitting if "uvloop" in each.title), fitting[0])
    return panel(chosen, title=title, label=label)


_ON_UVICORN = {
    "native ASGI": "native ASGI, uvicorn",
    "bridge": "bridge, uvicorn",
    "a2wsgi": "a2wsgi, uvicorn",
    "asgiref": "asgiref, uvicorn",
    "starlette": "starlette's middleware, uvicorn",
    "uvicorn": "uvicorn's middleware, uvicorn",
}


def _on_server(row: str) -> str:
    """Return an adapter's name with its server's; nothing for what explains the bridge and is no choice of anybody."""
    return "" if row.startswith("inline") else _ON_UVICORN.get(row, row)
