"""The table of rules: what is looked for, how bad it is, what to do about it. How it is found is said elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.doctor.report import Hazard, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of hazard.

    Attributes:
        severity: see `Hazard`.
        meaning: what it is and why it hurts.
        advice: what to do.
    """

    severity: Severity
    meaning: str
    advice: str


RULES: Mapping[str, Rule] = {
    # ---- What importing the application leaves behind ----
    "thread-at-import": Rule(
        "warning",
        "importing it starts a thread, which is missing in every process that a server forks afterwards (preload)",
        "start it on first use, or in a startup hook",
    ),
    "loop-at-import": Rule(
        "warning",
        "importing it makes an event loop, which is not the one that will run, and is shared by forked processes",
        "make what needs a loop inside the lifespan, or on first use inside a coroutine",
    ),
    "run-at-import": Rule(
        "warning",
        "importing it runs an event loop, which fails in servers that import the application inside theirs (uvicorn)",
        "move the coroutine into the lifespan",
    ),
    "connection-at-import": Rule(
        "warning",
        "importing it opens a connection, which forked processes (preload) then share and garble",
        "connect on first use, in a startup hook, or after the fork",
    ),
    "process-at-import": Rule(
        "warning",
        "importing it starts a process: every worker process and every reload starts another",
        "start it apart from the web application, or in a startup hook",
    ),
    "signal-handler-at-import": Rule(
        "warning",
        "importing it takes over a signal, which servers use themselves: one of the two is not called",
        "leave signals to the server; clean up in a shutdown hook",
    ),
    "sqlite-one-thread": Rule(
        "warning",
        "an SQLite connection in a module works only in the thread that imported it; requests run on others",
        "connect in each request or thread, or pass check_same_thread=False and hold a lock around its use",
    ),
    # ---- What has been done to the process ----
    "gevent-patched": Rule(
        "warning",
        "gevent has replaced the threads and sockets of this process: event loops and worker threads may stall",
        "host it where greenlets run (gunicorn -k gevent), or leave the patching to that server",
    ),
    "eventlet-patched": Rule(
        "warning",
        "eventlet has replaced the threads and sockets of this process: servers with event loops of their own stall",
        "host it where green threads run (eventlet's own server), or leave monkey_patch() out",
    ),
    "nest-asyncio": Rule(
        "warning",
        "nest_asyncio has replaced parts of asyncio: tasks run inside others, and uvloop does not work with it",
        "await instead of running a loop inside a loop; from sync code use bridge.call_async",
    ),
    "async-unsafe-allowed": Rule(
        "warning",
        "DJANGO_ALLOW_ASYNC_UNSAFE is set: database calls on the event loop block every request, and nothing tells",
        "unset it; wrap the calls in sync_to_async",
    ),
    # ---- What the application is made of ----
    "debug-on": Rule(
        "warning",
        "debugging is on: strangers see source code and settings, some debuggers run what they type",
        "switch it off outside development",
    ),
    "lifespan-not-run": Rule(
        "error",
        "a mounted application has startup code, but only the lifespan of the outermost application is run",
        "enter it in the outer lifespan: async with inner.router.lifespan_context(inner): yield",
    ),
    "lifespan-by-hand": Rule(
        "note",
        "a mounted application has startup code, which runs only if the lifespan of the outer application enters it",
        "look whether it does: async with inner.router.lifespan_context(inner)",
    ),
    "lifespan-missing": Rule(
        "note",
        "it does not speak the lifespan protocol: fine if there is nothing to start",
        "nothing, unless it has startup code; then let it answer the scope of type lifespan",
    ),
    "shared-session-cookie": Rule(
        "warning",
        "two applications use one cookie name on overlapping paths: each overwrites the session of the other",
        "give one of them another cookie name",
    ),
    "asgi-inside-wsgi-inside-asgi": Rule(
        "warning",
        "an adapter is inside an adapter of the other direction: every request is translated there and back",
        "mount or name the inner application itself",
    ),
    "single-threaded-app": Rule(
        "warning",
        "it says that it must not run in several threads at once; by default, 40 requests run at once",
        "host it with the limit workers=1, and use processes for more",
    ),
    "greenlet-async-mode": Rule(
        "error",
        "its Socket.IO server is made for greenlets, which do not run on an event loop or in plain threads",
        "use socketio.ASGIApp with an AsyncServer, or host it where greenlets run (gunicorn -k gevent)",
    ),
}
"""Every rule there is."""

_ORDER = ("error", "warning", "note")


def hazard(rule: str, where: str, what: str) -> Hazard:
    """Return a hazard of a rule."""
    return Hazard(rule, RULES[rule].severity, where, what, RULES[rule].advice)


def worst_first(hazards: list[Hazard]) -> tuple[Hazard, ...]:
    """Return the hazards by severity, those of one severity as found."""
    return tuple(sorted(hazards, key=lambda one: _ORDER.index(one.severity)))
