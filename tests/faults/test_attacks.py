"""Every attack of the bench on the bridge, under real servers: what has to hold, holds.

The loads are modest unless ``--faults=full`` is given. How fast it all is, is not asked here but by
``python -m tests.faults``: it means nothing on a machine that is busy with other tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults import watching
from tests.faults.attacks import ATTACKS, Attack, attack_named
from tests.faults.bench import BRIDGE, Plan, hosted, run_on
from tests.integration.servers import GRANIAN, HYPERCORN_ASYNCIO, UVICORN_H11, UVICORN_HTTPTOOLS, Server, ServerKind

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not watching.can_watch(), reason="other processes cannot be looked at on this system"),
]

_WINDOW_S = 0.3


# What the servers do differently: how they read, hold back, and notice that a client has left.
_ELSEWHERE = {
    HYPERCORN_ASYNCIO: ("slow-continue", "slow-readers", "dropped-downloads"),
    GRANIAN: ("slow-continue", "slow-readers", "dropped-downloads", "pipeline", "half-close"),
    UVICORN_H11: ("pipeline", "half-close"),
}
_CASES = [(attack, UVICORN_HTTPTOOLS) for attack in ATTACKS]
_CASES += [(attack_named(name), kind) for kind, names in _ELSEWHERE.items() for name in names]


class Hosts:
    """Servers that run, one for each kind and limits; one that was harmed is not used again."""

    def __init__(self, directories: pytest.TempPathFactory) -> None:
        self._directories = directories
        self._running: dict[tuple[str, str], tuple[Server, ExitStack]] = {}

    @contextmanager
    def host_for(self, attack: Attack, kind: ServerKind) -> Iterator[Server]:
        """Lend a server; it is stopped if the test fails."""
        key = (kind.name, repr(attack.limits))
        if key not in self._running:
            stack = ExitStack()
            server = stack.enter_context(hosted(attack, BRIDGE, kind, self._directories.mktemp(kind.name)))
            self._running[key] = server, stack
        try:
            yield self._running[key][0]
        except BaseException:
            self._running.pop(key)[1].close()
            raise

    def stop(self) -> dict[str, int | None]:
        """Stop all of them; return their exit codes, None for one that had to be killed."""
        codes = {}
        while self._running:
            key, (server, stack) = self._running.popitem()
            with stack:
                codes[" ".join(key)] = server.stop()
        return codes


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory)
    yield hosts
    hosts.stop()


@pytest.mark.requirement("W-078", "W-111", "W-114", "W-115", "W-140")
@pytest.mark.parametrize(("attack", "kind"), _CASES, ids=str)
def test_an_attack_harms_nobody_else(attack: Attack, kind: ServerKind, is_full: bool, hosts: Hosts) -> None:
    plan = Plan(attack.full if is_full else attack.modest, rounds=1, window_s=_WINDOW_S, compares=False)

    with hosts.host_for(attack, kind) as server:
        result = run_on(server, attack, plan, BRIDGE)

        misses = {target.text: target.miss(result) for target in attack.targets if target.holds_in_tests}
        assert {text: miss for text, miss in misses.items() if miss} == {}, server.log()[-5000:]


def test_every_server_ends_after_all_of_it(hosts: Hosts) -> None:
    codes = hosts.stop()

    assert None not in codes.values(), codes
