"""Every number a user may want to change: name with unit, default, and the reason for the default."""

from __future__ import annotations

from dataclasses import dataclass, fields

_AT_LEAST_ONE = frozenset({"workers", "response_memory_bytes", "body_piece_bytes", "websocket_queue_bytes"})
KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on threads, waiting, memory and time for one adapter.

    All sizes are bytes, all times seconds. ``None`` (where the type allows it) switches a limit off.
    """

    workers: int = 40
    """Threads that may run the application at once; 1 is the single-threaded mode (one thread, one request at
    a time). 40 is what Starlette and anyio give synchronous code; waitress has 4, gunicorn's gthread 1."""

    spare_workers: int = 40
    """Threads beyond ``workers`` that take the place of workers which cannot go on: those that have been busy with one
    request for longer than ``stuck_s``, and those that wait for a slow client. As many again, so that a few of them
    change nothing, and a flood of them cannot make threads without end. None of them where ``workers`` is 1."""

    worker_idle_s: float = 2.0
    """A worker that had nothing to do for this long ends. Short, because a thread costs 0.1 ms to start and an
    idle one costs memory and, with Django, an open database connection. Not used when ``workers`` is 1."""

    queue: int = 1000
    """Requests that may wait for a worker; the next one is answered 503 with ``Retry-After``. With 50 ms per
    request and 40 workers, 1000 waiting requests are 1.25 s of work."""

    queue_wait_s: float | None = 30.0
    """A request that got no worker for this long is answered 503. Thirty seconds is gunicorn's default request
    timeout: nobody is waiting for the answer any more."""

    retry_after_s: int = 1
    """The ``Retry-After`` of those 503 answers."""

    body_memory_bytes: int = 1 * MIB
    """Request bodies up to this size are collected in memory before a worker is taken; larger ones go to a
    temporary file or are streamed (``large_body``). 1 MiB is nginx's default for a whole body."""

    body_memory_total_bytes: int = 64 * MIB
    """What the bodies that are being collected may hold in memory together. Beyond it, those larger than 64 KiB go to
    temporary files earlier: ten thousand clients that send a megabyte and stop must not cost ten gigabytes."""

    body_max_bytes: int | None = 1024 * MIB
    """Larger request bodies are answered 413. 1 GiB is waitress' default."""

    body_wait_s: float | None = 60.0
    """How long to wait without a byte of the request body: 408 while collecting, an ``OSError`` in ``read()``
    while streaming. 60 s is nginx's ``client_body_timeout``."""

    response_memory_bytes: int = 1 * MIB
    """A streaming application is held back while more than this is unsent. Large enough that the thread switches
    for a refill do not show (half of it is refilled at a time), small enough for 40 slow readers. Also how much an
    ASGI application may send under HEAD, 204 or 304, where nothing goes out, before its client counts as gone."""

    response_spool_bytes: int = 64 * MIB
    """How much of one response may wait in a temporary file for a slow client while other requests wait for a worker.
    An application that is further ahead is held back. 0 switches such files off. Files that the application itself
    sends with ``wsgi.file_wrapper`` are not copied, whatever their size."""

    spool_bytes: int | None = 8192 * MIB
    """What all temporary files of one adapter may take of the disk together, request bodies and responses. A body that
    finds no room is answered 503; a response holds its application back."""

    response_wait_s: float | None = 120.0
    """How long a client may take no byte of a streamed response until it counts as gone. Servers take 64 KiB at once,
    so this is also the slowest rate: 120 s are half a kilobyte per second."""

    shutdown_s: float = 30.0
    """How long a shutdown waits for running requests (and for background work of ASGI applications) before it gives
    up and names them; and again how long an ASGI application may take for its lifespan shutdown. 30 s is gunicorn's
    ``graceful_timeout``."""

    cancel_s: float = 5.0
    """How long a cancelled request waits for its application to notice. The servers cancel at the end of their
    own graceful period, so this adds to it."""

    stuck_s: float = 60.0
    """A worker busy with one request for longer than this is counted as stuck in ``statistics()`` and replaced
    (``spare_workers``); if its response has not begun, it is logged once, with the place where it is. Likewise for ASGI
    applications that are silent, but for the replacement."""

    body_piece_bytes: int = 64 * KIB
    """The largest piece of a request body that an ASGI application gets at once. 64 KiB is what uvicorn and
    hypercorn give."""

    app_wait_s: float | None = 300.0
    """How long a request thread waits for the next event of an ASGI application before it gives the request up: an
    application that hangs must not keep a thread of the server for ever. Long polls and idle event streams are
    shorter; 300 s is Apache's classic ``Timeout``."""

    loop_wait_s: float = 30.0
    """How long a request waits for an event loop that takes nothing up, because something blocks it; then it fails
    with the place where the loop is. 30 s is gunicorn's default request timeout."""

    startup_s: float | None = 120.0
    """How long an ASGI application may take for its lifespan startup: some load models of gigabytes."""

    disconnect_grace_s: float | None = None
    """An ASGI application that goes on for this long after its client has left is cancelled; by default it never is,
    like under uvicorn: it has been told, and may have work to finish."""

    websockets: int = 1000
    """WebSocket connections at once; the next handshake is answered 503. Each one of a WSGI application has a thread of
    its own, besides ``workers``; those of an ASGI application have none, but for the request's where the server does
    TLS. One counts until both have ended, the connection and its application: who goes on working after the client has
    left keeps the place (``disconnect_grace_s`` bounds that), or clients that come back at once would leave one behind
    each time."""

    websocket_message_bytes: int | None = 16 * MIB
    """A larger message of a client (after decompression) closes its connection with 1009. 16 MiB is what uvicorn has.
    For ASGI applications on WSGI servers; ASGI servers have a limit of their own."""

    websocket_queue_bytes: int = 1 * MIB
    """While more than this has come and was not received by the application, no more is read from the connection; while
    more than this is unsent, the application's ``send`` waits."""

    websocket_ping_s: float | None = 20.0
    """How often clients are pinged, for ASGI applications on WSGI servers. 20 s is what uvicorn and websockets have,
    and less than what proxies take for idle."""

    websocket_pong_s: float = 20.0
    """A client that has not answered a ping for this long counts as gone: 1011. For ASGI applications."""

    websocket_close_s: float = 5.0
    """How long the client's answer to a closing frame is awaited before the connection is cut. The time begins when the
    frame has been handed to the system, so that a large last message may be read slowly; until then, the client has to
    take something within each such time. For ASGI applications on WSGI servers; on ASGI servers the server waits."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in str(field.type):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"Limits.{field.name} must be a number, not {value!r}")
            if isinstance(value, float) and "float" not in str(field.type):
                raise TypeError(f"Limits.{field.name} must be a whole number, not {value!r}")
            lowest = 1 if field.name in _AT_LEAST_ONE else 0
            if not value >= lowest:
                raise ValueError(f"Limits.{field.name} must be at least {lowest}, not {value!r}")
