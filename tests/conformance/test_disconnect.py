"""The client leaves, or the server cancels: everything ends, and in the right thread (W-139 to W-142)."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import ClientDisconnected, Limits, WorkerPool
from tests.conformance.driver import (
    DISCONNECT,
    TEXT,
    ClosingBlocks,
    Driver,
    answering,
    block,
    body_events,
    hosted,
    logged,
    make_scope,
    on_both_loops,
    on_each_backend,
    plain_and_linted,
    run,
    serve,
    until,
)


def endless():
    while True:
        yield b"x" * 100


class Endless(ClosingBlocks):
    """An endless response that remembers in which thread it was made and closed."""

    def __init__(self) -> None:
        super().__init__(endless())
        self.made_in = threading.get_ident()


# ---- The client leaves ------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-139")
@on_each_backend
@plain_and_linted
@pytest.mark.parametrize("number", [0, 1, 3], ids=["start", "first body", "later"])
def test_an_os_error_from_send_ends_the_response_quietly(number, wrap, backend, caplog):
    class ClientLeftError(ConnectionResetError):
        """A server's own kind of OSError."""

    made: list[Endless] = []

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        made.append(Endless())
        return made[0]

    driver = Driver(fail_at={number: ClientLeftError()})

    serve(wrap(app), driver=driver, backend=backend)

    assert driver.error is None
    assert made[0].closed_in == [made[0].made_in]
    assert driver.attempts == number + 1
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("W-139")
@on_both_loops
@pytest.mark.parametrize("number", [0, 1], ids=["start", "body"])
def test_an_os_error_from_send_of_a_whole_response_ends_it_quietly(number, backend, caplog):
    driver = Driver(fail_at={number: BrokenPipeError()})

    serve(answering([b"body"]), driver=driver, backend=backend)

    assert driver.error is None
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("W-140")
@on_each_backend
@plain_and_linted
def test_where_send_does_nothing_the_disconnect_event_closes_an_endless_generator(wrap, backend, caplog):
    made: list[Endless] = []

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        made.append(Endless())
        return made[0]

    driver = Driver()
    with hosted(wrap(app)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: len(driver.sent) > 3)
                driver.disconnect()

        run(main, backend)

    assert driver.error is None
    assert made[0].closed_in == [made[0].made_in]
    assert not driver.is_complete
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("W-140")
@on_both_loops
def test_a_generator_that_rests_between_blocks_is_closed_at_its_next_step(backend):
    go_on = threading.Event()
    resting = threading.Event()

    def blocks():
        yield b"first"
        resting.set()
        block(go_on)
        while True:
            yield b"more"

    returned = ClosingBlocks(blocks())
    driver = Driver()
    with hosted(answering(lambda: returned)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: resting.is_set() and len(driver.sent) == 2)
                driver.disconnect()
                go_on.set()

        run(main, backend)

    assert driver.error is None
    assert len(returned.closed_in) == 1


@pytest.mark.requirement("W-140")
@on_both_loops
def test_a_writer_held_back_by_a_full_buffer_is_woken_by_the_disconnect(backend):
    returned = ClosingBlocks(endless())
    driver = Driver(hold_at={1})
    with hosted(answering(lambda: returned), limits=Limits(response_memory_bytes=1000)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: driver.attempts == 2)
                driver.feed(DISCONNECT)

        run(main, backend)

    assert driver.error is None
    assert len(returned.closed_in) == 1


@pytest.mark.requirement("W-140")
@on_each_backend
def test_the_app_can_ask_whether_the_client_has_gone(backend):
    asked = []
    driver = Driver()

    def app(environ, start_response):
        has_gone = environ["bridge.client_disconnected"]
        asked.append(has_gone())
        driver.disconnect()
        driver.settle()
        asked.append(has_gone())
        start_response("200 OK", list(TEXT))
        return [b"nobody reads this"]

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert asked == [False, True]


