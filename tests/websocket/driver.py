"""A strict in-memory ASGI server with one WebSocket connection: what a client says in, every event of the adapter out.

It is as strict as the specification: an event out of order, an unknown key, a wrong type, a second `receive()` while
one waits or a `receive()` after the disconnect fails the test, whatever the test itself looks at. By `Quirks` it is
also as odd as servers are.

All waits are bounded. The client's side (`Socket.say`, `Socket.leave`, `Socket.hold`) may be used from any thread.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import WSGIToASGI
from tests.conformance.driver import PATIENCE_S, ClientGoneError, Message, _poster, hosted, run, until

DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
"""Extra scope keys of a server that lets one answer a handshake with any response."""

KEYS: dict[str, frozenset[str]] = {
    "websocket.accept": frozenset({"type", "subprotocol", "headers"}),
    "websocket.send": frozenset({"type", "text", "bytes"}),
    "websocket.close": frozenset({"type", "code", "reason"}),
    "websocket.http.response.start": frozenset({"type", "status", "headers"}),
    "websocket.http.response.body": frozenset({"type", "body", "more_body"}),
}
ALLOWED: dict[str, frozenset[str]] = {
    "connecting": frozenset({"websocket.accept", "websocket.close", "websocket.http.response.start"}),
    "open": frozenset({"websocket.send", "websocket.close"}),
    "denying": frozenset({"websocket.http.response.body"}),
    "closed": frozenset(),
}
NEVER_SENT = frozenset({1004, 1005, 1006, *range(1015, 3000)})


def make_scope(path: str = "/socket", **extra: Any) -> dict[str, Any]:
    """A ``websocket`` scope as uvicorn makes it; ``extra`` replaces or adds keys."""
    headers = extra.pop("headers", ())
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"example.org"),
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            *headers,
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "subprotocols": [],
        **extra,
    }


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """What servers do differently.

    Attributes:
        plain_awaitables: ``receive()`` and ``send()`` return awaitables that are no coroutines (granian).
        close_waits: a close is not sent while a ``receive()`` waits (granian).
        both_keys: a message has both ``text`` and ``bytes``, one of them None (hypercorn).
        send_raises: ``send()`` raises an ``OSError`` once the client has gone (uvicorn, and ASGI 2.4); else it does
            nothing.
    """

    plain_awaitables: bool = False
    close_waits: bool = False
    both_keys: bool = False
    send_raises: bool = False


PLAIN = Quirks()
GRANIAN = Quirks(plain_awaitables=True, close_waits=True)
HYPERCORN = Quirks(both_keys=True)
UVICORN = Quirks(send_raises=True)

on_each_server = pytest.mark.parametrize(
    "quirks",
    [
        pytest.param(PLAIN, id="plain"),
        pytest.param(GRANIAN, id="like granian"),
        pytest.param(HYPERCORN, id="like hypercorn"),
        pytest.param(UVICORN, id="like uvicorn"),
    ],
)


class PlainAwaitable:
    """An awaitable that is no coroutine."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


