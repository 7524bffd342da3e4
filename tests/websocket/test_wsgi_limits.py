"""WebSockets of WSGI applications: threads, their number, and the books (S-007)."""

from __future__ import annotations

import contextvars
import functools
import gc
import logging
import subprocess
import sys
import threading

import anyio
import pytest

from bridge import Limits
from tests.conformance.driver import (
    Driver,
    hosted,
    logged,
    on_both_loops,
    run,
    until,
    without_gc,
)
from tests.conformance.driver import make_scope as make_http_scope
from tests.leaks import open_descriptors
from tests.websocket.driver import DENIAL, Socket, converse, make_scope, using
from tests.websocket.echoes import echo, simple_echo

with_denial = pytest.mark.parametrize(
    "extra", [pytest.param(DENIAL, id="with denial responses"), pytest.param({}, id="without")]
)


# ---- Threads --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-007")
@on_both_loops
def test_with_one_worker_and_many_open_sockets_http_is_answered(backend):
    count = 200
    sockets = [Socket() for _ in range(count)]

    async def main():
        async with anyio.create_task_group() as group:
            for socket in sockets:
                group.start_soon(socket.call, adapter)
                socket.say("hello")
            await until(lambda: all(socket.said for socket in sockets), 30)
            assert adapter.statistics().websockets == count
            assert adapter.statistics().requests == 0
            assert adapter.statistics().workers_busy == 0
            request = Driver(make_http_scope())
            await request.call(adapter)
            assert request.status == 200
            assert request.body.startswith(b"bridge-worker")
            for socket in sockets:
                socket.leave()

    with hosted(echo, limits=Limits(workers=1)) as adapter:
        run(main, backend, patience_s=30)
        assert adapter.statistics().websockets == 0

    assert [socket.said for socket in sockets] == [["hello"]] * count


@pytest.mark.requirement("S-007")
@on_both_loops
def test_each_socket_has_a_thread_of_its_own(backend):
    count = 5
    meeting = threading.Barrier(count)
    threads = set()

    def app(environ, start_response):
        meeting.wait(10)
        threads.add(threading.current_thread())
        environ["wsgi.websocket"].close()
        return []

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(Socket().call, adapter)

    with hosted(app, limits=Limits(workers=1)) as adapter:
        run(main, backend)

    assert len(threads) == count
    assert all(thread.name.startswith("bridge-websocket") for thread in threads)
    assert all(thread.daemon for thread in threads)


@pytest.mark.requirement("S-007")
@on_both_loops
def test_the_application_sees_the_context_of_its_connection_and_changes_only_a_copy(backend):
    variable = contextvars.ContextVar("variable", default="nothing")
    seen = []

    def app(environ, start_response):
        seen.append(variable.get())
        variable.set("by the application")
        environ["wsgi.websocket"].close()
        return []

    async def main():
        variable.set("by the middleware")
        await Socket().call(adapter)
        assert variable.get() == "by the middleware"

    with hosted(app) as adapter:
        run(main, backend)

    assert seen == ["by the middleware"]


# ---- The number of sockets ------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-007")
@with_denial
@on_both_loops
def test_beyond_the_limit_a_handshake_is_refused_and_has_room_when_another_has_ended(extra, backend, caplog):
    first, second, third, fourth = (Socket(make_scope(**extra)) for _ in range(4))

    async def main():
        async with anyio.create_task_group() as group:
            for socket in (first, second):
                group.start_soon(socket.call, adapter)
                socket.say("hello")
            await until(lambda: first.said and second.said)
            refused = adapter.statistics().refused
            await third.call(adapter)
            assert adapter.statistics().refused == refused + 1
            assert adapter.statistics().websockets == 2
            first.leave()
            await until(lambda: first.is_returned)
            group.start_soon(fourth.call, adapter)
            fourth.say("hello")
            await until(lambda: fourth.said or fourth.is_returned)
            second.leave()
            fourth.leave()

    with hosted(echo, limits=Limits(websockets=2, retry_after_s=7)) as adapter:
        run(main, backend)

    assert third.error is None
    if extra:
        assert third.denial is not None
        status, fields, body = third.denial
        assert (status, fields[b"retry-after"]) == (503, b"7")
        assert b"too many" in body
    else:
        assert third.messages == [{"type": "websocket.close"}]
    assert fourth.said == ["hello"]
    (record,) = logged(caplog, logging.WARNING)
    assert "503" in record.getMessage()


