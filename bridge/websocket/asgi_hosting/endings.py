"""How the server's call ends whose connection was taken over: each server has its own way of not answering.

To most of them the client has hung up: `ConnectionResetError` is what their own writing could have raised, and they
take it without a word. Where an access log is kept, its line says 101: the status is announced, and never sent.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any

from bridge.types import Environ, StartResponse

_STATUS = "101 Switching Protocols"


def uwsgi_of(environ: Environ) -> Any | None:
    """Return the module `uwsgi` if it is uWSGI that serves this request, else None."""
    return sys.modules.get("uwsgi") if "uwsgi.version" in environ else None


def end_call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """End a call without a response; return what the application returns to the server. Request thread.

    Args:
        environ: of the request, with the keys of the server.
        start_response: given a status for the access log; one that refuses it costs only that line.

    Raises:
        ConnectionResetError: to most servers this is the end.
    """
    uwsgi = uwsgi_of(environ)
    if uwsgi is not None:
        uwsgi.disconnect()
        return []
    # Anything: between the server and us may be others who have their opinion of a 101 without fields.
    with suppress(Exception):
        start_response(_STATUS, [])
    if "eventlet.input" in environ:
        # Eventlet would print a traceback. The mark lies where its own WebSocket support has it, and is cleared before
        # each request.
        import_module("eventlet.wsgi").WSGI_LOCAL.already_handled = True
        return []
    if "gunicorn.socket" in environ:
        return _reset_at_first()  # gunicorn logs requests only if the application has returned
    # The others do more to a response that has begun: Werkzeug reads what is left of the request, which on a
    # connection with TLS waits for the client; Cheroot still sends the head.
    raise _reset()


def _reset_at_first() -> Iterator[bytes]:
    raise _reset()
    yield b""


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "The connection was taken over for a WebSocket.")
