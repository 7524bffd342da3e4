"""A small HTTP/2 client over one connection, for what high-level clients do not show or cannot do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import h2.config
import h2.connection
import h2.events

from tests.integration.servers import Server

_TIMEOUT_S = 20.0
E = TypeVar("E", bound=h2.events.Event)


class Http2Connection:
    """One HTTP/2 connection with prior knowledge; a context manager.

    Attributes:
        events: everything the server has sent so far.
    """

    def __init__(self, server: Server) -> None:
        self._authority = f"{server.host}:{server.port}"
        self._socket = socket.create_connection((server.host, server.port), timeout=_TIMEOUT_S)
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._state.initiate_connection()
        self.events: list[h2.events.Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self._socket.close()

    def get(self, path: str) -> int:
        """Send a request; return its stream."""
        return self._begin("GET", path, [], ends=True)

    def begin_post(self, path: str, headers: Sequence[tuple[str, str]]) -> int:
        """Send the head of a request; return its stream."""
        return self._begin("POST", path, headers, ends=False)

    def send_data(self, stream: int, octets: bytes, *, ends: bool) -> None:
        """Send a part of a request body in one frame."""
        self._state.send_data(stream, octets, end_stream=ends)
        self._flush()

    def reset(self, stream: int) -> None:
        """Say that the response of a stream is not wanted any more."""
        self._state.reset_stream(stream)
        self._flush()

    def wait_for(self, *kinds: type[E], stream: int | None = None, timeout_s: float = _TIMEOUT_S) -> E:
        """Receive until one of these events is there (it may be already), of that stream, and return the first.

        Args:
            kinds: what is waited for.
            stream: of which one; by default, of any.
            timeout_s: how long to wait for something to come.

        Raises:
            ConnectionError: the server ended the connection.
            TimeoutError: nothing came for too long.
        """
        self._socket.settimeout(timeout_s)
        return self._wait(  # type: ignore[return-value]
            lambda event: isinstance(event, kinds) and stream in (None, getattr(event, "stream_id", None))
        )

    def _wait(self, is_met: Callable[[h2.events.Event], bool]) -> h2.events.Event:
        seen = 0
        while True:
            for event in self.events[seen:]:
                if is_met(event):
                    return event
            seen = len(self.events)
            octets = self._socket.recv(65536)
            if not octets:
                raise ConnectionError("the server ended the connection")
            self.events += self._state.receive_data(octets)
            self._flush()

    def _begin(self, method: str, path: str, headers: Sequence[tuple[str, str]], *, ends: bool) -> int:
        stream = self._state.get_next_available_stream_id()
        head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", self._authority)]
        self._state.send_headers(stream, head + list(headers), end_stream=ends)
        self._flush()
        return stream

    def _flush(self) -> None:
        self._socket.sendall(self._state.data_to_send())
