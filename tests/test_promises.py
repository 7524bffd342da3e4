"""What SECURITY.md promises, where no other test holds it; in the order of that page."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import re
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge import Limits, WSGIToASGI
from bridge._runtime.inflow import Inflow
from bridge._runtime.links import NO_LINK
from tests.conformance.crowded import BLOCKS, held_from, serve_crowded, spooled
from tests.driving import drive, fetch
from tests.fakes import body_events, make_scope

TOP = Path(__file__).resolve().parent.parent
PAGE = (TOP / "SECURITY.md").read_text(encoding="utf-8")
QUICK = Limits(worker_idle_s=0.05)
SMALL = Limits(worker_idle_s=0.05, body_memory_bytes=100)
CHUNKED = [(b"transfer-encoding", b"chunked")]


def counting(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with the number of octets of the body."""
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % size]


def pairs_of_octets(count: int) -> Iterator[bytes]:
    """Make tiny pieces; each is an object of its own, as those are that a server cuts out of what it reads."""
    return (bytes((65 + number % 26, 97)) for number in range(count))


# ---- Resources: what a client can make grow -------------------------------------------------------------------------


@pytest.mark.requirement("W-075")
def test_a_body_in_tiny_pieces_takes_no_more_memory_than_another() -> None:
    count = 30_000
    pieces = pairs_of_octets(count)
    taken: list[int] = []
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        if piece is None:
            taken.append(tracemalloc.get_traced_memory()[0])
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: Any) -> None:
        sent.append(message)

    tracemalloc.start()
    try:
        asyncio.run(WSGIToASGI(counting, limits=QUICK)(make_scope(method="POST", headers=CHUNKED), receive, send))
    finally:
        tracemalloc.stop()

    assert sent[1]["body"] == b"%d" % (2 * count)
    # An object of two octets takes forty, and eight for its place in a list.
    assert taken[0] < 12 * count, "each piece is kept by itself"


def test_what_an_upload_has_on_the_disk_is_not_counted_as_memory() -> None:
    pieces = [b"x" * 80] * 20
    seen: list[tuple[int, int]] = []

    async def receive() -> dict[str, Any]:
        now = adapter.statistics()
        seen.append((now.bytes_held, now.bytes_spooled))
        return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    adapter = WSGIToASGI(counting, limits=SMALL, large_body="spool")
    asyncio.run(adapter(make_scope(method="POST", headers=CHUNKED), receive, send))

    assert max(held for held, _ in seen) <= 160
    assert max(on_disk for _, on_disk in seen) >= 1000


def test_what_waits_for_a_reader_in_tiny_pieces_takes_no_more_memory_than_its_size() -> None:
    count = 30_000
    inflow = Inflow(None, NO_LINK, low_water_bytes=4 * count)

    tracemalloc.start()
    try:
        for piece in pairs_of_octets(count):
            inflow.feed(piece)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    inflow.end()
    buffer = bytearray(4 * count)
    octets = b"".join(bytes(buffer[:size]) for size in iter(lambda: inflow.readinto(memoryview(buffer)), 0))

    assert octets == b"".join(pairs_of_octets(count))
    assert taken < 12 * count


@pytest.mark.skipif(not hasattr(os, "writev"), reason="where octets are joined before they are written")
def test_a_body_in_tiny_pieces_is_no_more_work_for_the_disk_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    writev = os.writev

    def watched(descriptor: int, pieces: list[bytes]) -> int:
        written.append(len(pieces))
        return writev(descriptor, pieces)

    monkeypatch.setattr(os, "writev", watched)
    count = 20_000
    adapter = WSGIToASGI(counting, limits=Limits(worker_idle_s=0.05, body_memory_bytes=10_000), large_body="spool")
    scope = make_scope(method="POST", headers=CHUNKED)

    record = fetch(adapter, scope, body_events(*pairs_of_octets(count)))

    assert record.body == b"%d" % (2 * count)
    assert written
    assert sum(written) < count / 50


# ---- Resources: when the system has none left -----------------------------------------------------------------------


