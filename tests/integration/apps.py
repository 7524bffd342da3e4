"""Tiny WSGI applications, one per behaviour and misbehaviour, hosted by the bridge; chosen by the path.

``app`` is what the servers serve. The first segment of the path chooses how the application is hosted (``/stream/...``:
large bodies are streamed, ``/lint/...``: under ``wsgiref.validate``, ``/path/...``: with pathsend), the next one the
application. What the test process wants to know about this process it asks at ``/counters``.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs
from wsgiref.validate import validator

import flask

from bridge import Limits, WSGIToASGI
from bridge.types import Environ, Receive, Scope, Send, StartResponse, WSGIApp

_LIMITS = Limits(worker_idle_s=0.5, cancel_s=1.0, shutdown_s=5.0)
_BLOCK = b"0123456789abcdef" * 64
# Longer than any test waits.
_STUCK_S = 120.0
_GATE_S = 20.0
# The gate is a file: a stopping server takes no request that could open it.
GATE_VARIABLE = "BRIDGE_TEST_GATE"
FILE_OCTETS = b"a line of the file\n" * 60_000


class Counters:
    """What happened in this process; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"opened": 0, "closed": 0, "closed_elsewhere": 0, "held": 0, "disconnects_seen": 0}
        self._uploads: list[dict[str, Any]] = []

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        with self._lock:
            self._counts[name] += number

    def add_upload(self, upload: dict[str, Any]) -> None:
        """Keep how reading a body ended."""
        with self._lock:
            self._uploads.append(upload)

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything."""
        with self._lock:
            return {**self._counts, "uploads": list(self._uploads)}


counters = Counters()


def _text(start_response: StartResponse, text: str = "fine\n", status: str = "200 OK") -> list[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _json(start_response: StartResponse, value: Any) -> list[bytes]:
    body = json.dumps(value, default=repr).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _pieces(environ: Environ) -> Iterator[bytes]:
    stream = environ["wsgi.input"]
    while piece := stream.read(65536):
        yield piece


def _argument(environ: Environ, name: str, default: str = "") -> str:
    return parse_qs(environ["QUERY_STRING"]).get(name, [default])[0]


# ---- Requests -------------------------------------------------------------------------------------------------------


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The ordinary request."""
    return _text(start_response, "hello\n")


def probe(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the environ."""
    return _json(start_response, environ)


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the request body."""
    body = b"".join(_pieces(environ))
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]


