"""The candidates: the bridge, its peers, and the floor below all of them."""

from __future__ import annotations

import asyncio
import functools
import io
import sys
import warnings
from collections.abc import Callable
from typing import Any

from bridge import Limits, WSGIToASGI
from bridge.translate import messages
from bridge.translate.environ import EnvironOptions, environ_from_scope
from bridge.translate.response import ResponseState

FLOOR = "inline floor (no thread)"
BRIDGE = "bridge"
NATIVE = "native ASGI"
A2WSGI = "a2wsgi"
ASGIREF = "asgiref"


def inline(app: Any) -> Any:
    """Call the WSGI application on the event loop itself: what nothing can beat, and nobody may do.

    It builds a plausible environ and sends the blocks as they come; no rule of either specification is checked.
    """

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]):
            pieces = []
            more_body = True
            while more_body:
                event = await receive()
                pieces.append(event.get("body", b""))
                more_body = event.get("more_body", False)
            body = b"".join(pieces)
        environ = {
            "REQUEST_METHOD": scope["method"],
            "SCRIPT_NAME": scope.get("root_path", ""),
            "PATH_INFO": scope["path"],
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "SERVER_NAME": scope["server"][0],
            "SERVER_PORT": str(scope["server"][1]),
            "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
            "REMOTE_ADDR": scope["client"][0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scope["scheme"],
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in scope["headers"]:
            key = name.decode("latin-1").upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key] = value.decode("latin-1")
        start: dict[str, Any] = {"type": "http.response.start"}

        def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
            start["status"] = int(status[:3])
            start["headers"] = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]

        blocks = app(environ, start_response)
        if type(blocks) is list:
            await send(start)
            await send({"type": "http.response.body", "body": b"".join(blocks), "more_body": False})
            return
        is_started = False
        for block in blocks:
            if not is_started:
                is_started = True
                await send(start)
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return asgi


def checked(app: Any) -> Any:
    """Call the WSGI application on the event loop itself, but translate and check as the bridge does.

    Between this and the bridge stand only the hand-over to a thread and what belongs to one request under way.
    """
    base = EnvironOptions().base()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        environ = environ_from_scope(scope, base=base)
        environ["wsgi.input"] = io.BytesIO()
        environ["wsgi.errors"] = sys.stderr
        state = ResponseState(scope["method"])
        (block,) = app(environ, state.start)
        body = state.only_block(block)
        state.end()
        await send(messages.response_start(state.status, state.headers))
        await send(messages.response_body(body, more_body=False))

    return asgi


def as_hypercorn_does(wrapper: Any) -> Any:
    """Give hypercorn's wrapper the two things that only hypercorn passes to applications: a thread, and the way back.

    They are what its worker for asyncio has: the loop's own executor, and a coroutine that the thread waits for.
    """

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()

        def call_soon(function: Any, *arguments: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(function(*arguments), loop).result()

        await wrapper(scope, receive, send, functools.partial(loop.run_in_executor, None), call_soon)

    return asgi


def candidates(workers: int = 40) -> dict[str, Callable[[Any], Any]]:
    """Return all adapters by name: each makes an ASGI application of a WSGI one.

    Args:
        workers: threads, for those that can be told.
    """
    found: dict[str, Callable[[Any], Any]] = {
        FLOOR: inline,
        BRIDGE: lambda app: WSGIToASGI(app, limits=Limits(workers=workers)),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of them announce their retirement
        try:
            import a2wsgi

            found[A2WSGI] = lambda app: a2wsgi.WSGIMiddleware(app, workers=workers)
        except ImportError:
            pass
        try:
            from asgiref.wsgi import WsgiToAsgi

            found[ASGIREF] = WsgiToAsgi
        except ImportError:
            pass
        try:
            from starlette.middleware.wsgi import WSGIMiddleware as OfStarlette

            found["starlette"] = OfStarlette
        except ImportError:
            pass
        try:
            # The public name is a2wsgi's where that is installed.
            from uvicorn.middleware.wsgi import _WSGIMiddleware as OfUvicorn

            found["uvicorn"] = lambda app: OfUvicorn(app, workers=workers)
        except ImportError:
            pass
        try:
            from hypercorn.app_wrappers import WSGIWrapper

            found["hypercorn"] = lambda app: as_hypercorn_does(WSGIWrapper(app, max_body_size=sys.maxsize))
        except ImportError:
            pass
    return found
