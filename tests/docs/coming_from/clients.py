"""A server and its client in memory, more patient than `tests.fakes`: other adapters may break the rules here.

Everything runs on a new event loop in the calling thread, in bounded time. `until` is for what happens in threads of an
adapter, which tells nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.docs.coming_from.looks import Host
from tests.fakes import make_scope
from tests.meeting import TIMEOUT_S

ASGIApp = Callable[..., Awaitable[Any]]

CUT = object()
"""In the pieces of a body: the client leaves before the end."""
STALL = object()
"""In the pieces of a body: nothing comes until `Client.may_upload` is set."""

_TURNS_TO_SETTLE = 40


@dataclass
class Client:
    """One request, and what came back.

    Attributes:
        pieces: the request body; also `CUT` and `STALL`.
        scope: by default a GET request, or a POST request if there are ``pieces``.
        stops_taking_at: from this message on, nothing is taken until `may_take` is set.
    """

    pieces: Sequence[Any] = ()
    scope: dict[str, Any] | None = None
    stops_taking_at: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    may_upload: asyncio.Event = field(default_factory=asyncio.Event)
    may_take: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._to_come = list(self.pieces) or [b""]

    @property
    def pieces_left(self) -> int:
        return len(self._to_come)

    async def receive(self) -> dict[str, Any]:
        if self._to_come and self._to_come[0] is STALL:
            await self.may_upload.wait()
            self._to_come.pop(0)
        if not self._to_come or self._to_come[0] is CUT:
            if not self._to_come:
                await self.left.wait()
            return {"type": "http.disconnect"}
        piece = self._to_come.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._to_come)}

    async def send(self, message: dict[str, Any]) -> None:
        if self.stops_taking_at is not None and len(self.messages) >= self.stops_taking_at:
            await self.may_take.wait()
        if not self.left.is_set():  # as servers do: what nobody will read is dropped without a word
            self.messages.append(message)

    async def ask(self, app: ASGIApp) -> Client:
        """Make the request."""
        scope = self.scope or self._usual_scope()
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            self.error = error
        return self

    def _usual_scope(self) -> dict[str, Any]:
        if not self.pieces:
            return make_scope()
        size = sum(len(piece) for piece in self.pieces if isinstance(piece, bytes)) + self.pieces.count(CUT)
        return make_scope(method="POST", headers=[(b"host", b"testserver"), (b"content-length", b"%d" % size)])

    @property
    def status(self) -> int | None:
        """The status of the response; None if there is none, or if it does not begin with one."""
        if not self.messages or self.messages[0]["type"] != "http.response.start":
            return None
        status: int = self.messages[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def is_answered(self) -> bool:
        """There is a whole response, and nothing was raised."""
        return self.error is None and self.status is not None and not self.messages[-1].get("more_body", False)


def answering(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer any request; touch the body only if there is one."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) and 1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]


def on_a_loop(steps: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function on a new event loop, in bounded time."""

    async def bounded() -> Any:
        return await asyncio.wait_for(steps(), 2 * TIMEOUT_S)

    return asyncio.run(bounded())


def ask(host: Host, app: Any, *pieces: Any, scope: dict[str, Any] | None = None) -> Client:
    """Make one request of a WSGI application in an adapter."""
    with host(app) as hosted:

        async def steps() -> Client:
            return await Client(pieces, scope).ask(hosted)

        client: Client = on_a_loop(steps)
        return client


async def settle() -> None:
    """Let the loop turn more often than any hand-over takes."""
    for _ in range(_TURNS_TO_SETTLE):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until the condition holds."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what}: not within {TIMEOUT_S} s")
        await asyncio.sleep(0.001)
