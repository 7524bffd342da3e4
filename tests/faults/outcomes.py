"""What came of an attack, and what should have: `Result` holds the one, `Target` the other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.clients import DROPPED, REFUSED, RIGHT
from tests.faults.healthy import Window
from tests.faults.watching import NO_LOOK, Look

_RATIO = 0.9
_CLOSED_WITHIN_S = 2.0
_MEMORY_MIB = 64.0
_EXIT_S = 5.0
_BESIDE_P50_MS = 10.0
_BESIDE_P99_MS = 100.0
# One turn of workers that are busy for 50 ms, and what comes of sharing the loop.
_NEXT_DOOR_P50_MS = 60.0
_NEXT_DOOR_P99_MS = 200.0
# On a machine that is busy with other things: answered at all.
_ANSWERED_MS = 15000.0


@dataclass(slots=True)
class Result:
    """What came of one attack on one contestant.

    Attributes:
        attack: its name.
        contestant: what was attacked.
        server: on which server.
        clients: how many attacked at a time.
        rounds: how often.
        begun: how many of them got into position, in each round.
        outcomes: how many had which outcome, in all rounds together.
        without: what the healthy client saw before each round.
        onset: what it saw while the clients of each round came.
        during: what it saw when they were there.
        books: what happened in the server's process, counted from the start of the first round; empty if it did not
            even tell that any more.
        closed_after_s: how long after the last client had left the last iterator was closed, at the worst.
        idle: the server's process before the first round.
        busy: the most it had in the rounds.
        after: what it had some time after the last round.
        peak_over_idle_mib: how far its memory rose over what it had before.
        kept_threads: how many threads it may keep, because its pool never lets one go.
        exited_after_s: how long it took to end after SIGTERM; None if it had to be killed.
    """

    attack: str
    contestant: str
    server: str
    clients: int
    rounds: int = 0
    begun: list[int] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    without: list[Window] = field(default_factory=list)
    onset: list[Window] = field(default_factory=list)
    during: list[Window] = field(default_factory=list)
    books: dict[str, Any] = field(default_factory=dict)
    closed_after_s: float = 0.0
    idle: Look = NO_LOOK
    busy: Look = NO_LOOK
    after: Look = NO_LOOK
    peak_over_idle_mib: float = 0.0
    kept_threads: int = 0
    exited_after_s: float | None = None

    @property
    def ratio(self) -> float | None:
        """The median of the rates under attack, as shares of the rates before it; None if no rate was measured."""
        pairs = [now.rate / before.rate for before, now in zip(self.without, self.during, strict=False) if before.rate]
        return statistics.median(pairs) if pairs else None

    @property
    def more_work(self) -> float | None:
        """The median of how much more the server worked for an answer: 0.1 is a tenth more; None if unknown."""
        pairs = [
            now.work_ms / before.work_ms - 1
            for before, now in zip(self.without, self.during, strict=False)
            if before.work_ms and now.work_ms
        ]
        return statistics.median(pairs) if pairs else None

    @property
    def slowest_ms(self) -> float | None:
        """The longest time the healthy client waited for an answer under attack; None if nobody looked."""
        return max((window.slowest_ms for window in (*self.onset, *self.during)), default=None)

    @property
    def unanswered(self) -> int:
        """How many requests of the healthy client got no answer, or a wrong one."""
        return sum(window.unanswered + window.wrong for window in (*self.onset, *self.during))

    def count(self, outcome: str) -> int:
        """Return how many clients had that outcome."""
        return self.outcomes.get(outcome, 0)

    def others(self, *expected: str) -> dict[str, int]:
        """Return the outcomes that are none of these."""
        return {outcome: number for outcome, number in self.outcomes.items() if outcome not in expected}


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that has to hold.

    Attributes:
        text: what, in a few words.
        miss: what is wrong with a result, in a sentence; empty if nothing is.
        holds_in_tests: the test suite asks for it too; not if it is about speed, which means something on a quiet
            machine only, or about the end of the server, which several attacks share there.
    """

    text: str
    miss: Callable[[Result], str]
    holds_in_tests: bool = True


def _rate_is_kept(result: Result) -> str:
    ratio = result.ratio
    if ratio is None:
        return "no rate was measured"
    return "" if ratio >= _RATIO else f"the healthy client's rate is {ratio:.2f} of what it was"


def _healthy_is_answered(result: Result) -> str:
    for window in (*result.onset, *result.during):
        if window.wrong or window.unanswered or not window.answered or window.slowest_ms > _ANSWERED_MS:
            return (
                f"{window.unanswered} requests had no answer, {window.wrong} a wrong one, {window.answered} the right "
                f"one, the slowest of them after {window.slowest_ms:.0f} ms"
            )
    return "" if result.during else "nobody looked"


