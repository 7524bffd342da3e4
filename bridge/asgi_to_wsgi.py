"""Host an ASGI application on a WSGI server: `to_wsgi` and `ASGIToWSGI`.

The application runs on one event loop in one daemon thread per process, shared by all adapters of the process. A
request is served by the thread that the server called, which alone touches the server's objects. The work of a request
is in `bridge._asgi_hosting`, the rules are in `bridge.translate`, threads and loops in `bridge._runtime`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypedDict, Unpack, cast

from bridge._asgi_hosting.entering import refuse_eventlet
from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.hosting import Hosting
from bridge._asgi_hosting.servant import Servant
from bridge._asgi_hosting.serving import refuse, serve
from bridge._options import check_choice
from bridge._runtime.portals import own_portal, shared_portal
from bridge._runtime.processes import PerProcess
from bridge.detect import is_two_step, protocol_of, single_callable
from bridge.errors import RequestRefused
from bridge.limits import Limits
from bridge.observing import Observer
from bridge.translate.websocket_handshake import asks_for_websocket
from bridge.types import AnyASGIApp, ASGIApp, Environ, StartResponse, WSGIApp


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """A snapshot of one `ASGIToWSGI` in the calling process."""

    phase: str
    """``"not started"``, ``"starting"``, ``"serving"``, ``"failed to start"``, ``"shutting down"``, ``"shut down"``."""
    requests: int
    """Requests whose response is not complete."""
    background: int
    """Requests that have been answered, or abandoned by their client, whose application still runs."""
    websockets: int
    """WebSocket connections that are open, or whose application still runs."""
    refused: int
    """Requests answered by the adapter itself (400, 413, 426, 501, 503)."""
    stuck: int
    """Request threads that wait for an application which has not begun its response for ``Limits.stuck_s``."""
    failed_in_background: int
    """Applications that failed after their response was complete, or after their client had left."""


class ASGIToWSGIOptions(TypedDict, total=False):
    """The keyword arguments of `ASGIToWSGI`, for callers that pass them on."""

    limits: Limits
    lifespan: Literal["auto", "on", "off"]
    event_loop: Literal["auto", "asyncio", "uvloop", "trio"]
    own_loop: bool
    on_error: Literal["raise", "respond"]
    websocket_compression: bool


class ASGIToWSGI:
    """An ASGI application as a WSGI application.

    Making one starts nothing and takes no lock: the event loop is started by the first request (or by `startup`) in the
    process that serves it. So it may be made before a server forks.

    Args:
        app: the ASGI application: 3.0, or a two-callable one of 2.0.
        limits: every number; see `Limits`.
        lifespan: ``"auto"`` runs the lifespan if the application supports it; ``"on"`` makes it an error if it does
            not; ``"off"`` runs none.
        event_loop: ``"auto"`` is uvloop where it is installed, else asyncio.
        own_loop: give this adapter an event loop and thread of its own instead of the one of the process.
        on_error: ``"raise"`` lets an application's exceptions rise to the server, which answers 500 and logs them;
            ``"respond"`` logs them and answers a plain 500 here. After the response has begun they always rise.
        websocket_compression: agree to compress WebSocket messages (permessage-deflate) where the client offers it; it
            costs memory and time for each connection. What a client sends may be ``limits.websocket_message_bytes``
            large once decompressed.

    Raises:
        TypeError: an argument of a wrong type.
        ImportError: the event loop is not installed; the message names the extra.
        EventLoopError: eventlet has patched the process' threads, but not all of what they wait with.

    Runs on: called by any number of threads at once; the application runs on the loop's thread, which is not the main
    thread (so it cannot install signal handlers).

    Spec: PEP 3333; ASGI HTTP 2.5; ASGI lifespan 2.0.
    """

    def __init__(
        self,
        app: AnyASGIApp,
        *,
        limits: Limits | None = None,
        lifespan: Literal["auto", "on", "off"] = "auto",
        event_loop: Literal["auto", "asyncio", "uvloop", "trio"] = "auto",
        own_loop: bool = False,
        on_error: Literal["raise", "respond"] = "raise",
        websocket_compression: bool = False,
    ) -> None:
        if not callable(app):
            raise TypeError(f"an ASGI application is a callable; {app!r} is not")
        check_choice("lifespan", lifespan, ("auto", "on", "off"))
        check_choice("event_loop", event_loop, ("auto", "asyncio", "uvloop", "trio"))
        check_choice("on_error", on_error, ("raise", "respond"))
        refuse_eventlet()
        if event_loop in ("uvloop", "trio") and find_spec(event_loop) is None:
            raise ImportError(f"{event_loop} is not installed; pip install 'wsgi-asgi-bridge[{event_loop}]'")
        self.app = app
        hosting = Hosting(
            app=single_callable(app) if is_two_step(app) else cast("ASGIApp", app),
            limits=limits or Limits(),
            lifespan=lifespan,
            loop_kind=None if event_loop == "auto" else event_loop,
            find_portal=own_portal if own_loop else shared_portal,
            responds_to_errors=on_error == "respond",
            compresses_websockets=websocket_compression,
        )
        self._observers = hosting.observers
        self._hosts: PerProcess[Host] = PerProcess(lambda: Host(hosting))
        # An adapter that is dropped takes its lifespan with it; at exit the portal closes its tenants itself.
        weakref.finalize(self, _release, self._hosts).atexit = False

    def __repr__(self) -> str:
        now = self.statistics()
        return f"<ASGIToWSGI {self.app!r}: {now.phase}, {now.requests} requests, {now.background} in the background>"

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request. Any thread but the event loop's.

        Raises:
            LifespanError: the application's startup failed.
            ConnectionResetError: the request has become a WebSocket: to the server this is the end, let it through.
            Exception: what the application raised before its response began.
        """
        host = self._hosts.get()
        if "HTTP_UPGRADE" in environ and asks_for_websocket(environ) and host.limits.websockets:
            return _serve_websocket(host, environ, start_response)
        return serve(host, environ, start_response, Servant)

    def startup(self) -> None:
        """Start the event loop and run the lifespan startup, if that has not been done in this process; wait for it.

        For hooks of servers that fork (gunicorn's ``post_worker_init``, uWSGI's ``postfork``) and for tests; without
        it the first request does the same. Any thread.

        Raises:
            LifespanError: the startup failed, or took longer than ``Limits.startup_s``.
        """
        self._hosts.get().start()

    def shutdown(self) -> None:
        """End what this adapter runs in this process; wait for it, within limits. Any thread.

        New requests are refused with 503, WebSockets are closed with 1001, running requests and background work get
        ``Limits.shutdown_s``, then the lifespan shutdown is run; the loop ends with the last adapter that uses it. At
        the end of the process this is done for all adapters, if the server lets Python end in an orderly way.
        """
        self._hosts.get().close()

    def observe(self, observer: Observer) -> None:
        """Let ``observer`` be called with a `RequestReport` for each request whose response is over. Any thread.

        WebSockets are not reported, except handshakes that the adapter itself refuses. It runs on the event loop's
        thread, or on the request's where the adapter refuses it: it must be quick and not wait. What it raises is
        logged.
        """
        self._observers.append(observer)

    def statistics(self) -> HostStatistics:
        """Return a snapshot of this process' requests. Any thread."""
        host = self._hosts.peek()
        if host is None:  # nothing has been made in this process, and nothing is to be made by looking
            return HostStatistics(
                "not started", requests=0, background=0, websockets=0, refused=0, stuck=0, failed_in_background=0
            )
        live = list(host.live)  # a list, which is made at one go: the loop changes it meanwhile
        requests = sum(not exchange.is_output_over for exchange in live)
        return HostStatistics(
            phase=host.phase.value,
            requests=requests,
            background=sum(exchange.is_output_over and not exchange.is_upgraded for exchange in live),
            websockets=len(host.websockets),
            refused=host.refused,
            stuck=len(host.stuck),
            failed_in_background=host.failed_in_background,
        )


def _serve_websocket(host: Host, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    try:
        from bridge.websocket.asgi_hosting.servant import serve_websocket  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        if error.name is not None:  # it is there, and broken
            raise
        return refuse(host, environ, start_response, RequestRefused(501, str(error)))
    return serve_websocket(host, environ, start_response)


def _release(hosts: PerProcess[Host]) -> None:
    host = hosts.peek()
    if host is not None:
        host.begin_closing_soon()


def to_wsgi(app: AnyASGIApp | WSGIApp, **options: Unpack[ASGIToWSGIOptions]) -> WSGIApp:
    """Return ``app`` as a WSGI application.

    An ASGI application is wrapped in an `ASGIToWSGI` with the given options; a WSGI application comes back unchanged.

    Args:
        app: an ASGI (3.0 or 2.0) or WSGI application.
        options: the keyword arguments of `ASGIToWSGI`.
    """
    if protocol_of(app) in ("wsgi", "dual"):
        return cast("WSGIApp", app)
    return ASGIToWSGI(cast("AnyASGIApp", app), **options)  # what cannot be told is taken for what is to be translated
