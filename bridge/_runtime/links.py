"""What the channels ask of their owners, and how a thread waits on one of them.

Both channels (`outflow`, `inflow`) are bounded in bytes and in time, and end in exactly one of three ways that are
never confused: *ended*, *gone* (closed with a reason, which is raised on the other side), or not yet. Their shared
variables are guarded by a lock that is held for a few instructions only. A thread that must wait does so on a condition
over that lock. Waits are cut into slices, so that a loop that has ended without a word is noticed too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from bridge._runtime.wakers import Waker

# Seconds between two looks at whether the loop is still there; only paid by a thread that waits.
_LOOK_EVERY_S = 0.25
_LOOKS_AT_A_STILL_LOOP = 4

PATIENCE_S = 0.25
"""How long a thread waits for somebody outside before it lets another one take its place."""


class Place(Protocol):
    """Where the waiting thread works: it may be replaced while it waits (a `WorkerPool` is one)."""

    def step_aside(self) -> bool:
        """Let another thread take the caller's place; return whether `step_back` is to be called afterwards."""
        ...

    def step_back(self) -> None:
        """Take a place again."""
        ...


class LoopLink(Protocol):
    """What a waiting thread asks of its channel's owner. Any thread."""

    def is_loop_running(self) -> bool:
        """Tell whether the loop still runs."""
        ...

    def loop_is_gone(self) -> Exception:
        """Make the exception for a thread whose loop has ended."""
        ...


class OutflowLink(LoopLink, Protocol):
    """What an outflow asks of its owner. Any thread."""

    def notify_soon(self) -> None:
        """Wake the loop's side at the end of the calling worker's job, or earlier."""
        ...

    def notify_shortly(self) -> None:
        """Wake the loop's side as soon as the calling worker lets other threads run."""
        ...

    def notify(self) -> None:
        """Wake the loop's side."""
        ...


class InflowLink(LoopLink, Protocol):
    """What an inflow asks of its owner. Any thread."""

    def ask(self) -> None:
        """Ask the loop's side for one more piece."""
        ...

    def body_is_late(self) -> Exception:
        """Make the exception for a thread that has waited too long for a piece."""
        ...


class _NoLink:
    """The link of a channel whose request is over."""

    def notify(self) -> None:
        pass

    def notify_soon(self) -> None:
        pass

    def notify_shortly(self) -> None:
        pass

    def ask(self) -> None:
        pass

    def is_loop_running(self) -> bool:
        return True

    def loop_is_gone(self) -> Exception:
        return RuntimeError("the request is over")

    def body_is_late(self) -> Exception:
        return RuntimeError("the request is over")


NO_LINK = _NoLink()
"""Takes the place of an owner whose request is over."""


def wait(
    condition: threading.Condition,
    link: LoopLink,
    is_over: Callable[[], bool],
    timeout_s: float | None,
    place: Place | None = None,
    slices: int = 1,
    patience_s: float = PATIENCE_S,
) -> bool:
    """Wait until ``is_over()``; return False when the time is up. The condition's lock is held.

    Whoever waits for longer than ``patience_s`` steps aside from its place, if it has one. ``is_over`` is asked when
    the condition is notified, and so many times in a quarter of a second (``slices``) without that.

    Raises:
        Exception: what the link makes of a loop that has ended.
    """
    now_s = time.monotonic()
    deadline_s = None if timeout_s is None else now_s + timeout_s
    aside_at_s = now_s + patience_s
    slice_s = _LOOK_EVERY_S / slices
    looks_left = _LOOKS_AT_A_STILL_LOOP * slices
    is_aside = False
    try:
        while not is_over():
            left_s = slice_s if deadline_s is None else min(slice_s, deadline_s - time.monotonic())
            if left_s <= 0:
                return False
            # Also when there is news all the time: of a client that trickles, for one.
            if place is not None and not is_aside and time.monotonic() >= aside_at_s:
                is_aside = place.step_aside()
            if condition.wait(left_s) or is_over():
                continue
            # A loop may be between two runs; one that is still at several looks has ended without a word.
            looks_left = _LOOKS_AT_A_STILL_LOOP * slices if link.is_loop_running() else looks_left - 1
            if not looks_left:
                raise link.loop_is_gone()
        return True
    finally:
        if is_aside and place is not None:
            place.step_back()


def wait_for_waker(waker: Waker, link: LoopLink, deadline_s: float | None) -> bool:
    """Wait until somebody wakes the thread, in slices as `wait` does; return False when the time is up.

    Raises:
        Exception: what the link makes of a loop that has ended.
    """
    looks_left = _LOOKS_AT_A_STILL_LOOP
    while True:
        left_s = _LOOK_EVERY_S if deadline_s is None else min(_LOOK_EVERY_S, deadline_s - time.monotonic())
        if left_s <= 0:
            return False
        if waker.acquire(True, left_s):  # noqa: FBT003 - positional: on the path of every message
            return True
        looks_left = _LOOKS_AT_A_STILL_LOOP if link.is_loop_running() else looks_left - 1
        if not looks_left:
            raise link.loop_is_gone()
