"""How long does it take to translate a browser's request, and the head of a response? Functions alone, no thread, no
loop: 14 fields with cookies, and a query string.

In the first two, each candidate makes all that it makes of a request: the bridge has some ten keys more, and checks the
fields; asgiref's environ builder is the measure of both. The last two are what `start_response` and
`http.response.start` cost; the least that works checks nothing.
"""

from __future__ import annotations

import io
import statistics
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.in_memory.adapters import A2WSGI, ASGIREF, BRIDGE
from benchmarks.in_memory.stopwatch import TIME, Span, stopwatch
from benchmarks.results import Column, Comparison
from benchmarks.settings import Settings, interleaved
from bridge.translate import messages
from bridge.translate.asgi_response import ASGIResponse
from bridge.translate.environ import EnvironOptions, environ_from_scope
from bridge.translate.response import ResponseState
from bridge.translate.scope import scope_from_environ
from bridge.translate.status import status_from_code

ENVIRON_OF_ASGIREF = "asgiref's environ builder"
LEAST = "the least that works"
BOUND_US = 4.0

_FIELDS = (
    (b"host", b"shop.example.org"),
    (b"connection", b"keep-alive"),
    (b"sec-ch-ua", b'"Chromium";v="134", "Not:A-Brand";v="24"'),
    (b"sec-ch-ua-mobile", b"?0"),
    (b"sec-ch-ua-platform", b'"Linux"'),
    (b"upgrade-insecure-requests", b"1"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"navigate"),
    (b"referer", b"https://shop.example.org/regale/"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"de-DE,de;q=0.9,en;q=0.8"),
    (b"cookie", b"session=eyJfcGVybWFuZW50Ijp0cnVlfQ.Z8n0aQ.b3uQzT; csrftoken=h8tYw2; theme=dark; basket=17"),
)
_PATH = "/regale/romane/gebraucht"
_RAW_PATH = b"/regale/romane/gebraucht"
_QUERY = b"seite=3&sortiert=preis&q=stra%C3%9Fe"
_RESPONSE = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Length", "5120"),
    ("Vary", "Cookie, Accept-Encoding"),
    ("Cache-Control", "private, max-age=60"),
    ("X-Frame-Options", "DENY"),
    ("Set-Cookie", "session=eyJfcGVybWFuZW50Ijp0cnVlfQ.Z8n0aQ.b3uQzT; HttpOnly; Path=/; SameSite=Lax"),
)


def scope_of_a_browser() -> dict[str, Any]:
    """Return the scope that an ASGI server makes of the request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": _PATH,
        "raw_path": _RAW_PATH,
        "query_string": _QUERY,
        "root_path": "",
        "headers": list(_FIELDS),
        "client": ("192.0.2.17", 50172),
        "server": ("198.51.100.4", 443),
    }


def environ_of_a_browser() -> dict[str, Any]:
    """Return the environ that a WSGI server makes of the request."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": _PATH.encode().decode("latin-1"),
        "QUERY_STRING": _QUERY.decode(),
        "REQUEST_URI": f"{_RAW_PATH.decode()}?{_QUERY.decode()}",
        "SERVER_NAME": "198.51.100.4",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "gunicorn/27.0.1",
        "REMOTE_ADDR": "192.0.2.17",
        "REMOTE_PORT": "50172",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **{f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in _FIELDS},
    }


def run(settings: Settings) -> list[Comparison]:
    scope, environ = scope_of_a_browser(), environ_of_a_browser()
    bound = {TIME: BOUND_US}
    twice_asgiref = {ENVIRON_OF_ASGIREF: 1 / 2}
    environ_builders = environ_candidates(scope)
    scope_builders = scope_candidates(environ)
    if ENVIRON_OF_ASGIREF in environ_builders:
        scope_builders[ENVIRON_OF_ASGIREF] = environ_builders[ENVIRON_OF_ASGIREF]
    compared = [
        _compare(settings, "Environ from the scope of a browser's request", environ_builders),
        _compare(settings, "Scope from the environ of a browser's request", scope_builders),
        _compare(settings, "A start_response() with six fields", start_response_candidates()),
        _compare(settings, "An http.response.start with six fields", response_start_candidates()),
    ]
    for comparison in compared[:2]:
        comparison.bounds, comparison.targets = bound, twice_asgiref
    return compared


