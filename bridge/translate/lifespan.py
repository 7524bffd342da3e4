"""The lifespan of a WSGI application, as a table without I/O.

The application below knows no lifespan; the bridge answers for it, running the hooks its user gave. The table says
which event may come when and how it is answered; running the hooks is the adapter's work.
"""

from __future__ import annotations

from enum import Enum

from bridge.errors import ServerError
from bridge.translate.messages import LIFESPAN_SHUTDOWN, LIFESPAN_STARTUP
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
