"""What all processes and requests of one adapter share: the application and the deployer's choices."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from bridge._runtime.portal import LoopKind, Portal
from bridge.limits import Limits
from bridge.observing import Observer
from bridge.types import ASGIApp

logger = logging.getLogger("bridge.asgi_to_wsgi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """Constant for the life of an adapter."""

    app: ASGIApp
    limits: Limits
    lifespan: Literal["auto", "on", "off"]
    loop_kind: LoopKind | None
    """None: what `default_loop_kind` says in the process that serves."""
    find_portal: Callable[[LoopKind], Portal]
    responds_to_errors: bool
    compresses_websockets: bool
    observers: list[Observer] = field(default_factory=list["Observer"])
