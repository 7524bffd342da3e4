"""What is left of 500 clients that drop an endless stream in the middle? How long until each of their iterators has
been closed, and until the threads are gone?

The bridge alone is asked: with the peers no iterator is ever closed, and some stop answering after ten such clients.
"""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.on_servers import servers
from benchmarks.results import Column, Comparison, Figure
from benchmarks.settings import Settings

WAIT_S = 30.0
MOST_CLOSED_S = 2.0
CLOSED = "all iterators closed after"
COLUMNS = (
    Column(name=CLOSED, unit="s", better="less"),
    Column(name="all workers ended after (idle ones stay for 2 s)", unit="s", better="less"),
    Column(name="threads before", unit="", better="less"),
    Column(name="during", unit="", better="less"),
    Column(name="after", unit="", better="less"),
)


def run(settings: Settings) -> list[Comparison]:
    count = settings.pick(500, 50)
    with servers.uvicorn("endless", path="/books") as (url, _):
        address = urlsplit(url)
        _, threads_before = books(url)
        clients = [socket.create_connection((str(address.hostname), int(address.port or 0)), 10) for _ in range(count)]
        try:
            for client in clients:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for client in clients:
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
            opened, threads_during = books(url)
            assert opened == count, opened
        finally:
            began_s = time.perf_counter()
            for client in clients:
                client.close()
        wait_until(lambda: books(url)[0] == 0, "iterators were left open")
        closed_s = time.perf_counter() - began_s
        wait_until(lambda: books(url)[1] <= threads_before, "threads were left over")
        ended_s = time.perf_counter() - began_s
        threads_after = books(url)[1]
    found = (closed_s, ended_s, threads_before, threads_during, threads_after)
    figures = {column.name: Figure((value,)) for column, value in zip(COLUMNS, found, strict=True)}
    title = f"{count} clients drop an endless stream"
    return [
        Comparison(title=title, columns=COLUMNS, rows={"bridge on uvicorn": figures}, bounds={CLOSED: MOST_CLOSED_S})
    ]


def books(url: str) -> tuple[int, int]:
    """Return how many iterators are open, and how many threads there are."""
    with urllib.request.urlopen(f"{url}/books", timeout=10) as response:
        open_iterators, threads = response.read().split()
    return int(open_iterators), int(threads)


def wait_until(is_so: Callable[[], bool], complaint: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise RuntimeError(complaint)
        time.sleep(0.02)
