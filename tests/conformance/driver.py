"""A strict in-memory ASGI caller: scripted ``receive`` events in, every sent event out, with time and thread.

It plays the server in the conformance tests of the response side. It is as strict as the specification: an event out
of order, a wrong type in an event or two ``receive()`` calls at once fail the test, whatever the test itself looks at.
It can also be as unpleasant as servers are: block in ``send``, raise from it, or swallow everything without a word
once the client has gone.

All waits are bounded by `PATIENCE_S`. Controls (`Driver.feed`, `Driver.disconnect`, `Driver.release`) may be used from
any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from wsgiref.validate import validator

import anyio
import anyio.lowlevel
import pytest

from bridge import WSGIToASGI

T = TypeVar("T")
Message = dict[str, Any]

# With its first loop libuv opens a pipe for the rest of the process; no test shall be blamed for it.
with contextlib.suppress(ImportError):
    import uvloop

    uvloop.new_event_loop().close()

PATIENCE_S = 20.0
"""Longer than anything here takes, shorter than the test suite's own timeout."""

BACKENDS = ("asyncio", "trio", "uvloop")
BOTH_LOOPS = ("asyncio", "trio")
on_each_backend = pytest.mark.parametrize("backend", BACKENDS)
on_both_loops = pytest.mark.parametrize("backend", BOTH_LOOPS)

TEXT = [("Content-Type", "text/plain")]

REQUEST_END: Message = {"type": "http.request", "body": b"", "more_body": False}
DISCONNECT: Message = {"type": "http.disconnect"}

_TURNS_TO_SETTLE = 30
_BODY_TYPES = ("http.response.body", "http.response.pathsend", "http.response.zerocopysend")


class ClientGoneError(OSError):
    """What ``send`` raises for a client that has left, on servers of ASGI HTTP 2.4 and later."""


class MiddlewareError(Exception):
    """Stands for a failure in an ASGI middleware around the adapter."""


def body_events(*pieces: bytes) -> list[Message]:
    """The ``http.request`` events of a body in these pieces."""
    return [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, start=1)
    ]


def make_scope(method: str = "GET", path: str = "/", **extra: Any) -> dict[str, Any]:
    """An ``http`` scope as uvicorn makes it; ``extra`` replaces or adds keys."""
    headers = extra.pop("headers", ())
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.org"), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        **extra,
    }


def offering(*names: str) -> dict[str, Any]:
    """Extra scope keys of a server that offers these extensions."""
    return {"extensions": {name: {} for name in names}}


@dataclass(frozen=True)
class Sent:
    """One event as it reached the server."""

    message: Message
    at_s: float
    thread_id: int


