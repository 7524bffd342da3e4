"""The event loops the tests run on, without a plugin: a test calls ``backend.run(function)``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio

from tests.meeting import TIMEOUT_S

T = TypeVar("T")


class Backend:
    """One kind of event loop.

    ``run`` bounds the time and fails if the function leaves asyncio tasks behind (trio cannot).
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Backend {self.name}>"

    @property
    def is_installed(self) -> bool:
        return self.name == "asyncio" or find_spec(self.name) is not None

    @property
    def is_asyncio(self) -> bool:
        return self.name != "trio"

    def run(
        self, function: Callable[..., Awaitable[T]], *args: Any, timeout_s: float = TIMEOUT_S, debug: bool = True
    ) -> T:
        """Run the function on a new loop and return its result. Any thread that runs no loop."""

        async def bounded() -> T:
            with anyio.fail_after(timeout_s):
                result = await function(*args)
            if self.is_asyncio:
                left = asyncio.all_tasks() - {asyncio.current_task()}
                if left:
                    raise AssertionError(f"asyncio tasks were left: {left}")
            return result

        if not self.is_asyncio:
            return import_module("trio").run(bounded)
        with asyncio.Runner(debug=debug, loop_factory=self._loop_factory()) as runner:
            return runner.run(bounded())

    def _loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        if self.name == "uvloop":
            return import_module("uvloop").new_event_loop
        return None


ASYNCIO = Backend("asyncio")
UVLOOP = Backend("uvloop")
TRIO = Backend("trio")
BACKENDS = (ASYNCIO, UVLOOP, TRIO)
