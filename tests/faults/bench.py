"""One attack on one contestant: a server is started, looked at, attacked, looked at again, and stopped."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge import Limits
from tests.faults import watching
from tests.faults.attacks import Attack, Watched
from tests.faults.clients import Load
from tests.faults.crowd import Report, crowd
from tests.faults.healthy import HealthyClient, Window, healthy_client
from tests.faults.hosted import SETTINGS_VARIABLE
from tests.faults.outcomes import Result
from tests.integration.raw import Connection, fetch
from tests.integration.servers import HYPERCORN_ASYNCIO, Server, ServerKind, running

BRIDGE = "bridge"
CONTESTANTS = (BRIDGE, "a2wsgi")

_WARM_S = 0.3
_ASK_S = 15.0
_LOOK_S = 0.05
# It keeps the descriptors of connections that are gone for so long.
_MORE_ARGUMENTS = {HYPERCORN_ASYNCIO.name: ("--keep-alive", "1")}
# Of the window: they arrive in less.
_ONSET_SHARE = 0.5
_NOW_AND_THEN = {Watched.ROUTE_BESIDE: "/native/hello", Watched.NEXT_DOOR: "/next-door/hello"}
# Idle workers end, so that threads can be compared.
_WORKER_IDLE_S = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """How an attack is run.

    Attributes:
        load: how much of it.
        rounds: how often.
        window_s: how long it asks.
        lead_in_s: how long the crowd is in position before its window begins. What it asks for has to be made, and
            that is work like any other.
        begin_s: how long the crowd has to get into position.
        patience_s: how long the crowd waits for its answers.
        healthy_patience_s: how long the healthy client waits for its own. A machine that is busy with other things is
            no fault of the server's.
        settle_s: how long the process has to give everything back.
        compares: before each round, the healthy client is on its own for a window.
        core: the processor core that the server runs on; None for any.
    """

    load: Load
    rounds: int
    window_s: float
    lead_in_s: float = 0.0
    begin_s: float = 20.0
    patience_s: float = 30.0
    healthy_patience_s: float = 15.0
    settle_s: float = 10.0
    compares: bool = True
    core: int | None = None


@contextmanager
def hosted(
    attack: Attack, contestant: str, kind: ServerKind, directory: Path, core: int | None = None
) -> Iterator[Server]:
    """Start a server for an attack (and others with the same limits), and let it make what is made once.

    Args:
        attack: it says with which limits.
        contestant: one of `CONTESTANTS`.
        kind: the server.
        directory: where its log and its files go.
        core: the processor core that it runs on; None for any.
    """
    settings = {
        "adapter": contestant,
        "limits": {"worker_idle_s": _WORKER_IDLE_S, **attack.limits},
        "has_next_door": attack.watched is Watched.NEXT_DOOR,
    }
    environment = {SETTINGS_VARIABLE: json.dumps(settings)}
    arguments = _MORE_ARGUMENTS.get(kind.name, ())
    with running(kind, "tests.faults.hosted:app", directory, arguments=arguments, environment=environment) as server:
        if core is not None:
            for thread in os.listdir(f"/proc/{server.process.pid}/task"):  # those that are made later follow them
                os.sched_setaffinity(int(thread), {core})
        with healthy_client(server.port) as healthy:
            healthy.begin(_WARM_S)
            healthy.end()
        for path in ("/download?bytes=1", "/download?bytes=1&from=file"):
            fetch(server, "GET", path)
        fetch(server, "POST", "/upload", body=b"x")
        yield server


def run(attack: Attack, plan: Plan, contestant: str, kind: ServerKind, directory: Path) -> Result:
    """Run an attack on a server of its own, which is stopped afterwards."""
    with hosted(attack, contestant, kind, directory, plan.core) as server:
        result = run_on(server, attack, plan, contestant)
        began_s = time.monotonic()
        if server.stop() is not None:
            result.exited_after_s = time.monotonic() - began_s
    return result


def run_on(server: Server, attack: Attack, plan: Plan, contestant: str) -> Result:
    """Run an attack on a server that runs."""
    result = Result(attack.name, contestant, server.kind.name, plan.load.clients)
    if contestant != BRIDGE:  # it is given as many workers, and keeps them
        result.kept_threads = attack.limits.get("workers", Limits().workers)
    _Run(attack, plan, server, result).go()
    return result


class _Run:
    """The course of an attack on a server that runs."""

    def __init__(self, attack: Attack, plan: Plan, server: Server, result: Result) -> None:
        self._attack = attack
        self._plan = plan
        self._server = server
        self._result = result
        self._pid = server.process.pid
        self._worked_s = 0.0

    def go(self) -> None:
        """All of it; what was seen goes into the result."""
        attack, plan, result = self._attack, self._plan, self._result
        before = self._books_at_rest()
        if not before:
            raise RuntimeError(f"the server does not answer before it is attacked; its log:\n{self._server.log()}")
        self._pid = before["pid"]
        result.idle = watching.look(self._pid)
        watching.forget_peak(self._pid)
        with healthy_client(self._server.port) as healthy:
            for _ in range(plan.rounds):
                if plan.compares and attack.watched is Watched.SAME_APPLICATION:
                    self._ask(healthy)
                    result.without.append(self._answer(healthy))
                self._round(healthy)
                result.rounds += 1
        self._look_back(before)

    def _ask(self, healthy: HealthyClient, share: float = 1.0) -> None:
        plan = self._plan
        self._worked_s = watching.processor_s(self._pid)
        patience_s = plan.healthy_patience_s
        path = _NOW_AND_THEN.get(self._attack.watched)
        if path is None:
            healthy.begin(plan.window_s * share, patience_s=patience_s)
        else:
            healthy.begin(plan.window_s, path=path, connections=1, pause_s=0.002, patience_s=patience_s)

    def _answer(self, healthy: HealthyClient) -> Window:
        window = healthy.end()
        worked_s = watching.processor_s(self._pid) - self._worked_s
        return replace(window, work_ms=1000 * worked_s / window.answered if window.answered else 0.0)

    def _round(self, healthy: HealthyClient) -> None:
        attack, plan, result = self._attack, self._plan, self._result
        is_watched = attack.watched is not Watched.NOTHING
        sees_onset = attack.watched is Watched.SAME_APPLICATION
        if sees_onset:
            self._ask(healthy, _ONSET_SHARE)
        with crowd(
            self._server.port, attack.behaviour, plan.load, begin_s=plan.begin_s, patience_s=plan.patience_s
        ) as attackers:
            time.sleep(max(attack.settle_s, plan.lead_in_s))  # the attack has to last, for nothing in particular
            if sees_onset:
                result.onset.append(self._answer(healthy))
            if is_watched:
                self._ask(healthy)
            if attack.strikes_early:
                self._note_busy()
                attackers.strike()
            if is_watched:
                result.during.append(self._answer(healthy))
            if not attack.strikes_early:
                self._note_busy()
                self._books("release")
                attackers.strike()
            report = attackers.report()
        self._note_report(report)

    def _note_report(self, report: Report) -> None:
        result = self._result
        result.begun.append(report.begun)
        result.outcomes = dict(Counter(result.outcomes) + Counter(report.outcomes))
        now = self._books_at_rest()
        if self._attack.strikes_early and now and now["last_closed_s"] > report.struck_s:
            result.closed_after_s = max(result.closed_after_s, now["last_closed_s"] - report.struck_s)

    def _note_busy(self) -> None:
        now, busy = watching.look(self._pid), self._result.busy
        if now.threads >= busy.threads:
            self._result.busy = now

    def _look_back(self, before: dict[str, Any]) -> None:
        result = self._result
        after = self._books_at_rest()
        result.books = {
            name: value - before[name] if isinstance(value, int) and name != "pid" else value
            for name, value in after.items()
        }
        result.after = watching.settle(self._pid, result.idle, self._plan.settle_s)
        result.peak_over_idle_mib = watching.peak_mib(self._pid) - result.idle.resident_mib

    # ---- Asking ---------------------------------------------------------------------------------------------------

    def _books(self, route: str = "books") -> dict[str, Any]:
        """Ask the process natively; empty if it does not answer."""
        with suppress(OSError, ValueError):
            with Connection(self._server, _ASK_S) as connection:
                answer = connection.request("GET", f"/native/{route}")
                return dict(answer.json()) if route == "books" else {}
        return {}

    def _books_at_rest(self) -> dict[str, Any]:
        """Ask until every iterator is closed, and no worker has or had anything to do; or the time is up."""
        deadline_s = time.monotonic() + self._plan.settle_s
        while True:
            now = self._books()
            pool = now.get("bridge") or {}
            is_at_rest = not (pool.get("requests") or pool.get("workers_busy") or pool.get("workers_idle"))
            if (now and now["opened"] == now["closed"] and is_at_rest) or time.monotonic() > deadline_s:
                return now
            time.sleep(_LOOK_S)
