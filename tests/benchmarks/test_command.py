"""``python -m benchmarks``: one question in quick, as a user would ask it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measuring
from benchmarks.questions import QUESTIONS, Question
from benchmarks.report import pages, storage
from benchmarks.settings import Settings

TOP = Path(__file__).resolve().parent.parent.parent
BOUND_S = 50.0


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A question that was asked of this interpreter, and of the same one as if it were another."""
    directory = tmp_path_factory.mktemp("measured")
    chosen = ["--quick", "--only", "translation", "--python", sys.executable]
    finished = command("benchmarks", *chosen, "--save", directory / "all.json", "--write", directory / "pages")
    assert (finished.returncode, finished.stderr) == (0, "")
    return directory, finished.stdout


def test_it_prints_markdown_as_it_goes(measured):
    _, printed = measured

    assert printed.startswith("# Measurements: quick, so of little worth\n\n## Translation\n")
    assert printed.count("### Environ from the scope of a browser's request\n") == 2
    assert "| bridge | " in printed


def test_it_stores_what_every_interpreter_measured(measured):
    directory, _ = measured

    runs = storage.load(directory / "all.json")

    assert [(run.quick, run.rounds, [answer.name for answer in run.answers]) for run in runs] == [
        (True, 1, ["translation"])
    ] * 2
    for run in runs:
        for comparison in run.answers[0].comparisons:
            assert all(figures["time"].median > 0 for figures in comparison.rows.values())


def test_stored_results_are_shown_again_without_measuring(measured):
    directory, _ = measured

    finished = command("benchmarks.report", directory / "all.json", "--write", directory / "again")

    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    for path in (directory / "pages").rglob("*.*"):
        assert (directory / "again" / path.relative_to(directory / "pages")).read_bytes() == path.read_bytes()


def test_the_report_refuses_what_holds_no_results(tmp_path):
    (tmp_path / "results.json").write_text("{}", encoding="utf-8")

    finished = command("benchmarks.report", tmp_path / "results.json")

    assert finished.returncode == 2
    assert "measure again with `--save" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--only", "hullo"], "invalid choice: 'hullo'", id="a question that nobody asks"),
        pytest.param(["--rounds", "0"], "one round is the least", id="no rounds"),
        pytest.param(["--python", "/nowhere/python"], "there is no /nowhere/python", id="no such interpreter"),
    ],
)
def test_it_refuses_before_it_measures(arguments, complaint):
    finished = command("benchmarks", *arguments)

    assert (finished.returncode, finished.stdout) == (2, "")
    assert complaint in finished.stderr


def test_it_lists_its_questions():
    finished = command("benchmarks", "--list")

    assert finished.returncode == 0
    assert [line.split()[0] for line in finished.stdout.splitlines()] == list(QUESTIONS)


def test_a_question_that_fails_leaves_the_others_their_turn(monkeypatch, capsys):
    def fail(*_):
        raise OSError("the server did not start")

    monkeypatch.setattr(Question, "ask", lambda question, _: fail() if question.name == "hello" else [])
    seen = []

    run = measuring.measure(
        ["hello", "upload"],
        Settings(quick=True, rounds=1),
        lambda so_far, answer: seen.append((*so_far.answers, answer)),
    )

    assert [(answer.name, answer.failure) for answer in run.answers] == [
        ("hello", "OSError: the server did not start"),
        ("upload", ""),
    ]
    first, second = run.answers
    assert seen == [(first, first), (first, second, second)]
    assert "the server did not start" in capsys.readouterr().err


def test_pages_go_where_the_documentation_is():
    assert pages.DIRECTORY == TOP / "docs" / "performance"
