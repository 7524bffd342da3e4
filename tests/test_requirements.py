"""The lists in ``docs/reference/requirements*.md`` and the tests' marks say the same: no rule without a test, no mark
without a rule.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
REFERENCE = TESTS.parent / "docs" / "reference"
LISTS = {
    "W": (REFERENCE / "requirements.md", [*range(1, 151)]),
    "A": (REFERENCE / "requirements-asgi-on-wsgi.md", [*range(1, 151)]),
    "S": (REFERENCE / "requirements-websocket.md", [*range(1, 11), *range(20, 30), 40, 41]),
}
"""The page of each letter, and its numbers."""

each_list = pytest.mark.parametrize("letter", LISTS)


def listed_numbers(letter: str) -> list[str]:
    page = LISTS[letter][0].read_text(encoding="utf-8")
    return re.findall(r"^- \*\*([A-Z]+-[0-9]+)\*\* [MSODR]: ", page, re.MULTILINE)


def marks_in(source: str) -> Iterator[str]:
    """Yield the numbers of all ``pytest.mark.requirement(...)`` calls, wherever they stand."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "requirement"
            and isinstance(node.func.value, ast.Attribute)
            and node.func.value.attr == "mark"
        ):
            for argument in node.args:
                assert isinstance(argument, ast.Constant), f"a mark must be readable: {ast.unparse(node)}"
                yield argument.value


def marked_numbers() -> dict[str, set[str]]:
    """Return the test files per number."""
    files: dict[str, set[str]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        for number in marks_in(path.read_text(encoding="utf-8")):
            files[number].add(path.relative_to(TESTS).as_posix())
    return files


@each_list
def test_the_list_has_each_number_once_and_in_order(letter: str) -> None:
    assert listed_numbers(letter) == [f"{letter}-{number:03}" for number in LISTS[letter][1]]


@each_list
def test_the_page_has_a_letter_for_each_rule_and_no_rule_in_another_shape(letter: str) -> None:
    page = LISTS[letter][0].read_text(encoding="utf-8")

    assert len(re.findall(rf"^.*\*\*{letter}-[0-9]+\*\*", page, re.MULTILINE)) == len(LISTS[letter][1])


@each_list
def test_each_requirement_is_held_by_a_test(letter: str) -> None:
    untested = set(listed_numbers(letter)) - marked_numbers().keys()

    assert sorted(untested) == []


def test_each_mark_names_a_requirement_of_the_lists() -> None:
    marked = marked_numbers()
    listed = {number for letter in LISTS for number in listed_numbers(letter)}

    unknown = {number: sorted(marked[number]) for number in marked.keys() - listed}

    assert unknown == {}


@pytest.mark.parametrize(
    ("source", "numbers"),
    [
        pytest.param('@pytest.mark.requirement("W-001", "W-002")\ndef test(): ...', ["W-001", "W-002"], id="function"),
        pytest.param('pytestmark = [pytest.mark.requirement("W-003")]', ["W-003"], id="module"),
        pytest.param('pytest.param(1, marks=pytest.mark.requirement("W-004"))', ["W-004"], id="case"),
        pytest.param('# pytest.mark.requirement("W-005")\n"pytest.mark.requirement(6)"', [], id="only text"),
    ],
)
def test_marks_are_found_where_they_count(source: str, numbers: list[str]) -> None:
    assert list(marks_in(source)) == numbers