@pytest.mark.requirement("S-007")
@pytest.mark.parametrize("limit", [1, 3])
def test_with_the_limit_reached_one_after_the_other_is_served_without_a_pause(limit):
    """A thread that is done is not always back yet when its socket is; that refuses nobody."""

    async def main():
        for _ in range(60):
            socket = Socket()
            await socket.call(adapter)
            assert socket.said == ["hello"], f"refused: {socket.messages}"

    def app(environ, start_response):
        environ["wsgi.websocket"].send("hello")
        return []

    with hosted(app, limits=Limits(websockets=limit)) as adapter:
        run(main)


@pytest.mark.requirement("S-007", "W-149")
@with_denial
def test_with_a_limit_of_none_at_all_websockets_are_switched_off(extra, caplog):
    def app(environ, start_response):
        raise AssertionError("the application was called")

    socket = converse(app, socket=Socket(make_scope(**extra)), limits=Limits(websockets=0), websocket_denial_status=501)

    assert socket.error is None
    if extra:
        assert socket.denial is not None
        assert socket.denial[0] == 501
    else:
        assert socket.messages == [{"type": "websocket.close"}]
    assert len(logged(caplog, logging.WARNING)) == 1


_WITHOUT_THE_EXTRA = """
import asyncio, logging, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "websockets":
            raise ModuleNotFoundError("No module named 'websockets'", name="websockets")

sys.meta_path.insert(0, Blocked())
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")

from bridge import to_asgi

def app(environ, start_response):
    raise AssertionError("the application was called")

async def main():
    events = [{"type": "websocket.connect"}]
    async def receive():
        return events.pop()
    async def send(message):
        print(message)
    scope = {"type": "websocket", "path": "/socket", "headers": [], "extensions": {"websocket.http.response": {}}}
    adapter = to_asgi(app)
    for _ in range(2):
        events.append({"type": "websocket.connect"})
        await adapter(scope, receive, send)

asyncio.run(main())
assert "websockets" not in sys.modules
"""


@pytest.mark.requirement("W-149")
def test_without_the_extra_the_handshake_is_refused_with_a_sentence_that_names_it():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _WITHOUT_THE_EXTRA],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    warnings = [line for line in done.stdout.splitlines() if line.startswith("WARNING")]
    starts = [line for line in done.stdout.splitlines() if "websocket.http.response.start" in line]
    assert len(warnings) == len(starts) == 2
    assert all("wsgi-asgi-bridge[websocket]" in line and "/socket" in line for line in warnings)
    assert all("403" in line for line in starts)


# ---- Nothing is left ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-007")
@pytest.mark.parametrize("app", [echo, simple_echo])
@on_both_loops
def test_two_hundred_sockets_leave_no_descriptor_for_the_garbage_collector(app, backend):
    async def main():
        await many(1)  # what is made once is made
        before = len(open_descriptors())
        for _ in range(5):
            await many(40)
        await until(lambda: threads() == 0)
        await until(lambda: len(open_descriptors()) <= before + 5)  # the last threads are about to close theirs

    async def many(count):
        sockets = [Socket() for _ in range(count)]
        async with anyio.create_task_group() as group:
            for socket in sockets:
                group.start_soon(socket.call, adapter)
                socket.say("hello")
            await until(lambda: all(socket.said for socket in sockets), 30)
            for number, socket in enumerate(sockets):
                socket.leave(1001 if number % 2 else 1006)

    def threads():
        return sum("simple_websocket" in thread.name for thread in threading.enumerate())

    with hosted(app) as adapter, without_gc():
        run(main, backend, patience_s=30)
    gc.collect()


@pytest.mark.requirement("S-007")
def test_denials_leave_no_descriptor_for_the_garbage_collector():
    def app(environ, start_response):
        start_response("403 Forbidden", [])
        return [b"no"]

    async def main():
        await Socket().call(adapter)
        before = len(open_descriptors())
        for _ in range(50):
            await Socket().call(adapter)
        await until(lambda: len(open_descriptors()) <= before + 5)  # the last thread is about to close its own

    with hosted(app) as adapter, without_gc():
        run(main)
    gc.collect()


@pytest.mark.requirement("S-007")
def test_the_books_are_right_while_a_socket_is_open():
    numbers = []

    async def script(socket, adapter):
        socket.say("hello")
        await until(lambda: socket.said)
        numbers.append(adapter.statistics().websockets)
        numbers.append(adapter.statistics().requests)
        socket.leave()

    converse(echo, script)

    assert numbers == [1, 0]


def test_an_observer_hears_nothing_of_websockets():
    reports = []

    with hosted(using(lambda ws: ws.close())) as adapter:
        adapter.observe(reports.append)
        run(functools.partial(Socket().call, adapter))

    assert reports == []