@dataclass(eq=False)
class Socket:
    """One connection of the server.

    Args:
        scope: the connection scope.
        quirks: how the server is odd.
        fail_at: number (from 0) of a ``send`` call, and the exception it raises.
        receive_error: raised by ``receive()`` after all that was said.
    """

    scope: dict[str, Any] = field(default_factory=make_scope)
    quirks: Quirks = PLAIN
    fail_at: dict[int, BaseException] = field(default_factory=dict)
    receive_error: BaseException | None = None

    messages: list[Message] = field(default_factory=list, init=False)
    attempts: int = field(default=0, init=False)
    swallowed: list[Message] = field(default_factory=list, init=False)
    taken: int = field(default=0, init=False)
    """Messages of the client that the adapter has received."""
    violations: list[str] = field(default_factory=list, init=False)
    is_returned: bool = field(default=False, init=False)
    is_cancelled: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._incoming: deque[Message] = deque([{"type": "websocket.connect"}])
        self._state = "connecting"
        self._is_gone = False
        self._is_receiving = False
        self._has_told_end = False
        self._is_sending = False
        self._is_held = False
        self._post: Callable[[Callable[[], None]], Any] | None = None
        self._news: anyio.Event | None = None
        self._progress = threading.Condition()

    # ---- What came out ------------------------------------------------------------------------------------------

    @property
    def types(self) -> list[str]:
        """The types of the events that reached the server, without ``websocket.``."""
        return [message["type"].removeprefix("websocket.") for message in self.messages]

    @property
    def said(self) -> list[str | bytes]:
        """The application's messages."""
        return [
            message["bytes"] if message.get("text") is None else message["text"]
            for message in self.messages
            if message["type"] == "websocket.send"
        ]

    @property
    def accepted(self) -> Message | None:
        """The accept, if there was one."""
        return next((message for message in self.messages if message["type"] == "websocket.accept"), None)

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the adapter's close; 403 stands for one before the accept."""
        for message in self.messages:
            if message["type"] == "websocket.close":
                return (message.get("code", 1000) if self.accepted else 403, message.get("reason") or "")
        return None

    @property
    def denial(self) -> tuple[int, dict[bytes, bytes], bytes] | None:
        """Status, fields and body of a denial response, if it is complete."""
        starts = [message for message in self.messages if message["type"] == "websocket.http.response.start"]
        if not starts or self._state != "closed":
            return None
        body = b"".join(message.get("body", b"") for message in self.messages)
        return starts[0]["status"], dict(starts[0]["headers"]), body

    @property
    def is_receiving(self) -> bool:
        """Whether the adapter waits in ``receive()``."""
        return self._is_receiving

    # ---- The client: any thread -----------------------------------------------------------------------------------

    def say(self, *messages: str | bytes) -> None:
        """The client sends messages."""
        for data in messages:
            text, octets = (data, None) if isinstance(data, str) else (None, data)
            event = {"type": "websocket.receive", "text": text, "bytes": octets}
            if not self.quirks.both_keys:
                event = {key: value for key, value in event.items() if value is not None}
            self._incoming.append(event)
        self._wake_soon()

    def leave(self, code: int | None = 1000, reason: str | None = "") -> None:
        """The client closes, or is lost (1006): after all it has said."""
        event: Message = {"type": "websocket.disconnect", "code": code}
        if reason is not None:
            event["reason"] = reason
        self._incoming.append(event)
        self._wake_soon()

    def give(self, event: Message) -> None:
        """Let ``receive()`` give any event."""
        self._incoming.append(event)
        self._wake_soon()

    def hold(self) -> None:
        """The client takes nothing any more: ``send()`` waits."""
        self._is_held = True

    def release(self) -> None:
        """It does again."""
        self._is_held = False
        self._wake_soon()

    def block_until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait, in the application's thread, for what is sent."""
        with self._progress:
            assert self._progress.wait_for(condition, patience_s), "the server was waited for in vain"

    # ---- The server -----------------------------------------------------------------------------------------------

    async def call(self, app: Any) -> None:
        """Call the ASGI application; an exception is kept in `error`, a cancellation passes."""
        self._news = anyio.Event()
        self._post = _poster()
        plain = self.quirks.plain_awaitables
        receive: Callable[[], Awaitable[Message]] = self._receive
        send: Callable[[Message], Awaitable[None]] = self._send
        try:
            result = await app(
                self.scope,
                (lambda: PlainAwaitable(receive())) if plain else receive,
                (lambda message: PlainAwaitable(send(message))) if plain else send,
            )
            assert result is None
        except Exception as error:
            self.error = error
        except anyio.get_cancelled_exc_class():
            self.is_cancelled = True
            raise
        finally:
            self.is_returned = True
        assert not self.violations, self.violations

    async def _receive(self) -> Message:
        self._demand(not self._is_receiving, "receive() was called while another call was waiting")
        self._demand(not self._has_told_end, "receive() was called after the disconnect")
        self._demand(self._state != "closed", "receive() was called after the end")
        self._is_receiving = True
        try:
            await anyio.lowlevel.checkpoint()
            while not self._incoming:
                if self.receive_error is not None:
                    raise self.receive_error
                await self._change()
            event = self._incoming.popleft()
        finally:
            self._is_receiving = False
            self._wake()
        if event["type"] == "websocket.disconnect":
            self._has_told_end = self._is_gone = True
        elif event["type"] == "websocket.receive":
            self.taken += 1
        self._tell()
        return event

    async def _send(self, message: Message) -> None:
        self._demand(not self._is_sending, "send() was called while another call was waiting")
        number = self.attempts
        self.attempts += 1
        if number in self.fail_at:
            raise self.fail_at[number]
        self._is_sending = True
        try:
            self._check(message)
            await anyio.lowlevel.checkpoint()
            while self._is_held and not self._is_gone:
                await self._change()
            if message["type"] == "websocket.close" and self.quirks.close_waits:
                while self._is_receiving and not self._is_gone:
                    await self._change()
        finally:
            self._is_sending = False
        if self._is_gone:
            self.swallowed.append(message)
            if self.quirks.send_raises:
                raise ClientGoneError("the client has gone")
            return
        self._state = self._state_after(message)
        self.messages.append(message)
        self._tell()
        self._wake()

    # ---- Rules ----------------------------------------------------------------------------------------------------

    def _state_after(self, message: Message) -> str:
        kind = message["type"]
        if kind in ("websocket.accept", "websocket.send"):
            return "open"
        if kind == "websocket.http.response.start" or message.get("more_body", False):
            return "denying"
        return "closed"

    def _check(self, message: Message) -> None:
        kind = message["type"]
        self._demand(kind in KEYS, f"unknown event {kind!r}")
        self._demand(self._is_gone or kind in ALLOWED[self._state], f"{kind} in state {self._state!r}")
        self._demand(set(message) <= KEYS[kind], f"unknown keys: {set(message) - KEYS[kind]}")
        if kind == "websocket.accept":
            subprotocol = message.get("subprotocol")
            self._demand(subprotocol is None or subprotocol in self.scope["subprotocols"], "not offered")
            self._check_fields(message.get("headers", ()))
        elif kind == "websocket.send":
            text, octets = message.get("text"), message.get("bytes")
            self._demand((text is None) != (octets is None), "exactly one of text and bytes")
            self._demand(text is None or type(text) is str, "text must be str")
            self._demand(octets is None or type(octets) is bytes, "bytes must be bytes")
        elif kind == "websocket.close":
            code = message.get("code", 1000)
            self._demand(type(code) is int and 1000 <= code <= 4999, "the code must be an int from 1000 to 4999")
            self._demand(code not in NEVER_SENT, f"{code} must not be sent")
            self._demand(type(message.get("reason", "")) is str, "the reason must be str")
        elif kind == "websocket.http.response.start":
            self._demand("websocket.http.response" in (self.scope.get("extensions") or {}), "denial was not offered")
            self._demand(type(message["status"]) is int, "the status must be int")
            self._check_fields(message["headers"])
        else:
            self._demand(type(message.get("body", b"")) is bytes, "the body must be bytes")
            self._demand(type(message.get("more_body", False)) is bool, "more_body must be bool")

    def _check_fields(self, headers: Any) -> None:
        for name, value in headers:
            self._demand(type(name) is bytes and type(value) is bytes, "header names and values must be bytes")
            self._demand(name == name.lower() and not name.startswith(b":"), f"{name!r} is no lower-case name")
            self._demand(name not in (b"connection", b"upgrade"), f"{name!r} is the server's")
            self._demand(not name.startswith(b"sec-websocket-"), f"{name!r} is the server's")

    def _demand(self, is_right: bool, complaint: str) -> None:
        if not is_right:
            self.violations.append(complaint)
            raise AssertionError(complaint)

    # ---- News -----------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        with self._progress:
            self._progress.notify_all()

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


