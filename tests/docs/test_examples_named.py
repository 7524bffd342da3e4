"""No program in ``examples/`` rots: a test names each, or a program that a test names does."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

from tests.docs.pages import TOP

EXAMPLES: Final = TOP / "examples"


def strings_of(path: Path) -> set[str]:
    """Return the words in the string constants of a test module, and the modules it imports."""
    words: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Constant(value=str(text)):
                words |= set(re.findall(r"[\w.-]+", text))
            case ast.ImportFrom(module=str(module)):
                words |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
            case ast.Import(names=names):
                words |= {alias.name for alias in names}
    return words


def names_of(path: Path) -> set[str]:
    """Return what an example can be called by: its file, its module, its module from the top."""
    module = path.relative_to(TOP).with_suffix("").as_posix().replace("/", ".")
    return {path.name} | ({path.stem, module} if path.suffix == ".py" else set())


def left_out(examples: dict[Path, str], words: set[str]) -> set[Path]:
    """Return the examples that are named neither by a test nor by an example that is."""
    unnamed = set(examples)
    while named := {path for path in unnamed if names_of(path) & words}:
        unnamed -= named
        words = words.union(*(re.findall(r"[\w.-]+", examples[path]) for path in named))
    return unnamed


def test_each_example_is_named_by_a_test() -> None:
    tests = [path for path in (TOP / "tests").rglob("*.py") if "examples" in path.read_text(encoding="utf-8")]
    examples = {
        path: path.read_text(encoding="utf-8")
        for path in EXAMPLES.rglob("*")
        if path.is_file() and path.name != "__init__.py" and "__pycache__" not in path.parts
    }
    assert len(examples) >= 20

    words = set().union(*(strings_of(path) for path in tests if path != Path(__file__)))
    assert sorted(path.relative_to(TOP).as_posix() for path in left_out(examples, words)) == []


def test_an_example_that_nothing_names_is_seen() -> None:
    first, second, third = (EXAMPLES / name for name in ("first.py", "second.conf", "third.py"))
    texts = {first: "", second: "run examples/first.py", third: "from second import x"}

    assert left_out(texts, {"second.conf"}) == {third}
    assert left_out(texts, {"second"}) == {first, second, third}
    assert left_out(texts, {"third"}) == {first, second}