@pytest.mark.requirement("W-078", "W-139")
@on_both_loops
def test_an_upload_that_is_cut_ends_quietly_when_the_app_lets_the_error_pass(backend, caplog):
    raised = []

    def app(environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            raised.append(error)
            raise

    driver = Driver(
        make_scope("POST", headers=[(b"content-length", b"10")]),
        events=[{"type": "http.request", "body": b"half", "more_body": True}, DISCONNECT],
    )

    serve(app, driver=driver, backend=backend)

    assert isinstance(raised[0], ClientDisconnected)
    assert driver.error is None
    assert driver.sent == []
    assert logged(caplog, logging.ERROR) == []


# ---- The watcher ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-141")
@on_each_backend
@pytest.mark.parametrize("large_body", ["spool", "stream"])
@pytest.mark.parametrize("has_length", [True, False], ids=["length", "chunked"])
def test_a_slow_reader_beside_the_watcher_gets_every_octet(large_body, has_length, backend):
    """The response streams (so the disconnect is waited for) while the body is still being read."""
    pieces = [b"piece %03d;" % number for number in range(200)]
    length = str(sum(map(len, pieces))).encode()
    driver = Driver(
        make_scope("POST", headers=[(b"content-length", length) if has_length else (b"transfer-encoding", b"chunked")]),
        events=body_events(*pieces),
    )

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        yield b"start;"
        driver.block_until_sent(2)
        while octets := environ["wsgi.input"].read(7):
            driver.settle()
            yield octets

    serve(app, driver=driver, backend=backend, large_body=large_body, limits=Limits(body_memory_bytes=50))

    assert driver.error is None
    assert driver.body == b"start;" + b"".join(pieces)
    assert driver.is_complete


@pytest.mark.requirement("W-141")
@on_both_loops
def test_the_watcher_does_not_make_the_server_ask_for_a_body_nobody_wants(backend):
    """Servers send 100 Continue at the first receive()."""
    driver = Driver(
        make_scope("POST", headers=[(b"content-length", b"10"), (b"expect", b"100-continue")]),
        events=body_events(b"0123456789"),
    )

    def app(environ, start_response):
        driver.settle()
        start_response("413 Content Too Large", list(TEXT))
        yield b"no, "
        driver.block_until_sent(2)
        yield b"thank you"

    serve(app, driver=driver, backend=backend)

    assert driver.body == b"no, thank you"
    assert driver.receive_calls_at_start == 0


@pytest.mark.requirement("W-141")
@on_both_loops
def test_asking_for_the_disconnect_does_not_ask_for_the_body_either(backend):
    driver = Driver(
        make_scope("POST", headers=[(b"content-length", b"10"), (b"expect", b"100-continue")]),
        events=body_events(b"0123456789"),
    )

    def app(environ, start_response):
        environ["bridge.client_disconnected"]()
        driver.settle()
        start_response("413 Content Too Large", list(TEXT))
        return [b"no"]

    serve(app, driver=driver, backend=backend)

    assert driver.body == b"no"
    assert driver.receive_calls_at_start == 0


@pytest.mark.requirement("W-141", "W-082")
@on_both_loops
def test_an_ordinary_request_without_a_body_never_calls_receive(backend):
    driver = Driver()

    serve(answering([b"body"]), driver=driver, backend=backend)

    assert driver.is_complete
    assert driver.receive_calls == 0


# ---- Cancellation -----------------------------------------------------------------------------------------------


class Phase:
    """A request that stops at one point: ``reached`` is set there, ``ended`` when the app is through."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self.raised: list[BaseException] = []
        self.driver = Driver()
        self.limits = Limits()
        self.closed_in: list[int] = []
        self.must_be_let_go = False

    def is_reached(self, adapter: Any) -> bool:
        return self.reached.is_set()

    def app(self, environ, start_response):
        raise NotImplementedError


class WaitingForBody(Phase):
    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(make_scope("POST", headers=[(b"content-length", b"10")]), events=())
        self.ended.set()

    def is_reached(self, adapter: Any) -> bool:
        return self.driver.receive_calls == 1


class InRead(Phase):
    def __init__(self) -> None:
        super().__init__()
        headers = [(b"content-length", b"10"), (b"expect", b"100-continue")]
        self.driver = Driver(make_scope("POST", headers=headers), events=())

    def is_reached(self, adapter: Any) -> bool:
        return self.driver.receive_calls == 1

    def app(self, environ, start_response):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            self.raised.append(error)
            raise
        finally:
            self.ended.set()


class AppRunning(Phase):
    def __init__(self) -> None:
        super().__init__()
        self.must_be_let_go = True

    def app(self, environ, start_response):
        try:
            self.reached.set()
            block(self.go_on)
            write = start_response("200 OK", list(TEXT))
            try:
                write(b"late")
            except OSError as error:
                self.raised.append(error)
                raise
        finally:
            self.ended.set()


class StreamingBlocked(Phase):
    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(hold_at={1})
        self.limits = Limits(response_memory_bytes=1000, response_spool_bytes=100_000)

    def is_reached(self, adapter: Any) -> bool:
        return self.driver.attempts == 2

    def app(self, environ, start_response):
        start_response("200 OK", list(TEXT))
        return ClosingBlocks(endless(), self.ended.set)


class InWrite(StreamingBlocked):
    def app(self, environ, start_response):
        write = start_response("200 OK", list(TEXT))
        try:
            while True:
                write(b"x" * 100)
        except OSError as error:
            self.raised.append(error)
            raise
        finally:
            self.ended.set()


class InClose(Phase):
    def __init__(self) -> None:
        super().__init__()
        self.must_be_let_go = True

    def is_reached(self, adapter: Any) -> bool:
        return self.reached.is_set() and self.driver.is_complete

    def app(self, environ, start_response):
        def on_close() -> None:
            self.reached.set()
            block(self.go_on)
            self.ended.set()

        start_response("200 OK", list(TEXT))
        return ClosingBlocks(on_close=on_close)


PHASES = pytest.mark.parametrize("make_phase", [WaitingForBody, InRead, AppRunning, StreamingBlocked, InWrite, InClose])
RELEASED_WITH_AN_ERROR = (InRead, AppRunning, InWrite)


@pytest.mark.requirement("W-142", "W-079", "W-114")
@PHASES
@on_both_loops
def test_a_request_cancelled_by_its_scope_ends_in_order(make_phase, backend):
    phase = make_phase()
    driver = phase.driver
    with hosted(phase.app, limits=phase.limits) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: phase.is_reached(adapter))
                tasks.cancel_scope.cancel()
                if phase.must_be_let_go:
                    with anyio.CancelScope(shield=True):
                        for _ in range(20):
                            await anyio.lowlevel.checkpoint()
                        assert not driver.is_returned  # what the thread still uses is not given back
                        phase.go_on.set()

        run(main, backend)
        block(phase.ended)

    assert driver.is_cancelled
    assert driver.error is None
    assert bool(phase.raised) == isinstance(phase, RELEASED_WITH_AN_ERROR)


@pytest.mark.requirement("W-142", "W-079", "W-114")
@PHASES
@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
@pytest.mark.parametrize("times", [1, 3], ids=["once", "three times"])
def test_a_request_whose_task_is_cancelled_raises_cancelled_error_again(make_phase, backend, times):
    """The servers on asyncio cancel tasks, and do it again when they lose patience."""
    phase = make_phase()
    driver = phase.driver
    with hosted(phase.app, limits=phase.limits) as adapter:

        async def main() -> None:
            task = asyncio.create_task(driver.call(adapter))
            await until(lambda: phase.is_reached(adapter))
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if phase.must_be_let_go:
                assert not task.done()
                phase.go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(main, backend)
        block(phase.ended)

    assert driver.is_cancelled
    assert bool(phase.raised) == isinstance(phase, RELEASED_WITH_AN_ERROR)


@pytest.mark.requirement("W-142")
@on_both_loops
def test_a_request_cancelled_while_it_waits_for_a_worker_never_reaches_the_app(backend):
    busy, go_on = threading.Event(), threading.Event()
    called: list[str] = []

    def app(environ, start_response):
        called.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/first":
            busy.set()
            block(go_on)
        start_response("200 OK", list(TEXT))
        return [b"done"]

    first, second = Driver(make_scope(path="/first")), Driver(make_scope(path="/second"))
    pool = WorkerPool(workers=1)
    with hosted(app, workers=pool) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(first.call, adapter)
                await until(busy.is_set)
                async with anyio.create_task_group() as waiting:
                    waiting.start_soon(second.call, adapter)
                    await until(lambda: pool.statistics().waiting == 1)
                    waiting.cancel_scope.cancel()
                assert pool.statistics().waiting == 0
                go_on.set()

        run(main, backend)

    assert called == ["/first"]
    assert first.body == b"done"
    assert second.sent == []
    assert second.is_returned


@pytest.mark.requirement("W-142")
@on_both_loops
def test_an_app_that_does_not_notice_is_given_up_and_named_in_the_log(backend, caplog):
    reached, go_on = threading.Event(), threading.Event()

    def obstinate_app(environ, start_response):
        reached.set()
        block(go_on)
        start_response("200 OK", list(TEXT))
        return [b"late"]

    driver = Driver(make_scope(path="/obstinate"))
    with hosted(obstinate_app, limits=Limits(cancel_s=0.05)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(reached.is_set)
                tasks.cancel_scope.cancel()
            assert driver.is_returned
            assert not go_on.is_set()

        run(main, backend)
        go_on.set()

    records = logged(caplog, logging.ERROR)
    assert len(records) == 1
    assert "/obstinate" in records[0].getMessage()
    assert "obstinate_app" in records[0].getMessage()  # the stack says where it is
    assert driver.sent == []


@pytest.mark.requirement("W-142")
@on_both_loops
def test_an_app_that_is_not_waited_for_is_released_all_the_same(backend):
    """The adapter returns at once and the loop ends while the application is held back by a full buffer."""
    phase = StreamingBlocked()
    with hosted(phase.app, limits=Limits(response_memory_bytes=1000, cancel_s=0.0)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(phase.driver.call, adapter)
                await until(lambda: phase.is_reached(adapter))
                tasks.cancel_scope.cancel()

        run(main, backend)
        block(phase.ended)


@pytest.mark.requirement("W-079", "W-142")
@pytest.mark.parametrize("make_phase", [InRead, InWrite])
def test_an_app_that_waits_for_a_loop_that_has_stopped_is_woken_with_an_error(make_phase):
    phase = make_phase()
    with hosted(phase.app, limits=phase.limits) as adapter:
        loop = asyncio.new_event_loop()
        try:
            task = loop.create_task(phase.driver.call(adapter))
            loop.run_until_complete(until(lambda: phase.is_reached(adapter)))
            block(phase.ended)  # the loop does not run meanwhile

            assert [isinstance(error, OSError) for error in phase.raised] == [True]

            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
            assert task.cancelled()
        finally:
            loop.close()
