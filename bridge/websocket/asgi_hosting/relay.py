"""Connections that cannot be taken over, because the keys of their TLS are in the server's object: the request's thread
copies octets between the server's socket and one of ours, both ways, until the connection ends.

One thread waits for both directions. Under gevent and eventlet it is a green one, and waits in their way.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Callable
from importlib import import_module
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Protocol, TypeAlias

from bridge._runtime.gates import is_gevent_patched

_PIECE_BYTES = 64 * 1024
_LINGER_S = 5.0
"""How long a client that takes nothing is waited for, when we have closed."""
_LOOK_S = 0.25
"""How often to look whether our end has closed, where nothing wakes us for that."""
_TURNS = 64
"""How many times octets are moved before other green threads have their turn."""

Interests: TypeAlias = dict[int, int]
"""Descriptors, and the events of `selectors` that are waited for."""
Wait: TypeAlias = Callable[[Interests, float | None], object]
"""Waits for one of them, or until the time is up."""


class _End(Protocol):
    """One of the two ends of a relay; nothing here waits."""

    @property
    def read_wants(self) -> int:
        """The event to wait for before reading again."""
        ...

    @property
    def write_wants(self) -> int:
        """The event to wait for before writing again."""
        ...

    def fileno(self) -> int:
        """Return the descriptor."""
        ...

    def read(self) -> bytes | None:
        """Return what has come; None if nothing has, nothing at all if nothing will."""
        ...

    def write(self, octets: memoryview) -> int:
        """Send and return how much; OSError if nothing can be sent any more."""
        ...

    def finish(self) -> None:
        """Tell the peer that nothing more will be sent."""
        ...


class _PlainEnd:
    """An end without TLS."""

    read_wants = EVENT_READ
    write_wants = EVENT_WRITE

    def __init__(self, end: Any) -> None:
        self._socket = end

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def read(self) -> bytes | None:
        try:
            octets: bytes = self._socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return octets

    def write(self, octets: memoryview) -> int:
        try:
            return int(self._socket.send(octets))
        except BlockingIOError:
            return 0

    def finish(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it is gone

    def is_gone(self) -> bool:
        """Tell whether the peer has closed, and not only said that it will send no more."""
        try:
            self._socket.send(b"")
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False


class _TLSEnd:
    """An end with TLS, where reading may have to write and writing may have to read.

    ``read()`` and ``write()``, not ``recv()`` and ``send()``: these say what they want on every kind of socket.
    """

    read_wants = EVENT_READ
    write_wants = EVENT_WRITE

    def __init__(self, end: Any) -> None:
        self._socket = end

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def read(self) -> bytes | None:
        try:
            octets: bytes = self._socket.read(_PIECE_BYTES)
        except ssl.SSLWantReadError:
            self.read_wants = EVENT_READ
            return None
        except ssl.SSLWantWriteError:
            self.read_wants = EVENT_WRITE
            return None
        except (OSError, ValueError):  # ValueError: TLS has been ended on both sides
            return b""
        return octets

    def write(self, octets: memoryview) -> int:
        try:
            return int(self._socket.write(octets))
        except ssl.SSLWantReadError:
            self.write_wants = EVENT_READ
        except ssl.SSLWantWriteError:
            self.write_wants = EVENT_WRITE
        except ValueError as error:
            raise BrokenPipeError(str(error)) from error
        return 0

    def finish(self) -> None:
        try:
            self._socket.unwrap()  # without waiting for the client to say it too
        except (OSError, ValueError):
            return


class _Flow:
    """One direction. It holds one piece, and reads no more before that is out."""

    def __init__(self, source: _End, target: _End) -> None:
        self._source = source
        self._target = target
        self._held = memoryview(b"")
        self.has_ended = False  # nothing more comes from the source
        self.is_over = False  # and the target has been told

    def step(self) -> bool:
        """Move what can be moved; return whether anything was."""
        if self.is_over:
            return False
        if self._held:
            return self._write()
        if self.has_ended:
            self._target.finish()
            self.is_over = True
            return True
        octets = self._source.read()
        if octets is None:
            return False
        self.has_ended = not octets
        self._held = memoryview(octets)
        return True

    def _write(self) -> bool:
        try:
            sent = self._target.write(self._held)
        except OSError:
            self._held = memoryview(b"")
            self.has_ended = self.is_over = True
            return True
        self._held = self._held[sent:]
        return sent > 0

    @property
    def is_reading(self) -> bool:
        """Whether it waits for the source."""
        return not self._held and not self.has_ended

    def add_interest(self, interests: Interests) -> None:
        """Add what this direction waits for."""
        if self.is_over:
            return
        end, events = (
            (self._target, self._target.write_wants) if self._held else (self._source, self._source.read_wants)
        )
        interests[end.fileno()] = interests.get(end.fileno(), 0) | events


def relay(server_side: Any, our_side: socket.socket, *, linger_s: float = _LINGER_S) -> None:
    """Copy octets both ways until the connection has ended. Request thread, blocking; green where that is green.

    What one side has sent before it ended reaches the other, then it is told. When the client has ended, the relay
    goes on until our side has closed; when our side has closed, it is over as soon as the client has got everything.

    Args:
        server_side: the server's socket, with TLS or without; its time-out is put back at the end, it is not closed.
        our_side: the end of a pair whose other end is ours; non-blocking; it is not closed.
        linger_s: how long a client that takes nothing is waited for when our side has closed.
    """
    wait = _wait_for(server_side)
    timeout_s = server_side.gettimeout()
    server_side.setblocking(False)  # noqa: FBT003 - eventlet's sockets know no other way
    try:
        client: _End = _TLSEnd(server_side) if hasattr(server_side, "getpeercert") else _PlainEnd(server_side)
        _run(client, _PlainEnd(our_side), wait, linger_s)
    finally:
        try:
            server_side.setblocking(True)  # noqa: FBT003 - as above
            server_side.settimeout(timeout_s)
        except OSError:
            pass  # closed meanwhile


def _run(client: _End, ours: _PlainEnd, wait: Wait, linger_s: float) -> None:
    inward, outward = _Flow(client, ours), _Flow(ours, client)
    moved_at_s, turns = time.monotonic(), 0
    while True:
        # Not `or`: each direction has its turn.
        if inward.step() | outward.step():
            moved_at_s = time.monotonic()
            turns += 1
            if turns % _TURNS == 0:
                wait({}, 0)
            continue
        is_gone = ours.is_gone()
        if outward.is_over and (inward.is_over or is_gone):
            return
        if is_gone and time.monotonic() - moved_at_s >= linger_s:
            return
        interests: Interests = {}
        inward.add_interest(interests)
        outward.add_interest(interests)
        # Our end is not read while the client takes nothing, or when it has finished: then its closing wakes nobody.
        wait(interests, None if outward.is_reading else min(_LOOK_S, linger_s))


def _wait_for(server_side: object) -> Wait:
    """Return how to wait in this thread, judged by whose socket the server uses."""
    homes = {kind.__module__.partition(".")[0] for kind in type(server_side).__mro__}
    if "gevent" in homes or is_gevent_patched():
        return _selecting(import_module("gevent.selectors").GeventSelector)
    if "eventlet" in homes:
        select = import_module("eventlet.green.select").select

        def wait(interests: Interests, timeout_s: float | None) -> object:
            readers = [descriptor for descriptor, events in interests.items() if events & EVENT_READ]
            writers = [descriptor for descriptor, events in interests.items() if events & EVENT_WRITE]
            return select(readers, writers, [], timeout_s)

        return wait
    # Not epoll, which is a descriptor more; not select(), which knows no more than 1024 of them.
    return _selecting(getattr(selectors, "PollSelector", selectors.SelectSelector))


def _selecting(make: Callable[[], selectors.BaseSelector]) -> Wait:
    def wait(interests: Interests, timeout_s: float | None) -> object:
        with make() as selector:
            for descriptor, events in interests.items():
                selector.register(descriptor, events)
            return selector.select(timeout_s)

    return wait
