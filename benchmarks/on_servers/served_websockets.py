"""The echoes that servers in subprocesses import: functions that make applications, each with HTTP beside."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import apps
from bridge import Limits, to_asgi, to_wsgi


def resources(tasks: int) -> bytes:
    """Return threads, tasks, descriptors and resident KiB of this process, as text."""
    found = re.search(r"^VmRSS:\s+([0-9]+)", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    descriptors = len(os.listdir("/proc/self/fd")) - 1  # the listing's own
    return b"%d %d %d %d" % (threading.active_count(), tasks, descriptors, int(found[1]) if found else 0)


def _with_resources(asgi: Any) -> Any:
    """Answer ``/resources`` on the loop itself, beside an ASGI application."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/resources":
            await asgi(scope, receive, send)
            return
        import asyncio
        import gc

        gc.collect()
        body = resources(len(asyncio.all_tasks()))
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


# ---- WSGI -----------------------------------------------------------------------------------------------------------


def native_wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Echo by ``wsgi.websocket``; say hello to HTTP."""
    websocket = environ.get("wsgi.websocket")
    if websocket is None:
        return apps.hello(environ, start_response)
    while (message := websocket.receive()) is not None:
        websocket.send(message)
    return []


def flask_sock() -> Any:
    """Return a Flask application that echoes with Flask-Sock, as in its documentation."""
    from flask import Flask
    from flask_sock import Sock

    app = Flask("echo")
    sock = Sock(app)

    @sock.route("/echo")
    def echo(ws: Any) -> None:
        while True:
            ws.send(ws.receive())

    @app.get("/")
    def index() -> str:
        return "Hello, world!"

    return app


def native() -> Any:
    """Return the native echo for ASGI servers."""
    return _with_resources(to_asgi(native_wsgi))


def native_of_one_worker() -> Any:
    """Return it with one thread for HTTP."""
    return _with_resources(to_asgi(native_wsgi, limits=Limits(workers=1)))


def wire() -> Any:
    """Return the Flask-Sock echo for ASGI servers."""
    return _with_resources(to_asgi(flask_sock()))


# ---- ASGI -----------------------------------------------------------------------------------------------------------


def bare() -> Any:
    """Return an echo that does nothing else: what an ASGI server has to give."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"Hello, world!"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})

    return app


def starlette() -> Any:
    """Return a Starlette application that echoes."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await (websocket.send_bytes(message["bytes"]) if text is None else websocket.send_text(text))

    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse("Hello, world!")

    return Starlette(routes=[Route("/", index), WebSocketRoute("/echo", echo)])


def starlette_on_wsgi() -> Any:
    """Return the Starlette echo for WSGI servers."""
    return to_wsgi(_with_resources(starlette()))