def digest(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with length and hash of the request body."""
    sha256, length = hashlib.sha256(), 0
    for piece in _pieces(environ):
        sha256.update(piece)
        length += len(piece)
    return _json(
        start_response,
        {"length": length, "sha256": sha256.hexdigest(), "content_length": environ.get("CONTENT_LENGTH")},
    )


def ignore(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without looking at the body."""
    return _text(start_response, "not read\n", "403 Forbidden")


def upload(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body and keep how that ended."""
    length, error = 0, None
    try:
        for piece in _pieces(environ):
            length += len(piece)
    except OSError as raised:
        error = f"{type(raised).__module__}.{type(raised).__name__}"
        raise
    finally:
        counters.add_upload({"id": _argument(environ, "id"), "length": length, "error": error})
    return _text(start_response, str(length))


# ---- Responses ------------------------------------------------------------------------------------------------------


def fields(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Fields with octets beyond ASCII, and a repeated one."""
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/plain"),
            ("X-Name", "caf\xe9"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("X-Seen", environ.get("HTTP_X_SEEN", "")),
        ],
    )
    return [b"fields\n"]


def blocks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Five blocks and no length."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(5):
        yield b"block %d\n" % number


def written(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The old way out: ``write()``, then a list."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written ")
    write(b"twice, ")
    return [b"then returned\n"]


def no_content(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A 204 with content it must not have."""
    start_response("204 No Content", [("Content-Length", "5"), ("X-Kept", "yes")])
    return [b"stray"]


def not_modified(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A 304 with the length of what was not modified, and some content it must not have."""
    start_response("304 Not Modified", [("Content-Length", "10"), ("ETag", '"1"')])
    return [b"stray"] if _argument(environ, "content") else []


def page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A page that answers HEAD as it answers GET."""
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "13")])
    return [b"<p>a page</p>"]


def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A file by ``wsgi.file_wrapper``; ``?from=`` a position, ``?length=`` so many bytes."""
    opened = open(_file_path(), "rb")  # noqa: SIM115 - closed by the server
    opened.seek(int(_argument(environ, "from", "0")))
    headers = [("Content-Type", "application/octet-stream")]
    if length := _argument(environ, "length"):
        headers.append(("Content-Length", length))
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](opened, 4096)


_file_lock = threading.Lock()
_file: list[str] = []


def _file_path() -> str:
    with _file_lock:
        if not _file:
            descriptor, path = tempfile.mkstemp(dir=os.getcwd())
            with open(descriptor, "wb") as opened:
                opened.write(FILE_OCTETS)
            _file.append(path)
    return _file[0]


def hints(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Early hints where they are offered; says whether they are."""
    send = environ.get("wsgi.early_hints")
    if send is not None:
        send([("Link", "</style.css>; rel=preload; as=style")])
    return _text(start_response, "no hints" if send is None else "hinted")


# ---- Failures -------------------------------------------------------------------------------------------------------


def error_before_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise before ``start_response``."""
    raise RuntimeError(f"failed before start {_argument(environ, 'id')}")


def error_after_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise after ``start_response`` and before the first block: nothing has gone out."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    raise RuntimeError(f"failed after start {_argument(environ, 'id')}")


def error_in_the_middle(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise between two blocks of a response without a length."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"the first block"
    raise RuntimeError(f"failed in the middle {_argument(environ, 'id')}")


def error_page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Replace a started response by an error page, with ``exc_info``."""
    start_response("200 OK", [("Content-Length", "5")])
    try:
        raise ValueError("a handled error")
    except ValueError:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"an error page"]


def too_short(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Announce more than is produced, in a list or in blocks."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    body = [f"short {_argument(environ, 'id')}".encode()]
    return body if _argument(environ, "as") == "list" else iter(body)


def too_long(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Produce more than was announced."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    while True:
        yield b"0123456"


def bad_field(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Try to split the response."""
    start_response("200 OK", [("X-Name", "value\r\nX-Injected: yes")])
    return [b""]


def leave(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Call ``sys.exit()``, as code written for scripts does."""
    sys.exit(3)


def interrupt(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


def stop_iteration(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise what no future can carry."""
    raise StopIteration(_argument(environ, "id"))


# ---- Streams --------------------------------------------------------------------------------------------------------


class Endless:
    """A stream that never ends by itself and keeps books about its thread.

    Args:
        pause_s: seconds between two blocks.
    """

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._thread = threading.get_ident()
        counters.add("opened")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._pause_s:
            time.sleep(self._pause_s)
        return _BLOCK

    def close(self) -> None:
        """Count, and whether it happened in the thread that iterated."""
        if threading.get_ident() != self._thread:
            counters.add("closed_elsewhere")
        counters.add("closed")


def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Stream as fast as the client reads, or with pauses."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Endless(float(_argument(environ, "pause_s", "0")))


def asks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A long computation that asks now and then whether anybody waits for it."""
    counters.add("held")
    try:
        deadline_s = time.monotonic() + _GATE_S
        while time.monotonic() < deadline_s:
            if environ["bridge.client_disconnected"]():
                counters.add("disconnects_seen")
                break
            time.sleep(0.02)
    finally:
        counters.add("held", -1)
    return _text(start_response)


def held(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Wait until the gate is open (the file exists), then answer; some of it before, with ``?streamed=1``."""
    gate = os.environ[GATE_VARIABLE]
    counters.add("held")

    def answer() -> Iterator[bytes]:
        if _argument(environ, "streamed"):
            yield b"held "
        deadline_s = time.monotonic() + _GATE_S
        while not os.path.exists(gate) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        yield b"finished" if os.path.exists(gate) else b"gave up"

    start_response("200 OK", [("Content-Type", "text/plain")])
    return answer()


def stuck(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Never come back, as far as a test can tell."""
    counters.add("held")
    threading.Event().wait(_STUCK_S)
    return _text(start_response)


# ---- Hosting --------------------------------------------------------------------------------------------------------

flask_app = flask.Flask(__name__)


@flask_app.get("/<name>")
def greet(name: str) -> str:
    """What most people host."""
    return f"Hello, {name}!"


def report(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the counters and the adapter's statistics; this request is one of those it counts."""
    now = default.statistics()
    return _json(
        start_response,
        counters.snapshot()
        | {
            "busy": now.workers_busy,
            "idle": now.workers_idle,
            "requests": now.requests,
            "streams": now.streams_open,
            "bytes_held": now.bytes_held,
            "pid": os.getpid(),
        },
    )


LINTED: dict[str, WSGIApp] = {
    "hello": hello,
    "probe": probe,
    "echo": echo,
    "digest": digest,
    "fields": fields,
    "blocks": blocks,
    "page": page,
    "written": written,
    "flask": flask_app,
}
ROUTES: dict[str, WSGIApp] = LINTED | {
    "counters": report,
    "*": probe,
    "asks": asks,
    "bad_field": bad_field,
    "endless": endless,
    "error_after_start": error_after_start,
    "error_before_start": error_before_start,
    "error_in_the_middle": error_in_the_middle,
    "error_page": error_page,
    "file": file,
    "held": held,
    "hints": hints,
    "ignore": ignore,
    "interrupt": interrupt,
    "leave": leave,
    "no_content": no_content,
    "not_modified": not_modified,
    "stop_iteration": stop_iteration,
    "stuck": stuck,
    "too_long": too_long,
    "too_short": too_short,
    "upload": upload,
}


def routed(routes: dict[str, WSGIApp]) -> WSGIApp:
    """Return an application that chooses by the first path segment, which moves to SCRIPT_NAME."""

    def route(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        first, separator, rest = environ["PATH_INFO"].lstrip("/").partition("/")
        chosen = routes.get(first)
        if chosen is None:
            return _text(start_response, "no such application\n", "404 Not Found")
        if first != "*":
            environ["SCRIPT_NAME"] += f"/{first}"
            environ["PATH_INFO"] = separator + rest
        return chosen(environ, start_response)

    return route


def _started(state: dict[str, Any]) -> None:
    print("the startup hook ran", flush=True)


async def _stopped() -> None:
    print("the shutdown hook ran", flush=True)


_all = routed(ROUTES)
# Linted one by one: the validator wants to see the application's own iterable.
_linted = routed({name: validator(linted) for name, linted in LINTED.items()})
default = WSGIToASGI(_all, limits=_LIMITS, on_startup=_started, on_shutdown=_stopped)
_HOSTED: dict[str, Callable[..., Any]] = {
    "lint": WSGIToASGI(_linted, limits=_LIMITS),
    "stream": WSGIToASGI(_all, limits=_LIMITS, large_body="stream"),
    "path": WSGIToASGI(_all, limits=_LIMITS, pathsend=True),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand the connection to the adapter that the first path segment names."""
    first, _, _ = (scope.get("path") or "").lstrip("/").partition("/")
    adapter = _HOSTED.get(first) if scope["type"] == "http" else None
    if adapter is None:
        await default(scope, receive, send)
    else:
        await adapter({**scope, "root_path": f"/{first}"}, receive, send)


def _fail() -> None:
    raise RuntimeError("the startup hook cannot do its work")


app_that_cannot_start = WSGIToASGI(hello, on_startup=_fail)
