"""Getting an event loop: which kind can work in this process, and errors that say what is in the way."""

from __future__ import annotations

import sys

from bridge._runtime.gates import is_eventlet_patched, is_gevent_patched
from bridge._runtime.portal import LoopKind, NoThreadError, Portal, PortalError, Tenant
from bridge._runtime.portals import default_loop_kind
from bridge.errors import EventLoopError, RequestRefused

_WAYS_TO_WAIT = ("time", "select", "socket")
"""What eventlet patches so that its green threads can wait, by its own names."""


def usable_loop_kind(wanted: LoopKind | None) -> LoopKind:
    """Return the kind of loop to use; None asks for the default.

    Raises:
        EventLoopError: what is wanted cannot work in this process.
    """
    kind = wanted or default_loop_kind()
    greens = "gevent" if is_gevent_patched() else "eventlet" if is_eventlet_patched() else None
    if kind != "asyncio" and greens:
        raise EventLoopError(
            f"{greens} has replaced this process' threads, and {kind} knows nothing of {greens}: threads that the "
            "application starts would never run; use event_loop='asyncio'"
        )
    return kind


def refuse_eventlet() -> None:
    """Refuse to work where eventlet has put something else in the place of threads than green ones that share a thread.

    Raises:
        EventLoopError: the process is patched by halves, or its hub is that of asyncio.
    """
    if not is_eventlet_patched():
        return
    left = [name for name in _WAYS_TO_WAIT if not sys.modules["eventlet.patcher"].is_monkey_patched(name)]
    if left:
        raise EventLoopError(
            f"eventlet has replaced this process' threads, but not {' and '.join(left)}; a thread that waits by these "
            "would stop all others; call eventlet.monkey_patch() without arguments"
        )
    if type(sys.modules["eventlet.hubs"].get_hub()).__module__ == "eventlet.hubs.asyncio":
        raise EventLoopError(
            "eventlet's hub is that of asyncio, which gives every event loop real threads, and eventlet's locks fail "
            "between those; leave EVENTLET_HUB=asyncio out"
        )


def enter(portal: Portal, tenant: Tenant) -> bool:
    """Enter a portal, which starts it; return False if it is over.

    Raises:
        EventLoopError: the loop cannot be started.
    """
    try:
        return portal.enter(tenant)
    except NoThreadError as error:
        raise EventLoopError(f"{error} (under uWSGI: --enable-threads)") from error
    except PortalError as error:
        raise EventLoopError(str(error)) from error


def refusal() -> RequestRefused:
    """Return the answer to requests after the shutdown has begun."""
    return RequestRefused(503, "The application is shutting down.")
