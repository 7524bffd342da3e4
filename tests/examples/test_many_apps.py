"""The recipe for many applications on one server works as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.following import follow

pytestmark = [pytest.mark.once, pytest.mark.live, pytest.mark.timeout(120)]


def test_the_page_on_many_applications_can_be_followed_to_its_end(tmp_path: Path) -> None:
    done = follow("recipes/one-server-for-many-apps.md", tmp_path)

    assert {path.name for path in tmp_path.glob("*.py")} == {"one_server.py", "one_gunicorn.py"}
    assert (done.served, done.compared) == (2, 9)
