"""Tenants of a portal, for tests."""

from __future__ import annotations

from bridge._runtime.portal import Portal


class Guest:
    """A tenant that leaves when it is asked to close, unless it is told to fail."""

    def __init__(self, portal: Portal, error: Exception | None = None) -> None:
        self.portal = portal
        self.error = error
        self.closes = 0

    def close(self) -> None:
        self.closes += 1
        if self.error is not None:
            raise self.error
        self.portal.leave(self)
