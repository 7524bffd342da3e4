"""Ask an ASGI application four questions, and run its lifespan around them, as a caller that checks every event.

Everything runs on one asyncio loop in the calling thread, as on a server. Each wait is bounded; what blocks the loop is
woken by `bridge.doctor.watchdog`; what does not let itself be cancelled is left behind with its loop.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import Any, cast

from bridge.doctor.asgi_rules import HTTPRules, NotLifespan, lifespan_answer
from bridge.doctor.probing import HEADERS, READ_BYTES, REQUESTS, TIMEOUT_S, Seen, Violation, last_line, shortened
from bridge.doctor.report import Outcome, Probe, ProbeRow
from bridge.doctor.watchdog import Blocked, watchdog
from bridge.types import ASGIApp, Message, Receive, Scope, Send

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_CANCEL_S = 2.0
_GRACE_S = 2.0  # the loop's own timeouts come first


def probe_asgi(app: ASGIApp, *, timeout_s: float = TIMEOUT_S) -> Probe:
    """Return what the application answers. A thread without a running event loop; best the main one.

    Args:
        app: an ASGI 3 application.
        timeout_s: how long each request, and each half of the lifespan, may take.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return Probe("asgi", tuple(_rows(loop, app, timeout_s)))
    finally:
        _end(loop)


def scope_for(method: str, path: str, state: dict[str, Any]) -> Scope:
    """Return the scope of a request without a body, complete and without extensions."""
    return {
        "type": "http",
        "asgi": dict(_ASGI),
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode("ascii"), value.encode("ascii")) for name, value in HEADERS],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
        "state": dict(state),
    }


