"""Jobs for the tests of worker pools."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, copy_context

from tests.meeting import Flag, Hold


class Job:
    """Runs a function once and says so; remembers the thread."""

    def __init__(self, function: Callable[[], object] = lambda: None, name: str = "job") -> None:
        self.context: Context = copy_context()
        self.name = name
        self.runs = 0
        self.thread: threading.Thread | None = None
        self.done = Flag(f"{name} done")
        self._function = function

    def __repr__(self) -> str:
        return f"<Job {self.name}>"

    def run(self) -> None:
        self.runs += 1
        self.thread = threading.current_thread()
        try:
            self._function()
        finally:
            self.done.set()


class HeldJob(Job):
    """Keeps its worker busy until it is released."""

    def __init__(self, name: str = "held job") -> None:
        self.hold = Hold(name)
        super().__init__(self.hold.stop_here, name)

    def wait_until_running(self) -> None:
        self.hold.reached.wait()

    def release(self) -> None:
        self.hold.release()
