"""A helper process of the bench that is told and tells things in lines of JSON, every wait bounded."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
_END_S = 15.0


class Child:
    """A module of the bench, run as a program; a context manager that ends it.

    Args:
        module: its name.
        arguments: of its command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._name = module
        self._held = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_S)

    def write(self, value: dict[str, Any]) -> None:
        """Tell it something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")
        self._process.stdin.flush()

    def read(self, timeout_s: float) -> dict[str, Any]:
        """Wait for a line of it.

        Raises:
            RuntimeError: it ended, or said nothing in time.
        """
        assert self._process.stdout is not None
        descriptor, deadline_s = self._process.stdout.fileno(), time.monotonic() + timeout_s
        while b"\n" not in self._held:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline_s - time.monotonic()))
            octets = os.read(descriptor, 65536) if readable else b""
            if not octets:
                why = "ended early" if readable else f"said nothing for {timeout_s:.0f} s"
                raise RuntimeError(f"{self._name} {why}")
            self._held += octets
        line, _, self._held = self._held.partition(b"\n")
        value = json.loads(line)
        assert isinstance(value, dict)
        return value
