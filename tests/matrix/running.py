"""Runs cells of the matrix: starts the server, makes the requests, looks at what came back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.integration.raw import Connection, CutError, Response
from tests.integration.servers import Server, ServerKind, running
from tests.matrix.expected import BLOCKS, OCTETS, UPLOAD, greeting
from tests.matrix.table import DUAL, ENTRY, Cell

_LOG_TAIL_BYTES: Final = 6000
_TIMEOUT_S: Final = 30.0
_TRACEBACK: Final = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell went.

    Attributes:
        cell: which one.
        failure: what was wrong, with the end of the server's log; nothing if all was well.
        unavailable: why the server cannot be run here; nothing if it can.
    """

    cell: Cell
    failure: str = ""
    unavailable: str = ""

    @property
    def is_well(self) -> bool:
        """It was run, and all came back as it should."""
        return not self.failure and not self.unavailable


def run_cell(cell: Cell) -> Outcome:
    """Run one cell. Any thread; every wait is bounded."""
    if reason := cell.host.why_unavailable():
        return Outcome(cell, unavailable=reason)
    with tempfile.TemporaryDirectory(prefix="bridge-matrix-") as name:
        # Apache's processes are another user.
        os.chmod(name, 0o755)
        try:
            with running(*_start(cell), Path(name), environment=_environment(cell)) as server:
                problem = next((problem for problem in _problems(cell, server) if problem), "")
                # Not what comes later: a server that is told to stop at this very moment may interrupt anything.
                if not problem and _TRACEBACK in server.log():
                    problem = "all answers were right, but the log has a traceback"
        except RuntimeError as error:
            return Outcome(cell, failure=str(error))
        log = server.log()
    return Outcome(cell, failure=problem and f"{problem}\n--- the log:\n{log[-_LOG_TAIL_BYTES:]}")


def run_cells(cells: Sequence[Cell], jobs: int, report: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
    """Run cells, several at a time; return their outcomes in the order of the cells. Its threads end before it does."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_cell, cell) for cell in cells]
        for future in as_completed(futures):
            report(future.result())
    return [future.result() for future in futures]


# ---- The three ways -----------------------------------------------------------------------------------------------


def _start(cell: Cell) -> tuple[ServerKind, str]:
    """Return what is started, and the name of the application it is given."""
    if cell.way is DUAL:
        return cell.host.kind, "tests.matrix.both:app"
    if cell.way is ENTRY:
        return cell.host.kind, f"bridge.{cell.host.interface}:app"
    arguments = ["bridge", "serve", "{app}", "--host", "{host}", "--port", "{port}"]
    arguments += ["--server", cell.host.served_as, "--interface", cell.host.interface]
    if cell.host.extra:
        arguments += ["--", *cell.host.extra]
    return replace(cell.host.kind, name=f"serve-{cell.host}", arguments=tuple(arguments)), cell.site.target


def _environment(cell: Cell) -> dict[str, str]:
    return {DUAL: {"MATRIX_APP": cell.site.target}, ENTRY: {"BRIDGE_APP": cell.site.target}}.get(cell.way, {})


# ---- The requests -------------------------------------------------------------------------------------------------


def _problems(cell: Cell, server: Server) -> Iterator[str]:
    """Make the requests; yield what is wrong with each answer, nothing where all is well."""
    hello = greeting(cell.site.name).encode()
    yield _ask(server, "GET", "/", lambda response: _differs(response.body, hello))
    yield _ask(server, "POST", "/echo", _echo_differs, UPLOAD)
    yield _ask(server, "GET", "/stream", lambda response: _differs(response.body, b"".join(BLOCKS)))


def _ask(server: Server, method: str, path: str, check: Callable[[Response], str], body: bytes | None = None) -> str:
    headers = [("Content-Type", OCTETS)] if body is not None else []
    try:
        with Connection(server, _TIMEOUT_S) as connection:
            response = connection.request(method, path, headers, body)
    except (CutError, OSError) as error:
        problem = f"no answer ({error!r})"
    else:
        if response.status != 200:
            problem = f"status {response.status}, {response.body[:200]!r}"
        elif response.is_framed and not response.is_complete:
            problem = f"the body was cut after {len(response.body)} bytes"
        else:
            problem = check(response)
    return problem and f"{method} {path}: {problem}"


def _differs(body: bytes, expected: bytes) -> str:
    return "" if body == expected else f"{len(body)} bytes came, {body[:100]!r}, instead of {len(expected)}"


def _echo_differs(response: Response) -> str:
    seen = response.header("x-length")
    if seen != str(len(UPLOAD)):
        return f"the application saw a body of {seen} bytes instead of {len(UPLOAD)}"
    return _differs(response.body, UPLOAD)


def shorten(failure: str) -> str:
    """Return the first line of a failure, for a list."""
    return failure.partition("\n")[0][:200]
