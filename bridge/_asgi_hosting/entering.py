"""Getting an event loop: which kind can work in this process, and errors that say what is in the way."""

from __future__ import annotations

from bridge._runtime.gates import is_eventlet_patched, is_gevent_patched
from bridge._runtime.portal import LoopKind, NoThreadError, Portal, PortalError, Tenant
from bridge._runtime.portals import default_loop_kind
from bridge.errors import EventLoopError, RequestRefused


def usable_loop_kind(wanted: LoopKind | None) -> LoopKind:
    """Return the kind of loop to use; None asks for the default.

    Raises:
        EventLoopError: what is wanted cannot work in this process.
    """
    kind = wanted or default_loop_kind()
    if kind != "asyncio" and is_gevent_patched():
        raise EventLoopError(
            f"gevent has replaced this process' threads, and {kind} knows nothing of gevent: threads that the "
            "application starts would never run; use event_loop='asyncio'"
        )
    return kind


def refuse_eventlet() -> None:
    """Refuse to work where eventlet rules.

    Raises:
        EventLoopError: the process is patched by eventlet.
    """
    if is_eventlet_patched():
        raise EventLoopError(
            "eventlet has replaced this process' threads, and an event loop needs a real one; use gevent, or threads "
            "(gunicorn: --worker-class gthread)"
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
