"""Under fire: bodies far larger than the memory they may take, both ways at once, on several WSGI servers.

`tests.integration.test_to_wsgi_memory` does the same one after the other on one server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.process_apps import BLOCK
from tests.faults.process_servers import (
    ASGI_APP,
    GEVENT,
    GRANIAN_WSGI,
    GTHREAD,
    WAITRESS_THREADS,
    at_once,
    hosting,
    on_each,
)
from tests.integration.raw import Connection, fetch
from tests.integration.wsgi_servers import Hosted, WSGIServerKind

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from /proc"),
]

_MIB = 1024 * 1024
_GROWTH_MIB = 64
_CLOSE = [("Connection", "close")]


@pytest.mark.requirement("A-041", "A-067", "A-077")
def test_large_bodies_up_and_down_take_little_memory(is_full: bool) -> None:
    # Waitress keeps up to 16 MiB of a response that its client does not read yet, and a request body on the disk.
    on_each([GTHREAD, GEVENT, WAITRESS_THREADS, GRANIAN_WSGI], partial(_up_and_down, size_mib=512 if is_full else 96))


def _up_and_down(kind: WSGIServerKind, *, size_mib: int) -> None:
    blocks = size_mib * _MIB // len(BLOCK)
    with hosting(kind, ASGI_APP) as hosted:
        for _ in range(2):  # what is made once is made now
            _download(hosted, 16)
            _upload(hosted, 16)
        pid = fetch(hosted.server, "GET", "/inside", _CLOSE).json()["pid"]
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
        idle_mib = _peak_mib(pid)

        transfers: dict[str, Callable[[], object]] = {
            "down": partial(_download, hosted, blocks),
            "up": partial(_upload, hosted, blocks),
        }
        at_once(transfers)

        assert _peak_mib(pid) - idle_mib < _GROWTH_MIB


def _peak_mib(pid: int) -> float:
    """Return the most memory that the process has had resident since that was last cleared."""
    found = re.search(r"^VmHWM:\s+([0-9]+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _download(hosted: Hosted, blocks: int) -> None:
    with Connection(hosted.server) as connection:
        connection.send_head("GET", f"/large?id=down&number={blocks}", _CLOSE)
        assert connection.read_head().header("content-length") == str(blocks * len(BLOCK))
        received = 0
        while octets := connection.read_some():
            received += len(octets)
    assert received == blocks * len(BLOCK)


def _upload(hosted: Hosted, blocks: int) -> None:
    with Connection(hosted.server, timeout_s=60.0) as connection:
        connection.send_head("POST", "/pieces?id=up", [("Content-Length", str(blocks * len(BLOCK))), *_CLOSE])
        sha256 = hashlib.sha256()
        for _ in range(blocks):
            connection.send(BLOCK)
            sha256.update(BLOCK)
        seen = connection.read_response().json()
    assert seen == {"length": blocks * len(BLOCK), "sha256": sha256.hexdigest()}
