"""WSGI applications that send back what they receive, by each of the two ways."""

from __future__ import annotations

import threading

import simple_websocket


def echo(environ, start_response):
    """Speaks by the object for WebSockets; answers other requests with the name of its thread."""
    ws = environ.get("wsgi.websocket")
    if ws is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [threading.current_thread().name.encode()]
    while (message := ws.receive()) is not None:
        ws.send(message)
    return []


def simple_echo(environ, start_response):
    ws = simple_websocket.Server.accept(environ)
    try:
        while True:
            ws.send(ws.receive())
    except simple_websocket.ConnectionClosed:
        return []
