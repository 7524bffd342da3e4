"""What the programs have in common."""

from __future__ import annotations

import sys
from importlib import import_module

from bridge.types import WSGIApp

MOUNT = "/mounted"
"""Where the programs mount the application a second time."""


def loaded(name: str) -> WSGIApp:
    """Return the application named ``module:attribute``."""
    module, _, attribute = name.partition(":")
    app: WSGIApp = getattr(import_module(module), attribute)
    return app


def address() -> tuple[str, int]:
    """Return host and port from the command line."""
    return sys.argv[2], int(sys.argv[3])
