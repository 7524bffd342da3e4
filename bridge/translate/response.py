"""The response state table: what an application may do, in which order, and what of it may go out.

Theory of operation. `ResponseState` is fed with what the application does (``start_response``, ``write``, blocks, the
end) and answers with what may be sent. It performs no I/O and knows no thread. The order of things is in one table,
`TRANSITIONS`; whatever is not in the table is an error of the application. Everything that changes state is here.

Beside the phase there is one number: how many octets of content are still allowed (``Content-Length``), and one flag:
whether the response carries content at all (HEAD, 204, 205 and 304 do not).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NoReturn

from bridge.errors import ApplicationError, ApplicationTypeError
from bridge.translate.fields import checked_fields
from bridge.translate.status import NO_CONTENT_CODES, STATUS_WITHOUT_REASON_LENGTH, code_from_status
from bridge.types import ExcInfo, HeaderPairs


class Phase(Enum):
    """How far the response is."""

    __hash__ = object.__hash__  # Enum hashes by name, in Python; each request looks into the table three times

    NEW = "start_response() has not been called"
    REFUSED = "start_response() was called with something invalid"
    HELD = "status and headers are known and held back"
    BODY = "status and headers have gone out"
    COMPLETE = "all content has gone out"


class Act(Enum):
    """What the application does."""

    __hash__ = object.__hash__

    START = "call start_response() without exc_info"
    RESTART = "call start_response() with exc_info"
    DATA = "produce content"
    END = "end the response"


# The same by a shorter way, for this module and the adapter: each request asks several times.
NEW, REFUSED, HELD, BODY, COMPLETE = Phase
START, RESTART, DATA, END = Act

TRANSITIONS: dict[tuple[Phase, Act], Phase] = {
    (Phase.NEW, Act.START): Phase.HELD,
    (Phase.NEW, Act.RESTART): Phase.HELD,
    (Phase.REFUSED, Act.RESTART): Phase.HELD,
    (Phase.HELD, Act.RESTART): Phase.HELD,
    (Phase.HELD, Act.DATA): Phase.BODY,
    (Phase.HELD, Act.END): Phase.COMPLETE,
    (Phase.BODY, Act.DATA): Phase.BODY,
    (Phase.BODY, Act.END): Phase.COMPLETE,
    # Content beyond Content-Length is cut, not refused (PEP 3333, "Handling the Content-Length Header").
    (Phase.COMPLETE, Act.DATA): Phase.COMPLETE,
    (Phase.COMPLETE, Act.END): Phase.COMPLETE,
}

_START_TWICE = (
    "start_response() was called again without exc_info; only an error handler may call it twice, and must pass "
    "sys.exc_info()"
)
_COMPLAINTS: dict[tuple[Phase, Act], tuple[str, str]] = {
    (Phase.REFUSED, Act.START): (_START_TWICE, 'PEP 3333, "The start_response() Callable"'),
    (Phase.HELD, Act.START): (_START_TWICE, 'PEP 3333, "The start_response() Callable"'),
    (Phase.BODY, Act.START): (_START_TWICE, 'PEP 3333, "The start_response() Callable"'),
    (Phase.COMPLETE, Act.START): (_START_TWICE, 'PEP 3333, "The start_response() Callable"'),
    (Phase.BODY, Act.RESTART): (
        "start_response() was called with exc_info after the headers went out",
        'PEP 3333, "Error Handling"',
    ),
    (Phase.COMPLETE, Act.RESTART): (
        "start_response() was called with exc_info after the response was complete",
        'PEP 3333, "Error Handling"',
    ),
    (Phase.NEW, Act.DATA): (
        "the application produced a block of content before it called start_response()",
        'PEP 3333, "Specification Details"',
    ),
    (Phase.NEW, Act.END): (
        "the application returned without having called start_response()",
        'PEP 3333, "Specification Details"',
    ),
    (Phase.REFUSED, Act.DATA): (
        "the application went on after start_response() had refused its status or headers",
        'PEP 3333, "The start_response() Callable"',
    ),
    (Phase.REFUSED, Act.END): (
        "the application returned after start_response() had refused its status or headers",
        'PEP 3333, "The start_response() Callable"',
    ),
}


class ResponseState:
    """One response in the making.

    Attributes:
        phase: how far it is.
        status: the status code, from HELD on.
        headers: ASGI header pairs, from HELD on; final once the phase is BODY or COMPLETE.
        content_length: the Content-Length of the response, if it has one.
        carries_content: False for HEAD, 204, 205 and 304.
        is_overrun: content beyond Content-Length was cut.
        warnings: sentences about things that were mended; the adapter logs them.
    """

    # Defaults on the class: making this object is on the path of every request.
    phase = NEW
    status = 0
    headers: HeaderPairs
    content_length: int | None = None
    carries_content = True
    is_overrun = False
    warnings: Sequence[str] = ()
    _allowed_bytes: int | None = None

    def __init__(self, method: str, drop_hop_by_hop: bool = False, strict: bool = False) -> None:  # noqa: FBT002
        self._is_head = method == "HEAD"
        self._drop_hop_by_hop = drop_hop_by_hop
        self._strict = strict

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None) -> None:
        """Take what the application gave to ``start_response``; nothing goes out by it (W-088).

        Raises:
            ApplicationError: a second call, or an invalid status or header.
            BaseException: ``exc_info[1]`` itself, if headers are out already (W-091).

        Spec: PEP 3333 "The start_response() Callable"; W-087 to W-101.
        """
        act = START if exc_info is None else RESTART
        # What nearly every response does is not looked up: that takes 0.1 us.
        following = HELD if self.phase is NEW else TRANSITIONS.get((self.phase, act))
        if following is None:
            if exc_info is not None and exc_info[1] is not None:
                try:
                    raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None  # no cycle through this frame (W-092)
            self._complain(act)
        self.phase = REFUSED  # until everything is known to be valid (W-089)
        code = code_from_status(status, strict=self._strict)
        pairs, content_length, dropped = checked_fields(
            headers, drop_hop_by_hop=self._drop_hop_by_hop, strict=self._strict
        )
        if len(status) <= STATUS_WITHOUT_REASON_LENGTH:
            self._warn_once(f"the status {status!r} has no reason phrase")
        if dropped:
            self._warn_once(f"hop-by-hop fields were dropped: {', '.join(dropped)}")
        self.status = code
        self.headers = pairs
        self.content_length = self._allowed_bytes = content_length
        if code in NO_CONTENT_CODES:
            self.carries_content = False
            if content_length is not None:
                self._mend_content_length(code)
        else:
            self.carries_content = not self._is_head
        self.phase = following

    def _mend_content_length(self, code: int) -> None:
        """Take off what no client and no server can agree on for an empty body (W-125)."""
        if code != 204 and self.content_length == 0:  # noqa: PLR2004
            return
        self.headers = [pair for pair in self.headers if pair[0] != b"content-length"]
        self.content_length = self._allowed_bytes = None

    @property
    def left_bytes(self) -> int | None:
        """How much content is still to come, if that is known."""
        return self._allowed_bytes

    def infer_length(self, length_bytes: int) -> None:
        """Add the Content-Length of a response whose only block is known, where that says the truth.

        Spec: PEP 3333 "Handling the Content-Length Header"; W-121, W-122.
        """
        if self.phase is not HELD or self.content_length is not None or self.status in NO_CONTENT_CODES:
            return
        if self._is_head and not length_bytes:
            return  # a HEAD handler may leave the content out: 0 would be a lie
        self.headers.append((b"content-length", b"%d" % length_bytes))
        self.content_length = self._allowed_bytes = length_bytes

    def data(self, block: bytes) -> bytes:
        """Take a block of content; return the part of it that goes out (all, a part, or nothing).

        An empty block changes nothing (W-109). When the phase becomes COMPLETE, the response is to be ended now.

        Raises:
            ApplicationTypeError: not ``bytes`` (W-112).
            ApplicationError: no valid start_response() before it (W-101).
        """
        if self.phase is BODY and self._allowed_bytes is None and self.carries_content and type(block) is bytes:
            return block  # nearly every block of a stream: what follows takes 0.3 us
        if not isinstance(block, bytes):
            raise ApplicationTypeError(
                f"the application produced a block of type {type(block).__name__}; it must be bytes",
                rule='PEP 3333, "Unicode Issues"',
            )
        following = TRANSITIONS.get((self.phase, DATA))
        if following is None:
            self._complain(DATA)
        if not block:
            return b""
        if not self.carries_content:
            if not self._is_head:
                self._warn_once(f"the content of a {self.status} response was dropped")
            self.phase = COMPLETE
            return b""
        allowed = self._allowed_bytes
        if allowed is None:
            if self.phase is COMPLETE:
                self._complain(DATA)
            self.phase = following
            return block
        if len(block) < allowed:
            self._allowed_bytes = allowed - len(block)
            self.phase = following
            return block
        if len(block) > allowed:
            self.is_overrun = True
            self._warn_once(f"the application produced more than its Content-Length of {self.content_length}")
            block = block[:allowed]
        self._allowed_bytes = 0
        self.phase = COMPLETE
        return block

    def only_block(self, block: bytes) -> bytes:
        """Take the only block of a response whose blocks are all known, and infer its length (W-121).

        The same as `infer_length` and `data`, by a shorter way for what nearly every response is.
        """
        if self.phase is HELD and self.carries_content and type(block) is bytes and block:
            length_bytes = len(block)
            if self.content_length is None:
                self.headers.append((b"content-length", b"%d" % length_bytes))
                self.content_length = length_bytes
            if self.content_length == length_bytes:
                self._allowed_bytes = 0
                self.phase = COMPLETE
                return block
        elif self.content_length is None and isinstance(block, bytes):
            self.infer_length(len(block))
        return self.data(block)

    def release_headers(self) -> None:
        """Let status and headers go out without content: a first ``write()``, even an empty one (W-102)."""
        if self.phase is HELD:
            self.phase = BODY
        elif self.phase in (NEW, REFUSED):
            self._complain(DATA)

    def end(self) -> None:
        """The application has produced all it will.

        Raises:
            ApplicationError: start_response() was never called, or less than Content-Length was produced (W-120).
        """
        following = TRANSITIONS.get((self.phase, END))
        if following is None:
            self._complain(END)
        if self._allowed_bytes and self.carries_content:
            raise ApplicationError(
                f"the application announced {self.content_length} bytes of content and produced "
                f"{(self.content_length or 0) - self._allowed_bytes}; the response was cut, not completed",
                rule='PEP 3333, "Handling the Content-Length Header"',
            )
        self.phase = following

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings = (*self.warnings, sentence)

    def _complain(self, act: Act) -> NoReturn:
        message, rule = _COMPLAINTS.get(
            (self.phase, act),
            (
                f"the application tried to {act.value} when {self.phase.value}",
                'PEP 3333, "Specification Details"',
            ),
        )
        raise ApplicationError(message, rule=rule)