def _fails(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        pytest.param(os, "writev", OSError(errno.ENOSPC, "no space left on device"), id="the disk is full"),
        pytest.param(tempfile, "TemporaryFile", OSError(errno.EMFILE, "too many open files"), id="no descriptor"),
        pytest.param(threading.Thread, "start", RuntimeError("can't start new thread"), id="no thread"),
    ],
)
@pytest.mark.requirement("W-138")
def test_an_upload_for_which_the_system_has_no_room_is_answered_503_and_the_next_one_is_served(
    module: Any, name: str, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = WSGIToASGI(counting, limits=SMALL, large_body="spool")
    scope = make_scope(method="POST", headers=CHUNKED)
    pieces = [b"x" * 80] * 5

    with monkeypatch.context() as patch:
        patch.setattr(module, name, _fails(error))
        refused = drive(adapter, dict(scope), body_events(*pieces)).checked()
    served = fetch(adapter, dict(scope), body_events(*pieces))

    assert (refused.status, refused.header(b"retry-after")) == (503, b"1")
    assert str(error).encode() not in refused.body, "the client is told about the system"
    assert served.body == b"400"
    assert adapter.statistics().bytes_spooled == 0
    [message] = [record.getMessage() for record in caplog.records if record.name.startswith("bridge")]
    assert str(error) in message, "the log does not say why"


@pytest.mark.requirement("W-138", "W-145")
def test_a_request_for_which_there_is_no_thread_is_answered_503_and_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = WSGIToASGI(counting, limits=QUICK)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _fails(RuntimeError("can't start new thread")))
        refused = drive(adapter, make_scope()).checked()

    assert (refused.status, refused.header(b"retry-after")) == (503, b"1")
    assert fetch(adapter, make_scope()).body == b"0"


# ---- Other ----------------------------------------------------------------------------------------------------------

_AT_REST = """
import os, sys, threading

# What they need themselves, at their own import; none of it is the bridge's.
import anyio, asgiref.sync, concurrent.futures, multiprocessing, tempfile, uuid

seen = []
code = (".py", ".pyc", ".so", ".pyd")
watched = ("socket.", "subprocess.", "os.posix_spawn", "os.fork", "_thread.start", "signal.", "tempfile.")


def hook(event, arguments):
    name = os.fspath(arguments[0]) if event == "open" and not isinstance(arguments[0], int) else ""
    if event.startswith(watched) or (event == "open" and not str(name).endswith(code)):
        seen.append((event, str(name)))


class Variables(dict):
    def _look(self, key):
        frame = sys._getframe(2)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        seen.append(("variable", str(key)))

    def __getitem__(self, key):
        self._look(key)
        return dict.__getitem__(self, key)

    def __contains__(self, key):
        self._look(key)
        return dict.__contains__(self, key)


def look(key, default=None):
    seen.append(("variable", str(key)))
    return default


sys.addaudithook(hook)
os.environ._data = Variables(os.environ._data)
os.getenv = look
import bridge

to_asgi, to_wsgi = bridge.WSGIToASGI(lambda environ, start_response: []), bridge.ASGIToWSGI(lambda *_: None)
shared = bridge.WSGIToASGI(lambda environ, start_response: [], workers=bridge.WorkerPool())
repr((to_asgi, to_wsgi, shared, to_asgi.statistics(), to_wsgi.statistics()))
seen += [("thread", thread.name) for thread in threading.enumerate()[1:]]
print(sorted({entry for entry in seen if entry != ("variable", "b'PYTHONPATH'")}))
"""


@pytest.mark.requirement("A-115")
def test_importing_bridge_and_making_adapters_starts_nothing_opens_nothing_and_reads_no_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AT_REST],
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made in this test, and where none may be seen."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a file that is open has a name")
def test_the_temporary_file_of_an_upload_has_no_name(directory: Path) -> None:
    seen: list[tuple[int, list[Path]]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append((adapter.statistics().bytes_spooled, list(directory.iterdir())))
        return counting(environ, start_response)

    adapter = WSGIToASGI(app, limits=SMALL, large_body="spool")
    record = fetch(adapter, make_scope(method="POST", headers=CHUNKED), body_events(*[b"x" * 200] * 5))

    assert record.body == b"1000"
    assert seen[0][0] >= 600, "it was not in a file"
    assert seen == [(seen[0][0], [])]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a file that is open has a name")
def test_the_temporary_file_of_a_response_has_no_name(directory: Path) -> None:
    seen: list[list[Path]] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        return iter(BLOCKS)

    client = held_from(1)

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        seen.append(list(directory.iterdir()))
        client.release(1)

    serve_crowded(app, client, steps)

    assert client.body == b"".join(BLOCKS)
    assert seen == [[]]


# ---- The page itself ------------------------------------------------------------------------------------------------


def test_the_limits_that_the_page_names_exist_and_are_as_large_as_it_says() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(Limits)}
    named = set(re.findall(r"`Limits\.(\w+)`", PAGE))

    assert named
    assert named <= set(fields)
    assert "`Limits.body_max_bytes` is 1 GiB" in PAGE
    assert fields["body_max_bytes"] == 1024**3
    assert "forty views that hang for ever are replaced by forty spare threads" in PAGE
    assert fields["workers"] == fields["spare_workers"] == 40


def test_there_is_a_way_to_report_that_is_not_public() -> None:
    assert "*Report a vulnerability*" in PAGE
    assert "not in an issue" in PAGE
