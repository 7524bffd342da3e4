"""What is under attack: one WSGI application through an adapter, with native ASGI routes beside it in the same process.

The variable `SETTINGS_VARIABLE` says (in JSON) which adapter hosts it and with which `Limits`. Below ``/native`` are
the routes that need no adapter: the bench asks ``/native/books`` what happened in this process, also when every worker
is taken, and opens the gate of ``/stuck`` with ``/native/release``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs
from wsgiref.util import FileWrapper

import anyio

from bridge import Limits, WorkerPool, WSGIToASGI
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.faults.content import BLOCK_BYTES, blocks_of, content_of

SETTINGS_VARIABLE = "BRIDGE_TEST_FAULTS"
_NEXT_DOOR = "/next-door"
# Longer than anybody waits.
_STUCK_S = 120.0
_READ_BYTES = 65536
# A native application that answers in the same turn of the loop is served where others are not.
_NATIVE_WORK_S = 0.05


class Books:
    """What happened in this process; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(("opened", "closed", "closed_elsewhere", "whole", "cut", "stuck"), 0)
        self._last_closed_s = 0.0

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        with self._lock:
            self._counts[name] += number

    def closed(self, *, elsewhere: bool) -> None:
        """Count an iterator that was closed now."""
        with self._lock:
            self._counts["closed"] += 1
            self._counts["closed_elsewhere"] += elsewhere
            self._last_closed_s = time.monotonic()

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything, with the time of the last ``close()`` on the clock that processes share."""
        with self._lock:
            return {**self._counts, "last_closed_s": self._last_closed_s}


books = Books()
# Those that are stuck wait for the last one; it is replaced when they are let go.
_gates = [threading.Event()]
_files: dict[int, str] = {}
_files_lock = threading.Lock()


class Tracked:
    """An iterable whose ``close()`` goes into the books, and whether that was in the thread that made it."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._thread = threading.get_ident()
        self._is_closed = False
        books.add("opened")

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        """Close, once."""
        if not self._is_closed:
            self._is_closed = True
            books.closed(elsewhere=threading.get_ident() != self._thread)


