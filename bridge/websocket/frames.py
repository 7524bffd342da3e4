"""One end of a WebSocket connection: octets in, messages out, and the other way round. No I/O, no clock.

Framing, masking and the order of the closing handshake are those of `websockets.protocol.Protocol`; here fragments
become messages, and every way in which a connection can end becomes one `Closed`.
"""

from __future__ import annotations

import codecs
import io
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from bridge.errors import ApplicationValueError
from bridge.translate.closing import ABNORMAL, INTERNAL_ERROR, checked_close
from bridge.websocket.short_messages import MOST_AT_ONCE_BYTES, message_head, short_message

try:
    from websockets.exceptions import InvalidState, PayloadTooBig
    from websockets.extensions import Extension
    from websockets.frames import Frame, Opcode
    from websockets.protocol import Protocol, Side, State
except ImportError as error:
    raise ImportError("WebSocket connections need websockets: pip install 'wsgi-asgi-bridge[websocket]'") from error

# The library says of every connection, at level INFO, that it was closed; a client that leaves is no matter for a log.
_library_logger = logging.getLogger("bridge.websocket")
_library_logger.setLevel(logging.WARNING)

_MOST_CONTROL_BYTES = 125
_TEXT_RULE = "RFC 6455, section 5.6"

EndName: TypeAlias = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Received:
    """A whole message. Text is ``str``, else it is ``bytes``."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Ponged:
    """An answer to a ping, or an unasked one."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more will be received: the other end has closed, has broken a rule, or is gone.

    Attributes:
        code: as received; 1005 if the other end gave none, 1006 if it left without a word; what was answered if it
            broke a rule.
        reason: likewise.
    """

    code: int
    reason: str


Event: TypeAlias = Received | Ponged | Closed


class _Frames(Protocol):
    """The library's frames, held to the letter of three more rules.

    Each is judged frame by frame, so that the outcome does not depend on where the network cuts: text is decoded as it
    comes (RFC 6455 section 8.1); a close may come between two fragments (5.4); the limit is one on messages, of which
    control frames are no part.

    Attributes:
        texts: the text of each frame of a text message, in order; whoever takes the frame takes its text.
        is_between_frames: the next octet begins a frame. Whoever hands octets over sets it to False before.
    """

    is_between_frames = True

    def __init__(self, side: Side, max_message_bytes: int | None) -> None:
        # For the library a control frame is a part of the message it comes in between: room for one is left to it.
        loose = None if max_message_bytes is None else max_message_bytes + _MOST_CONTROL_BYTES
        super().__init__(side, state=State.OPEN, max_size=loose, logger=_library_logger)
        self.texts: deque[str] = deque()
        self._limit_bytes = max_message_bytes
        self._message_bytes = 0
        self._is_text = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; what is raised here fails the connection with the code that belongs to it."""
        opcode = frame.opcode
        self.is_between_frames = not self.reader.buffer
        if opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
        if opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if opcode is not Opcode.CONT:
            self._is_text = opcode is Opcode.TEXT
            self._message_bytes = 0
        self._message_bytes += len(frame.data)
        try:
            if self._limit_bytes is not None and self._message_bytes > self._limit_bytes:
                raise PayloadTooBig(self._message_bytes, self._limit_bytes)  # noqa: TRY301
            if self._is_text:
                self.texts.append(self._decoder.decode(bytes(frame.data), final=frame.fin))
        except Exception:
            self.events.pop()
            raise


