"""Every schedule of a scenario that matters, depth first, each of them once if it can be helped.

A *scenario* is a function that gets an `Execution`, starts threads in it, and returns a function that looks at the
outcome (or None). It is called anew for each schedule. A schedule fails if a thread raises, if all wait for each other
(threads in the background may wait for ever), if there is no end to it, or if the look at the outcome raises.

Steps that have nothing to do with each other can change places without effect, so only one of the orders is run:
dynamic partial-order reduction (Flanagan and Godefroid, 2005) with sleep sets. It leaves no outcome out, which
`test_schedules` checks against all schedules, without any reduction, of many small programs.

Larger scenarios can be explored up to a number of *preemptions*: switches away from a thread that could have gone on.
Most faults need one or two of them. The reduction then adds the points that a bound asks for (Coons, Musuvathi and
McKinley, 2013) and does without sleep sets; it leaves no outcome out that so many preemptions can have.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.interleavings.execution import Execution, Operation, Step, Thread

Scenario = Callable[[Execution], Callable[[], object] | None]

DEEP = bool(os.environ.get("BRIDGE_INTERLEAVINGS_DEEP"))
"""Whether to run the large sizes, too: minutes instead of seconds."""

STEPS_AT_THE_MOST = 2000
SCHEDULES_AT_THE_MOST = 200_000


class ScheduleError(AssertionError):
    """A schedule that goes wrong.

    Attributes:
        schedule: to be given to `replay`.
    """

    def __init__(self, what: str, schedule: str, trace: str) -> None:
        super().__init__(f"{what}\n\nthe schedule: {schedule}\n\n{trace}")
        self.what = what
        self.schedule = schedule
        self.trace = trace


class TooManySchedulesError(Exception):
    """The scenario is too large: nothing has been proved."""


class NotRepeatableError(Exception):
    """The scenario does not do the same when the schedule is the same, so it cannot be explored."""


@dataclass(frozen=True)
class Report:
    """What an exploration has seen.

    Attributes:
        schedules: how many were run to their end.
        repeats: how many were given up because they would have repeated another one.
        steps: of the longest one.
    """

    schedules: int
    repeats: int
    steps: int


reports: list[Report] = []
"""Of the explorations so far, until somebody clears it."""


@dataclass(slots=True)
class _Choice:
    """A state, and what has been chosen there. Threads by number."""

    enabled: list[int]
    chosen: int
    before: int | None
    preemptions: int
    deed: tuple[str, str] | None
    wanted: set[int]
    done: set[int] = field(default_factory=set)
    asleep: set[int] = field(default_factory=set)

    def preemptions_with(self, number: int) -> int:
        """Count the preemptions up to here, and with that thread next."""
        return self.preemptions + (self.before is not None and self.before != number and self.before in self.enabled)


def explore(
    scenario: Scenario,
    *,
    preemptions: int | None = None,
    is_reduced: bool = True,
    at_most: int = SCHEDULES_AT_THE_MOST,
) -> Report:
    """Run all schedules of a scenario.

    Args:
        scenario: what to run.
        preemptions: only schedules with so many at the most.
        is_reduced: leave out what only differs in the order of steps that have nothing to do with each other.
        at_most: schedules; more are an error of the test.

    Raises:
        ScheduleError: one goes wrong.
        TooManySchedulesError: there are more than that.
    """
    path: list[_Choice] = []
    schedules = repeats = steps = 0
    while True:
        run = _Run(scenario, path, is_reduced=is_reduced, is_bounded=preemptions is not None)
        if run.go():
            schedules += 1
        else:
            repeats += 1
        steps = max(steps, len(path))
        if run.failure is not None:
            schedule = _written(choice.chosen for choice in path)
            raise ScheduleError(run.failure, schedule, replay(scenario, schedule))
        if not _next(path, preemptions):
            reports.append(Report(schedules, repeats, steps))
            return reports[-1]
        if schedules + repeats >= at_most:
            raise TooManySchedulesError(f"more than {at_most} schedules: make the scenario smaller")


def replay(scenario: Scenario, schedule: str) -> str:
    """Run one schedule again and return what happens in it, a line for each step."""
    path = [_Choice([], number, None, 0, None, set()) for number in _read(schedule)]
    run = _Run(scenario, path, is_told=True)
    run.go()
    return run.story


def _written(numbers: Iterable[int]) -> str:
    """Write a schedule down: how many steps of which thread."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][0] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, 1])
    return " ".join(f"{number}x{count}" for number, count in runs)


def _read(schedule: str) -> list[int]:
    return [int(number) for number, count in re.findall(r"(\d+)x(\d+)", schedule) for _ in range(int(count))]


def _next(path: list[_Choice], preemptions: int | None) -> bool:
    """Go back to the last state where something is left to be tried; return False if there is none."""
    while path:
        choice = path[-1]
        choice.done.add(choice.chosen)
        left = sorted(choice.wanted - choice.done - choice.asleep)
        if preemptions is not None:
            left = [number for number in left if choice.preemptions_with(number) <= preemptions]
        if left:
            choice.chosen, choice.deed = left[0], None
            return True
        path.pop()
    return False