# ---- The WSGI application -------------------------------------------------------------------------------------------


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Choose by the path."""
    chosen = _ROUTES.get(environ["PATH_INFO"])
    if chosen is None:
        start_response("404 Not Found", [("Content-Length", "0")])
        return []
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    return chosen(environ, start_response, query)


def _text(start_response: StartResponse, text: str) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]


def hello(environ: Environ, start_response: StartResponse, query: dict[str, str]) -> Iterable[bytes]:
    """The ordinary request."""
    return _text(start_response, "hello\n")


def upload(environ: Environ, start_response: StartResponse, query: dict[str, str]) -> Iterable[bytes]:
    """Read the body; answer with what came, and keep whether its end was one."""
    stream = environ["wsgi.input"]
    length, checksum = 0, 0
    try:
        while piece := stream.read(_READ_BYTES):
            length += len(piece)
            checksum = zlib.crc32(piece, checksum)
    except OSError:
        books.add("cut")
        raise
    books.add("whole")
    return _text(start_response, f"{length} {checksum}\n")


def download(environ: Environ, start_response: StartResponse, query: dict[str, str]) -> Iterable[bytes]:
    """So many ``bytes``, from a generator or (``from=file``) from a file, as servers are given one."""
    size_bytes = int(query["bytes"])
    start_response("200 OK", [("Content-Length", str(size_bytes))])
    if query.get("from") == "file":
        opened = open(_file_of(size_bytes), "rb")  # noqa: SIM115 - whoever iterates closes it
        wrapper: Callable[..., Iterable[bytes]] = environ.get("wsgi.file_wrapper", FileWrapper)
        return wrapper(opened, BLOCK_BYTES)
    return Tracked(blocks_of(size_bytes))


def _file_of(size_bytes: int) -> str:
    with _files_lock:
        if size_bytes not in _files:
            descriptor, path = tempfile.mkstemp(dir=os.getcwd())
            with open(descriptor, "wb") as file:
                file.writelines(blocks_of(size_bytes))
            _files[size_bytes] = path
        return _files[size_bytes]


def stream(environ: Environ, start_response: StartResponse, query: dict[str, str]) -> Iterable[bytes]:
    """Blocks for ever, with a pause after each."""
    pause_s, block = float(query.get("pause_s", "0")), content_of(int(query.get("block", "64")))

    def blocks() -> Iterator[bytes]:
        while True:
            yield block
            time.sleep(pause_s)

    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return Tracked(blocks())


def work(environ: Environ, start_response: StartResponse, query: dict[str, str]) -> Iterable[bytes]:
    """What most applications do: wait for something else."""
    time.sleep(float(query["seconds"]))
    return _text(start_response, "worked\n")


def stuck(environ: Environ, start_response: StartResponse, query: dict[str, str]) -> Iterable[bytes]:
    """A request that does not end until it is let go."""
    books.add("stuck")
    _gates[-1].wait(_STUCK_S)
    books.add("stuck", -1)
    return _text(start_response, "let go\n")


_ROUTES = {
    "/hello": hello,
    "/upload": upload,
    "/download": download,
    "/stream": stream,
    "/work": work,
    "/stuck": stuck,
}


# ---- How it is hosted -----------------------------------------------------------------------------------------------


class Hosting:
    """The application through an adapter, and maybe another one next door, with the same workers if they can share.

    Args:
        adapter: ``bridge`` or ``a2wsgi``.
        limits: fields of `Limits`.
        has_next_door: there is another one.
    """

    def __init__(self, adapter: str = "bridge", limits: dict[str, Any] | None = None, *, has_next_door: bool = False):
        numbers = Limits(**(limits or {}))
        self.bridge: WSGIToASGI | None = None
        if adapter == "a2wsgi":
            from a2wsgi import WSGIMiddleware

            application: Any = wsgi_app  # its types are others
            # Its default is 10 workers; it gets what the bridge has.
            self.app: Any = WSGIMiddleware(application, workers=numbers.workers)
            self.next_door: Any = WSGIMiddleware(application, workers=numbers.workers)
            return
        workers = None
        if has_next_door:
            workers = WorkerPool(workers=numbers.workers, queue=numbers.queue, idle_s=numbers.worker_idle_s)
            self.next_door = WSGIToASGI(wsgi_app, limits=numbers, workers=workers)
        self.app = self.bridge = WSGIToASGI(wsgi_app, limits=numbers, workers=workers)


_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))
_hosting = Hosting(**json.loads(os.environ.get(SETTINGS_VARIABLE, "{}")))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """What the server serves: the native routes, everything else through the adapter."""
    if scope["type"] == "http" and scope["path"].startswith("/native/"):
        await _answer_natively(scope["path"], receive, send)
    elif scope["type"] == "http" and scope["path"].startswith(_NEXT_DOOR):
        moved = {**scope, "path": scope["path"].removeprefix(_NEXT_DOOR), "raw_path": None}
        await _hosting.next_door(moved, receive, send)
    elif scope["type"] == "lifespan" and _hosting.bridge is None:
        await _live(receive, send)
    else:
        await _hosting.app(scope, receive, send)


async def _answer_natively(path: str, receive: Receive, send: Send) -> None:
    if path == "/native/upload":
        body = await _upload_natively(receive)
        await anyio.sleep(_NATIVE_WORK_S)
    elif path == "/native/books":
        statistics = None if _hosting.bridge is None else dataclasses.asdict(_hosting.bridge.statistics())
        body = json.dumps({**books.snapshot(), "pid": os.getpid(), "bridge": statistics}).encode()
    else:
        if path == "/native/release":
            _gates.append(threading.Event())
            _gates[-2].set()
        body = b"hello\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _upload_natively(receive: Receive) -> bytes:
    length, checksum = 0, 0
    while (message := await receive())["type"] == "http.request":
        piece = message.get("body") or b""
        length += len(piece)
        checksum = zlib.crc32(piece, checksum)
        if not message.get("more_body"):
            break
    return b"%d %d\n" % (length, checksum)


async def _live(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
