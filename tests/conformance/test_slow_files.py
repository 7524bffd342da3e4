"""Files on their way to slow clients: the loop sends the rest from a descriptor of its own, and the worker leaves."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from bridge import BridgeError, WSGIToASGI
from bridge._wsgi_hosting import handing_over
from tests import meeting
from tests.conformance.crowded import paths_open, scarce, serve_crowded, spooled
from tests.conformance.driver import (
    DISCONNECT,
    REQUEST_END,
    TEXT,
    Driver,
    block,
    make_scope,
    offering,
    on_both_loops,
    on_each_backend,
    run,
    until,
)
from tests.meeting import Hold

CONTENT = bytes(range(256)) * 4000  # several blocks of a file
TRAILERS = "http.response.trailers"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "content.bin"
    file.write_bytes(CONTENT)
    return file


class Sender:
    """A WSGI application that returns a file in the server's wrapper, and says when that is closed."""

    def __init__(self, make_file: Callable[[], Any], length: int | None = None, trailers: Any = None) -> None:
        self.may_begin = threading.Event()
        self.may_begin.set()
        self._make_file = make_file
        self._headers = [*TEXT, *([] if length is None else [("Content-Length", str(length))])]
        self._trailers = trailers
        self.closed = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        block(self.may_begin)
        if self._trailers is not None:
            environ["bridge.trailers"](self._trailers)
        start_response("200 OK", self._headers)
        return environ["wsgi.file_wrapper"](Closing(self._make_file(), self.closed))


class Closing:
    """What `tempfile` makes: a regular file inside, and an end of its own."""

    def __init__(self, file: Any, closed: threading.Event) -> None:
        self.file = getattr(file, "file", file)
        self._outer = file
        self._closed = closed

    def read(self, size: int) -> bytes:
        return bytes(self.file.read(size))

    def close(self) -> None:
        self._outer.close()
        self._closed.set()


Client = Callable[[Driver], Any]


def send_file(app: Sender, driver: Driver, client: Client, backend: str, **limits: Any) -> None:
    """Serve a file to a client that takes nothing until its worker has left, and then does what ``client`` says."""
    adapter = WSGIToASGI(app, limits=scarce(**limits))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(app.closed.is_set)
            await until(lambda: adapter.statistics().workers_busy == 0)
            assert not driver.body
            assert not driver.is_returned
            assert adapter.statistics().bytes_held < 300_000  # the block that is being sent
            client(driver)
        assert adapter.statistics().bytes_spooled == 0
        await adapter.drain()

    run(main, backend)


def taking_all(driver: Driver) -> None:
    driver.release(*driver.hold_at)


# ---- Whole ------------------------------------------------------------------------------------------------------


@on_each_backend
@pytest.mark.parametrize("length", [None, len(CONTENT)], ids=["no length", "length"])
@pytest.mark.parametrize("hold_at", [0, 1], ids=["start", "content"])
def test_a_worker_leaves_a_slow_client_although_nobody_waits_for_it(path, length, hold_at, backend):
    driver = Driver(hold_at={hold_at})

    send_file(Sender(lambda: path.open("rb"), length), driver, taking_all, backend)

    assert driver.error is None
    assert driver.body == CONTENT
    assert driver.is_complete
    assert driver.violations == []
    assert paths_open(path) == 0


@on_both_loops
@pytest.mark.parametrize(
    ("offset", "length", "buffering"),
    [
        pytest.param(10, 600_000, -1, id="a range"),
        pytest.param(10, 600_000, 0, id="a range, unbuffered"),
        pytest.param(500_000, len(CONTENT) - 500_000, -1, id="the rest"),
        pytest.param(len(CONTENT) - 5000, None, -1, id="less than a block"),
        pytest.param(1, 262_144, -1, id="one block"),
        pytest.param(0, 262_145, 0, id="one block and an octet"),
    ],
)
def test_the_part_that_is_meant_is_sent_and_no_octet_more(path, offset, length, buffering, backend):
    def make_file() -> Any:
        file = path.open("rb", buffering=buffering)
        file.seek(offset)
        return file

    driver = Driver(hold_at={1})

    send_file(Sender(make_file, length), driver, taking_all, backend)

    assert driver.error is None
    assert driver.body == CONTENT[offset : None if length is None else offset + length]
    assert driver.is_complete