def _rows(loop: asyncio.AbstractEventLoop, app: ASGIApp, timeout_s: float) -> list[ProbeRow]:
    lifespan = _Lifespan(app, timeout_s)
    rows = [lifespan.run(loop, "startup")]
    if lifespan.is_refused_start:
        return rows  # no server would go on
    for method, path in REQUESTS:
        exchange = _Exchange(app, Seen(method, path), lifespan.state)
        try:
            with watchdog(timeout_s + _GRACE_S):
                loop.run_until_complete(exchange.run(timeout_s))
        except Blocked as blocked:  # it was raised between two steps of the application
            exchange.seen.blocked = str(blocked)
        except SystemExit as error:  # asyncio lets it through
            exchange.seen.error = error
        rows.append(exchange.seen.row(timeout_s))
    if lifespan.is_running:
        rows.append(lifespan.run(loop, "shutdown"))
    return rows


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Close the loop; wait for what is left, but not long."""
    try:
        with watchdog(_CANCEL_S + _GRACE_S):
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=_CANCEL_S))
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), _CANCEL_S))
    except (Blocked, TimeoutError):
        pass  # it has been said which request hangs
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _bounded(task: asyncio.Task[Any], *others: asyncio.Task[Any], timeout_s: float) -> None:
    """Wait until the first one is done, then cancel what is not; wait for that too, but not long."""
    tasks = {task, *others}
    await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    pending = [one for one in tasks if not one.done()]
    for one in pending:
        one.cancel()
    if pending:
        await asyncio.wait(pending, timeout=_CANCEL_S)


class _Exchange:
    """One request."""

    def __init__(self, app: ASGIApp, seen: Seen, state: dict[str, Any]) -> None:
        self.seen = seen
        self._app = app
        self._state = state
        self._rules = HTTPRules(seen)
        self._is_asked = False
        self._complete, self._left = asyncio.Event(), asyncio.Event()

    async def run(self, timeout_s: float) -> None:
        """Call the application once. Loop."""
        scope = scope_for(self.seen.method, self.seen.path, self._state)
        task = asyncio.ensure_future(_call(self._app, scope, self._receive, self._send))
        leaving = asyncio.ensure_future(self._left.wait())
        await _bounded(task, leaving, timeout_s=timeout_s)
        if task.done() and not task.cancelled():
            self._settle(task.exception())

    def _settle(self, error: BaseException | None) -> None:
        if isinstance(error, Violation):
            return  # kept already
        if isinstance(error, Blocked):
            self.seen.blocked = str(error)
            return
        self.seen.error = error
        if not self._left.is_set():
            self.seen.is_done = True
            self._rules.finish()

    async def _receive(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._rules.feed(message)
        if self._rules.is_complete:
            self._complete.set()
        elif self.seen.body_bytes > READ_BYTES:
            self.seen.is_cut = True
            self._left.set()
            await asyncio.Event().wait()  # until it is cancelled
        await asyncio.sleep(0)


class _Lifespan:
    """The lifespan of the application: one task, asked twice."""

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self.state: dict[str, Any] = {}
        self.is_running = False
        self.is_refused_start = False
        self._app = app
        self._timeout_s = timeout_s
        self._task: asyncio.Task[Any] | None = None
        self._phase = ""
        self._was_asked: set[str] = set()
        self._answers: dict[str, str | None] = {}
        self._asking, self._answered = asyncio.Event(), asyncio.Event()

    def run(self, loop: asyncio.AbstractEventLoop, phase: str) -> ProbeRow:
        """Go through one phase; return its row."""
        started_s = time.perf_counter()
        raised: BaseException | None = None
        try:
            with watchdog(self._timeout_s + _GRACE_S):
                outcome, detail = loop.run_until_complete(self._go(phase))
        except Blocked as blocked:
            outcome, detail = "timeout", str(blocked)
        except SystemExit as exiting:  # asyncio lets it through
            outcome, detail, raised = "failed", f"it raised {last_line(exiting)}", exiting
        self.is_running = phase == "startup" and outcome == "ok"
        # An exception counts as an application without a lifespan; everything else ends a server.
        said_no = self._answers.get(phase) is not None
        self.is_refused_start = outcome in ("timeout", "violation") or raised is not None or said_no
        if raised is None and self._task and self._task.done() and not self._task.cancelled():
            raised = self._task.exception()
        return ProbeRow(
            request=f"lifespan {phase}",
            status=None,
            content_type="",
            body_bytes=0,
            milliseconds=(time.perf_counter() - started_s) * 1000,
            outcome=outcome,
            detail=shortened(detail),
            trace="".join(traceback.format_exception(raised)) if raised is not None else "",
        )

    async def _go(self, phase: str) -> tuple[Outcome, str]:
        self._phase = phase
        self._answered = asyncio.Event()
        if phase == "startup":
            scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
            self._task = asyncio.ensure_future(_call(self._app, scope, self._receive, self._send))
        else:
            self._asking.set()
        task = cast("asyncio.Task[Any]", self._task)
        waiting = asyncio.ensure_future(self._answered.wait())
        await asyncio.wait({task, waiting}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return self._judged(phase, task)

    def _judged(self, phase: str, task: asyncio.Task[Any]) -> tuple[Outcome, str]:
        error = task.exception() if task.done() and not task.cancelled() else None
        if isinstance(error, Violation | Blocked):
            is_missing = isinstance(error, NotLifespan) and phase == "startup"
            told: Outcome = "unsupported" if is_missing else "violation" if isinstance(error, Violation) else "timeout"
            return told, str(error)
        if phase in self._answers:
            reason = self._answers[phase]
            return (
                ("ok", "")
                if reason is None
                else ("failed", f"it said that it failed: {reason.strip().splitlines()[-1]}")
            )
        if not task.done():
            return "timeout", f"no answer after {self._timeout_s:g} s"
        ending = f"it raised {last_line(error)}" if error is not None else "it returned without an answer"
        if phase in self._was_asked and error is not None:
            return "failed", f"{ending}; servers take that for an application without a lifespan, and go on"
        return "unsupported" if phase == "startup" else "failed", ending

    async def _receive(self) -> Message:
        if "startup" not in self._was_asked:
            self._was_asked.add("startup")
            return {"type": "lifespan.startup"}
        await self._asking.wait()
        self._was_asked.add("shutdown")
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if self._phase in self._answers:
            raise Violation(f"it answered the {self._phase} twice")
        self._answers[self._phase] = lifespan_answer(message, self._phase)
        self._answered.set()


async def _call(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application inside the task: also what is no coroutine function raises there."""
    await app(scope, receive, send)
