"""Where threads, event loops and tests meet: flags and holds that work from both sides, every wait bounded."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import anyio

TIMEOUT_S = 20.0
"""How long anything may take that is expected to happen; far beyond what a loaded machine needs."""


def post_here() -> Callable[[Callable[[], None]], object]:
    """Return the function that runs a callback on the event loop of the caller, from any thread."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        token = trio.lowlevel.current_trio_token()
        return token.run_sync_soon
    loop = asyncio.get_running_loop()
    return loop.call_soon_threadsafe


class Flag:
    """Raised once, from anywhere; waited for by threads and by coroutines of any loop."""

    def __init__(self, name: str = "a flag") -> None:
        self.name = name
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<Flag {self.name!r} {'up' if self._event.is_set() else 'down'}>"

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Raise the flag. Any thread."""
        with self._lock:
            self._event.set()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            with suppress(RuntimeError):  # that loop has ended: nobody waits there
                wake()

    def wait(self, timeout_s: float = TIMEOUT_S) -> None:
        """Block until the flag is up. Any thread but a loop's."""
        if not self._event.wait(timeout_s):
            raise AssertionError(f"nobody raised {self.name!r} within {timeout_s} s")

    async def wait_on_loop(self, timeout_s: float | None = TIMEOUT_S) -> None:
        """Wait until the flag is up; None waits until cancelled. Loop."""
        event = anyio.Event()
        post = post_here()
        with self._lock:
            if self._event.is_set():
                return
            self._wakers.append(lambda: post(event.set))
        with anyio.move_on_after(timeout_s):
            await event.wait()
            return
        raise AssertionError(f"nobody raised {self.name!r} within {timeout_s} s")


class Hold:
    """An exact point at which one side stops until the test lets it go on."""

    def __init__(self, name: str = "a hold") -> None:
        self.reached = Flag(f"{name} reached")
        self.released = Flag(f"{name} released")

    def __repr__(self) -> str:
        return f"<Hold {self.reached!r} {self.released!r}>"

    def release(self) -> None:
        """Let go whoever stands here, now or later. Any thread."""
        self.released.set()

    def stop_here(self) -> None:
        """Stand here until released. Any thread but a loop's."""
        self.reached.set()
        self.released.wait()

    async def stop_here_on_loop(self) -> None:
        """Stand here until released. Loop."""
        self.reached.set()
        await self.released.wait_on_loop()


def until(condition: Callable[[], object], what: str = "the condition", timeout_s: float = TIMEOUT_S) -> None:
    """Look again and again until the condition holds: for outcomes that nothing announces."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(0.001)


class Helper:
    """A thread that runs one function for a test and hands over what came out."""

    def __init__(self, function: Callable[[], object], name: str = "helper") -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self._function = function
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error

    @property
    def is_done(self) -> bool:
        return not self.thread.is_alive()

    def join(self, timeout_s: float = TIMEOUT_S) -> object:
        """Wait for the function; return its result or raise its error."""
        self.thread.join(timeout_s)
        if self.thread.is_alive():
            raise AssertionError(f"{self.thread.name} is still busy after {timeout_s} s")
        if self.error is not None:
            raise self.error
        return self.result
