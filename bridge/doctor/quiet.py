"""Keep standard output for the report: what an application prints goes to standard error meanwhile."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout

_STDOUT, _STDERR = 1, 2


@contextmanager
def output_to_stderr() -> Generator[None]:
    """Send what is printed inside to standard error: by Python, by libraries in C, and by child processes."""
    with redirect_stdout(sys.stderr or io.StringIO()):
        if not _is_real():
            yield
            return
        sys.__stdout__.flush()  # type: ignore[union-attr]
        kept = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
        try:
            yield
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(kept, _STDOUT)
            os.close(kept)


def _is_real() -> bool:
    """Tell whether standard output is the one the process was started with."""
    try:
        return (
            sys.__stdout__ is not None
            and sys.__stdout__.fileno() == _STDOUT
            and not os.path.samestat(os.fstat(_STDOUT), os.fstat(_STDERR))
        )
    except (OSError, ValueError):
        return False