class _Run:
    """One execution along a path, which it extends to the end of the schedule."""

    def __init__(
        self,
        scenario: Scenario,
        path: list[_Choice],
        *,
        is_reduced: bool = True,
        is_bounded: bool = False,
        is_told: bool = False,
    ) -> None:
        self.execution = Execution(is_told=is_told)
        self.failure: str | None = None
        self.story = ""
        self._path = path
        self._known = len(path)  # so many choices have been made before
        self._is_reduced = is_reduced
        self._is_bounded = is_bounded
        self._is_replay = is_told
        self._scenario = scenario

    def go(self) -> bool:
        """Run to the end; return False if that would be a repetition."""
        execution = self.execution
        Execution.current = execution
        try:
            look = self._scenario(execution)
            is_new = self._run_threads()
            self.story = execution.story() if self._is_replay else ""
            if is_new and self.failure is None:
                self._judge(look)
            return is_new
        finally:
            execution.close()
            Execution.current = None

    def _run_threads(self) -> bool:
        execution, path = self.execution, self._path
        last: Thread | None = None
        asleep: set[int] = set()
        while True:
            depth = execution.depth
            enabled = [thread.number for thread in execution.threads if thread.is_enabled()]
            if depth >= self._known:
                if not enabled or self._is_replay:
                    return True
                choice = self._choose(enabled, asleep, last)
                if choice is None:
                    return False
                path.append(choice)
            choice = path[depth]
            if choice.chosen not in enabled:
                raise NotRepeatableError(f"step {depth}: thread {choice.chosen} cannot go on now; {enabled} can")
            last = execution.threads[choice.chosen]
            step = execution.step(last)
            deed = (step.operation.verb, step.operation.subject.name)
            if choice.deed not in (None, deed):
                raise NotRepeatableError(f"step {depth}: {last.name} does not do {choice.deed} now, but {deed}")
            choice.deed = deed
            if last.error is not None:
                self.failure = f"{last.name} raises {type(last.error).__name__}: {last.error}"
                return True
            if depth >= STEPS_AT_THE_MOST:
                self.failure = f"no end after {depth} steps"
                return True
            if depth >= self._known - 1 and self._is_reduced and not self._is_replay:
                asleep = set() if self._is_bounded else self._still_asleep(choice, step.operation)
                self._look_for_races(step)

    def _choose(self, enabled: list[int], asleep: set[int], last: Thread | None) -> _Choice | None:
        """Choose at a state that is new: the thread that has run last goes on if it can."""
        awake = [number for number in enabled if number not in asleep]
        if not awake:
            return None
        before = None if last is None else last.number
        chosen = before if before in awake else awake[0]
        wanted = {chosen} if self._is_reduced else set(enabled)
        preemptions = self._path[-1].preemptions_with(self._path[-1].chosen) if self._path else 0
        return _Choice(enabled, chosen, before, preemptions, None, wanted, asleep=asleep)

    def _still_asleep(self, choice: _Choice, operation: Operation) -> set[int]:
        """Return the threads whose next step has been tried before, with nothing since that it has to do with."""
        threads = self.execution.threads
        asleep = set()
        for number in choice.asleep | choice.done:
            pending = threads[number].pending
            if number != choice.chosen and pending is not None and not pending.meets(operation):
                asleep.add(number)
        return asleep

    # ---- Which steps could have come in another order -----------------------------------------------------------

    def _look_for_races(self, step: Step) -> None:
        """See which threads could have gone first at an earlier state, with another outcome."""
        for thread in self.execution.threads:
            pending = thread.pending
            if pending is None:
                continue
            if thread is step.thread:
                earlier = self._latest_race(thread, pending)
            else:  # all earlier ones have been looked at before
                earlier = step if _can_swap(step, thread, pending) else None
            if earlier is not None:
                self._want(earlier, thread)

    def _latest_race(self, thread: Thread, pending: Operation) -> Step | None:
        for earlier in reversed(pending.subject.history):
            if earlier.ordinal <= thread.clock[earlier.thread.number]:
                if earlier.operation.is_change:
                    return None  # what came before that one came before the thread's last step, too
            elif _can_swap(earlier, thread, pending):
                return earlier
        return None

    def _want(self, step: Step, thread: Thread) -> None:
        """Try, before that step, the thread, or one that leads to what it is about to do."""
        path = self._path
        if self._is_bounded:  # where the step's thread was switched to, it costs no preemption
            depth = step.depth
            while depth and path[depth - 1].chosen == path[step.depth].chosen:
                depth -= 1
            enabled = path[depth].enabled
            path[depth].wanted.update([thread.number] if thread.number in enabled else enabled)
        choice = path[step.depth]
        if thread.number in choice.enabled:
            choice.wanted.add(thread.number)
            return
        # A thread that has, after that step, done something the other one depends on.
        leading = {number for number in choice.enabled if self._has_led(number, step, thread)}
        if leading:
            if not leading & choice.wanted:
                choice.wanted.add(min(leading))
        else:
            choice.wanted.update(choice.enabled)

    def _has_led(self, number: int, step: Step, thread: Thread) -> bool:
        """Tell whether a step of that thread, later than ``step``, came before what ``thread`` has done."""
        seen = thread.clock[number]
        # The thread's steps up to the one in question, counted along the path.
        before = sum(choice.chosen == number for choice in self._path[: step.depth + 1])
        return seen > before

    # ---- The end ------------------------------------------------------------------------------------------------

    def _judge(self, look: Callable[[], object] | None) -> None:
        waiting = [thread.name for thread in self.execution.threads if not (thread.has_ended or thread.is_background)]
        if waiting:
            self.failure = f"deadlock: {', '.join(waiting)} can never go on"
            return
        if look is not None:
            try:
                look()
            except Exception as error:
                self.failure = f"the outcome is wrong: {type(error).__name__}: {error}"


def _can_swap(step: Step, thread: Thread, pending: Operation) -> bool:
    """Tell whether the thread could do this before that step, too, and it would make a difference."""
    if step.thread is thread or not pending.meets(step.operation):
        return False
    waits = pending.is_ready is not None and not (pending.is_timed and thread.timeouts_left > 0)
    return not (waits and step.operation.is_opening)  # what opens a way cannot come after who goes it
