"""``docs/reference/conformance.md`` names each requirement, its level and the files that hold it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import conformance_page
from tests.docs.conformance_page import LEVELS, PAGE, Rule, anchor, holders
from tests.test_requirements import LISTS, listed_numbers

TESTS = Path(__file__).resolve().parents[1]


def rows() -> list[list[str]]:
    """Return the rows of all tables of rules, read without the generator."""
    lines = re.findall(r"^\| ([A-Z]-\d{3} \| .+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.split(r" \| ", line) for line in lines]


def test_the_page_is_what_its_program_writes() -> None:
    assert conformance_page.written() == conformance_page.generated(), (
        "a requirement or a file of tests has come, gone or changed: python -m tests.docs.conformance_page --write"
    )


def test_the_page_has_each_number_of_the_lists_once_and_in_order() -> None:
    assert [row[0] for row in rows()] == [number for letter in LISTS for number in listed_numbers(letter)]


def test_the_page_names_for_each_number_exactly_the_files_with_its_mark() -> None:
    marked = holders()
    links = {row[0]: re.findall(r"\]\(([^)]+/test_\w+\.py)\)", row[-1]) for row in rows()}
    named = {number: {str((PAGE.parent / link).resolve()) for link in found} for number, found in links.items()}

    assert named == {number: {str(TESTS / name) for name in marked[number]} for number in links}


def test_each_row_has_a_level_that_the_page_explains() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert {row[1] for row in rows()} == set(LEVELS) == set(re.findall(r"\*\*([A-Z])\*\*", text))


@pytest.mark.parametrize(
    ("text", "short"),
    [
        pytest.param("One thing.", "One thing", id="one sentence"),
        pytest.param("One thing. Another thing.", "One thing", id="two sentences"),
        pytest.param("PEP 3333 has 1.5 of it, e.g. this.", "PEP 3333 has 1.5 of it, e.g. this", id="points within"),
        pytest.param("`a.b` is so. `c` is not.", "`a.b` is so", id="code"),
        pytest.param("No point", "No point", id="no full stop"),
    ],
)
def test_a_rule_is_shortened_to_its_first_sentence(text: str, short: str) -> None:
    assert Rule("W-001", "M", text, "Any").short == short


def test_an_anchor_is_what_a_link_to_the_heading_says() -> None:
    assert anchor("environ: wsgi.*, TLS and keys of our own") == "environ-wsgi-tls-and-keys-of-our-own"
