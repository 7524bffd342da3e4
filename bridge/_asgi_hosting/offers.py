"""What this server offers for this request, as ASGI extensions; and what it tells of its client.

Each is found by what stands in the environ, never by the server's name: a middleware may have taken it out.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable
from typing import Any

from bridge.translate import messages
from bridge.translate.tls import tls_from_ssl_variables
from bridge.types import Environ

EARLY_HINTS_KEY = "wsgi.early_hints"
FILE_WRAPPER_KEY = "wsgi.file_wrapper"
TRAILERS_KEY = "gunicorn.http2.send_trailers"


def extensions_from_environ(environ: Environ) -> dict[str, dict[str, Any]]:
    """Return the extensions that work on this very server and request; a new dict of new dicts (A-034 to A-040)."""
    extensions: dict[str, dict[str, Any]] = {}
    if callable(environ.get(FILE_WRAPPER_KEY)):
        extensions[messages.PATHSEND] = {}
    if callable(environ.get(EARLY_HINTS_KEY)):
        extensions[messages.EARLY_HINT] = {}
    if callable(environ.get(TRAILERS_KEY)) and _accepts_trailers(environ.get("HTTP_TE")):
        extensions[messages.TRAILERS] = {}
    if environ.get("wsgi.url_scheme") == "https" and (tls := tls_from_ssl_variables(environ)) is not None:
        extensions["tls"] = tls
    return extensions


def _accepts_trailers(te: object) -> bool:
    return isinstance(te, str) and "trailers" in (coding.strip(" \t").lower() for coding in te.split(","))


def client_probe(environ: Environ) -> Callable[[], bool] | None:
    """Return what tells whether the client has left, where the server lets one know; else None.

    The probe is cheap, does not wait, and takes nothing from the connection. Request thread (uWSGI asks by thread).

    Spec: A-095. Gunicorn and werkzeug put the socket into the environ for such use, waitress a callable (which knows
    only with ``channel_request_lookahead`` above 0), uWSGI gives its descriptor.
    """
    asked = environ.get("waitress.client_disconnected")
    if callable(asked):
        return lambda: bool(asked())
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if connection is not None and hasattr(connection, "fileno"):
        return lambda: _has_hung_up(connection.fileno())
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None and "uwsgi.version" in environ and hasattr(uwsgi, "connection_fd"):
        return lambda: _has_hung_up(uwsgi.connection_fd())
    return None


def _has_hung_up(descriptor: int) -> bool:
    """Tell whether the peer of a stream socket has closed it; what it has sent is left where it is.

    A client that has closed its sending side only cannot be told from one that has gone, and counts as gone, as under
    ASGI servers.
    """
    try:
        if hasattr(select, "poll"):
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            events = poller.poll(0)
            if events and events[0][1] & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                return True
            is_readable = bool(events)
        else:
            is_readable = bool(select.select([descriptor], [], [], 0)[0])
        # Readable: data that is none of our business (the next request), or the end.
        return is_readable and _peeked(descriptor) == b""
    except BlockingIOError:  # somebody else has read it
        return False
    except (OSError, ValueError):  # reset, or closed on this side
        return True


def _peeked(descriptor: int) -> bytes:
    """Look at the next octet of a readable socket, and leave both as they are."""
    is_blocking = os.get_blocking(descriptor) if hasattr(os, "get_blocking") else None
    peeking = socket.socket(fileno=descriptor)
    try:
        if is_blocking is not None:  # a default time-out of the process has made it non-blocking
            os.set_blocking(descriptor, is_blocking)
        return peeking.recv(1, socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0))
    finally:
        peeking.detach()  # the descriptor is the server's
