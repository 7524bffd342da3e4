"""Servers beside each other under load: several figures of each, in interleaved rounds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from benchmarks import pinning
from benchmarks.on_servers import servers
from benchmarks.on_servers.processes import Usage, usage_of
from benchmarks.on_servers.servers import Command, Server
from benchmarks.on_servers.wrk import wrk
from benchmarks.results import Column, Comparison, Figure
from benchmarks.settings import Settings

REQUESTS = Column(name="requests", unit="requests per second", better="more")
CPU = Column(name="processor", unit="us per request", better="less")
P99 = Column(name="99 % within", unit="ms", better="less")
MEMORY = Column(name="memory", unit="MiB", better="less")

Measurement = Callable[[], Mapping[str, float]]
"""What measures one candidate once: the figures by the names of their columns."""


class Running:
    """Servers that run beside each other; each is started when it is first needed, and all end together.

    One that cannot be started (it is not installed, say) is left out of the comparisons, with a note.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._servers: dict[str, Server | RuntimeError] = {}

    def get(self, key: str, command: Command) -> Server:
        """Return the server of that name, which need not be unique in a comparison only.

        Raises:
            RuntimeError: it does not start.
        """
        if key not in self._servers:
            try:
                self._servers[key] = self._stack.enter_context(servers.running(command))
            except RuntimeError as error:
                self._servers[key] = error
        found = self._servers[key]
        if isinstance(found, RuntimeError):
            raise found
        return found


def measured(settings: Settings, comparison: Comparison, candidates: Mapping[str, Measurement]) -> Comparison:
    """Fill a comparison: measure all candidates round by round.

    A candidate that fails is left out, and a note says why: a figure of requests of which some failed means nothing.
    """
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in candidates}
    for _ in range(settings.rounds):
        for name in tuple(found):
            try:
                found[name].append(candidates[name]())
            except (RuntimeError, OSError) as error:
                del found[name]
                comparison.notes.append(f"{name}: no figures. {str(error).strip()}")
    for name, rounds in found.items():
        comparison.rows[name] = {
            column.name: Figure(tuple(each[column.name] for each in rounds))
            for column in comparison.columns
            if all(column.name in each for each in rounds)
        }
    comparison.notes += pinning.notes()
    return comparison


@contextlib.contextmanager
def usage_during(pid: int) -> Iterator[Callable[[], Usage | None]]:
    """Yield what tells, after the block, the processor time spent in it, and memory and threads at its end."""
    before = usage_of(pid)
    after: Usage | None = None
    yield lambda: after
    now = usage_of(pid)
    if before is not None and now is not None:
        after = Usage(now.cpu_s - before.cpu_s, now.resident_mib, now.threads)


def under_wrk(server: Server, path: str, connections: int, seconds: float) -> dict[str, float]:
    """Measure one server once."""
    with usage_during(server.pid) as usage:
        report = wrk(server.url + path, connections=connections, seconds=seconds)
    figures = {REQUESTS.name: report.requests_per_second, P99.name: report.p99_ms}
    if used := usage():
        figures |= {CPU.name: used.cpu_s / report.requests * 1e6, MEMORY.name: used.resident_mib}
    return figures


def compare(
    settings: Settings,
    comparison: Comparison,
    running: Running,
    commands: Mapping[str, Command],
    *,
    connections: int,
    seconds: float,
) -> Comparison:
    """Fill a comparison of servers under wrk, by names of rows; starts those that do not run yet.

    Args:
        settings: rounds.
        comparison: with a title, and without rows.
        running: servers by their names; two comparisons with the same name mean the same server.
        commands: how each is started.
        connections: how many wrk opens.
        seconds: how long it runs.
    """

    def once(name: str) -> Mapping[str, float]:
        server = running.get(name, commands[name])
        return under_wrk(server, commands[name].path, connections, seconds)

    for name, command in commands.items():
        with contextlib.suppress(RuntimeError):  # it comes again in the first round, and is noted
            server = running.get(name, command)
            # Not measured: threads start, caches fill, the interpreter specialises what is called often.
            wrk(server.url + command.path, connections=connections, seconds=seconds / 6)
    return measured(settings, comparison, {name: partial(once, name) for name in commands})
