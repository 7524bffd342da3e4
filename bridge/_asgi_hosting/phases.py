"""How far a host is, in words."""

from __future__ import annotations

from enum import Enum


class HostPhase(Enum):
    """How far a host is."""

    NEW = "not started"
    STARTING = "starting"
    SERVING = "serving"
    FAILED = "failed to start"
    CLOSING = "shutting down"
    CLOSED = "shut down"


SERVING = HostPhase.SERVING
"""The phase of nearly every request, by a shorter way."""
CLOSED = HostPhase.CLOSED
"""What each request asks for, by a shorter way."""
