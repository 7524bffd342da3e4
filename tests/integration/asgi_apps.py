"""Tiny ASGI applications, one per behaviour and misbehaviour, hosted by the bridge on WSGI servers; chosen by the path.

``app`` is what the servers serve: the first segment after the root path chooses the application, after an optional one
that chooses how it is hosted (``/lint/...``: under ``wsgiref.validate``, ``/respond/...``: ``on_error="respond"``).

What the test process wants to know stands in the *journal*, a file with one JSON object per line: a server of one
thread answers no questions while it is busy, one of several processes answers with the wrong one, and one that ends
answers no more. What the test process wants to hold back it holds with *gates*, files it makes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.validate import validator

import anyio

from bridge import ASGIToWSGI, Limits
from bridge.types import Environ, Receive, Scope, Send, StartResponse, WSGIApp

DIRECTORY_VARIABLE = "BRIDGE_TEST_DIRECTORY"
FILE_OCTETS = b"a line of the file\n" * 60_000
PIECE = b"0123456789abcdef" * 65536
"""1 MiB."""
# The applications look for their gate this often, and no longer than any test waits.
_LOOK_S = 0.01
_GATE_S = 20.0
# Early releases of 3.12 refuse new threads from the very beginning of an interpreter's end (CPython issue 113964).
HAS_THREADS_AT_THE_END = not (3, 12) <= sys.version_info < (3, 12, 2)
# Short ones, so that what fails does so soon.
_LIMITS = Limits(app_wait_s=30.0, loop_wait_s=10.0, startup_s=20.0, shutdown_s=2.0, cancel_s=1.0)


def _in_directory(name: str) -> str:
    return os.path.join(os.environ[DIRECTORY_VARIABLE], name)


def journal_path(directory: str) -> str:
    """Where the journal is."""
    return os.path.join(directory, "journal")


def gate_path(directory: str, mark: str) -> str:
    """The file that opens the gate of the request with that mark."""
    return os.path.join(directory, f"gate-{mark}")


def file_path(directory: str) -> str:
    """The file with `FILE_OCTETS`."""
    return os.path.join(directory, "file")


def write(event: str, **more: Any) -> None:
    """Add a line to the journal. Any thread of any process."""
    line = json.dumps({"event": event, "pid": os.getpid(), **more}).encode() + b"\n"
    # One write of one line in append mode: processes do not mix theirs.
    descriptor = os.open(journal_path(os.environ[DIRECTORY_VARIABLE]), os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _argument(scope: Scope, name: str, default: str = "") -> str:
    return parse_qs(scope["query_string"].decode("ascii")).get(name, [default])[0]


async def _gate(scope: Scope) -> None:
    path = gate_path(os.environ[DIRECTORY_VARIABLE], _argument(scope, "id"))
    with anyio.fail_after(_GATE_S):
        while not os.path.exists(path):
            await anyio.sleep(_LOOK_S)


async def _start(send: Send, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def _body(send: Send, body: bytes = b"", *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _text(send: Send, text: str = "fine\n") -> None:
    await _start(send, headers=[(b"content-type", b"text/plain")])
    await _body(send, text.encode())


async def _json(send: Send, value: Any) -> None:
    await _start(send, headers=[(b"content-type", b"application/json")])
    await _body(send, json.dumps(value).encode())


# ---- Requests -------------------------------------------------------------------------------------------------------


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """The ordinary request: no length of its own, one body message."""
    await _text(send, "hello\n")


async def probe(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the scope, octets as latin-1 text."""
    shown = {key: value for key, value in scope.items() if key not in ("state", "bridge.environ")}
    shown["state"] = sorted(scope.get("state", {}))
    text = json.dumps(shown, default=lambda value: value.decode("latin-1"))
    await _json(send, json.loads(text))


async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with length, hash and largest piece of the body; keep in the journal how reading it ended."""
    sha256, length, largest, end = hashlib.sha256(), 0, 0, ""
    while not end:
        message = await receive()
        if message["type"] == "http.disconnect":
            end = "disconnect"
        else:
            sha256.update(message["body"])
            length += len(message["body"])
            largest = max(largest, len(message["body"]))
            end = "" if message["more_body"] else "complete"
    write("read", id=_argument(scope, "id"), length=length, end=end)
    await _json(send, {"length": length, "sha256": sha256.hexdigest(), "largest": largest})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]  # a KeyError, so a failed request, if the body is cut
        more = message["more_body"]
    await _start(send, headers=[(b"content-type", b"application/octet-stream")])
    await _body(send, body)


async def echo_piecewise(scope: Scope, receive: Receive, send: Send) -> None:
    """Send each piece of the body back as it comes: the response begins before the request has ended."""
    await _start(send, headers=[(b"content-type", b"application/octet-stream")])
    while (message := await receive())["type"] == "http.request":
        await _body(send, message["body"], more=message["more_body"])
        if not message["more_body"]:
            return


async def ignore(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse without looking at the body."""
    await _start(send, 403, [(b"content-length", b"9")])
    await _body(send, b"not read\n")


