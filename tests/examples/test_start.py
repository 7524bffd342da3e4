"""The first page works as it is written, in an empty folder (``examples/start``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import TOP
from tests.examples.following import follow

pytestmark = [pytest.mark.once, pytest.mark.live]


@pytest.mark.timeout(120)  # five servers, one after another
def test_the_start_page_can_be_followed_to_its_end(tmp_path: Path) -> None:
    done = follow("start.md", tmp_path)

    assert {path.name for path in tmp_path.glob("*.py")} == {
        path.name for path in (TOP / "examples/start").glob("*.py")
    }
    assert (done.served, done.compared) == (5, 5)
