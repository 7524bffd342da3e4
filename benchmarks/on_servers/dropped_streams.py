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
from benchmarks.settings import Settings, Table

WAIT_S = 30.0


def run(settings: Settings) -> list[Table]:
    count = settings.pick(500, 50)
    table = Table(title=f"{count} clients drop an endless stream", head=("", "figure"))
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
    table.rows = [
        ("until all iterators were closed", f"{closed_s:.2f} s"),
        ("until all workers had ended (idle ones stay for 2 s)", f"{ended_s:.2f} s"),
        ("threads before, during, after", f"{threads_before}, {threads_during}, {threads_after}"),
    ]
    return [table]


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
