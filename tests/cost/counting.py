"""Counting what runs: instructions, calls of Python functions and of C functions, for each function and thread.

Instructions are those of the compiler: while they are traced, the interpreter runs none of its specialised ones, so
the count does not depend on how warm the code is.
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import bridge
from tests.cost.turns import Turns, TurnSelector

_HERE = str(Path(__file__).parent)
_BRIDGE = str(Path(bridge.__file__).parent)
_THREADING = threading.__file__
_SELECTORS = selectors.__file__
"""The one of the measurement asks it more often than a loop would."""

ROUNDS_ALIKE = 3
ROUNDS_AT_MOST = 40


class UnsteadyError(AssertionError):
    """The same work was not the same count, again and again."""


@dataclass
class Cost:
    """What a piece of work costs; keys of the counters are ``(thread, function)``, with the file for a name.

    Attributes:
        instructions: in the bridge and in the libraries that it uses.
        calls: Python functions entered; a coroutine or generator that goes on counts, too.
        c_calls: C functions called there.
        lines: instructions by line, of the functions that were asked for.
        switches: of threads.
        turns: of event loops.
        wake_ups: of event loops that had nothing to do.
    """

    instructions: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    c_calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    lines: Counter[tuple[str, int]] = field(default_factory=Counter)
    switches: int = 0
    turns: int = 0
    wake_ups: int = 0

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            instructions=_less(self.instructions, other.instructions),
            calls=_less(self.calls, other.calls),
            c_calls=_less(self.c_calls, other.c_calls),
            lines=_less(self.lines, other.lines),
            switches=self.switches - other.switches,
            turns=self.turns - other.turns,
            wake_ups=self.wake_ups - other.wake_ups,
        )


def _less(more: Counter[Any], less: Counter[Any]) -> Counter[Any]:
    """Return the difference, without what is nothing; what is negative stays."""
    return Counter({key: count for key in more.keys() | less.keys() if (count := more[key] - less[key])})


def is_ours(function: str) -> bool:
    """Tell whether a function is the bridge's."""
    return function.startswith("bridge/")