@on_both_loops
def test_a_file_that_is_deleted_when_it_is_closed_is_sent_whole(backend):
    names: list[str] = []

    def make_file() -> Any:
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - the server closes it
        file.write(CONTENT)
        file.seek(0)
        names.append(file.name)
        return file

    driver = Driver(hold_at={1})

    def client(driver: Driver) -> None:
        assert not Path(names[0]).exists()
        assert paths_open(names[0]) == 1
        taking_all(driver)

    send_file(Sender(make_file), driver, client, backend)

    assert driver.body == CONTENT
    assert driver.is_complete
    assert paths_open(names[0]) == 0


@on_both_loops
@pytest.mark.requirement("W-148")
def test_trailers_follow_a_file_that_the_loop_has_sent(path, backend):
    driver = Driver(make_scope(**offering(TRAILERS)), hold_at={1})

    send_file(Sender(lambda: path.open("rb"), trailers=[("X-Digest", "abc")]), driver, taking_all, backend)

    assert driver.error is None
    assert driver.body == CONTENT
    assert driver.types[-2:] == ["body", "trailers"]
    assert driver.is_complete


@on_both_loops
def test_what_is_no_regular_file_goes_through_a_file_of_the_bridge(backend):
    file = io.BytesIO(CONTENT)
    driver = Driver(hold_at={1})

    async def steps(adapter: WSGIToASGI) -> None:
        await spooled(adapter)
        driver.release(1)

    serve_crowded(Sender(lambda: file), driver, steps, backend=backend)

    assert driver.error is None
    assert driver.body == CONTENT
    assert driver.is_complete
    assert file.closed


@on_both_loops
def test_start_file_and_end_that_the_loop_finds_together_are_sent(path, backend):
    """The loop was busy with something else while the worker did all its work."""
    driver = Driver()
    app = Sender(lambda: path.open("rb"), len(CONTENT))
    app.may_begin.clear()
    adapter = WSGIToASGI(app, limits=scarce())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(lambda: adapter.statistics().workers_busy)
            app.may_begin.set()
            assert app.closed.wait(10)  # on the loop: it stands still
        await adapter.drain()

    run(main, backend)
    assert driver.error is None
    assert driver.body == CONTENT
    assert driver.is_complete


# ---- Never shorter than it should be ------------------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("length", [None, len(CONTENT)], ids=["no length", "length"])
@pytest.mark.parametrize("left", [0, 500_000])
def test_a_file_that_becomes_shorter_on_its_way_does_not_look_complete(path, length, left, backend):
    """Its owner is free to use it for something else once it is closed."""
    driver = Driver(hold_at={1})

    def client(driver: Driver) -> None:
        os.truncate(path, left)
        taking_all(driver)

    send_file(Sender(lambda: path.open("rb"), length), driver, client, backend)

    assert isinstance(driver.error, BridgeError)
    assert "shorter" in str(driver.error)
    assert not driver.is_complete
    assert CONTENT.startswith(driver.body)
    assert paths_open(path) == 0


@on_both_loops
@pytest.mark.parametrize("length", [None, len(CONTENT)], ids=["no length", "length"])
def test_a_file_that_becomes_longer_on_its_way_ends_where_it_ended(path, length, backend):
    driver = Driver(hold_at={1})

    def client(driver: Driver) -> None:
        with path.open("ab") as file:
            file.write(b"somebody else's")
        taking_all(driver)

    send_file(Sender(lambda: path.open("rb"), length), driver, client, backend)

    assert driver.error is None
    assert driver.body == CONTENT
    assert driver.is_complete


