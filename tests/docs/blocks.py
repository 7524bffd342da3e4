"""The fenced blocks of a page: where each stands, in which language, and the file it claims to show."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import TOP

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>```+)(?P<language>[\w+-]*)(?P<more>[^`]*)")
_TITLE = re.compile(r'\btitle="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block. Its line is that of its first line in the page, from 1; a title is the path of a file."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_in(page: str, text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in order; what is indented in a list is shifted back."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        opening = _FENCE.fullmatch(lines[number])
        number += 1
        if opening is None:
            continue
        closing = opening["indent"] + opening["ticks"]
        first = number
        while lines[number].rstrip() != closing:  # an IndexError is a fence that is never closed
            number += 1
        title = _TITLE.search(opening["more"])
        inside = textwrap.dedent("".join(line + "\n" for line in lines[first:number]))
        yield Block(page, first + 1, opening["language"], title[1] if title else "", inside)
        number += 1


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page of this repository."""
    return list(blocks_in(page.relative_to(TOP).as_posix(), page.read_text(encoding="utf-8")))


def programs_of(page: Path) -> list[Block]:
    """Return the Python of a page that is to be run: what shows a file is run where that file is."""
    return [block for block in blocks_of(page) if block.language in ("python", "py", "pycon") and not block.title]


# ---- Blocks that show a file ----------------------------------------------------------------------------------------


def without_docstring(source: str) -> list[str]:
    """Return the lines of a Python file without its module docstring, and without the gap that leaves."""
    lines = source.splitlines()
    body = ast.parse(source).body
    match body[:1]:
        case [ast.Expr(value=ast.Constant(value=str())) as docstring]:
            before = lines[: docstring.lineno - 1]
            after = lines[docstring.end_lineno :]
            while after and not after[0]:
                del after[0]
            return [*before, *after]
    return lines


def is_run_of(part: list[str], whole: list[str]) -> bool:
    """Tell whether the lines stand in the whole, in one piece."""
    return bool(part) and any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def shows(text: str, source: str, *, is_python: bool) -> bool:
    """Tell whether a block is a file without its docstring, or an unabridged run of whole lines of it."""
    part = text.strip("\n").splitlines()
    return is_run_of(part, source.splitlines()) or (is_python and is_run_of(part, without_docstring(source)))


# ---- Commands -------------------------------------------------------------------------------------------------------


def commands_in(text: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Yield the commands of a console block: the variables before each, and its words, up to a pipe or the like."""
    joined = re.sub(r" *\\\n", " ", text)
    for line in re.findall(r"^\$ (.*)$", joined, re.MULTILINE):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        variables: dict[str, str] = {}
        for word in [*lexer, ";"]:
            if word and set(word) <= set("();<>|&"):
                if words:
                    yield variables, words
                variables, words = {}, []
            elif not words and (match := re.fullmatch(r"([A-Z_]+)=(.*)", word)):
                variables[match[1]] = match[2]
            else:
                words.append(word)