class Meter:
    """Counts rounds of work until they are alike.

    Args:
        main: what the calling thread is called in the result.
        annotated: a part of the name of functions to count line by line.
        alike: how many rounds in a row must cost the same.
    """

    def __init__(self, main: str, annotated: str | None = None, *, alike: int = ROUNDS_ALIKE) -> None:
        self.turns = Turns()
        self._alike = alike
        self.result: Cost | None = None
        self._is_counting = False
        self._main = main
        self._annotated = annotated
        self._selectors: list[TurnSelector] = []
        self._names: dict[CodeType, str | None] = {}
        self._threads: dict[int, str] = {}
        self._counts: dict[tuple[int, CodeType], list[int]] = {}
        self._tracers: dict[tuple[int, CodeType], Callable[[FrameType, str, Any], Any]] = {}
        self._lines: Counter[tuple[str, int]] = Counter()

    # ---- For scenarios ----------------------------------------------------------------------------------------

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make an event loop that takes turns with the threads, and for which time stands still while it is counted."""
        selector = TurnSelector(self.turns)
        self._selectors.append(selector)
        return _TurnLoop(selector)

    def rounds(self) -> Iterator[int]:
        """Yield until enough rounds in a row have cost the same; the first ones do not count.

        Raises:
            UnsteadyError: they never do.
        """
        alike, last = 0, None
        for number in range(ROUNDS_AT_MOST):
            self.turns.settle()
            before = self._snapshot()
            self._is_counting = True
            yield number
            self.turns.settle()
            self._is_counting = False
            cost = self._snapshot() - before
            alike = alike + 1 if cost == last else 1
            last = cost
            if alike == self._alike:
                self.result = cost
                return
        assert last is not None
        raise UnsteadyError(f"{ROUNDS_AT_MOST} rounds of the same work never cost the same; the last one: {last}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this thread and all that are started meanwhile. To be left before threads are asked to end.

        The hooks of this thread stay, and find nothing to do: Python 3.12 crashes when they are taken off.
        """
        gc.disable()  # finalizers are to run when they are due, and not when somebody collects garbage
        sys._getframe().f_trace_opcodes = True  # before the hook is set: Python 3.12 looks only then
        self._threads[threading.get_ident()] = self._main
        threading.settrace(self._trace)
        threading.setprofile(self._profile)
        self.turns.begin()
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            threading.setprofile(None)
            threading.settrace(None)
            self.turns.end()
            gc.enable()

    # ---- Hooks ------------------------------------------------------------------------------------------------

    def _trace(self, frame: FrameType, _: str, __: Any) -> Any:
        """Count a call; see that its instructions are counted."""
        if not self.turns.is_on:
            return None
        code = frame.f_code
        name = self._name(code)
        if name is None:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if self._is_counting:
            self._entry(code)[1] += 1
        key = (threading.get_ident(), code)
        tracer = self._tracers.get(key)
        if tracer is None:
            tracer = self._tracers[key] = self._new_tracer(name, self._entry(code))
        return tracer

    def _new_tracer(self, name: str, entry: list[int]) -> Callable[[FrameType, str, Any], Any]:
        """Return what counts the instructions of one function on one thread."""
        is_by_line = self._annotated is not None and self._annotated in name

        def count(frame: FrameType, event: str, _: Any) -> Any:
            if event == "opcode" and self._is_counting:
                entry[0] += 1
                if is_by_line:
                    self._lines[name, frame.f_lineno or 0] += 1
            return count

        return count

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        if not self.turns.is_on:
            return
        code = frame.f_code
        if event == "c_call":
            if self._name(code) is None:
                return
            if self._is_counting:
                self._entry(code)[2] += 1
            self.turns.before_c_call(frame, function)
        elif code.co_filename == _THREADING:
            if event == "return" and code.co_name == "_bootstrap_inner":
                self.turns.leave()
            elif event == "call" and code.co_name == "run":
                self.turns.meet()

    # ---- What was counted -------------------------------------------------------------------------------------

    def _entry(self, code: CodeType) -> list[int]:
        key = (threading.get_ident(), code)
        entry = self._counts.get(key)
        if entry is None:
            entry = self._counts[key] = [0, 0, 0]
        return entry

    def _name(self, code: CodeType) -> str | None:
        """Return ``file:function``; None for what is not to be counted: what belongs to the measurement."""
        try:
            return self._names[code]
        except KeyError:
            name = self._names[code] = _name_of(code)
            return name

    def _snapshot(self) -> Cost:
        cost = Cost(
            lines=Counter(self._lines),
            switches=self.turns.switches,
            turns=sum(selector.count for selector in self._selectors),
            wake_ups=sum(selector.sleeps for selector in self._selectors),
        )
        for (ident, code), (instructions, calls, c_calls) in list(self._counts.items()):
            key = (self._thread(ident), self._names[code] or "")
            cost.instructions[key] += instructions
            cost.calls[key] += calls
            cost.c_calls[key] += c_calls
        return cost

    def _thread(self, ident: int) -> str:
        name = self._threads.get(ident)
        if name is None:
            full = next((thread.name for thread in threading.enumerate() if thread.ident == ident), "a thread")
            name = self._threads[ident] = full.removeprefix("bridge-").rstrip("-0123456789")
        return name


def _name_of(code: CodeType) -> str | None:
    file = code.co_filename
    if file.startswith(_HERE) or file == _SELECTORS:
        return None
    if file.startswith(_BRIDGE):
        place = "bridge" + file[len(_BRIDGE) :].removesuffix(".py")
    else:
        path = Path(file)
        place = f"{path.parent.name}/{path.stem}"
    return f"{place}:{code.co_qualname}"


class _TurnLoop(asyncio.SelectorEventLoop):
    """An event loop for which time stands still: no timer comes between."""

    def __init__(self, selector: TurnSelector) -> None:
        self._turn_selector = selector
        self._now_s = 1.0
        super().__init__(selector)

    def time(self) -> float:
        return self._now_s if self._turn_selector.turns.is_on else super().time()
