"""From the client to the application: ``receive()``, for as long as the connection is open. Loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from bridge.errors import ServerError
from bridge.translate import messages
from bridge.translate.closing import ABNORMAL, NO_STATUS
from bridge.types import Receive
from bridge.websocket.frames import size_of

if TYPE_CHECKING:
    from bridge.websocket.wsgi_hosting.session import Session


class Listener:
    """Gives the client's messages to the application, as it takes them.

    Attributes:
        is_running: somebody may be waiting in ``receive()``.
    """

    is_running = False
    _is_stopped = False
    _scope: anyio.CancelScope | None = None
    _failure: Exception | None = None

    def __init__(self, session: Session, receive: Receive) -> None:
        self._session = session
        self._receive = receive

    def start(self, group: TaskGroup) -> None:
        """Begin to listen; a coroutine of the group does."""
        self.is_running = True
        group.start_soon(self._run)

    async def _run(self) -> None:
        """Listen until the client leaves; what goes wrong is kept for the course of the connection."""
        try:
            if not self._is_stopped:
                with anyio.CancelScope() as self._scope:
                    await self._listen()
        except Exception as error:  # noqa: BLE001 - raised by the course of the connection
            self._failure = error
            self._session.client_left(ABNORMAL, "")
        finally:
            self.is_running = False
            self._session.signal.set()

    def stop(self) -> None:
        """Listen no more; `is_running` says when that is so, and the session's signal is set."""
        self._is_stopped = True
        if self._scope is not None:
            self._scope.cancel()

    def take_failure(self) -> Exception | None:
        """Return what went wrong, once."""
        failure, self._failure = self._failure, None
        return failure

    async def _listen(self) -> None:
        session, receive, put = self._session, self._receive, self._session.mailbox.put
        while True:
            message = await receive()
            kind = message["type"]
            if kind == messages.WEBSOCKET_RECEIVE:  # nearly every one; no call in between: it is paid by each message
                text = message.get("text")
                data: str | bytes = bytes(message.get("bytes") or b"") if text is None else text
                if session.path == "wire" and session.wire is not None:
                    if not session.wire.send(data):
                        await session.room.wait()
                elif not put(data, size_of(data)):
                    while session.mailbox.is_full:
                        await session.room.wait()
            elif kind == messages.WEBSOCKET_DISCONNECT:
                code, reason = message.get("code"), message.get("reason")
                session.client_left(NO_STATUS if code is None else int(code), reason or "")
                return
            else:
                raise ServerError(
                    f"the server gave {kind!r} to an open WebSocket; websocket.receive or websocket.disconnect is due",
                    rule="ASGI WebSocket 2.5",
                )
