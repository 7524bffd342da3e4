"""Live, an ASGI application on a WSGI server: bodies far larger than the memory they may take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.asgi_apps import PIECE
from tests.integration.raw import Connection, fetch
from tests.integration.wsgi_servers import GUNICORN_GTHREAD, Hosted, hosting

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

_MIB = 1024 * 1024
_DOWN_MIB = 512
_UP_MIB = 128
_GROWTH_MIB = 64


@pytest.fixture(scope="module")
def gunicorn() -> Iterator[Hosted]:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of another process' memory is read from /proc")
    with hosting(GUNICORN_GTHREAD) as hosted:
        yield hosted


def _peak_mib(pid: int) -> float:
    """Return the most memory that a process has ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+([0-9]+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _pid_of_warm(gunicorn: Hosted) -> int:
    """Return the worker's process id, after requests of both kinds have had all that is made once."""
    fetch(gunicorn.server, "GET", "/mebibytes?number=1")
    fetch(gunicorn.server, "POST", "/digest", body=PIECE)
    pid = fetch(gunicorn.server, "GET", "/whoami").json()["pid"]
    assert isinstance(pid, int)
    return pid


@pytest.mark.requirement("A-067", "A-077")
def test_half_a_gibibyte_down_takes_little_memory(gunicorn: Hosted) -> None:
    pid = _pid_of_warm(gunicorn)
    before_mib = _peak_mib(pid)

    with Connection(gunicorn.server) as connection:
        connection.send_head("GET", f"/mebibytes?number={_DOWN_MIB}", [("Connection", "close")])
        length = connection.read_head().header("content-length")
        received = 0
        while octets := connection.read_some():
            received += len(octets)

    assert received == _DOWN_MIB * _MIB == int(length or 0)
    assert _peak_mib(pid) - before_mib < _GROWTH_MIB


@pytest.mark.requirement("A-041")
@pytest.mark.parametrize("is_chunked", [False, True], ids=["with-length", "chunked"])
def test_a_large_upload_takes_little_memory(gunicorn: Hosted, is_chunked: bool) -> None:
    pid = _pid_of_warm(gunicorn)
    before_mib = _peak_mib(pid)
    # In the chunked coding gunicorn gives pieces of 8 KiB: fewer of them prove the same.
    number = _UP_MIB if not is_chunked else _GROWTH_MIB + 32

    with Connection(gunicorn.server) as connection:
        if is_chunked:
            seen = connection.request("POST", "/digest", body=(PIECE for _ in range(number))).json()
        else:
            connection.send_head("POST", "/digest", [("Content-Length", str(number * _MIB))])
            for _ in range(number):
                connection.send(PIECE)
            seen = connection.read_response().json()

    assert seen["length"] == number * _MIB
    assert _peak_mib(pid) - before_mib < _GROWTH_MIB
