"""The connection behind a WSGI request: found by what stands in the environ, and taken away from its server.

Taking away is: keep a duplicate of the descriptor, and put one end of a dead pair of sockets in its place. What the
server is left with is a client that has hung up: whatever it does to it is harmless, and its thread is free at once.
(Detaching the server's socket object instead would leave it with descriptor -1, which not every server survives.)

Connections with TLS cannot be taken: the keys are in the server's object. They are relayed by the request's thread; so
are all where descriptors of sockets cannot be replaced (Windows).
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from bridge.types import Environ, StartResponse
from bridge.websocket.asgi_hosting.endings import end_call, uwsgi_of
from bridge.websocket.asgi_hosting.relay import relay

_MOST_READERS = 8
"""How many readers may lie around the socket's own: servers have two or three, a circle has no end."""
_CAN_REPLACE = sys.platform != "win32"
"""Whether sockets have descriptors that `os.dup2` can replace."""


class Connection:
    """The connection of one request, while it is the server's. All methods in the request's thread.

    Args:
        server_side: the server's socket object.
    """

    def __init__(self, server_side: Any) -> None:
        self._server_side = server_side
        self._relayed: socket.socket | None = None

    @property
    def needs_relay(self) -> bool:
        """Whether the request's thread is held for as long as the connection lives."""
        # By what it can do: gevent's TLS sockets are not of the standard library's class.
        return not _CAN_REPLACE or hasattr(self._server_side, "getpeercert")

    def take(self) -> socket.socket:
        """Return a socket of our own, non-blocking, not inherited, closed by whoever has it; once.

        From now on the server must get no response; the call is ended with `end`.

        Raises:
            OSError: there is no descriptor left, or the server has closed the connection; it keeps it.
        """
        if not self.needs_relay:
            own = line = _exchanged(self._server_side.fileno())
        else:
            (own, self._relayed), line = _native_pair(), self._server_side
            self._relayed.settimeout(0)
        own.settimeout(0)
        # A message goes out at once, and does not wait until the last one has been acknowledged.
        with suppress(OSError):  # there are other kinds of connections than TCP
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return own

    def drop(self) -> None:
        """Give up a connection that was taken and came to nothing; the server's call fails as it likes."""
        relayed, self._relayed = self._relayed, None
        if relayed is not None:
            relayed.close()

    def end(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """End the server's call without a response; return what the application returns to the server.

        A connection that needs it is relayed first, until it ends: this blocks.

        Raises:
            ConnectionResetError: to most servers this is the end; let it through.
        """
        relayed, self._relayed = self._relayed, None
        if relayed is not None:
            with relayed:
                self._relay(relayed)
        return end_call(environ, start_response)

    def _relay(self, relayed: socket.socket) -> None:
        try:
            relay(self._server_side, relayed)
        except BaseException:
            # Who interrupts us (gunicorn's sync worker, when its time is up) would answer 500 in the midst of frames.
            if _CAN_REPLACE:
                with suppress(OSError):  # closed already
                    _exchanged(self._server_side.fileno()).close()
            raise


def find_connection(environ: Environ) -> Connection | None:
    """Return the connection of a request, or None if its server offers none that can be taken over.

    It looks, and changes nothing. Request thread.
    """
    if str(environ.get("SERVER_PROTOCOL")).startswith(("HTTP/2", "HTTP/3")):
        return None  # other requests are on it
    for candidate in _candidates(environ):
        if _is_usable(candidate):
            return Connection(candidate)
    return None


class _UWSGIConnection:
    """The connection of uWSGI, which knows a number only."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def getsockopt(self, level: int, option: int) -> int:
        with _native_class()(fileno=os.dup(self._descriptor)) as duplicate:
            return duplicate.getsockopt(level, option)


def _candidates(environ: Environ) -> Iterator[object]:
    """Yield what may be the server's socket."""
    yield environ.get("gunicorn.socket")
    yield environ.get("werkzeug.socket")
    # Objects of others: they may raise whatever they like.
    with suppress(Exception):
        yield environ["eventlet.input"].get_socket()
    with suppress(Exception):
        yield _uwsgi_connection(environ)
    yield _socket_under(environ.get("wsgi.input"))


def _uwsgi_connection(environ: Environ) -> _UWSGIConnection | None:
    uwsgi = uwsgi_of(environ)
    # With TLS of uWSGI's own the descriptor leads to ciphers.
    if uwsgi is None or ("https-socket" in map(_text, uwsgi.opt) and environ.get("wsgi.url_scheme") == "https"):
        return None
    return _UWSGIConnection(uwsgi.connection_fd())


def _text(name: str | bytes) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else name


def _socket_under(reader: object) -> object:
    """Return the socket that the server's reader reads, or None."""
    for _ in range(_MOST_READERS):
        with suppress(Exception):
            return reader.raw._sock  # type: ignore[attr-defined]  # noqa: SLF001 - of `socket.SocketIO`: no other way
        try:
            reader = reader.rfile  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 - as above
            return None
    return None


def _is_usable(candidate: Any) -> bool:
    """Tell whether it is a stream of octets to a client. One that has just left counts: it is found out later."""
    try:
        descriptor = candidate.fileno()
        return (
            isinstance(descriptor, int)
            and (not _CAN_REPLACE or stat.S_ISSOCK(os.fstat(descriptor).st_mode))
            and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
            and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
            # TLS of pyOpenSSL, which says in its own words when it has to wait.
            and not hasattr(candidate, "get_peer_certificate")
        )
    except Exception:  # noqa: BLE001 - an object of others
        return False


def _exchanged(descriptor: int) -> socket.socket:
    """Return a socket over a duplicate of the descriptor, behind which there is a dead one from now on."""
    dead, other = _native_pair()
    other.close()
    with dead:
        own = _native_class()(fileno=os.dup(descriptor))
        try:
            os.dup2(dead.fileno(), descriptor, inheritable=os.get_inheritable(descriptor))
        except BaseException:
            own.close()
            raise
    return own


def _native_class() -> type[socket.socket]:
    """Return the interpreter's own class of sockets, also where gevent or eventlet have put theirs in its place."""
    monkey = sys.modules.get("gevent.monkey")
    patcher = sys.modules.get("eventlet.patcher")
    native: type[socket.socket] = socket.socket
    if monkey is not None:
        native = monkey.get_original("socket", "socket")
    elif patcher is not None and patcher.is_monkey_patched("socket"):
        native = patcher.original("socket").socket
    return native


def _native_pair() -> tuple[socket.socket, socket.socket]:
    native = _native_class()
    first, second = socket.socketpair()
    return native(fileno=first.detach()), native(fileno=second.detach())