async def whoami(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell which process and thread this is, and which process the lifespan ran in."""
    started_in = scope["state"]["pid"]
    await _json(send, {"pid": os.getpid(), "thread": threading.get_ident(), "started_in": started_in})


# ---- Responses ------------------------------------------------------------------------------------------------------


async def fields(scope: Scope, receive: Receive, send: Send) -> None:
    """Repeated fields, octets beyond ASCII, and hop-by-hop fields that belong to the server."""
    headers = [
        (b"content-type", b"text/plain"),
        (b"x-name", b"caf\xe9"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"x-hop"),
        (b"keep-alive", b"timeout=77"),
        (b"te", b"trailers"),
        (b"trailer", b"x-checksum"),
        (b"upgrade", b"h2c"),
        (b"proxy-connection", b"x-hop"),
    ]
    await _start(send, headers=headers)
    await _body(send, b"fields\n")


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """A page that answers HEAD as it answers GET, in two messages."""
    await _start(send, headers=[(b"content-type", b"text/html"), (b"content-length", b"13")])
    await _body(send, b"<p>a ", more=True)
    await _body(send, b"page</p>")


async def no_content(scope: Scope, receive: Receive, send: Send) -> None:
    """A 204 with content and a length it must not have."""
    await _start(send, 204, [(b"content-length", b"5"), (b"x-kept", b"yes")])
    await _body(send, b"stray")


async def not_modified(scope: Scope, receive: Receive, send: Send) -> None:
    """A 304 with the length of what was not modified, and content it must not have."""
    await _start(send, 304, [(b"content-length", b"10"), (b"etag", b'"1"')])
    await _body(send, b"stray")


async def blocks(scope: Scope, receive: Receive, send: Send) -> None:
    """Five blocks, no length."""
    await _start(send, headers=[(b"content-type", b"text/plain")])
    for number in range(5):
        await _body(send, b"block %d\n" % number, more=True)
    await _body(send)


async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """An event, and a second one that does not exist before the gate is open."""
    await _start(send, headers=[(b"content-type", b"text/event-stream")])
    await _body(send, b"data: one\n\n", more=True)
    await _gate(scope)
    await _body(send, b"data: two\n\n", more=True)
    await _body(send)


_meeting: dict[str, Callable[[], None]] = {}


async def wait(scope: Scope, receive: Receive, send: Send) -> None:
    """Send an event, then wait for another request of this process."""
    released = anyio.Event()
    _meeting[_argument(scope, "id")] = released.set
    await _start(send, headers=[(b"content-type", b"text/event-stream")])
    await _body(send, b"data: one\n\n", more=True)
    with anyio.fail_after(_GATE_S):
        await released.wait()
    await _body(send, b"data: two\n\n")


async def release(scope: Scope, receive: Receive, send: Send) -> None:
    """Let the other request go on."""
    _meeting.pop(_argument(scope, "id"))()
    await _text(send)


async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    """Early hints where they are offered; says whether they are."""
    is_offered = "http.response.early_hint" in scope["extensions"]
    if is_offered:
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload; as=style"]})
    await _text(send, "hinted" if is_offered else "no hints")


async def file(scope: Scope, receive: Receive, send: Send) -> None:
    """A file by its path where that is offered; says so where it is not."""
    if "http.response.pathsend" not in scope["extensions"]:
        await _text(send, "not offered")
        return
    await _start(send, headers=[(b"content-type", b"application/octet-stream")])
    path = file_path(os.environ[DIRECTORY_VARIABLE])
    await send({"type": "http.response.pathsend", "path": path})


async def mebibytes(scope: Scope, receive: Receive, send: Send) -> None:
    """So many of them, in messages of one."""
    number = int(_argument(scope, "number"))
    await _start(send, headers=[(b"content-length", str(number * len(PIECE)).encode())])
    for _ in range(number):
        await _body(send, PIECE, more=True)
    await _body(send)


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, then go on until the gate is open; with ``?fail=1`` fail at the end."""
    mark = _argument(scope, "id")
    await _text(send, "answered\n")
    await _gate(scope)
    write("background", id=mark)
    if _argument(scope, "fail"):
        raise RuntimeError(f"failed in the background {mark}")


# ---- Failures -------------------------------------------------------------------------------------------------------


async def error_before_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise before anything was sent."""
    raise RuntimeError(f"failed before start {_argument(scope, 'id')}")


async def error_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise after the start and before the first body: nothing has gone out."""
    await _start(send, headers=[(b"content-length", b"3"), (b"x-lost", b"yes")])
    raise RuntimeError("failed after start")


async def error_in_the_middle(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise between two blocks; ``?length=1``: of a response with a length."""
    await _start(send, headers=[(b"content-length", b"100")] if _argument(scope, "length") else [])
    await _body(send, b"the first block", more=True)
    raise RuntimeError(f"failed in the middle {_argument(scope, 'id')}")


async def returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without a response."""


async def returns_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    """Return with half a response of which nothing has gone out."""
    await _start(send, headers=[(b"x-lost", b"yes")])


async def returns_in_the_middle(scope: Scope, receive: Receive, send: Send) -> None:
    """Return with a response that was not ended; ``?length=1``: that has a length."""
    await _start(send, headers=[(b"content-length", b"100")] if _argument(scope, "length") else [])
    await _body(send, b"the first block", more=True)


async def body_first(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a body that nothing started."""
    await _body(send, b"no start")


async def bad_field(scope: Scope, receive: Receive, send: Send) -> None:
    """Try to split the response."""
    await _start(send, headers=[(b"x-name", b"value\r\nx-injected: yes")])
    await _body(send)


async def leave(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave like a script does."""
    raise SystemExit(3)


async def interrupt(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


async def too_short(scope: Scope, receive: Receive, send: Send) -> None:
    """Announce more than is sent."""
    await _start(send, headers=[(b"content-length", b"100")])
    await _body(send, b"short", more=True)
    await _body(send)


# ---- Clients that leave ---------------------------------------------------------------------------------------------


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream until ``send`` says that nobody listens."""
    mark = _argument(scope, "id")
    await _start(send, headers=[(b"content-type", b"text/plain")])
    try:
        while True:
            await _body(send, PIECE[:1024], more=True)
            await anyio.sleep(float(_argument(scope, "pause_s", "0.02")))
    except OSError as error:
        event = await receive()
        write("left", id=mark, error=type(error).__name__, then=event["type"])
        raise


async def long_poll(scope: Scope, receive: Receive, send: Send) -> None:
    """Say nothing before the gate is open; listen meanwhile for the client's leaving."""
    mark = _argument(scope, "id")
    heard = ""
    assert (await receive())["type"] == "http.request"
    write("holds", id=mark)
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            nonlocal heard
            heard = (await receive())["type"]
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        await _gate(scope)
        tasks.cancel_scope.cancel()
    write("held", id=mark, heard=heard)
    await _text(send, "held\n")


# ---- All of them ----------------------------------------------------------------------------------------------------

ASGIFunction = Callable[[Scope, Receive, Send], Awaitable[None]]
_ROUTES: dict[str, ASGIFunction] = {
    function.__name__: function
    for function in (
        background, bad_field, blocks, body_first, digest, echo, echo_piecewise, endless, error_after_start,
        error_before_start, error_in_the_middle, events, fields, file, hello, hints, ignore, interrupt, leave,
        long_poll, mebibytes, no_content, not_modified, page, probe, release, returns_after_start, returns_at_once,
        returns_in_the_middle, too_short, wait, whoami,
    )
}  # fmt: skip


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    scope["state"]["pid"] = os.getpid()
    write("startup")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if HAS_THREADS_AT_THE_END:
        # What needs a thread at the end of the process needs hooks that run early enough.
        await anyio.to_thread.run_sync(write, "shutdown")
    else:
        write("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """All the applications as one."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
        return
    inner = scope["path"].removeprefix(scope["root_path"])
    chosen = _ROUTES.get(inner.lstrip("/").partition("/")[0])
    if chosen is not None:
        await chosen(scope, receive, send)
    else:
        await _start(send, 404)
        await _body(send, b"no such application\n")


_default = ASGIToWSGI(application, limits=_LIMITS)
_HOSTED: dict[str, WSGIApp] = {
    # The lifespan is the default one's.
    "lint": validator(ASGIToWSGI(application, limits=_LIMITS, lifespan="off")),
    "respond": ASGIToWSGI(application, limits=_LIMITS, lifespan="off", on_error="respond"),
}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Hand the request to the adapter that the first path segment names, which moves to SCRIPT_NAME."""
    first, separator, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    hosted = _HOSTED.get(first)
    if hosted is None:
        return _default(environ, start_response)
    environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + f"/{first}"
    environ["PATH_INFO"] = separator + rest
    return hosted(environ, start_response)
