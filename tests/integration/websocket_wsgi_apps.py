"""WSGI sites with WebSockets, by the libraries people use, and plain ones, hosted by the bridge; chosen by the path.

``app`` is what the servers serve. The first segment of the path chooses the adapter (``/few/...``: two sockets at most,
``/socketio/...``: with more than one worker, which long polls need; all others have one), the next one the application.
How a conversation ended for the application is noted under the ``id`` of its query and asked for at ``/counters``.
``native_host`` is the same for WSGI servers that speak WebSocket by themselves.
"""

from __future__ import annotations

import json
import os
import resource
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import bottle
import flask
import flask_socketio
import geventwebsocket
import simple_websocket
from bottle_websocket import websocket
from flask_sock import Sock

from bridge import Limits, WSGIToASGI
from bridge.types import Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.integration.apps import routed
from tests.integration.websocket_wsgi_plain_apps import KIB, PLAIN_ROUTES, argument, books, text

# ---- Frameworks -----------------------------------------------------------------------------------------------------

flask_app = flask.Flask("flask_sockets")
_sock = Sock(flask_app)


@flask_app.before_request
def _check_token() -> Any:
    if "forbidden" in flask.request.args:
        return flask.make_response({"error": "a token is missing"}, 401, {"WWW-Authenticate": "Bearer"})
    return None


@flask_app.get("/page")
def flask_page() -> str:
    """A page beside the sockets, at the address of one of them as well."""
    return "a page of Flask"


@_sock.route("/echo/<name>")
def flask_echo(ws: Any, name: str) -> None:
    """Send back what comes, with a name of the path and an argument of the query."""
    try:
        while True:
            message = ws.receive()
            ws.send(message if isinstance(message, bytes) else f"{name}{flask.request.args.get('mark', '')}: {message}")
    except simple_websocket.ConnectionClosed as error:
        books.note(flask.request.environ, code=error.reason, reason=error.message)
        raise


@_sock.route("/farewell")
def flask_farewell(ws: Any) -> None:
    """Close after the first message."""
    ws.receive()
    ws.close(int(flask.request.args["code"]), flask.request.args["reason"])


@_sock.route("/returns")
def flask_returns(ws: Any) -> None:
    """Say something and return."""
    ws.send("that was all")


@_sock.route("/raises")
def flask_raises(ws: Any) -> None:
    """Raise after the first message; Flask logs it and makes an error page of it."""
    ws.receive()
    raise RuntimeError(f"failed on purpose {flask.request.args['mark']}")


bottle_app = bottle.Bottle()


@bottle_app.get("/echo", apply=[websocket])
def bottle_echo(ws: Any) -> None:
    """Send back what comes."""
    while (message := ws.receive()) is not None:
        ws.send(message)


@bottle_app.get("/secret")
def bottle_secret() -> Any:
    """No entry, socket or not."""
    raise bottle.HTTPResponse("no entry", 401, {"WWW-Authenticate": "Bearer"})


class Room(geventwebsocket.WebSocketApplication):
    """A chat room: what one says is sent to all, each by the thread of the one who said it."""

    _lock = threading.Lock()
    _members: set[Room] = set()

    def on_open(self) -> None:
        """Enter."""
        self._environ = self.ws.environ
        with self._lock:
            self._members.add(self)
            self.ws.send(f"members: {len(self._members)}")

    def on_message(self, message: str | None) -> None:
        """Tell all; None is the library's way to say that there was nothing."""
        if message is not None:
            with self._lock:
                for member in self._members:
                    member.ws.send(message)

    def on_close(self, reason: object) -> None:
        """Leave."""
        with self._lock:
            self._members.discard(self)
        books.note(self._environ, reason=reason)


def _index(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return text(start_response, "a page of the resource")


resource_app = geventwebsocket.Resource([("^/room", Room), ("^/", _index)])

socketio_app = flask.Flask("flask_socketio_site")
_socketio = flask_socketio.SocketIO(socketio_app, async_mode="threading")


@_socketio.on("shout")
def _shout(text: str) -> str:
    """Tell all; the answer is for the one who calls."""
    flask_socketio.emit("heard", text.upper(), broadcast=True)
    return f"told them {text}"


@_socketio.on("leave")
def _leave() -> None:
    flask_socketio.disconnect()


@_socketio.on("disconnect")
def _left(reason: str) -> None:
    books.note(flask.request.environ, reason=reason)


# ---- Hosting --------------------------------------------------------------------------------------------------------


def report(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the books and with what this process holds."""
    now = default.statistics()
    with open("/proc/self/statm", encoding="ascii") as memory:
        resident_bytes = int(memory.read().split()[1]) * resource.getpagesize()
    held = {
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "resident_bytes": resident_bytes,
        "busy": now.workers_busy,
    }
    return text(start_response, json.dumps(books.snapshot() | held))


def open_gate(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Open the gate of an id."""
    books.gates[argument(environ, "id")].set()
    return text(start_response, "open")


def keys(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the names of the environ."""
    return text(start_response, json.dumps(sorted(environ)))


_ROUTES: dict[str, WSGIApp] = PLAIN_ROUTES | {
    "bottle": bottle_app,
    "counters": report,
    "flask": flask_app,
    "gate": open_gate,
    "keys": keys,
    "resource": resource_app,
}
native_host = routed(_ROUTES | {"socketio": socketio_app})
"""For servers that speak WebSocket themselves."""

_LIMITS = Limits(workers=1, worker_idle_s=0.5, cancel_s=1.0, shutdown_s=5.0, websocket_queue_bytes=256 * KIB)
default = WSGIToASGI(routed(_ROUTES), limits=_LIMITS)
_HOSTED = {
    "few": WSGIToASGI(routed(_ROUTES), limits=replace(_LIMITS, websockets=2)),
    "socketio": WSGIToASGI(socketio_app, limits=replace(_LIMITS, workers=8)),
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand the connection to the adapter that the first path segment names."""
    first, _, _ = (scope.get("path") or "").lstrip("/").partition("/")
    adapter = _HOSTED.get(first)
    if adapter is None:
        await default(scope, receive, send)
    else:
        await adapter({**scope, "root_path": f"/{first}"}, receive, send)
