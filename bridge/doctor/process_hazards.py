"""What has been done to the process the application was loaded in. Nothing is imported: what is loaded is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from bridge.doctor.report import Hazard
from bridge.doctor.rules import hazard


def process_hazards() -> Iterator[Hazard]:
    """Yield what holds for everything in this process. Any thread."""
    gevent: Any = sys.modules.get("gevent.monkey")
    patched = sorted(name for name in getattr(gevent, "saved", ()) if not name.startswith("_gevent"))
    if patched:
        yield hazard("gevent-patched", "gevent.monkey", f"it has replaced parts of {', '.join(patched)}")
    eventlet: Any = sys.modules.get("eventlet.patcher")
    patched = sorted(name for name, is_done in getattr(eventlet, "already_patched", {}).items() if is_done)
    if patched:
        yield hazard("eventlet-patched", "eventlet.patcher", f"it has replaced {', '.join(patched)}")
    if getattr(sys.modules.get("asyncio"), "_nest_patched", False):
        yield hazard("nest-asyncio", "asyncio", "nest_asyncio.apply() was called")
    if os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE") and "django" in sys.modules:
        yield hazard("async-unsafe-allowed", "the environment", "DJANGO_ALLOW_ASYNC_UNSAFE is set")
