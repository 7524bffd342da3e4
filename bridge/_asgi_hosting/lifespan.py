"""Running an application's lifespan: the bridge is its server. Loop thread.

Startup and shutdown run in one task, which stays in between: task groups and context managers depend on that (A-103).
"""

from __future__ import annotations

from typing import Any

import anyio

from bridge._asgi_hosting.hosting import logger
from bridge._runtime.bells import Bell
from bridge._runtime.gates import pass_on_signal
from bridge._runtime.loops import LoopPort
from bridge._runtime.spawning import Work
from bridge.errors import LifespanError
from bridge.translate import messages
from bridge.translate.lifespan import ApplicationLifespan, ApplicationPhase
from bridge.types import ASGIApp, Message, Scope


class Lifespan:
    """One run of the lifespan protocol, as its server.

    Attributes:
        state: the namespace the application fills.
        is_supported: the application answered the startup; known once `started` has returned.
        why_unsupported: what it did instead.
        work: the task, to be cancelled if the application does not end.
    """

    def __init__(self, app: ASGIApp, port: LoopPort) -> None:
        self.state: dict[str, Any] = {}
        self.is_supported = False
        self.why_unsupported = ""
        self.work: Work | None = None
        self._app = app
        self._table = ApplicationLifespan()
        self._failure: str | None = None
        self._is_asked_to_stop = False
        self._has_told_startup = False
        self._has_told_shutdown = False
        self._has_ended = False
        self._is_cancelled = False
        self._answered = Bell(port.new_signal)
        self._asked = Bell(port.new_signal)

    async def run(self) -> None:
        """Run the application on its lifespan scope, to the end; nothing is raised but a cancellation."""
        scope: Scope = {
            "type": messages.LIFESPAN,
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as error:
            self._ended_with(error)
            pass_on_signal(error)
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise
        else:
            self._ended_with(None)
        finally:
            self._has_ended = True
            self._answered.ring()

    def _cancel(self) -> None:
        self._is_cancelled = True
        if self.work is not None:
            self.work.cancel()

    def _ended_with(self, error: BaseException | None) -> None:
        if self._is_cancelled and isinstance(error, anyio.get_cancelled_exc_class()):
            return
        phase = self._table.phase
        if phase is ApplicationPhase.STARTING:
            self.why_unsupported = "it returned without an answer" if error is None else f"it raised {error!r}"
        elif phase is ApplicationPhase.STARTED:
            logger.error(
                "the application's lifespan ended before the shutdown; requests are still served", exc_info=error
            )
        elif error is not None and self._failure is None:  # else it has said so, and been logged
            logger.error("the application's lifespan failed", exc_info=error)
        elif phase is ApplicationPhase.STOPPING:
            logger.error("the application's lifespan returned without an answer to the shutdown")

    async def _receive(self) -> Message:
        if not self._has_told_startup:
            self._has_told_startup = True
            return {"type": messages.LIFESPAN_STARTUP}
        while not self._is_asked_to_stop or self._has_told_shutdown:  # after the shutdown nothing more will come
            await self._asked.wait()
        self._has_told_shutdown = True
        self._table.ask_to_stop()
        return {"type": messages.LIFESPAN_SHUTDOWN}

    async def _send(self, message: Message) -> None:
        failure = self._table.answer(message)
        if failure is not None:
            self._failure = failure
            if self._is_asked_to_stop:  # of the startup it is logged by who waits for that
                logger.error("the application's shutdown failed: %s", failure)
        self._answered.ring()

    async def started(self, limit_s: float | None, *, is_required: bool) -> None:
        """Wait until the application has answered the startup, or ended without (then it is unsupported).

        Raises:
            LifespanError: it failed, or took too long, or is required and not supported.
        """
        with anyio.move_on_after(limit_s):
            while self._table.phase is ApplicationPhase.STARTING and not self._has_ended:
                await self._answered.wait()
        if self._failure is not None:
            raise LifespanError("startup", f"the application's startup failed: {self._failure}")
        if self._table.phase is ApplicationPhase.STARTING and not self._has_ended:
            self._cancel()
            raise LifespanError("startup", f"the application's startup took longer than {limit_s} s")
        self.is_supported = self._table.phase is not ApplicationPhase.STARTING
        if not self.is_supported and not self._is_cancelled:
            why = f"the application does not support the lifespan protocol: {self.why_unsupported}"
            if is_required:
                raise LifespanError("startup", why)
            logger.info("%s", why)

    async def stop(self, limit_s: float, cancel_s: float) -> None:
        """Run the shutdown, if there is one to run, and see to it that the task ends; all within limits."""
        if not self._has_ended and self._table.phase is not ApplicationPhase.STARTING and self._failure is None:
            self._is_asked_to_stop = True
            self._asked.ring()
            with anyio.move_on_after(limit_s):
                while not self._has_ended and self._table.phase is not ApplicationPhase.OVER:
                    await self._answered.wait()
            if self._table.phase is not ApplicationPhase.OVER and not self._has_ended:
                logger.error("the application has not answered the shutdown within %.1f s; it is cancelled", limit_s)
                self._cancel()
        elif not self._has_ended:
            self._cancel()
        with anyio.move_on_after(cancel_s):
            while not self._has_ended:
                await self._answered.wait()
        if not self._has_ended and self.work is not None:
            logger.error("the application's lifespan does not end after the shutdown; it is given up")
            self._cancel()
