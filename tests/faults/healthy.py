"""A healthy client: it asks, gets its answer, asks again; in a process of its own, and thrifty.

``python -m tests.faults.healthy PORT`` serves windows of time, one for each line of JSON it reads; `HealthyClient` is
the bench's side of it.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from tests.faults.children import Child
from tests.faults.wire import HOST

_CONTENT = b"\r\n\r\nhello\n"
_RECEIVE_BYTES = 4096
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Window:
    """What the healthy client saw in one window of time.

    Attributes:
        rate: answers per second.
        answered: how many of them, all right.
        wrong: answers that were not right, and connections that were cut.
        unanswered: requests that had no answer when the patience was over.
        p50_ms: the median time to an answer.
        p99_ms: 99 of 100 came in less.
        slowest_ms: the longest of all.
        work_ms: the processor time of the server's process, for everything it did meanwhile, per answer; the bench
            fills it in.
    """

    rate: float
    answered: int
    wrong: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    work_ms: float = 0.0


class HealthyClient:
    """The client's process, and what it is asked to do.

    Args:
        child: the process.
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self._limit_s = 0.0

    def begin(
        self,
        seconds: float,
        *,
        path: str = "/hello",
        connections: int = 8,
        pause_s: float = 0.0,
        patience_s: float = 5.0,
    ) -> None:
        """Let a window begin.

        Args:
            seconds: how long it asks.
            path: what it asks for.
            connections: how many requests are under way at a time.
            pause_s: how long it rests after each answer.
            patience_s: how long it waits for the last answers afterwards.
        """
        self._limit_s = seconds + patience_s + 15
        self._child.write(
            {
                "seconds": seconds,
                "path": path,
                "connections": connections,
                "pause_s": pause_s,
                "patience_s": patience_s,
            }
        )

    def end(self) -> Window:
        """Wait for the end of the window that was begun."""
        return Window(**self._child.read(self._limit_s))


@contextmanager
def healthy_client(port: int) -> Iterator[HealthyClient]:
    """Start the client's process; it connects when a window begins."""
    with Child("tests.faults.healthy", str(port)) as child:
        yield HealthyClient(child)


# ---- The process ----------------------------------------------------------------------------------------------------


class _Visit:
    """One connection, with one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked_s = 0.0
        self.held = b""

    def ask(self, request: bytes) -> None:
        self.asked_s = time.monotonic()
        self.held = b""
        self.socket.send(request)

    def is_answered(self) -> bool:
        """Receive; tell whether the answer is complete.

        Raises:
            ValueError: it is not the right one.
            OSError: the connection was cut.
        """
        octets = self.socket.recv(_RECEIVE_BYTES)
        if not octets:
            raise ConnectionError("closed")
        self.held += octets
        if self.held.endswith(_CONTENT) and self.held.startswith(b"HTTP/1.1 200"):
            return True
        if not b"HTTP/1.1 200".startswith(self.held[:12]):
            raise ValueError(self.held)
        return False


def _run(port: int, seconds: float, path: str, connections: int, pause_s: float, patience_s: float) -> Window:
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    took: list[float] = []
    wrong = 0
    with selectors.DefaultSelector() as selector:

        def visit() -> bool:
            try:
                one = _Visit(port)
            except OSError:
                return False
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.ask(request)
            return True

        began_s = time.monotonic()
        deadline_s, last_s = began_s + seconds, began_s + seconds + patience_s
        in_time = 0
        for _ in range(connections):
            wrong += not visit()
        while selector.get_map() and (now_s := time.monotonic()) < last_s:
            for key, _ in selector.select(min(_LOOK_S, last_s - now_s)):
                one: _Visit = key.data
                now_s = time.monotonic()
                try:
                    if not one.is_answered():
                        continue
                    took.append(now_s - one.asked_s)
                    in_time += now_s < deadline_s
                    is_right = True
                except (OSError, ValueError):
                    wrong += 1
                    is_right = False
                if now_s < deadline_s and is_right:
                    if pause_s:
                        time.sleep(pause_s)
                    one.ask(request)
                    continue
                selector.unregister(one.socket)
                one.socket.close()
                if now_s < deadline_s:
                    wrong += not visit()
        left = [key.data for key in selector.get_map().values()]
        for one in left:
            selector.unregister(one.socket)
            one.socket.close()
    took.sort()

    def of(share: float) -> float:
        return round(1000 * took[min(len(took) - 1, int(share * len(took)))], 3) if took else 0.0

    return Window(round(in_time / seconds, 1), len(took), wrong, len(left), of(0.5), of(0.99), of(1.0))


def main() -> None:
    """Serve windows until nobody wants one."""
    for line in sys.stdin:
        print(json.dumps(asdict(_run(int(sys.argv[1]), **json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