def _everybody_begins(result: Result) -> str:
    return "" if min(result.begun) == result.clients else f"of {result.clients} clients only {result.begun} began"


def _all_answers_are_right(result: Result) -> str:
    return _listed(result.others(RIGHT)) or ("" if result.count(RIGHT) else "nobody got an answer")


def _answers_are_right_or_refusals(result: Result) -> str:
    if others := result.others(RIGHT, REFUSED):
        return _listed(others)
    return "" if result.count(RIGHT) else "all were refused"


def _all_could_drop(result: Result) -> str:
    return _listed(result.others(DROPPED)) or ("" if result.count(DROPPED) else "nobody left")


def _listed(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{number} times {outcome}" for outcome, number in outcomes.items())


def _iterators_are_closed(result: Result) -> str:
    books = result.books
    if not books:
        return "the server does not answer any more"
    if books["closed"] != books["opened"]:
        return f"{books['opened'] - books['closed']} of {books['opened']} iterators were not closed"
    if books["closed_elsewhere"]:
        return f"{books['closed_elsewhere']} of {books['opened']} iterators were closed in another thread"
    if not books["opened"]:
        return "there was no iterator"
    return ""


def _iterators_are_closed_soon(result: Result) -> str:
    if result.closed_after_s <= _CLOSED_WITHIN_S:
        return ""
    return f"the last iterator was closed after {result.closed_after_s:.2f} s"


def _no_half_is_a_whole(result: Result) -> str:
    whole = result.books.get("whole", 0)
    return f"{whole} cut bodies looked complete" if whole else ""


def _all_is_given_back(result: Result) -> str:
    books = (result.books or {}).get("bridge") or {}
    held = {name: books[name] for name in ("requests", "bytes_held", "streams_open", "waiting") if books.get(name)}
    if held:
        return f"still held: {held}"
    idle, after = result.idle, result.after
    if after.threads > idle.threads + result.kept_threads or after.descriptors > idle.descriptors:
        return (
            f"{after.threads} threads and {after.descriptors} descriptors, before it was {idle.threads} and "
            f"{idle.descriptors}"
        )
    return ""


def _memory_is_bounded(result: Result) -> str:
    over = result.peak_over_idle_mib
    return "" if over <= _MEMORY_MIB else f"{over:.0f} MiB over what it had before"


def _server_ends(result: Result) -> str:
    if result.exited_after_s is None:
        return "SIGTERM did not end it"
    return "" if result.exited_after_s <= _EXIT_S else f"SIGTERM ended it after {result.exited_after_s:.1f} s"


def _beside_is_quick(result: Result) -> str:
    return _slow(result, _BESIDE_P50_MS, _BESIDE_P99_MS)


def _next_door_is_served(result: Result) -> str:
    return _slow(result, _NEXT_DOOR_P50_MS, _NEXT_DOOR_P99_MS)


def _slow(result: Result, p50_ms: float, p99_ms: float) -> str:
    slow = [one for one in result.during if one.p50_ms > p50_ms or one.p99_ms > p99_ms]
    return "".join(f"p50 {one.p50_ms:.0f} ms, p99 {one.p99_ms:.0f} ms" for one in slow[:1])


RATE = Target("the healthy client's rate stays within 10 %", _rate_is_kept, holds_in_tests=False)
ANSWERED = Target("the healthy client gets every answer", _healthy_is_answered)
BEGINS = Target("no client has to wait for the others", _everybody_begins)
RIGHT_ANSWERS = Target("every answer is right to the byte", _all_answers_are_right)
RIGHT_OR_REFUSED = Target(
    "every request is answered, or refused with 503 and Retry-After", _answers_are_right_or_refusals
)
DROPS = Target("all clients were served until they left", _all_could_drop)
CLOSED = Target("every iterator is closed in its own thread", _iterators_are_closed)
CLOSED_SOON = Target("within 2 s", _iterators_are_closed_soon)
CUT = Target("no half of a body looks like a whole one", _no_half_is_a_whole)
GIVEN_BACK = Target("threads and descriptors are what they were", _all_is_given_back)
MEMORY = Target("memory stays within 64 MiB of idle", _memory_is_bounded)
ENDS = Target("SIGTERM ends the server", _server_ends, holds_in_tests=False)
BESIDE = Target("an ASGI route beside it answers in milliseconds", _beside_is_quick, holds_in_tests=False)
NEXT_DOOR = Target("the application next door gets its turn", _next_door_is_served, holds_in_tests=False)