def environ_candidates(scope: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return the builders of environ."""
    base = EnvironOptions().base()
    body = io.BytesIO()
    found: dict[str, Callable[[], Any]] = {BRIDGE: lambda: environ_from_scope(scope, base=base)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of them announce their retirement
        try:
            from asgiref.wsgi import WsgiToAsgiInstance

            instance: Any = WsgiToAsgiInstance(None)  # type: ignore[no-untyped-call]
            instance.scope = scope
            found[ENVIRON_OF_ASGIREF] = lambda: instance.build_environ(scope, body)
        except ImportError:
            pass
        try:
            from a2wsgi.wsgi import build_environ as of_a2wsgi

            found[A2WSGI] = lambda: of_a2wsgi(scope, body)  # type: ignore[arg-type]
        except ImportError:
            pass
        try:
            from starlette.middleware.wsgi import build_environ as of_starlette

            found["starlette"] = lambda: of_starlette(scope, b"")
        except ImportError:
            pass
        try:
            from uvicorn.middleware.wsgi import build_environ as of_uvicorn

            message: Any = {"type": "http.request", "body": b"", "more_body": False}
            found["uvicorn"] = lambda: of_uvicorn(scope, message, body)  # type: ignore[arg-type]
        except ImportError:
            pass
    return found


def scope_candidates(environ: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Return the builders of the scope."""
    found: dict[str, Callable[[], Any]] = {BRIDGE: lambda: scope_from_environ(environ)}
    try:
        from a2wsgi.asgi import build_scope

        found[A2WSGI] = lambda: build_scope(environ)  # type: ignore[arg-type]
    except ImportError:
        pass
    return found


def start_response_candidates() -> dict[str, Callable[[], Any]]:
    """Return what makes an ASGI message of status and fields."""

    def with_checks() -> Any:
        state = ResponseState("GET")
        state.start("200 OK", list(_RESPONSE))
        return messages.response_start(state.status, state.headers)

    def least() -> Any:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in list(_RESPONSE)]
        return {"type": "http.response.start", "status": int("200 OK"[:3]), "headers": headers}

    found: dict[str, Callable[[], Any]] = {BRIDGE: with_checks, LEAST: least}
    try:
        from asgiref.wsgi import WsgiToAsgiInstance

        def of_asgiref() -> Any:
            instance: Any = WsgiToAsgiInstance(None)  # type: ignore[no-untyped-call]
            instance.start_response("200 OK", list(_RESPONSE))
            return instance.response_start

        found[ASGIREF] = of_asgiref
    except ImportError:
        pass
    return found


def response_start_candidates() -> dict[str, Callable[[], Any]]:
    """Return what makes status and fields for ``start_response`` of an ASGI message."""
    pairs = [(name.lower().encode(), value.encode()) for name, value in _RESPONSE]
    message = {"type": "http.response.start", "status": 200, "headers": pairs}

    def with_checks() -> Any:
        response = ASGIResponse("GET", {})
        response.start(message)
        return response

    def least() -> Any:
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
        return status_from_code(200), fields

    return {BRIDGE: with_checks, LEAST: least}


def _compare(settings: Settings, title: str, candidates: dict[str, Callable[[], Any]]) -> Comparison:
    calls = 1_000
    turns = settings.pick(25, 2)
    bases = tuple(name for name in (ENVIRON_OF_ASGIREF, LEAST, BRIDGE) if name in candidates)
    comparison = Comparison(title=title, columns=(Column(name=TIME, unit="us", better="less"),), bases=bases)

    def timed(translate: Callable[[], Any]) -> float:
        spans: list[Span] = []
        for _ in range(calls // 10):  # not measured: the interpreter has seen it by then
            translate()
        with stopwatch(spans):
            for _ in range(calls):
                translate()
        return spans[0].clock_s * 1e6 / calls

    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(settings.rounds):
        # A round is many short turns: a machine that is slow for an instant is so for one of them.
        in_turns = interleaved(
            turns, {name: partial(timed, each) for name, each in candidates.items()}, budget_s=float("inf")
        )
        for name, taken in in_turns.items():
            found[name].append(statistics.median(taken))
    comparison.add(TIME, found)
    return comparison
