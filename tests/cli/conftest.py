"""The fixtures of `tests.serve.projects`, and a hand-over that starts nothing."""

from __future__ import annotations

import pytest

from bridge.cli import serve
from bridge.serve.plan import Plan
from tests.serve.projects import installed, project

__all__ = ["handed", "installed", "project"]


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that are handed over."""
    plans: list[Plan] = []
    monkeypatch.setattr(serve, "hand_over", plans.append)
    return plans
