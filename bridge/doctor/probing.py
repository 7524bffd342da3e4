"""What both probes share: the questions, the bounds, and how what was seen becomes a row."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field

from bridge.doctor.report import Outcome, ProbeRow

UNKNOWN_PATH = "/bridge-doctor/there-is-no-such-path"
REQUESTS = (("GET", "/"), ("HEAD", "/"), ("OPTIONS", "*"), ("GET", UNKNOWN_PATH))
"""Method and path of each request. None of them may change anything (RFC 9110, "Safe Methods")."""

READ_BYTES = 1 << 20
"""How much of a body is read before the application is left: enough for a page, too little for a download."""

TIMEOUT_S = 10.0
"""How long each question may take: a guess at what no healthy page needs."""

HEADERS = (("host", "127.0.0.1:8000"), ("user-agent", "bridge-doctor"), ("accept", "*/*"))

_SERVER_ERROR = 500
_NOT_IMPLEMENTED = 501
_LONGEST = 300


class Violation(Exception):
    """The application broke its protocol; the message is one sentence."""


@dataclass(slots=True)
class Seen:
    """What has been seen of one exchange so far. Written where the application runs, read after it or its time is over.

    Attributes:
        method: of the request.
        path: of the request.
        status: None: no response was started.
        content_type: as sent.
        declared: the content-length, None if there is none.
        body_bytes: how many bytes of the body came.
        violation: the first rule that was broken; empty if none was.
        error: what the application raised.
        blocked: how it kept the event loop busy; empty if it did not.
        remark: what is no fault, but worth saying.
        is_cut: it was left, because it sent more than is read.
        is_done: the application has returned.
    """

    method: str
    path: str
    status: int | None = None
    content_type: str = ""
    declared: int | None = None
    body_bytes: int = 0
    violation: str = ""
    error: BaseException | None = None
    blocked: str = ""
    remark: str = ""
    is_cut: bool = False
    is_done: bool = False
    started_s: float = field(default_factory=time.perf_counter)

    def check_length(self) -> None:
        """Hold the length of a complete body against what was declared."""
        has_body = self.method != "HEAD" and self.status != 304  # noqa: PLR2004 - Not Modified
        if has_body and self.declared is not None and self.declared != self.body_bytes and not self.violation:
            self.violation = f"content-length says {self.declared} bytes, but {self.body_bytes} were sent"
        if self.method == "HEAD" and self.body_bytes and not self.violation:
            self.note("it sends a body for HEAD, which servers drop")

    def note(self, remark: str) -> None:
        """Keep a remark. Of many, the first is enough."""
        self.remark = self.remark or remark

    def row(self, timeout_s: float) -> ProbeRow:
        """Return what is to be reported."""
        outcome, detail = self._judged(timeout_s)
        return ProbeRow(
            request=f"{self.method} {self.path}",
            status=self.status,
            content_type=self.content_type,
            body_bytes=self.body_bytes,
            milliseconds=(time.perf_counter() - self.started_s) * 1000,
            outcome=outcome,
            detail=shortened(detail),
            trace="" if self.error is None else "".join(traceback.format_exception(self.error)),
        )

    def _judged(self, timeout_s: float) -> tuple[Outcome, str]:
        """Return the first that holds."""
        status = self.status or 0
        has_failed = status >= _SERVER_ERROR and not (self.method == "OPTIONS" and status == _NOT_IMPLEMENTED)
        is_silent = not (self.is_done or self.is_cut or self.status)
        answers: tuple[tuple[object, Outcome, str], ...] = (
            (self.violation, "violation", self.violation),
            (self.blocked, "timeout", self.blocked),
            (self.error, "failed", f"it raised {last_line(self.error)}" if self.error is not None else ""),
            (is_silent, "timeout", f"no response after {timeout_s:g} s"),
            (has_failed, "failed", f"it answered {status}"),
            (self.is_cut, "ok", f"more than {READ_BYTES >> 20} MiB; the rest was left"),
            (not self.is_done, "ok", f"still sending, or working, after {timeout_s:g} s; it was left"),
        )
        for holds, outcome, detail in answers:
            if holds:
                return outcome, detail
        return "ok", self.remark


def last_line(error: BaseException) -> str:
    """Return the last line of an exception's traceback, which names it."""
    return traceback.format_exception_only(error)[-1].strip()


def shortened(text: str) -> str:
    """Return a text as one line that fits a table."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def length_from(text: str) -> int | None:
    """Read a content-length.

    Raises:
        Violation: it is no number.
    """
    if not (text.isascii() and text.isdigit()):
        raise Violation(f"content-length is {text!r}, which is no number")
    return int(text)
