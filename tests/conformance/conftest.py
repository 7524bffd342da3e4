"""Conformance tests run plain and, where the application keeps to it, under wsgiref's validator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import pytest


@pytest.fixture(params=["plain", "lint"])
def maybe_lint(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """The application as it is, or wrapped in the validator, which complains about both sides."""
    return validator if request.param == "lint" else lambda app: app
