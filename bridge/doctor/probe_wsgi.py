"""Ask a WSGI application four questions, under `wsgiref.validate` and an exact environ.

Each request runs in a daemon thread of its own: an application that hangs keeps that thread, and nothing else. What
the validator asks beyond PEP 3333 (a Content-Type in every response) is not held against the application.
"""

from __future__ import annotations

import io
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any, cast
from wsgiref import validate
from wsgiref.util import is_hop_by_hop

from bridge.doctor.probing import HEADERS, READ_BYTES, REQUESTS, TIMEOUT_S, Seen, Violation, last_line, length_from
from bridge.doctor.report import Probe
from bridge.types import Environ, ExcInfo, StartResponse, WSGIApp

_NO_CONTENT = ("204", "304")
_STATUS_LENGTH = 4


def probe_wsgi(app: WSGIApp, *, timeout_s: float = TIMEOUT_S) -> Probe:
    """Return what the application answers.

    Args:
        app: called with ``environ`` and ``start_response``, in threads of their own.
        timeout_s: how long each request may take.
    """
    rows = [_ask(app, method, path, timeout_s).row(timeout_s) for method, path in REQUESTS]
    return Probe("wsgi", tuple(rows))


def environ_for(method: str, path: str) -> Environ:
    """Return the environ of a request without a body, complete and with nothing more."""
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        # The validator wants a path; REQUEST_URI has the asterisk, as servers give it.
        "PATH_INFO": "/" if path == "*" else path,
        "QUERY_STRING": "",
        "REQUEST_URI": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr or io.StringIO(),  # closed by whoever started the process
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ.update({f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS})
    return environ


def _ask(app: WSGIApp, method: str, path: str, timeout_s: float) -> Seen:
    exchange = _Exchange(app, Seen(method, path))
    thread = threading.Thread(target=exchange.run, name=f"bridge-doctor {method} {path}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    exchange.is_left = True
    return exchange.seen


class _Exchange:
    """One request, as a server that reads strictly."""

    def __init__(self, app: WSGIApp, seen: Seen) -> None:
        self.seen = seen
        self.is_left = False
        self._app = app
        self._has_output = False

    def run(self) -> None:
        """Call the application, take its body, close it. A thread of its own."""
        seen = self.seen
        try:
            self._serve()
            seen.check_length()
        except Violation as broken:
            seen.violation = seen.violation or str(broken)
        except BaseException as error:  # noqa: BLE001 - whatever an application raises, SystemExit too
            frames = traceback.extract_tb(error.__traceback__)
            if frames and frames[-1].filename == validate.__file__:
                seen.violation = seen.violation or str(error) or last_line(error)
            else:
                seen.error = error
        seen.is_done = True

    def _serve(self) -> None:
        seen = self.seen
        body: Any = cast("Any", validate.validator)(self._observed)(
            environ_for(seen.method, seen.path), self._start_response
        )
        try:
            for block in body:
                self._take(block)
                if seen.body_bytes > READ_BYTES or self.is_left:
                    seen.is_cut = True
                    break
        finally:
            body.close()
        if seen.status is None:
            raise Violation("it returned without calling start_response()")
        if seen.is_cut:
            seen.declared = None  # what is missing was not asked for

    def _observed(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Stand between the validator and the application: see what it really says."""

        def start(*args: Any, **named: Any) -> Callable[[bytes], object]:
            if not named and len(args) in (2, 3):  # else the validator says what is wrong
                self._note(*args)
                args = (args[0], _with_content_type(args[0], args[1]), *args[2:])
            return start_response(*args, **named)

        return self._app(environ, start)

    def _note(self, status: Any, headers: Any, exc_info: Any = None) -> None:
        seen = self.seen
        if seen.status is not None and exc_info is None:
            self._break("it called start_response() twice, the second time without exc_info")
        if isinstance(status, str) and (len(status) < _STATUS_LENGTH or status[3] != " "):
            self._break(f"the status is {status!r}; it takes three digits, a space and a reason")
        for name, value in _pairs(headers):
            if is_hop_by_hop(name):
                self._break(f"it sets the hop-by-hop field {name!r}; the connection belongs to the server")
            if name.lower() == "content-type":
                seen.content_type = value
            elif name.lower() == "content-length":
                try:
                    seen.declared = length_from(value)
                except Violation as broken:
                    self._break(str(broken))

    def _break(self, sentence: str) -> None:
        self.seen.violation = self.seen.violation or sentence
        raise Violation(sentence)

    def _start_response(
        self, status: str, _headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Take what the validator has let pass."""
        if exc_info is not None and exc_info[1] is not None and self._has_output:
            raise exc_info[1]
        self.seen.status = int(status[:3])
        return self._take

    def _take(self, block: bytes) -> None:
        self._has_output = self._has_output or bool(block)
        self.seen.body_bytes += len(block)


def _pairs(headers: object) -> list[tuple[str, str]]:
    """Return the headers that are pairs of text; the validator says what is wrong with the others."""
    items = cast("list[object]", headers) if type(headers) is list else []
    return [
        cast("tuple[str, str]", item)
        for item in items
        if isinstance(item, tuple) and [type(part) for part in cast("tuple[object, ...]", item)] == [str, str]
    ]


def _with_content_type(status: object, headers: object) -> object:
    """Return the headers as the validator wants them: with a Content-Type exactly where there is content."""
    pairs = _pairs(headers)
    if not isinstance(status, str) or type(headers) is not list or len(pairs) != len(cast("list[object]", headers)):
        return cast("Any", headers)
    others = [pair for pair in pairs if pair[0].lower() != "content-type"]
    if status[:3] in _NO_CONTENT:
        return others
    return pairs if len(others) < len(pairs) else [*pairs, ("Content-Type", "application/octet-stream")]
