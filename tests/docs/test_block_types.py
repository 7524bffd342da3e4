"""The Python of all pages passes a type checker, as readers will put it through theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import blocks_in, programs_of
from tests.docs.pages import PAGES
from tests.docs.typed_blocks import complaints, source_of

pytestmark = pytest.mark.once

pytest.importorskip("mypy", reason="mypy comes with the extra lint")

WRONG = """\
```python
from bridge import Limits, to_asgi
from shop import flask_app

limits = Limits()
app = to_asgi(flask_app, limits=limits, threads=4)
```

```python
def app() -> str:
    return limits.queue
```
"""
"""Two mistakes, the second with a name from the block before; that both define ``app`` is none."""


@pytest.mark.timeout(300)
def test_the_programs_of_all_pages_pass_a_type_checker_and_wrong_ones_do_not(tmp_path: Path) -> None:
    wrong = list(blocks_in("wrong.md", WRONG))

    said = complaints(tmp_path, [wrong, *(programs_of(page) for page in PAGES)])

    others = [line for line in said if not line.startswith("wrong.md:")]
    assert not others, "\n".join(others)
    errors = [line for line in said if ": error: " in line]
    assert [line.partition(": error: ")[0] for line in errors] == ["wrong.md:6", "wrong.md:11"], said
    assert "threads" in errors[0]
    assert "return value" in errors[1]


def test_a_module_takes_only_what_its_block_uses_and_does_not_define() -> None:
    page = "```python\none = 1\napp = one\n```\n```python\none = 2\n```\n```python\napp = one\n```\n"

    first, second, third = blocks_in("page.md", page)

    assert source_of(second, [first]) == "\n" * 5 + "one = 2\n"
    assert source_of(third, [first, second]) == "from page__6 import one" + "\n" * 8 + "app = one\n"
