"""Where a large body goes when the choice is left to the bridge: to the worker when it comes fast, else to disk."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import pytest

from bridge import Limits, WSGIToASGI
from bridge._wsgi_hosting import request_body

PATIENCE_S = 10.0
LIMITS = Limits(workers=8, worker_idle_s=0.05, body_memory_bytes=1000)
PIECE = bytes(range(250))
PIECES = 40


@pytest.fixture
def comes_fast(monkeypatch) -> None:
    monkeypatch.setattr(request_body, "_FAST_BYTES_PER_S", 1e-9)


@pytest.fixture
def comes_slowly(monkeypatch) -> None:
    monkeypatch.setattr(request_body, "_FAST_BYTES_PER_S", 1e18)


class Upload:
    """A client that sends its pieces, but the last one only when it is told to."""

    def __init__(self, *, has_length: bool = True, http_version: str = "1.1") -> None:
        length = b"%d" % (len(PIECE) * PIECES)
        headers = [(b"content-length", length)] if has_length else [(b"transfer-encoding", b"chunked")]
        self.scope = {"type": "http", "http_version": http_version, "method": "POST", "path": "/", "headers": headers}
        self.received = 0
        self.may_end = anyio.Event()
        self.body = b""

    async def receive(self):
        if self.received == PIECES - 1:
            await self.may_end.wait()
        elif self.received >= PIECES:
            await anyio.sleep_forever()
        self.received += 1
        return {"type": "http.request", "body": PIECE, "more_body": self.received < PIECES}

    async def send(self, message):
        self.body += message.get("body", b"")


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not condition():
            await anyio.sleep(0.001)


def serve(backend, app, uploads: Callable[[], list[Upload]], steps, **options) -> list[Upload]:
    """Serve uploads at the same time; ``steps(uploads)`` tells them when to end."""
    adapter = WSGIToASGI(app, limits=LIMITS, **options)
    made: list[Upload] = []

    async def main() -> None:
        made.extend(uploads())
        with anyio.fail_after(3 * PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                for upload in made:
                    tasks.start_soon(adapter, upload.scope, upload.receive, upload.send)
                await steps(made)

    backend.run(main)
    assert adapter.statistics().requests == 0
    assert adapter.statistics().bytes_held == 0
    return made


def reading(began: list[int], *, lengths: list[str | None] | None = None):
    lock = threading.Lock()

    def app(environ, start_response):
        with lock:
            began.append(1)
            if lengths is not None:
                lengths.append(environ.get("CONTENT_LENGTH"))
        body = b""
        while piece := environ["wsgi.input"].read(100):
            body += piece
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [body]

    return app


@pytest.mark.requirement("W-075", "W-077")
@pytest.mark.parametrize("has_length", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("http_version", ["1.1", "2"])
@pytest.mark.usefixtures("comes_fast")
def test_a_body_that_comes_fast_is_read_while_it_comes(backend, has_length, http_version):
    began: list[int] = []

    async def steps(uploads):
        await until(lambda: began)
        uploads[0].may_end.set()

    (upload,) = serve(
        backend, reading(began), lambda: [Upload(has_length=has_length, http_version=http_version)], steps
    )

    assert upload.body == PIECE * PIECES


@pytest.mark.requirement("W-145")
@pytest.mark.usefixtures("comes_slowly")
def test_a_body_that_comes_slowly_takes_no_worker_before_it_is_complete(backend):
    began: list[int] = []

    async def steps(uploads):
        await until(lambda: uploads[0].received == PIECES - 1)
        assert not began
        uploads[0].may_end.set()

    (upload,) = serve(backend, reading(began), lambda: [Upload()], steps)

    assert upload.body == PIECE * PIECES
    assert began == [1]


@pytest.mark.requirement("W-075")
@pytest.mark.usefixtures("comes_fast")
def test_what_is_fetched_ahead_is_bounded_in_bytes(backend):
    ahead: list[int] = []
    current: list[Upload] = []

    def app(environ, start_response):
        read = 0
        while piece := environ["wsgi.input"].read(100):
            read += len(piece)
            ahead.append(current[0].received * len(PIECE) - read)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % read]

    def uploads():
        current.append(Upload())
        return current

    async def steps(uploads):
        uploads[0].may_end.set()

    serve(backend, app, uploads, steps)

    # The collected part and one piece over it, plus what is in the reader's own buffer.
    assert max(ahead) <= LIMITS.body_memory_bytes + 2 * len(PIECE) + 8192


@pytest.mark.requirement("W-145")
@pytest.mark.usefixtures("comes_fast")
def test_only_a_quarter_of_the_workers_may_be_held_by_bodies_that_came_fast_and_stopped(backend):
    began: list[int] = []

    async def steps(uploads):
        await until(lambda: all(upload.received == PIECES - 1 for upload in uploads))
        await until(lambda: len(began) == LIMITS.workers // 4)
        for upload in uploads:
            upload.may_end.set()

    uploads = serve(backend, reading(began), lambda: [Upload() for _ in range(10)], steps)

    assert [upload.body for upload in uploads] == [PIECE * PIECES] * 10
    assert len(began) == 10


@pytest.mark.requirement("W-077")
@pytest.mark.usefixtures("comes_fast")
def test_applications_that_read_by_length_are_given_one_for_a_chunked_body_however_fast_it_comes(backend):
    lengths: list[str | None] = []

    async def steps(uploads):
        uploads[0].may_end.set()

    (upload,) = serve(
        backend, reading([], lengths=lengths), lambda: [Upload(has_length=False)], steps, set_content_length=True
    )

    assert lengths == [str(len(PIECE) * PIECES)]
    assert upload.body == PIECE * PIECES
