"""One thread at a time, in a fixed order: so that the same work is the same count of instructions in every run.

A thread runs until it would block: in a lock that is taken, in ``poll()`` of a descriptor, in an empty queue, or, if it
runs an event loop, in its selector. Then the next one runs, in the order in which they came to wait. This is how the
interpreter lock works when nothing takes longer than a switch interval, without the chance in it; and threads that are
woken run when whoever has woken them rests, which is the least that a burst of requests can cost.

Nothing of the code under test is replaced: a profile hook sees each call of a C function before it is made, and waits
there. What blocks in another way (a lock in a ``with`` that another thread holds while it waits) is an error here.
"""

from __future__ import annotations

import _thread
import queue
import select
import selectors
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

PATIENCE_S = 20.0
"""How long a thread waits for its turn: far beyond what the rest can take."""
_LOCK = type(_thread.allocate_lock())
_POLL = type(select.poll()) if hasattr(select, "poll") else None
_EPOLL = getattr(select, "epoll", None)


class StandstillError(AssertionError):
    """No thread can go on, or one blocks in a way that is not known here."""


class _Waiting:
    """A thread that waits for its turn."""

    __slots__ = ("is_last", "may_go", "turn")

    def __init__(self, may_go: Callable[[], bool], *, is_last: bool) -> None:
        self.may_go = may_go
        self.is_last = is_last
        self.turn = _thread.allocate_lock()
        self.turn.acquire()


class Turns:
    """Who may run.

    Attributes:
        switches: how often another thread has gone on than the one that came to wait.
        is_on: whether threads wait for each other at all.
    """

    def __init__(self) -> None:
        self.switches = 0
        self.is_on = False
        self._waiting: list[_Waiting] = []
        self._known: set[int] = set()

    def begin(self) -> None:
        """From now on the calling thread runs alone, until it waits."""
        self._known.add(_thread.get_ident())
        self.is_on = True

    def end(self) -> None:
        """Let all threads run as they like."""
        self.is_on = False
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            other.turn.release()

    def meet(self) -> None:
        """A thread that has just been started waits for its first turn."""
        ident = _thread.get_ident()
        if self.is_on and ident not in self._known:
            self._known.add(ident)
            self.wait(lambda: True, is_new=True)

    def leave(self) -> None:
        """The calling thread is about to end."""
        self._known.discard(_thread.get_ident())
        if self.is_on:
            following = self._next()
            if following is not None:
                following.turn.release()

    def settle(self) -> None:
        """Let all other threads run until none can go on."""
        self.wait(lambda: True, is_last=True)

    def wait(self, may_go: Callable[[], bool], *, is_last: bool = False, is_new: bool = False) -> None:
        """Let others run until it is the caller's turn and ``may_go()``.

        Args:
            may_go: asked by any thread.
            is_last: only once nobody else can go on.
            is_new: the caller has not been running yet: it lets nobody else run.
        """
        me = _Waiting(may_go, is_last=is_last)
        self._waiting.append(me)
        deadline_s = time.monotonic() + PATIENCE_S
        while self.is_on and not is_new:
            following = self._next()
            if following is me:
                return
            if following is not None:
                self.switches += 1
                following.turn.release()
                break
            if time.monotonic() > deadline_s:  # else a thread may be on its way that has not come to the first hook
                raise StandstillError("all threads wait, and nothing lets one of them go on")
            time.sleep(0.0005)
        if self.is_on and not me.turn.acquire(timeout=PATIENCE_S):
            raise StandstillError(
                "the running thread does not come to an end, or blocks in a call that tests/cost/turns.py does not know"
            )

    def _next(self) -> _Waiting | None:
        for is_last in (False, True):
            for other in self._waiting:
                if other.is_last is is_last and other.may_go():
                    self._waiting.remove(other)
                    return other
        return None

    # ---- Hooks ------------------------------------------------------------------------------------------------

    def before_c_call(self, frame: FrameType, function: Any) -> None:
        """Wait here if the C function that is about to be called would block."""
        name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
        if name == "acquire" and type(owner) is _LOCK:
            if owner.locked() and frame.f_code.co_name != "_is_owned":  # that one (of Condition) does not wait
                self.wait(lambda: not owner.locked())
        elif name == "poll" and type(owner) in (_POLL, _EPOLL):
            look = _look_at(owner)
            if not look(0):
                self.wait(lambda: bool(look(0)))
        elif name == "get" and type(owner) is queue.SimpleQueue and owner.empty():
            self.wait(lambda: not owner.empty())


def _look_at(poll: Any) -> Callable[[int], object]:
    """Return what tells whether ``poll`` has something, and takes nothing from it."""
    if type(poll) is _POLL:
        return poll.poll
    outer = select.poll()  # an epoll by edges tells of each only once; but its own descriptor says whether it would
    outer.register(poll.fileno(), select.POLLIN)
    return outer.poll


class TurnSelector(selectors.DefaultSelector):
    """A selector whose ``select`` lets other threads run."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self.turns = turns
        self.count = 0
        """How often it was asked: turns of the loop."""
        self.sleeps = 0
        """How often there was nothing to do until somebody woke it."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events there are, once all others have had their turn and there are any, if asked to wait."""
        self.count += 1
        turns = self.turns
        if not turns.is_on:
            return super().select(timeout)
        look = super().select
        if timeout != 0 and not look(0):
            self.sleeps += 1
        turns.wait(lambda: timeout == 0 or bool(look(0)))
        return look(0 if turns.is_on else timeout)