@dataclass(eq=False)
class Driver:
    """One connection of an in-memory server.

    Args:
        scope: the connection scope.
        events: what ``receive()`` gives, in order; an exception is raised instead. When they are used up
            ``receive()`` waits, until the client is gone or the response is complete (then: ``http.disconnect``).
        hold_at: numbers (from 0) of ``send`` calls that wait for `release` or the client's disconnect.
        fail_at: number of a ``send`` call, and the exception it raises.
        raises_when_gone: ``send`` raises an ``OSError`` once the client has gone; otherwise it does nothing, like
            uvicorn's.
        on_send: called with each event at the time the server gets it.
    """

    scope: dict[str, Any] = field(default_factory=make_scope)
    events: Iterable[Any] = (REQUEST_END,)
    hold_at: frozenset[int] | set[int] = frozenset()
    fail_at: dict[int, BaseException] = field(default_factory=dict)
    raises_when_gone: bool = False
    on_send: Callable[[Message], None] | None = None

    sent: list[Sent] = field(default_factory=list, init=False)
    attempts: int = field(default=0, init=False)
    swallowed: int = field(default=0, init=False)
    receive_calls: int = field(default=0, init=False)
    receive_calls_at_start: int | None = field(default=None, init=False)
    violations: list[str] = field(default_factory=list, init=False)
    is_gone: bool = field(default=False, init=False)
    is_complete: bool = field(default=False, init=False)
    is_returned: bool = field(default=False, init=False)
    is_cancelled: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._events: deque[Any] = deque(self.events)
        self._has_started = False
        self._has_ended = False
        self._owes_trailers = False
        self._is_receiving = False
        self._released: set[int] = set()
        self._post: Callable[[Callable[[], None]], Any] | None = None
        self._news: anyio.Event | None = None
        self._progress = threading.Condition()

    # ---- What came out ------------------------------------------------------------------------------------------

    @property
    def messages(self) -> list[Message]:
        """The events that reached the server."""
        return [sent.message for sent in self.sent]

    @property
    def types(self) -> list[str]:
        """Their types, without ``http.response.``."""
        return [message["type"].removeprefix("http.response.") for message in self.messages]

    @property
    def status(self) -> int:
        """The response's status code."""
        return next(message["status"] for message in self.messages if message["type"] == "http.response.start")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response's header list."""
        return next(message["headers"] for message in self.messages if message["type"] == "http.response.start")

    @property
    def body(self) -> bytes:
        """All body octets that reached the server."""
        return b"".join(message.get("body", b"") for message in self.messages)

    def header(self, name: bytes) -> bytes | None:
        """The only value of a response field, or None."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name!r} came {len(values)} times"
        return values[0] if values else None

    # ---- Controls: any thread -----------------------------------------------------------------------------------

    def feed(self, *events: Any) -> None:
        """Give ``receive()`` more events."""
        self._events.extend(events)
        self._wake_soon()

    def disconnect(self) -> None:
        """The client leaves: ``receive()`` says so, held ``send`` calls end."""
        self.is_gone = True
        self._wake_soon()

    def release(self, *numbers: int) -> None:
        """Let held ``send`` calls go on."""
        self._released.update(numbers)
        self._wake_soon()

    # ---- For the application's thread ---------------------------------------------------------------------------

    def block_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds that changes with what is sent."""
        with self._progress:
            assert self._progress.wait_for(condition, PATIENCE_S), "the driver was waited for in vain"

    def block_until_sent(self, count: int) -> None:
        """Wait until that many events have reached the server."""
        self.block_until(lambda: len(self.sent) >= count)

    def settle(self) -> None:
        """Wait until the loop has made so many turns that all that was handed to it has gone out."""
        done = threading.Event()
        post = self._post
        assert post is not None

        def turn(left: int) -> None:
            if left:
                post(lambda: turn(left - 1))
            else:
                done.set()

        post(lambda: turn(_TURNS_TO_SETTLE))
        assert done.wait(PATIENCE_S), "the loop does not turn"

    # ---- The server ---------------------------------------------------------------------------------------------

    async def call(self, app: Any) -> None:
        """Call the ASGI application; an exception is kept in `error`, a cancellation passes."""
        self._news = anyio.Event()
        self._post = _poster()
        try:
            result = await app(self.scope, self.receive, self.send)
            assert result is None
        except Exception as error:
            self.error = error
        except anyio.get_cancelled_exc_class():
            self.is_cancelled = True
            raise
        finally:
            self.is_returned = True
        assert not self.violations, self.violations

    async def receive(self) -> Message:
        """ASGI ``receive``."""
        self.receive_calls += 1
        if self._is_receiving:
            self._violate("receive() was called while another call was waiting")
        self._is_receiving = True
        try:
            await anyio.lowlevel.checkpoint()
            while not self._events:
                if self.is_gone or self.is_complete:
                    return dict(DISCONNECT)
                await self._change()
            event = self._events.popleft()
        finally:
            self._is_receiving = False
        if isinstance(event, BaseException):
            raise event
        if event["type"] == "http.disconnect":
            self.disconnect()
        return event

    async def send(self, message: Message) -> None:
        """ASGI ``send``."""
        number = self.attempts
        self.attempts += 1
        if self.scope["type"] == "http":
            self._check(message)
        await anyio.lowlevel.checkpoint()
        while number in self.hold_at and number not in self._released and not self.is_gone:
            await self._change()
        if number in self.fail_at:
            raise self.fail_at[number]
        if self.is_gone:
            if self.raises_when_gone:
                raise ClientGoneError("the client has gone")
            self.swallowed += 1
            return
        if self.on_send is not None:
            self.on_send(message)
        with self._progress:
            self._note(message)
            self._progress.notify_all()
        self._wake()

    # ---- Rules --------------------------------------------------------------------------------------------------

    def _check(self, message: Message) -> None:
        kind = message["type"]
        extensions = self.scope.get("extensions") or {}
        if kind == "http.response.early_hint":
            self._demand(kind in extensions and not self._has_started, f"{kind} has no place here")
            self._demand(all(type(link) is bytes for link in message["links"]), "links must be bytes")
        elif kind == "http.response.start":
            self._demand(not self._has_started, "a second start")
            self._has_started = True
            self._demand(type(message["status"]) is int, "the status must be int")
            self._check_fields(message["headers"])
            self._owes_trailers = message.get("trailers", False)
            self._demand(not self._owes_trailers or "http.response.trailers" in extensions, "trailers not offered")
        elif kind in _BODY_TYPES:
            self._demand(self._has_started, "content before the start")
            self._demand(not self._has_ended, "content after the end")
            self._demand(kind == "http.response.body" or kind in extensions, f"{kind} was not offered")
            if kind == "http.response.body":
                self._demand(type(message.get("body", b"")) is bytes, "the body must be bytes")
            self._has_ended = kind == "http.response.pathsend" or not message.get("more_body", False)
        elif kind == "http.response.trailers":
            self._demand(self._has_ended and self._owes_trailers, "trailers out of order")
            self._check_fields(message["headers"])
            self._owes_trailers = message.get("more_trailers", False)
        else:
            self._violate(f"unknown event {kind!r}")

    def _check_fields(self, headers: Any) -> None:
        for name, value in headers:
            self._demand(type(name) is bytes and type(value) is bytes, "header names and values must be bytes")
            self._demand(name == name.lower(), "header names must be lower-case")

    def _demand(self, is_right: bool, complaint: str) -> None:
        if not is_right:
            self._violate(complaint)

    def _violate(self, complaint: str) -> None:
        self.violations.append(complaint)
        raise AssertionError(complaint)

    # ---- News ---------------------------------------------------------------------------------------------------

    def _note(self, message: Message) -> None:
        self.sent.append(Sent(message, time.monotonic(), threading.get_ident()))
        if message["type"] == "http.response.start":
            self.receive_calls_at_start = self.receive_calls
        self.is_complete = self._has_ended and not self._owes_trailers

    async def _change(self) -> None:
        assert self._news is not None
        await self._news.wait()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()
        if news is not None:
            news.set()

    def _wake_soon(self) -> None:
        if self._post is not None:
            self._post(self._wake)


