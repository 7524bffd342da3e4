"""Host a WSGI application on an ASGI server: `to_asgi` and `WSGIToASGI`.

One request is one job on one worker thread; the event loop never runs application code. The work of a request is in
`bridge._wsgi_hosting`, the rules are in `bridge.translate`, threads and loops in `bridge._runtime`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict, Unpack, cast

import anyio

from bridge._options import check_choice
from bridge._runtime.loops import LoopPort, current_port
from bridge._runtime.workers import WorkerPool
from bridge._wsgi_hosting.error_stream import TextSink
from bridge._wsgi_hosting.exchange import Exchange
from bridge._wsgi_hosting.frameworks import needs_content_length
from bridge._wsgi_hosting.hosting import Hosting, logger
from bridge._wsgi_hosting.observed import run_observed
from bridge._wsgi_hosting.statistics import Statistics, statistics_of
from bridge.detect import protocol_of, single_callable
from bridge.errors import ServerError
from bridge.lifespan import Hooks, answer_lifespan, hooks_from
from bridge.limits import Limits
from bridge.observing import Observer
from bridge.translate import messages
from bridge.translate.environ import EnvironOptions
from bridge.types import AnyASGIApp, ASGIApp, Receive, Scope, Send, WSGIApp

__all__ = ["Statistics", "WSGIToASGI", "WSGIToASGIOptions", "to_asgi"]

_DRAIN_LOOK_S = 0.02
_POOL_CLOSE_S = 2.0


class WSGIToASGIOptions(TypedDict, total=False):
    """The keyword arguments of `WSGIToASGI`, for callers that pass them on."""

    limits: Limits
    workers: WorkerPool | None
    large_body: Literal["auto", "spool", "stream"]
    set_content_length: bool | None
    strip_root_path: bool
    underscore_headers: Iterable[str]
    environ: Mapping[str, Any]
    multiprocess: bool
    hop_by_hop: Literal["refuse", "drop"]
    strict: bool
    pathsend: bool
    on_error: Literal["raise", "respond"]
    errors: TextSink | logging.Logger | None
    websocket_denial_status: int
    on_startup: Hooks | None
    on_shutdown: Hooks | None


class WSGIToASGI:
    """A WSGI application as an ASGI 3 application.

    Making one starts nothing: worker threads are started by the first request, in the process that serves it.

    Args:
        app: the WSGI application: any callable taking ``(environ, start_response)``.
        limits: every number; see `Limits`.
        workers: a `WorkerPool` to share between several adapters; by default each has its own, of
            ``limits.workers`` threads.
        large_body: what happens to request bodies beyond ``limits.body_memory_bytes``: ``"spool"`` receives them into
            a temporary file before a worker is taken (slow clients hold no worker), ``"stream"`` lets the application
            read them as they come. ``"auto"`` spools, but streams a body that comes faster than a disk would be,
            with at most a quarter of the workers.
        set_content_length: set ``CONTENT_LENGTH`` for bodies that came without one (chunked, HTTP/2) once they have
            been received completely. Default: only for Django, Bottle and Falcon, which read no body without it; they
            are also recognised inside the usual WSGI middleware.
        strip_root_path: take ``root_path`` off the front of ``path`` where it is there.
        underscore_headers: names of request fields with ``_`` to let through; others are dropped.
        environ: name/value pairs for every environ; request data wins over them.
        multiprocess: the value of ``wsgi.multiprocess``.
        hop_by_hop: whether hop-by-hop fields set by the application are refused (an error) or dropped with a warning.
        strict: also refuse what PEP 3333 forbids but most servers tolerate: a status without a reason, headers that
            are no list.
        pathsend: let the server open whole files by itself (``http.response.pathsend``) where it offers that. Off by
            default: some servers open the file after the application may have deleted it.
        on_error: ``"raise"`` lets the application's exceptions rise to the server and its middleware, which answer
            500 and report; ``"respond"`` logs them and answers a plain 500 here.
        errors: where ``wsgi.errors`` goes: a text stream or a logger; by default ``sys.stderr``.
        websocket_denial_status: the answer to WebSocket handshakes where WebSockets are switched off
            (``Limits.websockets`` is 0, or the extra ``websocket`` is not installed), if the server lets one choose
            (else 403).
        on_startup: hook or hooks for the lifespan startup: called with no argument, or with the ``state`` dict if
            they take one. Coroutine functions run on the loop, others on a worker thread.
        on_shutdown: likewise, run after all requests have ended.

    Raises:
        TypeError: an argument of a wrong type.

    Runs on: called on an event loop (asyncio, uvloop, trio); the application runs on worker threads. One adapter
    serves any number of loops.

    Spec: PEP 3333; ASGI HTTP 2.5; ASGI lifespan 2.0.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        limits: Limits | None = None,
        workers: WorkerPool | None = None,
        large_body: Literal["auto", "spool", "stream"] = "auto",
        set_content_length: bool | None = None,
        strip_root_path: bool = True,
        underscore_headers: Iterable[str] = (),
        environ: Mapping[str, Any] | None = None,
        multiprocess: bool = True,
        hop_by_hop: Literal["refuse", "drop"] = "refuse",
        strict: bool = False,
        pathsend: bool = False,
        on_error: Literal["raise", "respond"] = "raise",
        errors: TextSink | logging.Logger | None = None,
        websocket_denial_status: int = 403,
        on_startup: Hooks | None = None,
        on_shutdown: Hooks | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"a WSGI application is a callable; {app!r} is not")
        check_choice("large_body", large_body, ("auto", "spool", "stream"))
        check_choice("hop_by_hop", hop_by_hop, ("refuse", "drop"))
        check_choice("on_error", on_error, ("raise", "respond"))
        limits = limits or Limits()
        self.app = app
        self._has_own_pool = workers is None
        if workers is not None:
            workers.serve_in_turn()
        pool = workers or WorkerPool(
            workers=limits.workers, queue=limits.queue, idle_s=limits.worker_idle_s, spare=limits.spare_workers
        )
        self._hosting = Hosting(
            app=app,
            limits=limits,
            environ_options=EnvironOptions(
                multithread=pool.workers > 1,
                multiprocess=multiprocess,
                strip_root_path=strip_root_path,
                underscore_names=frozenset(name.lower().encode("ascii") for name in underscore_headers),
                extra=dict(environ or {}),
            ),
            large_body=large_body,
            sets_content_length=needs_content_length(app) if set_content_length is None else set_content_length,
            drops_hop_by_hop=hop_by_hop == "drop",
            strict=strict,
            pathsend=pathsend,
            responds_to_errors=on_error == "respond",
            errors=errors,
            pool=pool,
            # Writing to the page cache is quick; two threads keep the disk busy and the loop free.
            spool_pool=WorkerPool(workers=2, queue=100_000, idle_s=limits.worker_idle_s, spare=0, name="bridge-spool"),
            # Two at the least: the only worker of a pool would stay for good.
            websocket_pool=WorkerPool(
                workers=max(2, limits.websockets),
                queue=0,
                idle_s=limits.worker_idle_s,
                spare=0,
                name="bridge-websocket",
            ),
        )
        self._websocket_denial_status = websocket_denial_status
        self._on_startup = hooks_from(on_startup)
        self._on_shutdown = hooks_from(on_shutdown)
        # Of two loops that call for the first time at once, one may forget the other's port; it makes another then.
        self._port: LoopPort | None = None
        self._ports: list[LoopPort] = []  # one for each loop that runs: a timer belongs to each

    def __repr__(self) -> str:
        now = self.statistics()
        return (
            f"<WSGIToASGI {self.app!r}: {now.requests} requests ({now.waiting} waiting, {now.streams_open} streaming), "
            f"workers {now.workers_busy} busy, {now.workers_idle} idle of {now.workers_max}>"
        )

    def statistics(self) -> Statistics:
        """Return a snapshot of workers, requests and memory. Any thread."""
        return statistics_of(self._hosting)

    def observe(self, observer: Observer) -> None:
        """Let ``observer`` be called with a `RequestReport` for each request that is over. Any thread.

        WebSockets are not reported. It runs on the event loop's thread: it must be quick and not wait. What it raises
        is logged.
        """
        self._hosting.observers.append(observer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection. Loop.

        Raises:
            ServerError: an unknown scope type, or an event that has no place.
            Exception: what the application, ``receive`` or ``send`` raised.
        """
        kind = scope["type"]
        if kind == "http":
            if self._hosting.observers:
                await run_observed(self._hosting, scope, receive, send, self._current_port())
            else:
                await Exchange(self._hosting, scope, receive, send, self._current_port()).run()
        elif kind == "lifespan":
            await answer_lifespan(
                scope,
                receive,
                send,
                port=self._current_port(),
                pool=self._hosting.pool,
                on_startup=self._on_startup,
                on_shutdown=self._on_shutdown,
                drain=self.drain,
                shutdown_s=self._hosting.limits.shutdown_s,
            )
        elif kind == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            raise ServerError(
                f"a WSGI application was asked to serve a scope of type {kind!r}; the bridge knows http, websocket and "
                "lifespan",
                rule='ASGI 3.0, "Protocol Specifications"',
            )

    def _current_port(self) -> LoopPort:
        port = self._port
        if port is None or not port.is_current():
            self._hosting.check_process()
            ports = [known for known in self._ports if known.is_running()]
            port = next((known for known in ports if known.is_current()), None)
            if port is None:
                port = current_port()
                ports.append(port)
            self._port, self._ports = port, ports
        return port

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._hosting.limits.websockets == 0:
            await self._refuse_websocket(scope, receive, send, "This application does not speak WebSocket.")
            return
        try:
            from bridge.websocket.wsgi_hosting.session import Session  # noqa: PLC0415 - needs the extra
        except ImportError as error:
            if error.name is not None:  # it is there, and broken
                raise
            await self._refuse_websocket(scope, receive, send, str(error))
            return
        await Session(self._hosting, scope, receive, send, self._current_port()).run()

    async def _refuse_websocket(self, scope: Scope, receive: Receive, send: Send, reason: str) -> None:
        """Refuse the handshake (W-149)."""
        if (await receive())["type"] != messages.WEBSOCKET_CONNECT:
            return  # the client has left already
        logger.warning("%s: websocket refused: %s", ascii(scope.get("path") or ""), reason)
        if messages.DENIAL_RESPONSE in (scope.get("extensions") or {}):
            for message in messages.websocket_denial(self._websocket_denial_status, reason):
                await send(message)
        else:
            await send(messages.websocket_close())

    async def drain(self) -> None:
        """Close WebSockets with 1001, and wait for running requests, at most ``Limits.shutdown_s``; then let the worker
        threads end. Loop.

        The lifespan shutdown does this. If requests are still running when the time is up, they are named in the log
        with the stack of their threads, and left alone: the threads are daemons and do not keep the process alive.
        """
        hosting = self._hosting
        hosting.is_draining = True
        for websocket in list(hosting.websockets):
            websocket.leave()
        try:
            with anyio.move_on_after(hosting.limits.shutdown_s):
                # Requests may run on other loops, where no event reaches this one.
                while hosting.live or hosting.websockets:  # noqa: ASYNC110
                    await anyio.sleep(_DRAIN_LOOK_S)
        finally:
            hosting.is_draining = False
        for exchange in (*hosting.live, *hosting.websockets):
            logger.error("%s is still running %.1f s after shutdown began", repr(exchange), hosting.limits.shutdown_s)
        for stuck in (
            *(hosting.pool.stuck(0) if hosting.live else ()),
            *(hosting.websocket_pool.stuck(0) if hosting.websockets else ()),
        ):
            logger.error(
                "thread %s runs %s since %.1f s:\n%s", stuck.thread_name, repr(stuck.job), stuck.busy_s, stuck.stack
            )
        hosting.spool_pool.close(0 if hosting.live else _POOL_CLOSE_S)
        hosting.websocket_pool.close(0 if hosting.websockets else _POOL_CLOSE_S)
        if self._has_own_pool:
            hosting.pool.close(0 if hosting.live else _POOL_CLOSE_S)


def to_asgi(app: WSGIApp | AnyASGIApp, **options: Unpack[WSGIToASGIOptions]) -> ASGIApp:
    """Return ``app`` as an ASGI 3 application.

    A WSGI application is wrapped in a `WSGIToASGI` with the given options; an application that is ASGI 3 already
    comes back unchanged, and one of ASGI 2 as one of ASGI 3.

    Args:
        app: a WSGI or ASGI application.
        options: the keyword arguments of `WSGIToASGI`.
    """
    protocol = protocol_of(app)
    if protocol == "asgi2":
        return single_callable(app)
    if protocol in ("asgi", "dual"):
        return cast("ASGIApp", app)
    return WSGIToASGI(cast("WSGIApp", app), **options)  # what cannot be told is taken for what is to be translated
