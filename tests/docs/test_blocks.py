"""Every block is true: Python runs, what shows a file is that file, configuration parses, commands exist."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.docs.blocks import Block, blocks_in, blocks_of, programs_of, shows
from tests.docs.pages import PAGES, TOP

pytestmark = pytest.mark.timeout(180)  # the first page waits for the frameworks to be imported

BLOCKS: Final = [block for page in PAGES for block in blocks_of(page)]
LANGUAGES: Final = {
    "apache", "caddy", "console", "css", "diff", "dockerfile", "html", "http", "ini", "javascript", "json", "markdown",
    "mermaid", "nginx", "python", "systemd", "text", "toml", "yaml",
}  # fmt: skip
"""What a block can be; a block of Python under another name would not be run."""


def identified(page: Path) -> Any:
    return pytest.param(page, id=page.relative_to(TOP).as_posix())


# ---- Python ---------------------------------------------------------------------------------------------------------


class Runner:
    """The program that runs pages, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def failure(self, page: str, programs: list[Block]) -> str:
        """Run the blocks of a page in order, in one namespace; return what they printed if they failed."""
        blocks = [{"line": block.line, "text": block.text} for block in programs]
        self._process.stdin.write(json.dumps({"page": page, "blocks": blocks}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return f"exit status {answer['status']}\n{answer['output']}" if answer["status"] else ""


@contextmanager
def running() -> Iterator[Runner]:
    """Start the program, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.docs.page_runner"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=TOP,
        env=os.environ | {"PYTHONPATH": str(TOP)},
    )
    with process:
        with closing(process.stdin):  # the end of its input is the end of the program
            yield Runner(process)
        assert process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    if not hasattr(os, "fork"):
        pytest.skip("each page is a fork of one process")
    with running() as runner:
        yield runner


@pytest.mark.parametrize("page", [identified(page) for page in PAGES if programs_of(page)])
def test_the_programs_of_a_page_run_in_order(runner: Runner, page: Path) -> None:
    failure = runner.failure(page.relative_to(TOP).as_posix(), programs_of(page))

    assert not failure, failure


FAILING: Final = [
    pytest.param("import shop\nshop.django_app\n", "line 5", id="a name that is not there"),
    pytest.param("import warnings\nwarnings.warn('old', DeprecationWarning)\n", "DeprecationWarning", id="a warning"),
    pytest.param("import threading\nthreading.Thread(target=int, args=['x']).start()\n", "ValueError", id="a thread"),
    pytest.param("async def work() -> None: ...\nwork()\n", "never awaited", id="a coroutine nobody awaits"),
    pytest.param("raise SystemExit\n", "SystemExit", id="an exit"),
]


@pytest.mark.parametrize(("program", "named"), FAILING)
def test_a_program_that_fails_is_seen_to_fail_with_the_line_of_the_page(
    runner: Runner, program: str, named: str
) -> None:
    blocks = list(blocks_in("page.md", f"Text.\n\n```python\n{program}```\n"))

    assert named in runner.failure("page.md", blocks)


def test_a_block_knows_the_ones_before_it_and_no_other_page(runner: Runner) -> None:
    first, second = blocks_in("page.md", "```python\nnumber = 6\n```\n\n```python\nassert number * 7 == 42\n```\n")

    assert runner.failure("page.md", [first, second]) == ""
    assert "NameError" in runner.failure("page.md", [second])


# ---- Blocks that show a file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in BLOCKS if block.title])
def test_a_block_with_the_name_of_a_file_shows_that_file_unabridged(block: Block) -> None:
    path = TOP / block.title
    source = path.read_text(encoding="utf-8")

    assert shows(block.text, source, is_python=block.language == "python"), f"{block} is not what is in {block.title}"


FILE: Final = '"""What it is.\n\nAnd more.\n"""\n\nimport os\n\nfirst = 1\n\n\nsecond = 2\n'


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        pytest.param("import os\n\nfirst = 1\n\n\nsecond = 2\n", True, id="all but the docstring"),
        pytest.param(FILE, True, id="all of it"),
        pytest.param("first = 1\n\n\nsecond = 2\n", True, id="a run of lines"),
        pytest.param("first = 1\nsecond = 2\n", False, id="lines left out"),
        pytest.param("first = 1\n\n\nsecond = 3\n", False, id="a line changed"),
        pytest.param("irst = 1\n", False, id="part of a line"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_what_shows_a_file_is_a_run_of_its_lines(text: str, *, is_shown: bool) -> None:
    assert shows(text, FILE, is_python=True) is is_shown


def test_the_first_line_of_a_program_stays_where_its_docstring_goes() -> None:
    source = '#!/usr/bin/env python3\n"""What it is."""\n\nimport os\n'

    assert shows("#!/usr/bin/env python3\nimport os\n", source, is_python=True)
    assert not shows("#!/usr/bin/env python3\nimport os\n", source, is_python=False)


# ---- Configuration --------------------------------------------------------------------------------------------------


def read_ini(text: str) -> None:
    """Read settings: uWSGI's may name one more than once."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    assert parser.sections()


READERS: Final[dict[str, Callable[[str], Any]]] = {
    "ini": read_ini,
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}


@pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in BLOCKS if block.language in READERS])
def test_configuration_can_be_parsed(block: Block) -> None:
    assert READERS[block.language](block.text) != []


def test_each_block_says_in_a_known_word_what_it_is() -> None:
    assert {str(block): block.language for block in BLOCKS if block.language not in LANGUAGES} == {}


def test_a_fence_in_a_list_is_a_block_too_and_keeps_its_place() -> None:
    [block] = blocks_in("page.md", 'One:\n\n- so\n\n  ```python title="a/b.py"\n  if 1:\n      pass\n  ```\n')

    assert block == Block("page.md", 6, "python", "a/b.py", "if 1:\n    pass\n")
