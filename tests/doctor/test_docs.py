"""The reference lists exactly what there is: rules, options, outcomes, keys; the recipe shows what is really said."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from bridge.cli.doctor import doctor
from bridge.doctor import rules
from bridge.doctor.report import FAILING, Outcome
from bridge.doctor.rules import RULES

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
REFERENCE = (DOCS / "reference" / "doctor.md").read_text(encoding="utf-8")
RECIPE = (DOCS / "recipes" / "check-an-application.md").read_text(encoding="utf-8")


def table(head):
    """Return the rows below a table's head, the back quotes of the first cell taken off."""
    lines = REFERENCE.partition(f"| {head} |")[2].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        rows.append([cells[0].strip("`"), *cells[1:]])
    assert rows, head
    return rows


def keys_of(value, prefix=""):
    """Yield every key of a report, as the reference spells it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from keys_of(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from keys_of(inner, f"{prefix}[]")
    else:
        yield prefix


def test_the_rules_are_those_of_the_table():
    assert table("Rule | Severity | What it means | What to do") == [
        [name, rule.severity, rule.meaning, rule.advice] for name, rule in RULES.items()
    ]


def test_the_options_are_those_of_the_command():
    names = [(option.opts if option.opts[0].startswith("-") else ["APPLICATION"])[0] for option in doctor.params]

    assert [row[0] for row in table("Option | What it does")] == names


def test_the_outcomes_are_those_there_are():
    assert [row[0] for row in table("Outcome | What it means")] == list(get_args(Outcome))
    assert ", ".join(f"`{outcome}`" for outcome in FAILING[:-1]) + f" and `{FAILING[-1]}`" in REFERENCE


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The program of the recipe, in a file."""
    monkeypatch.setattr("sys.path", list(sys.path))
    path = tmp_path / "main.py"
    path.write_text(re.findall(r"```python\n(.*?)```", RECIPE, re.DOTALL)[0], encoding="utf-8")
    yield path
    module = sys.modules.pop("main")
    module.database.close()


def test_the_keys_are_those_of_the_report_and_the_how_to_quotes_what_is_said(program):
    done = CliRunner().invoke(doctor, [str(program), "--json", "--timeout", "5"])
    report = json.loads(done.stdout)

    assert set(keys_of(report)) | {"probe"} == {row[0] for row in table("Key | What it says")}
    said = [f"  {one['severity']}: {one['where']}: {one['what']} [{one['rule']}]" for one in report["hazards"]]
    quoted = re.findall(r"```text\n(.*?)```", RECIPE, re.DOTALL)[0].splitlines()
    assert quoted[1::2] == said
    assert [line.strip() for line in quoted[2::2]] == [one["advice"] for one in report["hazards"]]


def test_each_rule_is_used_somewhere():
    source = "".join(path.read_text(encoding="utf-8") for path in Path(rules.__file__).parent.glob("*.py"))

    assert [rule for rule in RULES if f'hazard("{rule}"' not in source] == []
