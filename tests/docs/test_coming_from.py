"""The pages for those who come from another adapter: each row of their tables is tried, on that one and on the bridge.

A cell begins with what is claimed, up to the first semicolon; a look (`tests.docs.coming_from`) returns what it saw in
the same words. So neither a table nor an adapter can change without the other.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from typing import Any, Final

import pytest

from bridge import ASGIToWSGI, Limits, WSGIToASGI
from tests.docs.coming_from import (
    hosts,
    looks,
    to_asgi_bodies,
    to_asgi_environ,
    to_asgi_responses,
    to_asgi_threads,
    to_wsgi_endings,
    to_wsgi_processes,
    to_wsgi_requests,
)
from tests.docs.pages import TOP, text_of

pytestmark = pytest.mark.once

NAMES: Final = ("a2wsgi", "asgiref", "starlette", "uvicorn", "hypercorn")
ROOMS: Final = (
    to_asgi_bodies, to_asgi_environ, to_asgi_responses, to_asgi_threads,
    to_wsgi_endings, to_wsgi_processes, to_wsgi_requests,
)  # fmt: skip
"""Where the looks are: they register themselves."""
KINDS: Final = ("changes", "better", "watch")
OWN_HOSTS: Final = {"The largest upload in `AsyncioWSGIMiddleware`": hosts.hypercorn_middleware}
"""Rows about another way to use the same adapter."""


@dataclass(frozen=True)
class Row:
    """One row of a table of a page; the number of the table is 0 for applications of WSGI, 1 for those of ASGI."""

    page: str
    table: int
    title: str
    before: str
    after: str
    kind: str

    @property
    def id(self) -> str:
        direction = "to_wsgi" if self.table else "to_asgi"
        return f"{self.page}-{direction}-{re.sub(r'[^a-z0-9%]+', '-', self.title.lower()).strip('-')}"


def page_of(name: str) -> str:
    return text_of(f"coming-from/{name}.md")


def rows_of(name: str) -> list[Row]:
    """Return the rows of the tables of a page."""
    rows = []
    tables = re.findall(r"^\| \| .* \| bridge \| \|\n\| --- .*\n((?:\|.*\n)+)", page_of(name), re.MULTILINE)
    for number, table in enumerate(tables):
        for line in table.splitlines():
            title, before, after, kind = line.strip("| ").split(" | ")
            rows.append(Row(name, number, title, before, after, kind))
    return rows


ROWS: Final = [row for name in NAMES for row in rows_of(name)]
BRIDGE_ROWS: Final = {(row.table, row.title): row for row in ROWS}


def claim(cell: str) -> str:
    """Return what a cell claims, without what it explains."""
    return cell.partition(";")[0]


def skip_where_it_cannot_be_tried(row: Row) -> None:
    if "fork" in row.title and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    if row.title == "The event loop" and sys.platform == "win32":
        pytest.skip("no uvloop here")


def seen(row: Row, host: looks.Host, cell: str) -> str:
    """Look at what a row is about, on one adapter."""
    return looks.seen_by(row.title, host, claim(cell), to_wsgi=bool(row.table))


def tried(row: Row) -> Any:
    """Make a row a parameter of a test."""
    # Starlette's adapter leaves its streams open when a request fails, and anyio complains.
    marks = [pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")] if row.page == "starlette" else []
    return pytest.param(row, id=row.id, marks=marks)


@pytest.mark.parametrize("row", [tried(row) for row in ROWS])
def test_the_other_adapter_does_what_the_page_says(row: Row) -> None:
    skip_where_it_cannot_be_tried(row)
    host = OWN_HOSTS.get(row.title) or getattr(hosts, row.page + ("_to_wsgi" if row.table else ""))

    assert seen(row, host, row.before) == claim(row.before)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id.partition("-")[2]) for row in BRIDGE_ROWS.values()])
def test_the_bridge_does_what_the_pages_say(row: Row) -> None:
    skip_where_it_cannot_be_tried(row)
    host = hosts.bridge_to_wsgi if row.table else hosts.bridge

    assert seen(row, host, row.after) == claim(row.after)


def test_under_starlette_as_many_requests_run_at_a_time_as_before() -> None:
    assert "The number of requests at a time stays 40." in page_of("starlette")

    numbers = [looks.seen_by("Requests at a time", host, "40") for host in (hosts.starlette, hosts.bridge)]

    assert numbers == ["40", "40"]


@pytest.mark.parametrize("name", NAMES)
def test_each_row_is_about_a_difference_and_says_of_the_bridge_what_other_pages_say(name: str) -> None:
    for row in rows_of(name):
        assert claim(row.before) != claim(row.after), row.title
        assert claim(row.after) == claim(BRIDGE_ROWS[row.table, row.title].after), row.title


@pytest.mark.parametrize("name", NAMES)
def test_a_table_tells_first_what_changes_then_what_gets_better_then_what_to_watch(name: str) -> None:
    for table in {row.table for row in rows_of(name)}:
        kinds = [row.kind for row in rows_of(name) if row.table == table]

        assert kinds == sorted(kinds, key=KINDS.index)
        assert set(kinds) == set(KINDS)


def test_each_page_has_its_tables() -> None:
    assert {(row.page, row.table) for row in ROWS} == {("a2wsgi", 1), *((name, 0) for name in NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_which_version_it_was_written_for(name: str) -> None:
    [written] = re.findall(rf"^Compared with {name} ([\d.]+);", page_of(name), re.MULTILINE)
    installed = importlib.metadata.version(name)

    if installed != written:  # a release of somebody else's breaks no build; what it changes, the other tests tell
        pytest.skip(f"the page was written for {name} {written}, this is {installed}: look at both")


@pytest.mark.parametrize("name", [*NAMES, "index"])
def test_the_limits_and_options_that_a_page_names_exist(name: str) -> None:
    text = page_of(name)
    limits = {field.name for field in fields(Limits)}
    options = {*inspect.signature(WSGIToASGI).parameters, *inspect.signature(ASGIToWSGI).parameters}

    assert set(re.findall(r"`Limits\.(\w+)`", text)) <= limits
    assert set(re.findall(r"\bLimits\((\w+)=", text)) <= limits
    assert set(re.findall(r"`(\w+)=\"\w+\"`", text)) | set(re.findall(r"the option `(\w+)`", text)) <= options


def programs_of(diff: str) -> tuple[str, str]:
    """Return what a diff has before and after it."""
    lines = diff.splitlines()
    before = [line[1:] for line in lines if not line.startswith("+")]
    after = [line[1:] for line in lines if not line.startswith("-")]
    return "\n".join(before) + "\n", "\n".join(after) + "\n"


RUN_EACH: Final = """
import sys
for page, program in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    exec(compile(program, page, "exec"), {})
"""


def test_what_the_diffs_show_runs_before_and_after_them() -> None:
    programs: list[str] = []
    for name in NAMES:
        diffs = re.findall(r"^```diff\n(.*?)^```$", page_of(name), re.MULTILINE | re.DOTALL)
        in_python = [program for diff in diffs if "import" in diff for program in programs_of(diff)]
        assert in_python, name
        programs += [part for program in in_python for part in (f"{name}.md", program)]

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_EACH, *programs],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP), str(TOP / "tests" / "docs" / "neighbours")])},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