@on_both_loops
@pytest.mark.requirement("W-120")
def test_a_file_that_is_shorter_than_its_length_does_not_look_complete(path, backend):
    driver = Driver(hold_at={1})

    send_file(Sender(lambda: path.open("rb"), len(CONTENT) + 1), driver, taking_all, backend)

    assert isinstance(driver.error, BridgeError)
    assert driver.body == CONTENT
    assert not driver.is_complete
    assert paths_open(path) == 0


@on_both_loops
@pytest.mark.parametrize("reads", [0, 3])
def test_a_disk_that_fails_is_the_servers_error_and_never_the_end(path, reads, backend, monkeypatch):
    real = os.pread
    count = 0

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal count
        count += 1
        if count > reads:
            raise OSError(errno.EIO, "input/output error")
        return real(descriptor, size, offset)

    driver = Driver(hold_at={1})
    monkeypatch.setattr(os, "pread", pread)

    send_file(Sender(lambda: path.open("rb"), len(CONTENT)), driver, taking_all, backend)

    assert isinstance(driver.error, BridgeError)
    assert not isinstance(driver.error, OSError)  # an OSError would pass for the client's disconnect
    assert not driver.is_complete
    assert paths_open(path) == 0


# ---- Without a descriptor, and early endings ----------------------------------------------------------------------


@on_both_loops
@pytest.mark.parametrize("memory_bytes", [1000, 300_000], ids=["all is being sent", "a block is waiting"])
def test_without_a_descriptor_to_spare_the_worker_waits_and_the_file_is_whole(path, memory_bytes, backend, monkeypatch):
    tried = threading.Event()

    def dup(_descriptor: int) -> int:
        tried.set()
        raise OSError(errno.EMFILE, "too many open files")

    driver = Driver(hold_at={1})
    app = Sender(lambda: path.open("rb"), len(CONTENT))
    adapter = WSGIToASGI(app, limits=scarce(response_memory_bytes=memory_bytes))

    async def main() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "dup", dup)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(tried.is_set)
                assert not app.closed.is_set()
                driver.release(1)
        await adapter.drain()

    run(main, backend)
    assert driver.error is None
    assert driver.body == CONTENT
    assert driver.is_complete


@on_both_loops
@pytest.mark.parametrize("tells", ["receive", "send"])
@pytest.mark.parametrize("taken", [0, 3])
def test_a_client_that_leaves_gets_the_descriptor_closed(path, tells, taken, backend):
    driver = Driver(hold_at={1, 1 + taken}, raises_when_gone=tells == "send")
    app = Sender(lambda: path.open("rb"), len(CONTENT))
    adapter = WSGIToASGI(app, limits=scarce())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(app.closed.is_set)
            driver.release(*({1} if taken else ()))
            await until(lambda: driver.attempts == 2 + taken)
            driver.disconnect()
        await until(lambda: paths_open(path) == 0)
        await adapter.drain()

    run(main, backend)
    assert driver.error is None
    assert not driver.is_complete


