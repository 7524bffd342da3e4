"""What takes the place of locks, conditions, events, semaphores and threads in code under test.

The same behaviour, but every operation is announced to the `Execution` that runs. Outside of one (while a scenario is
set up, or its outcome looked at) they do the same without announcing, and raise where they would block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.interleavings.execution import Execution, Operation
from tests.interleavings.execution import Thread as Logical


def _announce(operation: Operation) -> None:
    execution = Execution.current
    if execution is not None:
        execution.announce(operation)


def running() -> Logical | None:
    """Return the thread that runs now; None outside of an execution."""
    execution = Execution.current
    return None if execution is None else execution.running


def _operation(
    visible: object,
    what: str,
    verb: str,
    *,
    is_change: bool = True,
    is_ready: Callable[[], bool] | None = None,
    is_timed: bool = False,
    is_opening: bool = False,
) -> Operation | None:
    execution = Execution.current
    if execution is None or execution.running is None:
        return None
    subject = execution.subject(visible, what)
    return Operation(verb, subject, is_change=is_change, is_ready=is_ready, is_timed=is_timed, is_opening=is_opening)


class Awaited:
    """What can be waited for: operations on one subject, with time-outs where the scenario allows them."""

    def _look(self, verb: str) -> None:
        operation = _operation(self, type(self).__name__, verb, is_change=False)
        if operation is not None:
            _announce(operation)

    def _do(self, verb: str, *, is_opening: bool = False) -> None:
        operation = _operation(self, type(self).__name__, verb, is_opening=is_opening)
        if operation is not None:
            _announce(operation)

    def _wait(self, verb: str, is_ready: Callable[[], bool], timeout_s: float | None, *, is_change: bool) -> bool:
        """Wait; return False when the time is up."""
        operation = _operation(
            self, type(self).__name__, verb, is_change=is_change, is_ready=is_ready, is_timed=timeout_s is not None
        )
        if operation is None:
            if not is_ready():
                raise RuntimeError(f"outside of an execution nobody can wait: {self!r}")
            return True
        _announce(operation)
        if is_ready():
            return True
        thread = running()
        if thread is not None and timeout_s is not None:
            thread.timeouts_left -= 1
            thread.now_s += timeout_s
        return False


class Lock(Awaited):
    """``threading.Lock``."""

    def __init__(self) -> None:
        self._is_held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not blocking or timeout == 0:
            self._do("tries")
            has_got, self._is_held = not self._is_held, True
            return has_got
        if self._wait("acquires", self._is_free, None if timeout < 0 else timeout, is_change=True):
            self._is_held = True
            return True
        return False

    def acquire_quietly(self) -> None:
        """Take the lock, which nobody else has seen yet."""
        self._is_held = True

    def _is_free(self) -> bool:
        return not self._is_held

    def release(self) -> None:
        self._do("releases", is_opening=True)
        if not self._is_held:
            raise RuntimeError("release unlocked lock")
        self._is_held = False

    def locked(self) -> bool:
        self._look("looks at")
        return self._is_held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(Lock):
    """``threading.RLock``."""

    def __init__(self) -> None:
        super().__init__()
        self._owner: Logical | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._depth and self._owner is running():
            self._depth += 1
            return True
        if not super().acquire(blocking, timeout):
            return False
        self._owner, self._depth = running(), 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            super().release()


class Condition:
    """``threading.Condition`` over a `Lock`, made as that of the standard library: a lock for each waiter."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or RLock()
        self._waiters: list[Lock] = []
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._lock._is_held:
            raise RuntimeError("cannot wait on un-acquired lock")
        waiter = Lock()
        waiter.acquire_quietly()
        self._waiters.append(waiter)
        self._lock.release()
        has_come = waiter.acquire(timeout=-1 if timeout is None else timeout)
        self._lock.acquire()
        if not has_come and waiter in self._waiters:
            self._waiters.remove(waiter)
        return has_come

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        while not (result := predicate()):
            if not self.wait(timeout):
                return predicate()
        return result

    def notify(self, n: int = 1) -> None:
        if not self._lock._is_held:
            raise RuntimeError("cannot notify on un-acquired lock")
        for waiter in self._waiters[:n]:
            waiter.release()
            self._waiters.remove(waiter)

    def notify_all(self) -> None:
        self.notify(len(self._waiters))


class Event(Awaited):
    """``threading.Event``."""

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        self._look("looks at")
        return self._is_set

    def set(self) -> None:
        self._do("sets")
        self._is_set = True

    def clear(self) -> None:
        self._do("clears")
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None and timeout <= 0:
            return self.is_set()
        return self._wait("waits for", lambda: self._is_set, timeout, is_change=False)


class Semaphore(Awaited):
    """``threading.Semaphore``; also an ``eventfd`` that is waited for."""

    def __init__(self, value: int = 1) -> None:
        self._value = value

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        if not blocking:
            self._do("tries")
            if self._value:
                self._value -= 1
                return True
            return False
        if self._wait("acquires", lambda: self._value > 0, timeout, is_change=True):
            self._value -= 1
            return True
        return False

    def release(self, n: int = 1) -> None:
        self._do("releases")  # not `is_opening`: the way may be open already
        self._value += n

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Thread:
    """``threading.Thread``."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self._run = lambda: None if target is None else target(*args, **(kwargs or {}))
        self.name = name or "thread"
        self.daemon = bool(daemon)
        self.ident: int | None = None
        self._logical: Logical | None = None

    def start(self) -> None:
        execution = Execution.current
        if execution is None:
            raise RuntimeError("outside of an execution there are no threads")
        if execution.threads_left is not None:
            execution.announce(Operation("starts", execution.subject(execution, "threads", "a thread")))
            if not execution.threads_left:
                raise RuntimeError("can't start new thread")
            execution.threads_left -= 1
        self._logical = execution.start(
            self._run, self.name, is_background=self.daemon, timeouts=execution.timeouts_of_started
        )
        self._logical.handle = self
        self.ident = self._logical.number + 1

    def is_alive(self) -> bool:
        return self._logical is not None and not self._logical.has_ended

    def join(self, timeout: float | None = None) -> None:
        execution, logical = Execution.current, self._logical
        if execution is None or execution.running is None or logical is None:
            return
        subject = execution.subject(logical, "thread")
        is_timed = timeout is not None
        execution.announce(
            Operation("joins", subject, is_change=False, is_ready=lambda: logical.has_ended, is_timed=is_timed)
        )
