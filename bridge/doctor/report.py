"""What the doctor found, as plain data, and as JSON with keys that stay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
Outcome: TypeAlias = Literal["ok", "failed", "violation", "timeout", "unsupported"]

FAILING: tuple[Outcome, ...] = ("failed", "violation", "timeout")


@dataclass(frozen=True, slots=True)
class Hazard:
    """Something that will hurt.

    Attributes:
        rule: the key in `bridge.doctor.rules.RULES`.
        severity: ``"error"``: wrong on every server; ``"warning"``: wrong on some, or in some settings; ``"note"``.
        where: the thread, module, application or setting it was found in.
        what: one sentence about what was found.
        advice: one sentence about what to do.
    """

    rule: str
    severity: Severity
    where: str
    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class Application:
    """The application itself.

    Attributes:
        name: ``module:attribute``.
        protocol: what it speaks (`bridge.detect.PROTOCOLS`).
        reason: what that was judged by.
        framework: the distribution it is made with; None: none that is known.
        version: of the framework.
    """

    name: str
    protocol: str
    reason: str
    framework: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """An application of a framework, found inside.

    Attributes:
        path: where it is mounted; None where that cannot be told.
        name: its class.
        framework: the distribution.
        version: of the framework.
    """

    path: str | None
    name: str
    framework: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and what it would take to host the application there.

    Attributes:
        name: as for ``bridge serve --server``.
        speaks: the protocols it hosts.
        is_installed: whether it can be run now.
        version: the installed version, where known.
        install: the command that installs it.
        adapter: what ``bridge serve`` puts in between; None: nothing.
        needs: what has to be known of it; may be empty.
    """

    name: str
    speaks: tuple[str, ...]
    is_installed: bool
    version: str | None
    install: str
    adapter: str | None
    needs: str


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """What came back for one request, or for one half of the lifespan.

    Attributes:
        request: ``"GET /"``, or ``"lifespan startup"``.
        status: the HTTP status code; None: there was none.
        content_type: as sent; empty if there was none.
        body_bytes: how much of the body was read.
        milliseconds: until the application was done, or was left.
        outcome: ``"ok"``; ``"failed"`` (an exception, or a status of 500 and more); ``"violation"`` of the protocol;
            ``"timeout"``; ``"unsupported"`` (only of the lifespan).
        detail: one sentence; may be empty.
        trace: the traceback of the application's exception; may be empty.
    """

    request: str
    status: int | None
    content_type: str
    body_bytes: int
    milliseconds: float
    outcome: Outcome
    detail: str
    trace: str = ""

    @property
    def is_failing(self) -> bool:
        """Whether this is something to repair."""
        return self.outcome in FAILING


@dataclass(frozen=True, slots=True)
class Probe:
    """What came back.

    Attributes:
        protocol: ``"wsgi"`` or ``"asgi"``: how the application was called.
        rows: one for each question, in the order in which they were asked.
    """

    protocol: str
    rows: tuple[ProbeRow, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found.

    Attributes:
        application: what it is.
        parts: the applications of frameworks in it, itself included.
        servers: the table of servers.
        hazards: the worst first.
        probe: None: it was not asked for.
    """

    application: Application
    parts: tuple[Part, ...]
    servers: tuple[Server, ...]
    hazards: tuple[Hazard, ...]
    probe: Probe | None

    def has_failed(self, *, is_strict: bool = False) -> bool:
        """Tell whether there is something to repair: an error, a failing probe; if strict, a warning too."""
        severities = ("error", "warning") if is_strict else ("error",)
        return any(hazard.severity in severities for hazard in self.hazards) or (
            self.probe is not None and any(row.is_failing for row in self.probe.rows)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as one object of JSON (see `docs/reference/doctor.md`)."""
        probe = None
        if self.probe is not None:
            rows = [{**asdict(row), "milliseconds": round(row.milliseconds, 1)} for row in self.probe.rows]
            for row in rows:
                del row["trace"]
            probe = {"protocol": self.probe.protocol, "rows": rows}
        return {
            "ok": not self.has_failed(),
            "application": asdict(self.application),
            "parts": [asdict(part) for part in self.parts],
            "servers": [{**asdict(server), "speaks": list(server.speaks)} for server in self.servers],
            "hazards": [asdict(hazard) for hazard in self.hazards],
            "probe": probe,
        }
