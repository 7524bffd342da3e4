"""How far the WebSocket of a WSGI application is."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """How far the connection is, as seen from the application."""

    NEW = "not accepted"
    OPEN = "open"
    DENIED = "refused by the application"
    CLOSED = "closed by the application"
    GONE = "left by the client"
