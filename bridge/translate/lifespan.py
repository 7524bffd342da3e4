"""The lifespan protocol as two tables without I/O, one for each end of it.

`LifespanState` is for a WSGI application, which knows no lifespan: the bridge answers for it, running the hooks its
user gave. `ApplicationLifespan` is for an ASGI application, to which the bridge is the server.
"""

from __future__ import annotations

from enum import Enum

from bridge.errors import ApplicationError, ApplicationTypeError, ServerError
from bridge.translate.messages import (
    LIFESPAN_SHUTDOWN,
    LIFESPAN_SHUTDOWN_COMPLETE,
    LIFESPAN_SHUTDOWN_FAILED,
    LIFESPAN_STARTUP,
    LIFESPAN_STARTUP_COMPLETE,
    LIFESPAN_STARTUP_FAILED,
)
from bridge.types import Message


class LifespanPhase(Enum):
    """How far the lifespan is."""

    NEW = "before startup"
    STARTED = "started"
    OVER = "over"


_TRANSITIONS: dict[tuple[LifespanPhase, str], LifespanPhase] = {
    (LifespanPhase.NEW, LIFESPAN_STARTUP): LifespanPhase.STARTED,
    (LifespanPhase.NEW, LIFESPAN_SHUTDOWN): LifespanPhase.OVER,  # a server that never asked for startup
    (LifespanPhase.STARTED, LIFESPAN_SHUTDOWN): LifespanPhase.OVER,
}


class LifespanState:
    """One run of the lifespan protocol."""

    __slots__ = ("phase",)

    def __init__(self) -> None:
        self.phase = LifespanPhase.NEW

    def event(self, message: Message) -> str:
        """Take an event; return ``"startup"`` or ``"shutdown"``, which is to be run now.

        Raises:
            ServerError: an event that may not come here.
        """
        kind = str(message.get("type"))
        following = _TRANSITIONS.get((self.phase, kind))
        if following is None:
            raise ServerError(
                f"the server sent {kind!r} on a lifespan scope {self.phase.value}", rule="ASGI lifespan 2.0"
            )
        self.phase = following
        return kind.removeprefix("lifespan.")

    def complete(self, phase: str) -> Message:
        """Return the answer for a phase that went well."""
        return {"type": f"lifespan.{phase}.complete"}

    def failed(self, phase: str, sentence: str) -> Message:
        """Return the answer for a phase whose hook failed; the lifespan is over."""
        self.phase = LifespanPhase.OVER
        return {"type": f"lifespan.{phase}.failed", "message": sentence}


class ApplicationPhase(Enum):
    """How far an application's lifespan is."""

    __hash__ = object.__hash__

    STARTING = "before it has answered the startup"
    STARTED = "between startup and shutdown"
    STOPPING = "before it has answered the shutdown"
    OVER = "after its last answer"


_ANSWERS: dict[tuple[ApplicationPhase, str], ApplicationPhase] = {
    (ApplicationPhase.STARTING, LIFESPAN_STARTUP_COMPLETE): ApplicationPhase.STARTED,
    (ApplicationPhase.STARTING, LIFESPAN_STARTUP_FAILED): ApplicationPhase.OVER,
    (ApplicationPhase.STOPPING, LIFESPAN_SHUTDOWN_COMPLETE): ApplicationPhase.OVER,
    (ApplicationPhase.STOPPING, LIFESPAN_SHUTDOWN_FAILED): ApplicationPhase.OVER,
}
_RULE = "ASGI lifespan 2.0"


class ApplicationLifespan:
    """What an ASGI application may answer, and when."""

    __slots__ = ("phase",)

    def __init__(self) -> None:
        self.phase = ApplicationPhase.STARTING

    def ask_to_stop(self) -> None:
        """The shutdown event goes to the application now."""
        self.phase = ApplicationPhase.STOPPING

    def answer(self, message: Message) -> str | None:
        """Take a message the application sent; return what it says of a failure, None if all is well.

        Raises:
            ApplicationError: a message that may not come now, or that is none of the lifespan (A-105).
        """
        kind = message.get("type")
        if not isinstance(kind, str):
            raise ApplicationTypeError("the application sent a lifespan message without a type", rule=_RULE)
        following = _ANSWERS.get((self.phase, kind))
        if following is None:
            expected = [expected for phase, expected in _ANSWERS if phase is self.phase]
            raise ApplicationError(
                f"the application sent {kind!r} on its lifespan {self.phase.value}; "
                + (f"{' or '.join(map(repr, expected))} may be sent now" if expected else "nothing may be sent now"),
                rule=_RULE,
            )
        self.phase = following
        return str(message.get("message") or "") if kind.endswith("failed") else None
