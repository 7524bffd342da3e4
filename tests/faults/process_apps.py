"""WSGI applications for signals, forks and restarts, hosted by the bridge; chosen by the first segment of the path.

``app`` is what ASGI servers serve. Journal and gates are those of `tests.integration.asgi_apps`, since a server that is
ending, or one of several processes, can be asked nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from bridge import Limits, WSGIToASGI
from bridge.types import Environ, StartResponse, WSGIApp
from tests.faults.process_children import outcome_of_child
from tests.integration.asgi_apps import DIRECTORY_VARIABLE, gate_path, write

SHUTDOWN_S, CANCEL_S, STUCK_S = 1.0, 1.0, 0.5
WARM_VARIABLE = "BRIDGE_TEST_WARM"
"""If set, the application has served requests before its import is over."""
WORKERS_VARIABLE = "BRIDGE_TEST_WORKERS"
"""How many workers there are; 40 if that is not set."""
BLOCK = hashlib.sha256(b"a block").digest() * 2048
"""64 KiB; a large response is made of these, so that every octet of it can be told."""

_LOOK_S = 0.01
_GATE_S = 30.0
# Longer than any test waits.
_FOR_EVER_S = 300.0
_CHILD_S = 15.0


def _argument(environ: Environ, name: str, default: str = "") -> str:
    return str(parse_qs(environ["QUERY_STRING"]).get(name, [default])[0])


def _text(start_response: StartResponse, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _json(start_response: StartResponse, value: Any) -> list[bytes]:
    return _text(start_response, json.dumps(value).encode())


# ---- Requests that last ---------------------------------------------------------------------------------------------


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The ordinary request."""
    return _text(start_response, b"hello\n")


def whoami(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Tell which process this is, and what it has."""
    counts = {"threads": threading.active_count(), "descriptors": len(os.listdir("/proc/self/fd"))}
    return _json(start_response, {"pid": os.getpid(), "parent": os.getppid(), **counts})


def held(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Wait for the gate, then answer; with ``?streamed=1`` some of it before."""
    mark, is_streamed = _argument(environ, "id"), bool(_argument(environ, "streamed"))
    gate = gate_path(os.environ[DIRECTORY_VARIABLE], _argument(environ, "gate") or mark)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if not is_streamed:
        write("holds", id=mark)
        return [_wait_for(gate)]

    def answer() -> Iterator[bytes]:
        yield b"held "
        write("holds", id=mark)
        yield _wait_for(gate)

    return answer()


def _wait_for(gate: str) -> bytes:
    deadline_s = time.monotonic() + _GATE_S
    while not os.path.exists(gate):
        if time.monotonic() > deadline_s:
            return b"gave up"
        time.sleep(_LOOK_S)
    return b"finished"


def brief(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Take a moment, then answer with what was asked, in three blocks without a length."""
    mark = _argument(environ, "id")
    time.sleep(float(_argument(environ, "pause_s", "0.02")))
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"<"
    yield mark.encode()
    yield b">"


def stuck_in_the_application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Never come back, as far as a test can tell."""
    write("holds", id=_argument(environ, "id"))
    threading.Event().wait(_FOR_EVER_S)
    return _text(start_response, b"came back\n")


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body; keep in the journal how that ended."""
    mark, sha256, length, error = _argument(environ, "id"), hashlib.sha256(), 0, None
    write("reads", id=mark)
    try:
        while piece := environ["wsgi.input"].read(65536):
            sha256.update(piece)
            length += len(piece)
    except OSError as raised:
        error = type(raised).__name__
        raise
    finally:
        write("read", id=mark, length=length, error=error)
    return _json(start_response, {"length": length, "sha256": sha256.hexdigest()})


class _Large:
    """So many blocks; says in the journal when it has been closed.

    Args:
        mark: of the request.
        number: how many.
    """

    def __init__(self, mark: str, number: int) -> None:
        self._mark = mark
        self._left = number
        self._thread = threading.get_ident()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return BLOCK

    def close(self) -> None:
        write("closed", id=self._mark, left=self._left, in_its_thread=self._thread == threading.get_ident())


def large(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """So many blocks of 64 KiB, with a length."""
    number = int(_argument(environ, "number"))
    start_response("200 OK", [("Content-Length", str(number * len(BLOCK)))])
    return _Large(_argument(environ, "id"), number)


# ---- WebSockets -----------------------------------------------------------------------------------------------------


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send back what comes."""
    socket = environ["wsgi.websocket"]
    while (message := socket.receive()) is not None:
        socket.send(message)
    return []


def pour(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send for ever; keep in the journal by what it ended."""
    mark, socket = _argument(environ, "id"), environ["wsgi.websocket"]
    try:
        while True:
            socket.send("a" * 4096)
            time.sleep(float(_argument(environ, "pause_s", "0.01")))
    except BaseException as error:
        write("poured", id=mark, error=type(error).__name__)
        raise


# ---- Forks ----------------------------------------------------------------------------------------------------------


def fork(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Fork in the middle of this request, ``?way=...``; the child serves requests of its own."""
    body = outcome_of_child(_argument(environ, "way"), lambda: asyncio.run(_serve_in_memory()))
    return _text(start_response, body)


async def _serve_in_memory() -> bool:
    """Serve as a server would that this process has become."""
    return [await _answer_in_memory(f"/brief?id={number}") for number in range(3)] == [b"<0>", b"<1>", b"<2>"]


async def _answer_in_memory(target: str) -> bytes:
    path, _, query = target.partition("?")
    body = bytearray()

    async def receive() -> Any:
        await asyncio.sleep(_CHILD_S)

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [],
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return bytes(body)


# ---- All of them ----------------------------------------------------------------------------------------------------

_ROUTES: dict[str, WSGIApp] = {
    function.__name__: function
    for function in (brief, echo, fork, held, hello, large, pour, stuck_in_the_application, upload, whoami)
}


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """All the applications as one."""
    chosen = _ROUTES.get(environ["PATH_INFO"].strip("/"))
    if chosen is None:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    return chosen(environ, start_response)


def _started() -> None:
    write("startup")


def _stopped() -> None:
    write("shutdown")


# As small as one block, so that readers hold their responses back at once.
LIMITS = Limits(
    workers=int(os.environ.get(WORKERS_VARIABLE, "40")),
    stuck_s=STUCK_S,
    shutdown_s=SHUTDOWN_S,
    cancel_s=CANCEL_S,
    response_memory_bytes=len(BLOCK),
)
app = WSGIToASGI(application, limits=LIMITS, on_startup=_started, on_shutdown=_stopped)


def never_ends() -> None:
    """A hook that waits for something that never comes."""
    threading.Event().wait(_FOR_EVER_S)


async def never_ends_either() -> None:
    """A hook of the other kind."""
    await asyncio.sleep(_FOR_EVER_S)


app_that_hangs_at_its_end = WSGIToASGI(
    application, limits=LIMITS, on_shutdown=[never_ends, never_ends_either, _stopped]
)


if os.environ.get(WARM_VARIABLE):  # what a server that forks after the import inherits is in use already
    assert asyncio.run(_serve_in_memory())
