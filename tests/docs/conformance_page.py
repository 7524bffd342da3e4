"""``docs/reference/conformance.md``: each numbered requirement with the test files that hold it.

``python -m tests.docs.conformance_page --write`` writes the generated part; a test reads it back. Files are listed, not
tests: another test in a file that is there already changes nothing here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.test_requirements import LISTS, marked_numbers

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "conformance.md"
BEGIN: Final = "<!-- written by: python -m tests.docs.conformance_page --write -->"
END: Final = "<!-- end of what is written -->"
LEVELS: Final = {"M": "must", "S": "should", "O": "optional", "D": "custom", "R": "own choice"}

_TITLES: Final = {
    "W": "A WSGI application on an ASGI server",
    "A": "An ASGI application on a WSGI server",
    "S": "WebSockets",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One requirement, as its list has it."""

    number: str
    level: str
    text: str
    section: str

    @property
    def short(self) -> str:
        """The first sentence, without the full stop; all of it, where that cannot be told."""
        match = re.match(r"(.+?)[.](?: (?=[A-Z`(])|$)", self.text)
        return match[1] if match else self.text


def rules(letter: str) -> Iterator[Rule]:
    """Yield the rules of one list, in its order."""
    section = ""
    for line in LISTS[letter][0].read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif match := re.fullmatch(r"- \*\*([A-Z]-\d+)\*\* ([MSODR]): (.+)", line):
            yield Rule(match[1], match[2], match[3], section)


@cache
def holders() -> dict[str, set[str]]:
    """Return the files of tests for each number."""
    return marked_numbers()


def anchor(heading: str) -> str:
    """Return what a link to a heading says after the ``#``."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def generated() -> str:
    """Return the generated part of the page."""
    files = holders()
    parts = [_summary()]
    for letter, title in _TITLES.items():
        parts.append(f"## {title}\n")
        section = ""
        for rule in rules(letter):
            if rule.section != section:
                section = rule.section
                link = f"{LISTS[letter][0].name}#{anchor(section)}"
                head = "| Number | Level | Rule | Held by |\n| --- | --- | --- | --- |"
                parts.append(f"\n### {section}\n\n[In full]({link}).\n\n{head}")
            parts.append(_row(rule, files))
        parts.append("")
    return "\n".join(parts).rstrip("\n").replace("\n\n\n", "\n\n") + "\n"


def _summary() -> str:
    lines = [f"| | {' | '.join(LEVELS.values())} | together |", f"| --- {'| ---: ' * (len(LEVELS) + 1)}|"]
    for letter, title in _TITLES.items():
        levels = Counter(rule.level for rule in rules(letter))
        counts = " | ".join(str(levels[level]) for level in LEVELS)
        lines.append(f"| [{title}](#{anchor(title)}) | {counts} | {levels.total()} |")
    return "\n".join(lines) + "\n"


def _row(rule: Rule, files: Mapping[str, set[str]]) -> str:
    tests = ", ".join(
        f"[{name.removesuffix('.py').replace('test_', '', 1)}](../../tests/{name})"
        for name in sorted(files[rule.number])
    )
    return f"| {rule.number} | {rule.level} | {rule.short.replace('|', chr(92) + '|')} | {tests} |"


def written() -> str:
    """Return the generated part as the page has it."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip("\n") + "\n"


def write() -> None:
    """Put the generated part between the two comments of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{generated()}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Write the page, or print its generated part."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs.conformance_page", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write it into {PAGE.name}")
    if parser.parse_args().write:
        write()
        print(f"{PAGE.name} is written")
    else:
        print(generated(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
