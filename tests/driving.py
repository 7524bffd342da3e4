"""Running an ASGI application between the strict fakes, in bounded time, on any event loop.

`drive` is for requests that run through; a `Driver` as a context manager runs the request on a loop in a thread of its
own, so that the test can hold it, look, disconnect and cancel, all in plain sequential code.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel

from tests.backends import ASYNCIO, Backend
from tests.fakes import RecordingSend, ScriptedReceive, body_events, make_scope
from tests.meeting import TIMEOUT_S, Flag, Helper, post_here

ASGIApp = Callable[[dict[str, Any], Any, Any], Awaitable[Any]]

_TURNS_TO_SETTLE = 40


@dataclass
class Record:
    """What came out of one request."""

    receive: ScriptedReceive
    send: RecordingSend
    result: Any = None
    exception: BaseException | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.send.messages

    @property
    def types(self) -> list[str]:
        return [message["type"].removeprefix("http.response.") for message in self.messages]

    @property
    def _start(self) -> dict[str, Any]:
        starts = [message for message in self.messages if message["type"] == "http.response.start"]
        assert starts, f"nothing was answered; the application raised {self.exception!r}"
        return starts[0]

    @property
    def status(self) -> int:
        return self._start["status"]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(name, value) for name, value in self._start.get("headers", ())]

    def header(self, name: bytes) -> bytes | None:
        """Return the only value of a field, None if there is no such field."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name!r} came {len(values)} times"
        return values[0] if values else None

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages) + b"".join(self.send.file_octets)

    @property
    def is_complete(self) -> bool:
        return self.send.is_complete

    def checked(self) -> Record:
        """Return the record of a request that was answered whole; raise what the application raised."""
        if self.exception is not None:
            raise self.exception
        assert self.is_complete, f"the response is not complete: {self.types}"
        return self


class Driver:
    """One request on its way through an application.

    Args:
        app: the ASGI application.
        scope: by default a GET request, or a POST request of known length if there is a ``body``.
        events: the script of ``receive``; by default the ``body`` in one piece.
        body: the request body of the default scope and script.
        send: by default one that offers the scope's extensions.
        backend: the kind of loop.
        is_deaf_after_disconnect: ``send`` drops everything without a word once the client has left.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: dict[str, Any] | None = None,
        events: Iterable[Any] | None = None,
        *,
        body: bytes = b"",
        send: RecordingSend | None = None,
        backend: Backend = ASYNCIO,
        is_deaf_after_disconnect: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if scope is None:
            scope = make_scope()
            if body:
                scope["method"] = "POST"
                scope["headers"].append((b"content-length", b"%d" % len(body)))
        self.app = app
        self.scope = scope
        self.backend = backend
        self.timeout_s = timeout_s
        self.receive = ScriptedReceive(body_events(body) if events is None else events)
        self.send = send or RecordingSend(
            scope.get("extensions"), is_deaf=lambda: is_deaf_after_disconnect and self.receive.has_left
        )
        self.record = Record(self.receive, self.send)
        self._called = Flag("the application has been called")
        self._post: Callable[[Callable[[], None]], object] | None = None
        self._cancel: Callable[[], object] = lambda: None
        self._thread: Helper | None = None

    # ---- On a loop ------------------------------------------------------------------------------------------------

    async def serve(self) -> Record:
        """Call the application in a task of its own and return the record. Loop."""
        self._post = post_here()
        if self.backend.is_asyncio:
            task = asyncio.get_running_loop().create_task(self._call())
            self._cancel = task.cancel
            self._called.set()
            try:
                await task
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise  # not the application alone: the time is up
        else:
            with anyio.CancelScope() as scope:
                self._cancel = scope.cancel
                self._called.set()
                await self._call()
        return self.record

    async def _call(self) -> None:
        try:
            self.record.result = await self.app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.record.exception = error
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise  # it must reach its scope

    def run(self) -> Record:
        """Serve the request on a new loop in this thread; raise if the application broke a rule of ASGI."""
        self.backend.run(self.serve, timeout_s=self.timeout_s)
        self._raise_violations()
        return self.record

    def _raise_violations(self) -> None:
        for violation in (*self.send.violations, *self.receive.violations):
            raise violation
        assert not self.receive.is_pending, "a call of receive() was left waiting"

    # ---- On a loop in a thread of its own: for tests that interfere ------------------------------------------------

    def __enter__(self) -> Self:
        self._thread = Helper(lambda: self.backend.run(self.serve, timeout_s=self.timeout_s), "driver")
        self._called.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._thread is not None
        if error is None:
            self.finish()
        elif not self._thread.is_done:  # the test has failed already: only clean up
            self.cancel()
            self._thread.thread.join(self.timeout_s)

    @property
    def is_done(self) -> bool:
        """The application has returned."""
        return self._thread is not None and self._thread.is_done

    def finish(self) -> Record:
        """Wait for the application to return; raise if it broke a rule of ASGI."""
        assert self._thread is not None
        self._thread.join(self.timeout_s + 1)
        self._raise_violations()
        return self.record

    def disconnect(self) -> None:
        """Let the client leave."""
        self.receive.disconnect()

    def cancel(self) -> None:
        """Cancel the task that runs the application."""
        assert self._post is not None
        try:
            self._post(self._cancel)
        except RuntimeError:
            pass  # it has ended by itself

    def settle(self) -> None:
        """Let the loop turn until everything that was handed to it has happened.

        Forty turns are many more than any hand-over takes; nothing here waits for the clock.
        """
        assert self._post is not None
        settled = threading.Event()
        post = self._post

        def turn(left: int) -> None:
            if left:
                post(lambda: turn(left - 1))
            else:
                settled.set()

        post(lambda: turn(_TURNS_TO_SETTLE))
        assert settled.wait(TIMEOUT_S), "the loop does not turn"


def drive(
    app: ASGIApp, scope: dict[str, Any] | None = None, events: Iterable[Any] | None = None, **options: Any
) -> Record:
    """Run one request through an application and return the record; the arguments are those of `Driver`."""
    return Driver(app, scope, events, **options).run()


def fetch(
    app: ASGIApp, scope: dict[str, Any] | None = None, events: Iterable[Any] | None = None, **options: Any
) -> Record:
    """As `drive`, for a request that must be answered whole."""
    return drive(app, scope, events, **options).checked()
