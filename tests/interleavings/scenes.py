"""What scenarios have in common: an event loop in the hands of the schedule, and the owners of channels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from tests.interleavings.execution import Execution, Operation
from tests.interleavings.primitives import Semaphore


class ClosedError(Exception):
    """The reason for which a channel is closed."""


class LostError(Exception):
    """The loop has ended without a word."""


class LateError(Exception):
    """A piece of a body is late."""


class Future:
    """``asyncio.Future``, as far as signals use it. Loop thread."""

    def __init__(self) -> None:
        self._is_done = False
        self._waiter: Callable[[], None] | None = None

    def done(self) -> bool:
        return self._is_done

    def set_result(self, _: object) -> None:
        self._is_done = True
        if self._waiter is not None:
            self._waiter()

    def wake(self, waiter: Callable[[], None]) -> None:
        self._waiter = waiter

    def __await__(self) -> Generator[Future, None, None]:
        if not self._is_done:
            yield self


class Loop:
    """An event loop that runs coroutines, and callbacks that other threads hand in."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._came: deque[Callable[[], object]] = deque()
        self._tasks_left = 0
        self.has_closed = False

    # ---- Any thread ---------------------------------------------------------------------------------------------

    def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        self.hand_in(callback, self._may_hand_in)

    def _may_hand_in(self) -> bool:
        if self.has_closed:
            raise RuntimeError("Event loop is closed")
        return True

    def hand_in(self, callback: Callable[[], object], may: Callable[[], bool]) -> None:
        """Let a callback run if that is so, which is asked in the same step."""
        self._announce("hands in a callback to")
        if may():
            self._came.append(callback)

    def is_running(self) -> bool:
        self._announce("looks at", is_change=False)
        return not self.has_closed

    def is_closed(self) -> bool:
        self._announce("looks at", is_change=False)
        return self.has_closed

    # ---- Loop thread --------------------------------------------------------------------------------------------

    def create_future(self) -> Future:
        return Future()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Start a task. The loop ends with the last one."""
        self._tasks_left += 1
        self._came.append(lambda: self._step(coroutine))

    def _step(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            future: Future = coroutine.send(None)
        except StopIteration:
            self._tasks_left -= 1
        else:
            # In a later turn, as asyncio does it: never from within what set the result.
            future.wake(lambda: self._came.append(lambda: self._step(coroutine)))

    def run(self) -> None:
        """Run until all tasks are done; what comes later is refused."""
        while self._tasks_left:
            self._announce("waits for a callback in", is_ready=lambda: bool(self._came))
            self._came.popleft()()
        self.close()

    def run_for_ever(self) -> None:
        """Run callbacks, until the end of the schedule."""
        self._tasks_left += 1
        self.run()

    def close(self) -> None:
        """Refuse callbacks from now on. Any thread: as if the loop had ended by itself."""
        self._announce("closes")
        self.has_closed = True

    def _announce(self, verb: str, **how: Any) -> None:
        subject = self._execution.subject(self, "loop", "the loop")
        self._execution.announce(Operation(verb, subject, **how))


class Owner:
    """The owner of one channel: wakes the other side by a semaphore, without a loop around it.

    Args:
        looks_alive: how many looks at the loop find it running; all, by default.
    """

    def __init__(self, looks_alive: int | None = None) -> None:
        self.bell = Semaphore(0)
        self.notifications = 0
        self._looks_alive = looks_alive

    def notify(self) -> None:
        self.notifications += 1
        self.bell.release()

    notify_soon = notify_shortly = notify
    ask = notify

    def is_loop_running(self) -> bool:
        if self._looks_alive is None:
            return True
        self._looks_alive -= 1
        return self._looks_alive >= 0

    def loop_is_gone(self) -> Exception:
        return LostError("the loop has ended")

    def body_is_late(self) -> Exception:
        return LateError("the piece is late")


class Context:
    """Takes the place of a `contextvars.Context`."""

    def run(self, function: Callable[[], object]) -> object:
        return function()


class Job:
    """A job that notes its runs, and may do something."""

    def __init__(self, name: str, ran: list[str], work: Callable[[], object] = lambda: None) -> None:
        self.context = Context()
        self.name = name
        self._ran = ran
        self._work = work

    def __repr__(self) -> str:
        return self.name

    def run(self) -> None:
        self._ran.append(self.name)
        self._work()
