"""Tables and pages: complete, honest about what was not reached, and with links that lead somewhere."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.questions import PAGES, QUESTIONS
from benchmarks.report import pages, sections, storage
from benchmarks.report.tables import markdown, table
from benchmarks.results import Answer, Column, Figure
from tests.benchmarks.made_up import comparison, hello, run

REQUESTS = Answer(name="under_servers", text="?", comparisons=[comparison("Hello on uvicorn, 32 connections")])
BLOCKS = Answer(
    name="small_blocks", text="?", comparisons=[comparison("5,000 blocks, asyncio"), comparison("5,000 blocks, uvloop")]
)
WHOLE = run(hello(comparison()), REQUESTS, BLOCKS)


# ---- Tables -----------------------------------------------------------------------------------------------------


def test_a_table_has_medians_ratios_of_the_first_column_and_the_other_columns():
    assert table(comparison()) == (
        "|  | time, us per request | x floor | x bridge | CPU, us per request |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| floor | 5.50 | 1 | 0.50 (0.40-0.50) | 5.50 |\n"
        "| bridge | 11 | 2 (2-2.50) | 1 | 21 |\n"
        "| peer | 250 | 45.5 (40-50) | 20 (20-20) |  |\n"
    )


@pytest.mark.parametrize(
    ("name", "unit", "head"),
    [
        pytest.param("time", "us", "time, us", id="both"),
        pytest.param("requests", "requests per second", "requests per second", id="a unit that says it all"),
        pytest.param("threads", "", "threads", id="a count"),
    ],
)
def test_a_column_has_a_name_and_a_unit(name, unit, head):
    made = comparison(columns=(Column(name=name, unit=unit, better="less"),), bases=())

    assert table(made).startswith(f"|  | {head} |\n")


def test_a_bar_in_a_name_does_not_end_the_cell():
    assert markdown(["", "a|b"], [["c", "1"]]) == "|  | a\\|b |\n| --- | ---: |\n| c | 1 |\n"


def test_a_comparison_without_rows_is_its_notes():
    shown = sections.section(hello(comparison(rows={}, targets={}, notes=["Skipped: wrk is not installed."])))

    assert shown.endswith("### Hello, 32 at a time, uvloop\n\nSkipped: wrk is not installed.\n")


def test_a_question_that_failed_says_why():
    assert "This could not be measured: OSError: no" in sections.section(hello(failure="OSError: no"))


# ---- Pages ------------------------------------------------------------------------------------------------------


def test_links_and_pictures_lead_somewhere():
    made = pages.files([WHOLE, run(hello(comparison()), python="3.11.9")])

    for name, text in made.items():
        if name.endswith(".md"):
            for target, _, anchor in re.findall(r"\]\(([^)#]+)(#([^)]+))?\)", text):
                if target == pages.ACCOUNT:
                    assert (pages.DIRECTORY / target).is_file()
                    continue
                assert target in made
                headings = re.findall(r"^#+ (.+)$", made[target], re.MULTILINE)
                assert not anchor or anchor in {pages.anchor(heading) for heading in headings}


def test_every_question_is_on_the_page_of_its_group():
    made = pages.files([WHOLE])

    assert {question.page for question in QUESTIONS.values()} == set(PAGES)
    for question in QUESTIONS.values():
        assert f"\n## {question.title}\n" in made[f"{question.page}.md"]


def test_titles_on_one_page_are_told_apart():
    titles = [(question.page, question.title) for question in QUESTIONS.values()]

    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_a_question(name):
    assert "?" in QUESTIONS[name].text()


def test_the_index_tells_what_was_reached_and_what_was_not():
    missed = comparison("Missed", targets={"floor": 1.5}, rows=comparison().rows)

    index = pages.files([run(hello(comparison(), missed, comparison("None", rows={})))])["index.md"]

    assert "\n2 of 5 targets were reached, 2 could not be measured.\n" in index
    assert "| [Missed](in-memory.md#missed) | at most 1.5 times floor | 2 (2-2.50) | **no** |\n" in index
    assert "| at most 2.5 times floor |  | not measured |\n" in index


def test_the_index_tells_what_was_not_asked_and_what_failed():
    index = pages.files([run(hello(failure="OSError: no"))])["index.md"]

    assert "\nFailed: hello.\n" in index
    assert "\nNot measured at all: translation, " in index


def test_the_index_tells_when_and_where():
    index = pages.files([WHOLE, run(python="3.11.9", load_after=None)])["index.md"]

    for part in ("3.13.0 (CPython)", "3.11.9 (CPython)", "abc1234", "0.50 before, 1.25 after", "a2wsgi 1.10.10"):
        assert part in index


@pytest.mark.parametrize("is_quick", [False, True])
def test_a_quick_run_is_said_to_be_of_little_worth(is_quick):
    assert ("quick run" in pages.files([run(quick=is_quick)])["index.md"]) is is_quick


def test_answers_of_several_runs_say_which_is_whose():
    first, second = run(hello(comparison())), run(REQUESTS, date="2026-02-02 00:00", quick=True)

    made = pages.files([first, second])

    assert "Measured 2026-01-02 03:04, revision abc1234, 3 rounds." in made["in-memory.md"]
    assert "Measured 2026-02-02 00:00, revision abc1234, a quick run." in made["under-asgi-servers.md"]
    assert "Measured" not in pages.files([first])["in-memory.md"]


def test_the_pythons_stand_beside_each_other():
    slower = comparison(rows={"bridge": {"time": Figure((40.0,))}, "floor": {"time": Figure((10.0,))}})

    page = pages.files([WHOLE, run(hello(slower), python="3.11.9")])["pythons.md"]

    assert (
        "## Hello, 32 at a time, uvloop\n\nUs per request; less is better; in brackets: times floor.\n\n"
        "|  | 3.11.9 | 3.13.0 |\n| --- | ---: | ---: |\n| floor | 10 | 5.50 |\n| bridge | 40 (4) | 11 (2) |\n"
        "| peer |  | 250 (45.5) |\n"
    ) in page


def test_the_plots_of_the_readme_have_names_that_stay():
    made = pages.files([WHOLE])

    requests, cost = made["plots/headline-requests.svg"], made["plots/headline-cost.svg"]
    assert "Requests per second" in requests
    assert ">bridge, uvicorn</text>" in requests
    assert "One request" in cost
    assert "A stream of small blocks" in cost
    assert "headline-requests.svg" in made["index.md"]
    assert "plots/headline-requests.svg" not in pages.files([run(hello(comparison()))])


def test_every_plot_is_well_formed():
    plots = [text for name, text in pages.files([WHOLE]).items() if name.endswith(".svg")]

    assert len(plots) == 6
    assert all(ET.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg" for plot in plots)


def test_titles_that_differ_have_plots_that_differ():
    made = pages.files([run(hello(comparison("Hello, 1"), comparison("Hello: 1")))])

    assert len([name for name in made if name.startswith("plots/hello-")]) == 2


# ---- Writing ----------------------------------------------------------------------------------------------------


def test_what_was_written_before_is_replaced_and_nothing_else(tmp_path):
    pages.write(tmp_path, [run(hello(comparison("Of old")))])
    (tmp_path / "by-hand.md").write_text("# By hand\n", encoding="utf-8")

    pages.write(tmp_path, [WHOLE])

    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {*pages.files([WHOLE]), "by-hand.md"}


def test_the_stored_results_make_the_same_pages_again(tmp_path):
    uneven = comparison(rows={"bridge": {"time": Figure((10 / 3, 22 / 7))}, "floor": {"time": Figure((2 / 3, 5 / 7))}})
    pages.write(tmp_path, [run(hello(uneven))])

    again = pages.files(storage.load(tmp_path / pages.RESULTS))

    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in again} == again
