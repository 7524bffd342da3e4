"""The loop's end of the socketpair whose other end is ``environ["werkzeug.socket"]``: it plays the client.

The application answers the handshake and speaks frames by itself; here its octets become what it has said, and the
client's messages become frames. Loop thread.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from websockets.http11 import Response
from websockets.streams import StreamReader

from bridge._runtime.lines import Line, open_line
from bridge.errors import ApplicationError
from bridge.translate.closing import NO_STATUS
from bridge.translate.websocket_handshake import accept_value
from bridge.websocket.frames import Closed, FrameEnd, Received

_MOST_HEAD_AND_BODY_BYTES = 1024 * 1024
_SWITCHING_PROTOCOLS = 101
_OF_THE_INNER_LEG = frozenset({"connection", "upgrade", "sec-websocket-accept", "sec-websocket-protocol"})
_RULE = "RFC 6455, section 4.2.2"
_FOR_THE_OWNER = (Received, Closed)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The application has answered 101."""

    subprotocol: str | None
    headers: list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answered:
    """The application has written another response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The application has written something that is no WebSocket."""

    error: ApplicationError


Saying: TypeAlias = Accepted | Answered | Broken | Received | Closed


class WireOwner(Protocol):
    """Who listens to the wire. Loop thread."""

    def wire_said(self, saying: Saying) -> None:
        """The application has said something."""
        ...

    def wire_ended(self) -> None:
        """The application has hung up; it says nothing more."""
        ...

    def wire_has_room(self) -> None:
        """The application has read most of what was sent."""
        ...


class Wire:
    """One end of the socketpair.

    Args:
        owner: is told what the application says.
        key: the ``Sec-WebSocket-Key`` that the application was given.
        subprotocols: those the client offers.
    """

    is_used = False
    """The application has written something."""
    has_ended = False
    _line: Line
    _frames: FrameEnd | None = None
    _is_over = False

    def __init__(self, owner: WireOwner, key: str, subprotocols: Sequence[str]) -> None:
        self._owner: WireOwner | None = owner
        self._key = key
        self._subprotocols = subprotocols
        self._reader = StreamReader()
        self._head = Response.parse(self._reader.read_line, self._reader.read_exact, self._reader.read_to_eof)
        self._head_bytes = 0

    async def open(self, own: socket.socket, high_water_bytes: int) -> None:
        """Take the socket; it belongs to the wire from now on."""
        self._descriptor = own.fileno()
        self._line = await open_line(own, self, high_water_bytes)

    # ---- From the application -------------------------------------------------------------------------------------

    def octets_came(self, octets: bytes) -> None:
        """The application has written."""
        self.is_used = True
        if self._frames is not None:
            self._feed(octets)
        elif not self._is_over:
            self._reader.feed_data(octets)
            self._head_bytes += len(octets)
            self._parse_head()

    def line_ended(self) -> None:
        """The application has hung up."""
        if self._frames is None and self.is_used and not self._is_over:
            self._reader.feed_eof()
            self._parse_head()
            if not self._is_over:
                self._break("the application hung up in the middle of its answer to the handshake")
        self.has_ended = True
        if self._owner is not None:
            self._owner.wire_ended()

    def line_has_room(self) -> None:
        """The application has read."""
        if self._owner is not None:
            self._owner.wire_has_room()

    def _parse_head(self) -> None:
        try:
            next(self._head)
        except StopIteration as stop:
            self._answered(stop.value)
        except Exception as error:  # noqa: BLE001 - whatever its parser does not like
            self._break(f"the application answered the handshake with something that is no HTTP: {error}")
        else:
            if self._head_bytes > _MOST_HEAD_AND_BODY_BYTES:
                self._break("the application answered the handshake with a response that is too large")

    def _answered(self, response: Response) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in response.headers.raw_items()
            if name.lower() not in _OF_THE_INNER_LEG
        ]
        if response.status_code != _SWITCHING_PROTOCOLS:
            self._is_over = True
            framing = (b"transfer-encoding", b"content-length")
            body = bytes(response.body or b"")
            headers = [pair for pair in headers if pair[0] not in framing]
            self._say(Answered(response.status_code, [*headers, (b"content-length", b"%d" % len(body))], body))
            return
        subprotocols = response.headers.get_all("Sec-WebSocket-Protocol")
        if response.headers.get_all("Sec-WebSocket-Accept") != [accept_value(self._key)]:
            self._break("the application's Sec-WebSocket-Accept does not belong to the handshake's key")
            return
        if "Sec-WebSocket-Extensions" in response.headers:
            self._break("the application announced an extension that was not offered")
            return
        if len(subprotocols) > 1 or not set(subprotocols) <= set(self._subprotocols):
            self._break("the application chose a subprotocol that the client has not offered")
            return
        self._frames = FrameEnd("client", max_message_bytes=None)
        self._say(Accepted(subprotocols[0] if subprotocols else None, headers))
        rest = bytes(self._reader.buffer)
        if rest:
            self._feed(rest)

    def _feed(self, octets: bytes) -> None:
        frames = self._frames
        if frames is None or frames.has_ended:
            return
        events = frames.feed(octets)
        self._flush()
        for event in events:
            if isinstance(event, _FOR_THE_OWNER):
                self._say(event)
        if frames.has_ended:
            self._line.end_writing()  # the closing handshake is over: there is nothing to wait for

    def _break(self, sentence: str) -> None:
        self._is_over = True
        self._say(Broken(ApplicationError(sentence, rule=_RULE)))

    def _say(self, saying: Saying) -> None:
        if self._owner is not None:
            self._owner.wire_said(saying)

    # ---- To the application ---------------------------------------------------------------------------------------

    def send(self, data: str | bytes) -> bool:
        """Send a message of the client; return False while the application should read first."""
        if self._frames is not None:
            self._frames.send(data)
        return self._flush()

    def close(self, code: int, reason: str) -> None:
        """The client has closed, with this code; 1006 says that it is lost."""
        frames: Any = self._frames
        if frames is not None and frames.is_open and code == NO_STATUS:
            frames.close(None)
        elif frames is not None and frames.is_open and _may_be_sent(code):
            frames.close(code, reason)
        else:
            self._line.end()
            self.has_ended = True
            return
        self._flush()
        self._line.end_writing()

    def _flush(self) -> bool:
        assert self._frames is not None  # noqa: S101 - callers have asked
        octets, _ = self._frames.octets_to_send()
        if not octets:
            return True
        if not self.has_ended and not self._line.held_bytes:
            # By the system's call itself, which gives the GIL up: the application's thread wakes to a free one.
            with suppress(OSError):  # the line finds out
                octets = octets[os.write(self._descriptor, octets) :]
        return self._line.write(octets) if octets else True

    def pause(self) -> None:
        """Let the application wait."""
        self._line.pause()

    def resume(self) -> None:
        """Read on."""
        self._line.resume()

    def has_written(self) -> bool:
        """Tell whether the application has written anything, also what is yet to be read. Does not wait."""
        return self.is_used or bool(self._peeked())

    def _peeked(self) -> bytes | None:
        """Return what is to be read next: one octet, nothing at the end, None while there is neither."""
        if self.has_ended:
            return b""
        looking = socket.socket(fileno=self._descriptor)
        try:
            return looking.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        finally:
            looking.detach()

    def let_go(self) -> None:
        """Close it, at the very end."""
        self._owner = None
        self._line.end()
        self.has_ended = True


def _may_be_sent(code: int) -> bool:
    return 1000 <= code < 5000 and code not in (1004, 1005, 1006, 1015)  # noqa: PLR2004 - RFC 6455 section 7.4
