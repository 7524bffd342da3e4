"""The pages of the site that are made from files outside of `docs/`: the programs, and the papers beside the README.

The pages in `docs/` are read on the forge too, where they link to these files as they lie in the repository. Here is
said what becomes of each on the site, and nowhere else.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

PAPERS = {
    "CONTRIBUTING.md": "development/contributing.md",
    "CHANGELOG.md": "development/changelog.md",
    "SECURITY.md": "development/security.md",
    "changelog.d/README.md": "development/changelog-fragments.md",
}
"""Pages beside the README, by where they are in the repository."""

PROGRAMS = "examples"
PROGRAMS_INDEX = "programs/index.md"

_LANGUAGES = {
    ".cgi": "python",
    ".conf": "nginx",
    ".css": "css",
    ".html": "html",
    ".ini": "ini",
    ".json": "json",
    ".md": "markdown",
    ".py": "python",
    ".service": "ini",
    ".sh": "bash",
    ".toml": "toml",
    ".wsgi": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_INDEX = """\
# Programs to run

Small complete programs, as they are in `{folder}/` of the repository.
Each of them is run by a test; the recipes that use it are named on its page.
"""


@dataclass(frozen=True)
class Program:
    """A file of `examples/`.

    Attributes:
        path: where it is in the repository.
        description: its docstring, or the comment it begins with, as Markdown.
        code: the rest of it.
    """

    path: str
    description: str
    code: str

    @property
    def uri(self) -> str:
        """The page it gets."""
        return "programs/" + self.name.replace(".", "-") + ".md"

    @property
    def name(self) -> str:
        """Where it is below `examples/`."""
        return self.path.removeprefix(f"{PROGRAMS}/")

    @property
    def language(self) -> str:
        """What it is written in."""
        if self.path.endswith("apache.conf"):
            return "apacheconf"
        if self.path.endswith("gunicorn.conf.py"):
            return "python"
        return _LANGUAGES.get(Path(self.path).suffix, "text" if "ockerfile" not in self.path else "docker")

    def page(self, used_by: list[tuple[str, str]]) -> str:
        """Return its page, with links to those that show it: pairs of the title and the address."""
        shown = "".join(f"- [{title}](../{'../' * self.name.count('/')}{uri})\n" for title, uri in used_by)
        parts = [
            f"# {self.name.rpartition('/')[2]}",
            self.description,
            f"Used in:\n\n{shown}" if shown else "",
            f'~~~~{self.language} title="{self.path}"\n{self.code}\n~~~~',
        ]
        return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def papers(top: Path) -> dict[str, str]:
    """Return the papers that there are: where in the repository, and their page."""
    return {path: uri for path, uri in PAPERS.items() if (top / path).is_file()}


def programs(top: Path) -> list[Program]:
    """Return the programs, those of a folder after those beside it."""
    paths = [
        path
        for path in (top / PROGRAMS).rglob("*")
        if path.is_file() and path.name != "__init__.py" and "__pycache__" not in path.parts
    ]
    return [_program(path, top) for path in sorted(paths, key=lambda path: (len(path.parts), path))]


def _program(path: Path, top: Path) -> Program:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(top).as_posix()
    if not text.startswith("#!") and path.suffix not in {".py", ".wsgi", ".cgi"}:
        comment, code = _leading_comment(text)
        return Program(name, comment, code)
    tree = ast.parse(text)
    described = ast.get_docstring(tree, clean=False)
    if described is None:
        return Program(name, "", text.strip())
    first = tree.body[0]
    lines = text.splitlines()
    code = [*lines[: first.lineno - 1], *lines[first.end_lineno :]]
    return Program(name, inspect.cleandoc(described), "\n".join(code).strip())


def _leading_comment(text: str) -> tuple[str, str]:
    """Return the comment a file begins with, without its marks, and the rest."""
    match = re.match(r"(?:#[^\n]*\n)+", text)
    if match is None:
        return "", text.strip()
    words = re.sub(r"^# ?", "", match[0], flags=re.MULTILINE)
    return words, text[match.end() :].strip()


def programs_page(found: list[Program]) -> str:
    """Return the page that lists them."""
    parts = [_INDEX.format(folder=PROGRAMS)]
    folders = dict.fromkeys(program.path.rpartition("/")[0] for program in found)
    for folder in folders:
        parts.append(f"## {folder}/\n")
        parts.extend(
            f"- [{program.name.rpartition('/')[2]}]({program.uri.removeprefix('programs/')})"
            + (f": {_first_sentence(program.description)}" if program.description else "")
            for program in found
            if program.path.rpartition("/")[0] == folder
        )
        parts.append("")
    return "\n".join(parts)


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.:]) (?=[A-Z`])", paragraph, maxsplit=1)[0].rstrip(":.") + "."


def who_shows(path: str, pages: dict[str, str]) -> list[tuple[str, str]]:
    """Return title and address of the pages that show a file in a titled block, or link to it."""
    ends = re.compile(rf'^```\w+ title="{re.escape(path)}"|\]\((?:\.\./)+{re.escape(path)}\)', re.MULTILINE)
    return [(title_of(text), uri) for uri, text in sorted(pages.items()) if ends.search(text)]


def title_of(text: str) -> str:
    """Return the heading of a page."""
    match = re.search(r"^# (.+)$", text, re.MULTILINE)
    return match[1].strip() if match else ""