def _poster() -> Callable[[Callable[[], None]], Any]:
    """The way into the running loop from any thread."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token().run_sync_soon
    return asyncio.get_running_loop().call_soon_threadsafe


# ---- Running ----------------------------------------------------------------------------------------------------


def run(main: Callable[[], Awaitable[T]], backend: str = "asyncio", *, patience_s: float = PATIENCE_S) -> T:
    """Run a coroutine function on a new event loop (asyncio in debug mode), bounded; no task may be left."""

    async def bounded() -> T:
        with anyio.fail_after(patience_s):
            result = await main()
        if backend != "trio":  # trio ends no run with tasks left
            # A helper task that has just been cancelled may need a last turn.
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
        return result

    if backend == "trio":
        return anyio.run(bounded, backend="trio")
    if backend == "uvloop":
        pytest.importorskip("uvloop")
        return anyio.run(bounded, backend="asyncio", backend_options={"use_uvloop": True, "debug": True})
    return anyio.run(bounded, backend="asyncio", backend_options={"debug": True})


async def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Let the loop turn until a condition holds that another thread (or task) brings about; fail if it never does."""
    deadline_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        await anyio.sleep(0.001)


def block(event: threading.Event) -> None:
    """Wait for an event in the application's thread, bounded."""
    assert event.wait(PATIENCE_S), "the event never came"


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[logging.LogRecord]:
    """The bridge's own log records of exactly this level."""
    return [record for record in caplog.records if record.name.startswith("bridge") and record.levelno == level]


@contextlib.contextmanager
def without_gc() -> Iterator[None]:
    """Leave all clean-up to reference counts: what lives on is held by somebody, or by a cycle."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def hosted(app: Any, **options: Any) -> Iterator[WSGIToASGI]:
    """An adapter around a WSGI application; at the end no request and no thread of it may be left."""
    before = set(threading.enumerate())
    adapter = WSGIToASGI(app, **options)
    yield adapter
    assert adapter.statistics().requests == 0, "a request was left"
    asyncio.run(adapter.drain())
    pool = options.get("workers")
    if pool is not None:
        assert pool.close(PATIENCE_S), "a worker thread was left"
    deadline_s = time.monotonic() + PATIENCE_S
    while left := [t.name for t in set(threading.enumerate()) - before if t.name.startswith("bridge-")]:
        assert time.monotonic() < deadline_s, f"threads were left: {left}"
        time.sleep(0.001)


def serve(
    app: Any,
    scope: dict[str, Any] | None = None,
    *,
    driver: Driver | None = None,
    backend: str = "asyncio",
    **options: Any,
) -> Driver:
    """Serve one request with a WSGI application and return what the server saw; no task and no thread may be left."""
    driver = driver or Driver(scope or make_scope())
    with hosted(app, **options) as adapter:
        run(functools.partial(driver.call, adapter), backend)
    return driver


# ---- Small applications -----------------------------------------------------------------------------------------


def answering(blocks: Any, *, status: str = "200 OK", headers: Iterable[tuple[str, str]] = TEXT) -> Callable[..., Any]:
    """A WSGI application that returns ``blocks`` (or what ``blocks()`` returns)."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, list(headers))
        return blocks() if callable(blocks) else blocks

    return app


def linted(app: Callable[..., Any]) -> Callable[..., Any]:
    """The application under wsgiref's validator, which complains about both sides."""
    return validator(app)


plain_and_linted = pytest.mark.parametrize(
    "wrap", [pytest.param(lambda app: app, id="plain"), pytest.param(linted, id="lint")]
)


class ClosingBlocks:
    """An iterable whose iterator is another object, and that counts ``close()`` calls and their threads."""

    def __init__(self, blocks: Iterable[bytes] = (b"one", b"two"), on_close: Callable[[], None] | None = None) -> None:
        self._blocks = blocks
        self._on_close = on_close
        self.closed_in: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        yield from self._blocks

    def close(self) -> None:
        self.closed_in.append(threading.get_ident())
        if self._on_close is not None:
            self._on_close()
