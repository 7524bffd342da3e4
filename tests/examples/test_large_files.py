"""``examples/uploads_and_downloads.py``: what is cut is not kept, what is too large is refused, memory is small."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.driving import Record, drive
from tests.fakes import make_scope
from tests.integration.servers import UVICORN_H11, Server, running

MEBIBYTE = 1024**2
MANY = 64 * MEBIBYTE
FEW = 32 * MEBIBYTE


@pytest.fixture(scope="module")
def program() -> Iterator[ModuleType]:
    module = importlib.import_module("examples.uploads_and_downloads")
    yield module
    module.storage.cleanup()


def upload(
    program: ModuleType,
    length: int,
    *pieces: bytes,
    more: tuple[tuple[bytes, bytes], ...] = (),
    is_cut: bool = False,
) -> Record:
    """Send an upload that says it has this length."""
    headers = [(b"host", b"testserver"), (b"content-length", b"%d" % length), *more]
    events: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if is_cut:
        events.append({"type": "http.disconnect"})
    elif events:
        events[-1]["more_body"] = False
    return drive(program.app, make_scope(method="PUT", path="/files/report", headers=headers), events)


def stored(program: ModuleType) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(program.storage.name).iterdir())]


@pytest.mark.parametrize(
    ("length", "more"),
    [
        pytest.param(100, (), id="collected"),
        pytest.param(3 * MEBIBYTE, (), id="large"),
        pytest.param(3 * MEBIBYTE, ((b"expect", b"100-continue"),), id="read as it comes"),
    ],
)
def test_an_upload_that_is_cut_leaves_what_was_there(
    program: ModuleType, length: int, more: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert upload(program, 5, b"whole").checked().status == 201

    upload(program, length, b"x" * (length // 2), more=more, is_cut=True)

    assert stored(program) == [b"whole"]


def test_an_upload_that_says_it_is_too_large_is_refused_before_a_byte_of_it(program: ModuleType) -> None:
    record = upload(program, 5 * 1024**3).checked()

    assert record.status == 413
    assert record.receive.calls == []


def peak_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    match = re.search(r"^VmHWM:\s+([0-9]+) kB$", status, re.MULTILINE)
    assert match
    return int(match[1]) * 1024


@pytest.mark.live
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_large_file_goes_up_is_resumed_and_comes_down_in_little_memory(tmp_path: Path) -> None:
    piece = bytes(range(256)) * 4096
    pieces = MANY // len(piece)
    digest = hashlib.sha256(piece * pieces).hexdigest()
    with (
        running(UVICORN_H11, "examples.uploads_and_downloads:app", tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client,
    ):
        assert client.put("/files/small", content=b"small").status_code == 201
        assert client.get("/files/small").content == b"small"
        before = peak_bytes(server)

        receipt = client.put("/files/large", content=(piece for _ in range(pieces)))
        assert receipt.json() == {"name": "large", "bytes": MANY, "sha256": digest}

        beginning = hashlib.sha256()
        with client.stream("GET", "/files/large") as response:
            etag = response.headers["etag"]
            blocks = response.iter_bytes(len(piece))
            for _ in range(2):
                beginning.update(next(blocks))
        resumed = {"Range": f"bytes={2 * len(piece)}-", "If-Range": etag}
        with client.stream("GET", "/files/large", headers=resumed) as response:
            assert response.status_code == 206
            for block in response.iter_bytes():
                beginning.update(block)

        assert beginning.hexdigest() == digest
        assert peak_bytes(server) - before < FEW
