"""One execution of a scenario, one step at a time, in the order that a schedule says.

The threads of a scenario are greenlets, so exactly one runs at any time and nothing but the schedule decides which. A
thread *announces* what it is about to do to something that others can see, an `Operation`, and stops there. The
schedule chooses a thread; that one does what it has announced, goes on to its next announcement, and stops again: one
step. An operation that would block has a condition, and is not chosen before that holds; a wait with a time limit may
also be chosen as long as its thread may still see a time-out (`Thread.timeouts_left`).

Each step is noted with a vector clock, so that `schedules` can tell which steps could have come in another order.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import greenlet  # type: ignore[import-untyped]

MAX_THREADS = 8
START_S = 1000.0
"""What clocks show at the beginning."""


class AbandonedError(BaseException):
    """Ends the threads of an execution that is over. Nobody should catch it."""


class Subject:
    """Something that several threads can see: a variable, the contents of a container, a lock, a thread.

    Made at its first use, so its number is the same in all executions that have been the same up to there.
    """

    __slots__ = ("history", "look", "name", "object", "seen_clock", "touch", "written_clock")

    def __init__(self, name: str, visible: object) -> None:
        self.name = name
        self.object = visible  # kept, so that no other object gets its identity
        self.look = Operation("reads", self, is_change=False)
        self.touch = Operation("changes", self)
        self.history: list[Step] = []
        self.seen_clock = self.written_clock = _ZERO


class Operation:
    """What a thread is about to do.

    Attributes:
        is_change: two operations on one subject can change places without effect if neither is a change.
        is_ready: what must hold before it can be done; None if it never blocks.
        is_timed: whether the thread gives up waiting after a while.
        is_opening: whether it can make others ready that wait for the same subject.
    """

    __slots__ = ("is_change", "is_opening", "is_ready", "is_timed", "subject", "verb")

    def __init__(
        self,
        verb: str,
        subject: Subject,
        *,
        is_change: bool = True,
        is_ready: Callable[[], bool] | None = None,
        is_timed: bool = False,
        is_opening: bool = False,
    ) -> None:
        self.verb = verb
        self.subject = subject
        self.is_change = is_change
        self.is_ready = is_ready
        self.is_timed = is_timed
        self.is_opening = is_opening

    def meets(self, other: Operation) -> bool:
        """Tell whether the order of the two matters."""
        return self.subject is other.subject and (self.is_change or other.is_change)


class Step:
    """An operation that has been done."""

    __slots__ = ("depth", "operation", "ordinal", "thread")

    def __init__(self, depth: int, thread: Thread, operation: Operation, ordinal: int) -> None:
        self.depth = depth
        self.thread = thread
        self.operation = operation
        self.ordinal = ordinal  # among those of its thread, from 1


_MACHINERY = ("contextlib.py", "execution.py", "primitives.py", "modules.py", "accesses.py", "scenes.py")
_ZERO = (0,) * MAX_THREADS


@dataclass(eq=False)
class Thread:
    """A thread of a scenario.

    Attributes:
        is_background: it may still wait when all others have ended.
        timeouts_left: how often a wait of this thread may still run out of time. Each is an additional choice.
        now_s: its clock. It stands still but for time-outs, so that no wait ends because of what others do.
    """

    number: int
    name: str
    run: Callable[[], Any]
    is_background: bool = False
    timeouts_left: int = 0
    now_s: float = START_S
    pending: Operation | None = None
    error: BaseException | None = None
    result: Any = None
    handle: Any = None
    has_ended: bool = False
    clock: tuple[int, ...] = _ZERO
    greenlet: greenlet = field(init=False)

    def is_enabled(self) -> bool:
        """Tell whether it can do what it has announced."""
        operation = self.pending
        if operation is None:
            return False
        is_ready = operation.is_ready
        return is_ready is None or is_ready() or (operation.is_timed and self.timeouts_left > 0)


class Execution:
    """The threads of one execution, and everything that they can see."""

    current: Execution | None = None
    """The one that runs now: what is announced is announced to it."""

    def __init__(self, *, is_told: bool = False) -> None:
        self.threads: list[Thread] = []
        self.timeouts_of_started = 0
        """How many time-outs a thread may see that the code under test starts."""
        self.threads_left: int | None = None
        """How many the system still has for the code under test; None for as many as it wants."""
        self.running: Thread | None = None
        self.depth = 0
        self.is_told = is_told
        self._told: list[tuple[Subject, str]] = []
        self._subjects: dict[Any, Subject] = {}
        self._counts: dict[str, int] = {}
        self._scheduler = greenlet.getcurrent()
        self._is_over = False

    # ---- What scenarios and controlled code use ----------------------------------------------------------------

    def start(self, run: Callable[[], Any], name: str, *, is_background: bool = False, timeouts: int = 0) -> Thread:
        """Add a thread; it stands before its first step."""
        number = len(self.threads)
        if number == MAX_THREADS:
            raise RuntimeError(f"a scenario has {MAX_THREADS} threads at the most")
        thread = Thread(number, name, run, is_background, timeouts)
        if self.running is not None:
            thread.clock = self.running.clock
        thread.greenlet = greenlet(lambda: self._live(thread), self._scheduler)
        thread.pending = Operation("begins", self.subject(thread, "thread", name))
        self.threads.append(thread)
        return thread

    def subject(self, visible: object, what: str, name: str = "") -> Subject:
        """Return the subject for a part of an object."""
        key = (id(visible), what)
        subject = self._subjects.get(key)
        if subject is None:
            if not name:
                kind = what if isinstance(visible, (list, dict, set)) or what == type(visible).__name__ else ""
                kind = kind or f"{type(visible).__name__}.{what}"
                self._counts[kind] = number = self._counts.get(kind, 0) + 1
                name = f"{kind} {number}"
            subject = self._subjects[key] = Subject(name, visible)
        return subject

    def announce(self, operation: Operation) -> None:
        """Stop the calling thread until it is chosen to do this."""
        thread = self.running
        if thread is None or self._is_over:
            return
        if self.is_told:
            self._tell(thread, operation)
        thread.pending = operation
        self._scheduler.switch()

    # ---- What the explorer uses ---------------------------------------------------------------------------------

    def step(self, thread: Thread) -> Step:
        """Let a thread do what it has announced, and go on to its next announcement."""
        operation = thread.pending
        assert operation is not None
        thread.pending = None
        step = self._note(thread, operation)
        if self.is_told:
            is_late = operation.is_ready is not None and not operation.is_ready()
            line = self._line(thread, operation, " (the time is up)" if is_late else "")
            self._told.append((operation.subject, f"{self.depth:>4}  {line}"))
        self.running = thread
        thread.greenlet.switch()
        self.running = None
        self.depth += 1
        return step

    def close(self) -> None:
        """End the threads that are still there."""
        self._is_over = True
        for thread in self.threads:
            self.running = thread
            if thread.greenlet:  # it has begun, and not ended
                thread.greenlet.throw(AbandonedError)
        self.running = None

    def _live(self, thread: Thread) -> None:
        try:
            thread.result = thread.run()
            self.announce(Operation("ends", self.subject(thread, "thread"), is_opening=True))
        except AbandonedError:
            pass
        except BaseException as error:  # shown with the schedule
            thread.error = error
        thread.has_ended = True

    def _note(self, thread: Thread, operation: Operation) -> Step:
        """Write the step down in the clocks of its thread and its subject."""
        subject, number = operation.subject, thread.number
        clock = thread.clock
        for other in (subject.written_clock, subject.seen_clock) if operation.is_change else (subject.written_clock,):
            if other is not _ZERO and other is not clock:
                clock = tuple(map(max, clock, other))
        ordinal = clock[number] + 1
        thread.clock = clock = (*clock[:number], ordinal, *clock[number + 1 :])
        if operation.is_change:
            subject.written_clock = clock
        else:
            subject.seen_clock = tuple(map(max, subject.seen_clock, clock))
        step = Step(self.depth, thread, operation, ordinal)
        subject.history.append(step)
        return step

    # ---- What people read ---------------------------------------------------------------------------------------

    _places: dict[int, str] | None = None

    def _tell(self, thread: Thread, operation: Operation) -> None:
        """Remember where in the code under test, or in the scenario, the thread is."""
        frame = sys._getframe(2)
        while frame.f_back is not None and os.path.basename(frame.f_code.co_filename) in _MACHINERY:
            frame = frame.f_back
        if self._places is None:
            self._places = {}
        name, line = frame.f_code.co_filename, frame.f_lineno
        if os.path.basename(name) in _MACHINERY:
            self._places.pop(thread.number, None)
        else:
            place = f"{os.path.basename(name)}:{line} {frame.f_code.co_name}"
            self._places[thread.number] = f"{place:<36} {linecache.getline(name, line).strip()[:80]}"

    def _line(self, thread: Thread, operation: Operation, remark: str = "") -> str:
        place = (self._places or {}).get(thread.number, "")
        deed = f"{operation.verb} {operation.subject.name}{remark}"
        return f"{thread.name:<12} {deed:<44} {place}".rstrip()

    def story(self) -> str:
        """Tell what has happened, without looks at what nobody has changed, and who still stands where."""
        told = [line for subject, line in self._told if subject.written_clock is not _ZERO]
        standing = [
            f"   -  {self._line(thread, thread.pending)}  <- stands here"
            for thread in self.threads
            if thread.pending is not None
        ]
        return "\n".join(told + standing)