# ---- Running --------------------------------------------------------------------------------------------------------

Script = Callable[[Socket, WSGIToASGI], Awaitable[None]]


def converse(
    app: Any, script: Script | None = None, *, socket: Socket | None = None, backend: str = "asyncio", **options: Any
) -> Socket:
    """Serve one WebSocket while a script plays the client; return what the server saw. Nothing may be left."""
    socket = socket or Socket()
    with hosted(app, **options) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(socket.call, adapter)
                if script is not None:
                    await script(socket, adapter)

        run(main, backend)
        assert adapter.statistics().websockets == 0, "a WebSocket was left"
    failure = getattr(app, "failure", None)
    if failure is not None:
        raise failure  # an assertion in the application
    return socket


class Using:
    """A WSGI application that does something with its WebSocket and returns nothing.

    Attributes:
        result: what came of it.
        raised: the error it ended with, which the bridge is not told.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.result: Any = None
        self.raised: Exception | None = None
        self.failure: BaseException | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            self.result = self._function(environ["wsgi.websocket"])
        except (AssertionError, pytest.fail.Exception) as failure:
            self.failure = failure
        except Exception as error:
            self.raised = error
        return []


using = Using


def is_blocked(thread_id: int, function: str) -> bool:
    """Tell whether a thread is in this function, at any depth."""
    frame = sys._current_frames().get(thread_id)
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False


class AppThread:
    """For a WSGI application: notes the thread it runs in, so that a script can wait until it is blocked."""

    def __init__(self) -> None:
        self.id: int | None = None

    def note(self) -> None:
        """Called by the application."""
        self.id = threading.get_ident()

    async def until_blocked_in(self, function: str) -> None:
        """Wait until it is in this function; of the bridge's, all but the last instructions of those are a wait."""
        await until(lambda: self.id is not None and is_blocked(self.id, function))
