"""A crowd of clients in a process of its own: neither the server nor the healthy client shares a thread with it.

``python -m tests.faults.crowd SPEC`` gets the crowd into position, says so with a line of JSON, strikes when it reads a
line, and ends with a report. `Crowd` is the bench's side of it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from tests.faults.behaviours import BEHAVIOURS, receive_buffer_of, result_of
from tests.faults.children import Child
from tests.faults.clients import Client, Load
from tests.faults.wire import Wire


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a crowd.

    Attributes:
        begun: how many were in position before the strike.
        outcomes: how many had which.
        struck_s: when the last of them had struck, on the clock that processes share.
        took_s: how long it was from the strike until the last outcome.
    """

    begun: int
    outcomes: dict[str, int]
    struck_s: float
    took_s: float


class Crowd:
    """A crowd at work.

    Args:
        child: its process.
        patience_s: how long it waits for the last answer after the strike.
    """

    def __init__(self, child: Child, patience_s: float) -> None:
        self._child = child
        self._patience_s = patience_s

    def strike(self) -> None:
        """Let those that drop drop, those that rush rush, and those that are slow hurry."""
        self._child.write({})

    def report(self) -> Report:
        """Wait until all have had their outcome."""
        return Report(**self._child.read(self._patience_s + 15))


@contextmanager
def crowd(port: int, behaviour: str, load: Load, *, begin_s: float, patience_s: float) -> Iterator[Crowd]:
    """Start a crowd; it is in position (or has had its time for that) when this returns.

    Args:
        port: of the server, on loopback.
        behaviour: a key of `BEHAVIOURS`.
        load: how much of it.
        begin_s: how long it has to get into position: some never get there.
        patience_s: how long an answer is waited for after the strike.
    """
    spec = {"port": port, "behaviour": behaviour, "load": asdict(load), "begin_s": begin_s, "patience_s": patience_s}
    with Child("tests.faults.crowd", json.dumps(spec)) as child:
        child.read(begin_s + 15)
        yield Crowd(child, patience_s)


# ---- The process ----------------------------------------------------------------------------------------------------


async def _run(spec: dict[str, Any]) -> None:
    load = Load(**spec["load"])
    strike = asyncio.Event()
    clients = [Client(Wire(spec["port"]), load, number, strike) for number in range(load.clients)]
    tasks = [asyncio.create_task(_live(client, spec["behaviour"])) for client in clients]
    await _get_into_position(clients, tasks, spec["begin_s"])
    begun = sum(client.begun.is_set() for client in clients)
    print(json.dumps({"begun": begun}), flush=True)

    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    struck_s = time.monotonic()
    strike.set()
    await asyncio.wait(tasks, timeout=spec["patience_s"])
    took_s = time.monotonic() - struck_s
    for client in clients:
        client.wire.close()
    outcomes = Counter(map(result_of, tasks))
    report = Report(begun, dict(outcomes), max(struck_s, *(client.struck_s for client in clients)), took_s)
    print(json.dumps(asdict(report)), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _live(client: Client, behaviour: str) -> str:
    await client.wire.connect(receive_buffer_of(behaviour))
    return await BEHAVIOURS[behaviour](client)


async def _get_into_position(clients: list[Client], tasks: list[asyncio.Task[str]], begin_s: float) -> None:
    waiting = [asyncio.create_task(client.begun.wait()) for client in clients]
    over = asyncio.create_task(asyncio.wait(tasks))  # all may have failed before
    everybody = asyncio.create_task(asyncio.wait(waiting))
    await asyncio.wait([over, everybody], timeout=begin_s, return_when=asyncio.FIRST_COMPLETED)
    for task in (*waiting, over, everybody):
        task.cancel()


def main() -> None:
    """Run the crowd that the command line describes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_run(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