def size_of(data: str | bytes) -> int:
    """Return how many bytes a message has on its way."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode("utf-8", "surrogatepass"))


class FrameEnd:
    """One end of an open WebSocket connection; the handshake is over.

    Args:
        name: which end this is: a client masks what it sends.
        max_message_bytes: the connection is closed with 1009 by a larger message; None for no limit.
        extensions: what was agreed on in the handshake, of `websockets.extensions`.
    """

    def __init__(self, name: EndName, *, max_message_bytes: int | None, extensions: Sequence[Extension] = ()) -> None:
        side = Side.CLIENT if name == "client" else Side.SERVER
        self._protocol = _Frames(side, max_message_bytes)
        self._most_bytes = max_message_bytes
        self._is_masking = side is Side.CLIENT
        self._protocol.extensions = list(extensions)
        self._is_text = False
        self._fragments: io.StringIO | io.BytesIO | None = None
        self._has_reported = False

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._protocol.state is State.OPEN

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be received."""
        return self._has_reported

    @property
    def has_extensions(self) -> bool:
        """Whether octets may amount to more than they are."""
        return bool(self._protocol.extensions)

    # ---- From the other end -------------------------------------------------------------------------------------

    def feed(self, octets: bytes) -> list[Event]:
        """Take what came from the connection; return what it amounts to, in order.

        What is to be sent in answer (pongs, the closing frame) is then in `octets_to_send`.
        """
        if self._has_reported:
            return []
        protocol = self._protocol
        if protocol.is_between_frames:
            if len(octets) <= MOST_AT_ONCE_BYTES and self._may_be_whole():
                data = short_message(octets, is_masked=not self._is_masking, most_bytes=self._most_bytes)
                if data is not None:
                    return [Received(data)]
            protocol.is_between_frames = False
        protocol.receive_data(octets)
        return self._events()

    def _may_be_whole(self) -> bool:
        """Whether nothing speaks against a message that is one frame; the library need not know of such."""
        protocol = self._protocol
        return protocol.state is State.OPEN and protocol.current_size is None and not protocol.extensions

    def feed_end(self) -> list[Event]:
        """Take the end of the connection."""
        self._protocol.receive_eof()
        return [] if self._has_reported else self._events()

    def _events(self) -> list[Event]:
        events: list[Event] = []
        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame):  # a handshake; there is none here
                continue
            event = self._event_from(frame)
            if event is not None:
                events.append(event)
                if isinstance(event, Closed):
                    return events
        if self._protocol.parser_exc is not None:
            events.append(self._closed_by_us())
        return events

    def _event_from(self, frame: Frame) -> Event | None:
        opcode = frame.opcode
        if opcode is Opcode.PONG:
            return Ponged(bytes(frame.data))
        if opcode is Opcode.CLOSE:
            close = self._protocol.close_rcvd
            self._has_reported = True
            return Closed(int(close.code), close.reason) if close is not None else Closed(ABNORMAL, "")
        if opcode is Opcode.PING:
            return None
        if opcode is not Opcode.CONT:
            self._is_text = opcode is Opcode.TEXT
        piece: Any = self._protocol.texts.popleft() if self._is_text else bytes(frame.data)
        if frame.fin and self._fragments is None:
            return Received(piece)
        if self._fragments is None:
            self._fragments = io.StringIO() if self._is_text else io.BytesIO()
        # Not a list: a message may have as many fragments as it has octets, and as many empty ones as it likes.
        fragments: Any = self._fragments
        fragments.write(piece)
        if not frame.fin:
            return None
        self._fragments = None
        return Received(fragments.getvalue())

    def _closed_by_us(self) -> Closed:
        """Report the end of a connection whose other end broke a rule, or left without a word."""
        self._has_reported = True
        sent = self._protocol.close_sent
        if sent is None or isinstance(self._protocol.parser_exc, EOFError):
            return Closed(ABNORMAL, "")
        return Closed(int(sent.code), sent.reason)

    # ---- To the other end ---------------------------------------------------------------------------------------

    def send(self, data: str | bytes) -> bool:
        """Send a whole message; return False (and send nothing) once the connection is closing.

        Raises:
            ApplicationValueError: text that cannot be UTF-8 (a lone surrogate).
        """
        protocol = self._protocol
        if protocol.state is not State.OPEN:
            return False
        if isinstance(data, str):
            try:
                octets = data.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ApplicationValueError("text with a lone surrogate cannot be sent", rule=_TEXT_RULE) from error
            opcode = Opcode.TEXT
        else:
            octets, opcode = data, Opcode.BINARY
        if protocol.extensions:
            protocol.send_frame(Frame(opcode, octets))
        else:
            # A whole message in one frame: the library's way takes longer, most of all for a client's mask.
            protocol.writes.append(message_head(opcode, len(octets), is_masked=self._is_masking))
            if octets:  # an empty piece is the mark of the library for the end
                protocol.writes.append(octets)
        return True

    def ping(self, payload: bytes) -> bool:
        """Ask for a sign of life; return False once the connection is closing."""
        if not self.is_open:
            return False
        self._protocol.send_ping(payload)
        return True

    def close(self, code: int | None, reason: str = "") -> bool:
        """Begin to close; return False if that has been done by either end.

        Raises:
            ApplicationValueError: a code or reason that must not be sent.
        """
        if code is not None:
            checked_close(code, reason)
        elif reason:
            raise ApplicationValueError("a reason needs a code", rule="RFC 6455, section 5.5.1")
        try:
            self._protocol.send_close(code, reason)
        except InvalidState:
            return False
        return True

    def fail(self, reason: str = "") -> None:
        """Close because something went wrong at this end, or with the other one (1011)."""
        if self.is_open:
            self._protocol.fail(INTERNAL_ERROR, reason)
            self._has_reported = True  # what still comes is not looked at

    def octets_to_send(self) -> tuple[bytes, bool]:
        """Return what is to be written now, and whether the connection is to be ended after it."""
        if not self._protocol.writes:
            return b"", False
        writes = self._protocol.data_to_send()
        is_last = bool(writes) and writes[-1] == b""  # the mark of `websockets` for the end
        return b"".join(writes), is_last
