"""Small channels with one fault each, to be found by the explorer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.interleavings.execution import Execution
from tests.interleavings.points import copy_of
from tests.interleavings.schedules import Scenario

_broken = copy_of("tests.interleavings.mutants.channels")

Counter = _broken.Counter
Sound = _broken.Sound
LosesWakeUps = _broken.LosesWakeUps
ClearsLate = _broken.ClearsLate
DeliversTwice = _broken.DeliversTwice
NotifiesOne = _broken.NotifiesOne


def through(channel_type: Callable[[], Any]) -> Scenario:
    """Send two items through a channel, to as many takers as it is for."""

    def scenario(execution: Execution) -> Callable[[], None]:
        channel = channel_type()
        taken: list[int] = []

        def put() -> None:
            channel.put(1)
            channel.put(2)

        def take_all() -> None:
            while len(taken) < 2:
                taken.extend(channel.take())

        execution.start(put, "putter")
        if channel.takers == 1:
            execution.start(take_all, "taker")
        else:
            for name in ("taker", "other taker"):
                execution.start(lambda: taken.extend(channel.take()), name)

        def look() -> None:
            assert sorted(taken) == [1, 2], f"taken: {taken}"

        return look

    return scenario
