"""The Python of all pages as modules that a type checker can read, a module for each block.

A block may use what blocks before it in its page define. It imports those names, and no others: so a page may hold two
programs that call different things ``app``.
"""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import Block
from tests.docs.pages import TOP

MYPY_MAX_S = 240
NEIGHBOURS = Path(__file__).with_name("neighbours")
SETTINGS = f"""\
[mypy]
mypy_path = {NEIGHBOURS},{TOP}
ignore_missing_imports = True
follow_imports = silent
disable_error_code = method-assign, import-untyped
[mypy-a2wsgi.*]
follow_imports = skip
"""
"""Not strict, as readers are not; ``app.wsgi_app = ...`` is what Flask's own documentation says, and the types of
a2wsgi 1.10 take no application of Flask.
"""


def names_bound(block: Block) -> set[str]:
    """Return the names that a block has given a meaning to when it is over, as far as its own level goes."""
    bound: set[str] = set()
    for node in ast.parse(block.text).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                bound |= {(alias.asname or alias.name).partition(".")[0] for alias in names}
            case _:
                stored = (one for one in ast.walk(node) if isinstance(one, ast.Name))
                bound |= {one.id for one in stored if isinstance(one.ctx, ast.Store)}
    return bound


def names_used(block: Block) -> set[str]:
    """Return the names that a block looks up anywhere."""
    return {node.id for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Name)} - set(dir(builtins))


def module_name(block: Block) -> str:
    """Return a name for the module of a block."""
    return f"{block.page.removesuffix('.md').replace('/', '_').replace('-', '_').replace('.', '_')}__{block.line}"


def source_of(block: Block, before: list[Block]) -> str:
    """Return the block as a module, each line where it is in the page; what it takes from others is on the first."""
    wanted = names_used(block) - names_bound(block)
    taken = []
    for earlier in reversed(before):
        found = wanted & names_bound(earlier)
        wanted -= found
        taken += [f"from {module_name(earlier)} import {name}" for name in sorted(found)]
    return "; ".join(taken) + "\n" * (block.line - 1) + block.text


def complaints(directory: Path, pages: list[list[Block]]) -> list[str]:
    """Run mypy over the blocks of all pages, once; return what it says, with the names and lines of the pages."""
    (directory / "mypy.ini").write_text(SETTINGS, encoding="utf-8")
    page_of = {}
    for blocks in pages:
        for number, block in enumerate(blocks):
            page_of[f"{module_name(block)}.py"] = block.page
            source = source_of(block, blocks[:number])
            (directory / f"{module_name(block)}.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file=mypy.ini", "--cache-dir=cache", "--no-error-summary"]
    done = subprocess.run(
        [*command, *page_of], cwd=directory, capture_output=True, text=True, check=False, timeout=MYPY_MAX_S
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    said = (line.partition(":") for line in done.stdout.splitlines())
    return [f"{page_of.get(module, module)}:{rest}" for module, _, rest in said]