def held_dup(monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Let the worker stop before it makes the loop's descriptor."""
    hold, real = Hold("dup"), os.dup

    def dup(descriptor: int) -> int:
        hold.stop_here()
        return real(descriptor)

    monkeypatch.setattr(os, "dup", dup)
    return hold


@on_both_loops
@pytest.mark.parametrize("ending", ["the client leaves", "the server gives the request up"])
def test_who_leaves_while_the_file_is_being_handed_over_leaves_no_descriptor_behind(path, ending, backend, monkeypatch):
    hold = held_dup(monkeypatch)
    driver = Driver(hold_at={1})
    app = Sender(lambda: path.open("rb"), len(CONTENT))
    adapter = WSGIToASGI(app, limits=scarce(cancel_s=0.01))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(hold.reached.is_set)
            if ending == "the client leaves":
                driver.disconnect()
                await until(lambda: next(iter(adapter._hosting.live)).is_gone)
                hold.release()
            else:
                tasks.cancel_scope.cancel()
        assert adapter.statistics().requests == 0
        hold.release()
        await until(lambda: paths_open(path) == 0)
        await adapter.drain()

    run(main, backend)
    assert app.closed.is_set()
    assert not driver.is_complete


@on_both_loops
def test_the_loop_is_woken_for_a_file_although_it_has_looked_while_the_worker_had_taken_all_back(
    path, backend, monkeypatch
):
    """The loop has left a block for later; the worker takes it back; the loop finds nothing, and waits."""
    monkeypatch.setattr(handing_over, "PATIENCE_S", 0.3)  # so that the loop takes before the worker takes back
    hold = held_dup(monkeypatch)
    driver = Driver(hold_at={1})
    app = Sender(lambda: path.open("rb"), len(CONTENT))
    app.may_begin.clear()
    adapter = WSGIToASGI(app, limits=scarce(response_memory_bytes=300_000))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(lambda: adapter.statistics().workers_busy)
            app.may_begin.set()
            meeting.until(lambda: adapter.statistics().bytes_held > 300_000)  # the loop stands still: two blocks
            await until(hold.reached.is_set)
            driver.release(1)
            await until(lambda: len(driver.body) == 262_144)
            for _ in range(20):
                await anyio.sleep(0)
            hold.release()
        await adapter.drain()

    run(main, backend)
    assert driver.error is None
    assert driver.body == CONTENT
    assert driver.is_complete


@on_both_loops
def test_a_server_that_cancels_gets_the_descriptor_closed(path, backend):
    driver = Driver(hold_at={1})
    app = Sender(lambda: path.open("rb"))
    adapter = WSGIToASGI(app, limits=scarce())

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(driver.call, adapter)
            await until(app.closed.is_set)
            tasks.cancel_scope.cancel()
        await until(lambda: paths_open(path) == 0)
        await adapter.drain()

    run(main, backend)
    assert not driver.is_complete


@on_both_loops
def test_a_client_that_takes_nothing_of_a_file_counts_as_gone(path, backend):
    driver = Driver(hold_at={1})

    send_file(Sender(lambda: path.open("rb")), driver, lambda _driver: None, backend, response_wait_s=0.2)

    assert driver.error is None
    assert not driver.is_complete
    assert paths_open(path) == 0


@on_both_loops
def test_the_disconnect_is_seen_although_a_file_is_the_first_thing_to_be_sent(path, backend):
    """The loop was busy while the worker handed start, file and end over; then ``send`` never returns."""
    app = Sender(lambda: path.open("rb"))
    app.may_begin.clear()
    adapter = WSGIToASGI(app, limits=scarce())
    is_sending = threading.Event()
    has_left = threading.Event()
    events = [REQUEST_END]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            is_sending.set()
            await anyio.sleep_forever()

    async def receive() -> Any:
        if events:
            return events.pop()
        await until(has_left.is_set)
        return DISCONNECT

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(adapter, make_scope(), receive, send)
            await until(lambda: adapter.statistics().workers_busy)
            app.may_begin.set()
            assert app.closed.wait(10)  # on the loop: it stands still
            await until(is_sending.is_set)
            has_left.set()
        await until(lambda: paths_open(path) == 0)
        await adapter.drain()

    run(main, backend)


@on_both_loops
def test_many_slow_clients_of_one_file_hold_no_worker(path, backend):
    drivers = [Driver(hold_at={1}) for _ in range(20)]
    adapter = WSGIToASGI(Sender(lambda: path.open("rb"), len(CONTENT)), limits=scarce(workers=2))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for driver in drivers:
                tasks.start_soon(driver.call, adapter)
            await until(lambda: all(driver.attempts == 2 for driver in drivers))
            await until(lambda: adapter.statistics().workers_busy == 0)
            assert adapter.statistics().requests == 20
            assert paths_open(path) == 20
            for driver in drivers[::2]:
                driver.release(1)
            for driver in drivers[1::2]:
                driver.disconnect()
        await until(lambda: paths_open(path) == 0)
        await adapter.drain()

    run(main, backend)
    assert [driver.body == CONTENT for driver in drivers[::2]] == [True] * 10
    assert [driver.is_complete for driver in drivers[1::2]] == [False] * 10
