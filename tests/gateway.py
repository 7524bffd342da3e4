"""A strict WSGI server in memory: it calls an adapter as a server would, and records everything.

`hosted` makes an `ASGIToWSGI` and shuts it down afterwards; `Gateway` makes one request of it. The rules that every
WSGI server may rely on are checked at each step: `start_response` once, in the calling thread, before the callable
returns, with a status and headers of exactly the right types; blocks that are `bytes`; an idempotent ``close()``.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge import ASGIToWSGI, Limits

QUICK = Limits(shutdown_s=2.0, cancel_s=1.0, loop_wait_s=15.0, startup_s=15.0, app_wait_s=20.0)
"""Limits for tests: nothing that hangs outlives its test."""


@contextmanager
def hosted(app: Any, *, limits: Limits = QUICK, **options: Any) -> Iterator[ASGIToWSGI]:
    """Host an ASGI application for the length of a ``with``; then shut it down, which ends the loop's thread."""
    adapter = ASGIToWSGI(app, limits=limits, **options)
    try:
        yield adapter
    finally:
        adapter.shutdown()


def environ_for(
    method: str = "GET",
    path: str = "/",
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a plain environ, as gunicorn might make it. ``body`` sets CONTENT_LENGTH; ``more`` overrides any key.

    A value of None in ``more`` takes the key away. Header names are as on the wire.
    """
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "testserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body or b""),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if body is not None:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in (headers or {}).items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    for key, value in more.items():
        if value is None:
            environ.pop(key, None)
        else:
            environ[key] = value
    return environ


class ScriptedInput:
    """A ``wsgi.input`` that gives scripted pieces, and fails on anything a server need not offer.

    Each item of the script is bytes (given at most ``n`` at a time), an exception (raised), or a callable (called;
    its result is the item). After the script it gives ``b""``. ``reads`` has each read's n and thread id.
    """

    def __init__(self, *script: Any, total_bytes: int | None = None) -> None:
        self._script = list(script)
        self._left = total_bytes
        self.reads: list[tuple[int, int]] = []

    def read(self, *args: int) -> bytes:
        assert len(args) == 1, "read() without a size is not asked of any server"
        (size,) = args
        assert type(size) is int
        assert size > 0, f"read({size})"
        self.reads.append((size, threading.get_ident()))
        if self._left is not None:
            assert size <= self._left, f"read({size}) when {self._left} bytes are left: a server may block here"
        if not self._script:
            return b""
        item = self._script.pop(0)
        if callable(item):
            item = item()
        if isinstance(item, BaseException):
            raise item
        if len(item) > size:
            self._script.insert(0, item[size:])
            item = item[:size]
        if self._left is not None:
            self._left -= len(item)
        return item

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"wsgi.input.{name} was used; only read(n) works everywhere")


class UntouchableInput:
    """A ``wsgi.input`` that must not be touched at all."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"wsgi.input.{name} was used")


class Gateway:
    """One request, made by the calling thread: `call`, then `step` or `drain`, then `close`; or `run` for all of it.

    Attributes:
        starts: (status, headers) of each call of start_response.
        blocks: what has been yielded so far.
        result: what the adapter returned.
        thread_ids: of each call of start_response.
    """

    def __init__(self, adapter: Callable[..., Any], environ: dict[str, Any] | None = None) -> None:
        self.adapter = adapter
        self.environ = environ_for() if environ is None else environ
        self.starts: list[tuple[str, list[tuple[str, str]]]] = []
        self.thread_ids: list[int] = []
        self.blocks: list[bytes] = []
        self.result: Any = None
        self._iterator: Iterator[bytes] | None = None
        self._has_returned = False

    def _start_response(self, *args: Any) -> None:
        assert len(args) == 2, "start_response is called with two positional arguments"
        status, headers = args
        assert not self.starts, "start_response was called twice"
        assert not self._has_returned, "start_response was called after the adapter had returned"
        assert type(status) is str
        assert len(status) > 4
        assert status[:3].isdigit()
        assert status[3] == " "
        assert type(headers) is list
        for header in headers:
            assert type(header) is tuple
            assert [type(part) for part in header] == [str, str]
            "".join(header).encode("latin-1")
        self.starts.append((status, headers))
        self.thread_ids.append(threading.get_ident())
        # None, as granian returns: nothing may be done with it.

    @property
    def status(self) -> str:
        return self.starts[0][0]

    @property
    def headers(self) -> list[tuple[str, str]]:
        return self.starts[0][1]

    @property
    def body(self) -> bytes:
        return b"".join(self.blocks)

    def call(self) -> Gateway:
        """Call the adapter; what it raises is raised."""
        caller = threading.get_ident()
        self.result = self.adapter(self.environ, self._start_response)
        self._has_returned = True
        assert self.starts, "the adapter returned without start_response: granian would answer 200 without headers"
        assert self.thread_ids == [caller]
        assert callable(self.result.close)
        self._iterator = iter(self.result)
        return self

    def step(self) -> bytes | None:
        """Ask for the next block; None at the end."""
        assert self._iterator is not None, "call() first"
        try:
            block = next(self._iterator)
        except StopIteration:
            return None
        assert type(block) is bytes
        self.blocks.append(block)
        return block

    def drain(self) -> bytes:
        """Ask for all blocks that are left; return the body so far."""
        while self.step() is not None:
            pass
        return self.body

    def close(self) -> None:
        """Close the response, twice: that must not matter."""
        self.result.close()
        self.result.close()

    def run(self) -> Gateway:
        """Make the whole request."""
        self.call()
        try:
            self.drain()
        finally:
            self.close()
        return self


def run(adapter: Callable[..., Any], environ: dict[str, Any] | None = None) -> Gateway:
    """Make one whole request; what is raised is raised."""
    return Gateway(adapter, environ).run()


def answering(body: bytes = b"hello", status: int = 200, headers: Any = ((b"content-type", b"text/plain"),)) -> Any:
    """Return an ASGI application without a lifespan that answers every request in one go."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
