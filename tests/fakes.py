"""The server's side of an ``http`` scope, in memory and strict.

`ScriptedReceive` and `RecordingSend` play a server to the letter of the specification: a message that ASGI does not
define, an illegal order, a wrong type or overlapping calls fail the test even if the application swallows the
exception. They can also be as unpleasant as servers are: stop at an exact point, raise, or swallow everything once
the client has left. `tests.driving` runs an application between the two.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.meeting import Flag, Hold
from tests.message_rules import ASGIViolationError, ResponseOrder, check_received

Message = dict[str, Any]

DISCONNECT: Message = {"type": "http.disconnect"}
LEFT_OUT: Any = object()
"""As a value for `make_scope`: the key is not there at all."""


@dataclass(frozen=True)
class Unchecked:
    """A message for a script that breaks the rules on purpose."""

    message: Any


def body_events(*pieces: bytes, is_complete: bool = True) -> list[Message]:
    """Return one ``http.request`` per piece (one empty one for none); the last says whether more will come."""
    pieces = pieces or (b"",)
    last = len(pieces) - 1
    return [
        {"type": "http.request", "body": piece, "more_body": number < last or not is_complete}
        for number, piece in enumerate(pieces)
    ]


def make_scope(**overrides: Any) -> dict[str, Any]:
    """Return a complete ``http`` scope; ``overrides`` replace keys, `LEFT_OUT` takes one away.

    ``raw_path`` follows ``path`` unless it is given.
    """
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver:8000")],
        "client": ("192.0.2.7", 50007),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
    }
    scope.update(overrides)
    if "raw_path" not in overrides and isinstance(scope["path"], str):
        scope["raw_path"] = scope["path"].encode("utf-8", "replace")
    return {key: value for key, value in scope.items() if value is not LEFT_OUT}


@dataclass
class Call:
    """One call of ``receive`` or ``send``: when and in which thread."""

    began_s: float
    thread_id: int = field(default_factory=threading.get_ident)
    ended_s: float | None = None
    """When it returned or raised; None while it waits."""
    message: Message | None = None


class _Side:
    """What both fakes do: count overlapping calls and remember broken rules."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_busy = False
        self.violations: list[ASGIViolationError] = []

    def _violated(self, violation: ASGIViolationError) -> ASGIViolationError:
        self.violations.append(violation)
        return violation

    def _enter(self) -> None:
        if self._is_busy:
            raise self._violated(ASGIViolationError(f"{self._name}() was called while another call was waiting"))
        self._is_busy = True

    def _leave(self) -> None:
        self._is_busy = False


class ScriptedReceive(_Side):
    """``receive()`` that plays a script, then waits for the client to leave.

    Args:
        script: messages (checked); a `Hold` to stop at before the next message; an exception to raise; `Unchecked`
            for what ASGI forbids. Any iterable, asked only when the application asks.

    Attributes:
        calls: every call, in order.
    """

    def __init__(self, script: Iterable[Message | Hold | BaseException | Unchecked] = ()) -> None:
        super().__init__("receive")
        self._script: Iterator[Any] = iter(script)
        self._has_left = Flag("the client has left")
        self.calls: list[Call] = []

    @property
    def delivered(self) -> list[Message]:
        """The messages the application got."""
        return [call.message for call in tuple(self.calls) if call.message is not None]

    @property
    def is_pending(self) -> bool:
        """A call is waiting now."""
        return self._is_busy

    @property
    def has_left(self) -> bool:
        """The client has left: by script or by `disconnect`."""
        return self._has_left.is_set()

    def disconnect(self) -> None:
        """Let the client leave once the script is played. Any thread."""
        self._has_left.set()

    async def __call__(self) -> Message:
        self._enter()
        call = Call(time.perf_counter())
        self.calls.append(call)
        try:
            call.message = message = await self._next()
        finally:
            call.ended_s = time.perf_counter()
            self._leave()
        if message.get("type") == "http.disconnect":
            self._has_left.set()
        return message

    async def _next(self) -> Message:
        for item in self._script:
            if isinstance(item, Hold):
                await item.stop_here_on_loop()
                continue
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, Unchecked):
                return item.message
            try:
                check_received(item)
            except ASGIViolationError as violation:
                raise self._violated(violation) from None
            return dict(item)
        await self._has_left.wait_on_loop(timeout_s=None)
        return dict(DISCONNECT)


class RecordingSend(_Side):
    """``send()`` that checks and records.

    Args:
        extensions: what the scope offers.
        is_deaf: when it says yes, messages are dropped without a word (servers of ASGI HTTP 2.3 after a disconnect).

    Attributes:
        calls: every message that was taken, in order.
        dropped: the messages that were not, because the client had left.
    """

    def __init__(
        self, extensions: Mapping[str, Any] | None = None, *, is_deaf: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__("send")
        self._order = ResponseOrder(extensions)
        self._is_deaf = is_deaf
        self._holds: dict[int, Hold] = {}
        self._errors: dict[int, BaseException] = {}
        self._count = 0
        self.calls: list[Call] = []
        self.dropped: list[Message] = []
        self.file_octets: list[bytes] = []

    def hold_at(self, number: int) -> Hold:
        """Stop at message ``number`` (from 0), before it is taken."""
        return self._holds.setdefault(number, Hold(f"send of message {number}"))

    def raise_at(self, number: int, error: BaseException) -> None:
        """Raise at message ``number`` (from 0), and do not take it."""
        self._errors[number] = error

    @property
    def messages(self) -> list[Message]:
        """The messages taken so far."""
        return [call.message for call in tuple(self.calls) if call.message is not None]

    @property
    def is_complete(self) -> bool:
        """The response has been sent whole."""
        return self._order.is_over

    async def __call__(self, message: Message) -> None:
        self._enter()
        try:
            number, self._count = self._count, self._count + 1
            try:
                if self.calls and threading.get_ident() != self.calls[0].thread_id:
                    raise ASGIViolationError("send() was called in another thread than before")
                if number not in self._errors and not self._is_deaf():
                    self._order.check(message)
            except ASGIViolationError as violation:
                raise self._violated(violation) from None
            if number in self._holds:
                await self._holds[number].stop_here_on_loop()
            if number in self._errors:
                raise self._errors[number]
            if self._is_deaf():
                self.dropped.append(message)
                return
            now_s = time.perf_counter()
            self.calls.append(Call(now_s, ended_s=now_s, message=dict(message)))
            self._read_file(message)
        finally:
            self._leave()

    def _read_file(self, message: Message) -> None:
        """Read what the server would send by itself, at the time it may do so."""
        if message["type"] == "http.response.pathsend":
            with open(message["path"], "rb") as file:
                self.file_octets.append(file.read())
        elif message["type"] == "http.response.zerocopysend":
            count = message.get("count", os.fstat(message["file"]).st_size)
            self.file_octets.append(os.pread(message["file"], count, message.get("offset", 0)))
