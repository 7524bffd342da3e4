"""A load of ordinary requests that goes on while servers fork, restart and end, by clients that retry as they may.

A request that got no part of an answer is made again, on a new connection; that is what a proxy or a browser does. What
is never right is a part of an answer, and another one than was asked for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from itertools import count
from types import TracebackType
from typing import Self

from tests.integration.raw import Connection, CutError, Response
from tests.integration.servers import Server

_AT_MOST_S = 20.0
_RETRY_S = 0.02
_REUSES = 5


class Load:
    """Clients in threads of their own, each with one request at a time; a context manager, which ends them.

    Args:
        server: where to.
        clients: how many.
        target: what is asked for; the answer to ``{id}`` is ``<id>``.

    Attributes:
        answered: how many requests were answered as they should be.
        retried: how often one was made again.
        wrong: what was answered otherwise.
    """

    def __init__(self, server: Server, clients: int = 4, target: str = "/brief?id={id}") -> None:
        self.answered = 0
        self.retried = 0
        self.wrong: list[str] = []
        self._server = server
        self._target = target
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"load-{turn}") for turn in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(2 * _AT_MOST_S)

    def go_on(self, number: int, timeout_s: float = _AT_MOST_S) -> None:
        """Wait until so many more requests have been answered; fails if they are not in time."""
        goal, deadline_s = self.answered + number, time.monotonic() + timeout_s
        while self.answered < goal:
            assert time.monotonic() < deadline_s, f"{goal - self.answered} of {number} not answered after {timeout_s} s"
            time.sleep(0.01)

    def _work(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError):  # nobody listens: again
                with Connection(self._server, timeout_s=_AT_MOST_S) as connection:
                    self._use(connection)
                continue
            self._is_over.wait(_RETRY_S)

    def _use(self, connection: Connection) -> None:
        """Make some requests on a connection, as long as it lasts."""
        for _ in range(_REUSES):
            number = next(self._numbers)
            try:
                response = connection.request("GET", self._target.format(id=number))
            except (CutError, ConnectionError) as error:
                with self._lock:
                    # The server's, of an answer that had begun; without an octet it is a request to be made again.
                    if isinstance(error, CutError) and "b''" not in str(error):
                        self.wrong.append(f"{number}: {error}")
                    self.retried += 1
                return
            except TimeoutError:
                with self._lock:
                    self.wrong.append(f"{number}: nothing for {_AT_MOST_S} s")
                return
            self._note(number, response)
            if self._is_over.is_set() or (response.header("connection") or "").lower() == "close":
                return
            if not response.is_framed:
                return

    def _note(self, number: int, response: Response) -> None:
        is_right = (response.status, response.body) == (200, b"<%d>" % number)
        with self._lock:
            if is_right and (response.is_complete or not response.is_framed):
                self.answered += 1
            else:
                self.wrong.append(
                    f"{number}: {response.status} {response.body[:80]!r}, complete {response.is_complete}"
                )
