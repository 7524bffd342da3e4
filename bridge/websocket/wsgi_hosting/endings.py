"""How the WebSocket of a WSGI application ends early: its client leaves, or the server shuts down.

`session` adds the course of the connection. Loop, but for `Endings.leave`.
"""

from __future__ import annotations

from contextlib import suppress

import anyio

from bridge._runtime.loops import LoopGoneError
from bridge.errors import ClientDisconnected
from bridge.translate.closing import ABNORMAL
from bridge.websocket.wsgi_hosting.contact import Contact
from bridge.websocket.wsgi_hosting.phases import Phase
from bridge.websocket.wsgi_hosting.speaking import Speaker
from bridge.websocket.wsgi_hosting.wire import Wire

NOTICE_S = 1.0
"""How long a server gets to take a close, or to tell that the client has left: one that is stopping may do neither."""


class Endings(Contact):
    """One WebSocket connection, as far as its early ends are concerned."""

    wire: Wire | None = None
    _speaker: Speaker
    _sending: anyio.CancelScope | None = None
    _is_leaving = False

    def client_left(self, code: int, reason: str) -> None:
        """The client has closed, or is lost: blocked calls end, what is sent from now on is lost."""
        if self.phase in (Phase.CLOSED, Phase.GONE):
            return
        self.close_reason, self.close_code = reason, code
        self._give_all_up(ClientDisconnected(f"the client has closed the WebSocket (code {code})"))
        if self.wire is not None and self.path == "wire":
            self.wire.close(code, reason)

    def _give_all_up(self, reason: ClientDisconnected) -> None:
        self.phase = Phase.GONE
        self._stop_application(reason)
        if self._sending is not None:
            self._sending.cancel()
        self.signal.set()

    def _stop_application(self, reason: ClientDisconnected) -> None:
        """Let blocked calls end, and whatever the application still says be lost."""
        if self.close_code is None:
            self.close_code = ABNORMAL
        self._speaker.forget()
        self.outflow.close(reason)
        self.mailbox.close(reason)
        self.cancel_calls(reason)
        if self.wire is not None and not self.wire.has_ended:
            self.wire.resume()

    def client_is_lost(self) -> None:
        """The client is lost."""
        self.client_left(ABNORMAL, "")

    def client_has_gone(self, reason: ClientDisconnected, cause: BaseException | None = None) -> None:
        """A denial could not be sent."""
        reason.__cause__ = cause
        self._give_all_up(reason)

    def leave(self) -> None:
        """Close with 1001, because the server is shutting down. Any thread: another loop may be shutting down."""
        with suppress(LoopGoneError):
            self.port.post(self._begin_to_leave)

    def _begin_to_leave(self) -> None:
        self._is_leaving = True  # for good: the handshake may yet be accepted
        self.signal.set()
        if self._sending is not None:
            self.port.call_later(NOTICE_S, self._stop_sending)

    def _stop_sending(self) -> None:
        """A client that takes nothing does not hold up the shutdown."""
        if self._sending is not None:
            self._sending.cancel()
