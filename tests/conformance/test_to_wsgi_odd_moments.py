"""What must hold when something strikes at a moment nobody has planned: signals, exits, failures nobody waits for."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import weakref

import anyio
import pytest

from bridge import LifespanError
from bridge._asgi_hosting.exchange import Exchange
from bridge._runtime.loops import AsyncioPort
from tests.gateway import Gateway, answering, environ_for, hosted, run
from tests.meeting import TIMEOUT_S, Flag, until

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


@pytest.mark.requirement("A-090", "A-110")
def test_a_signal_in_the_middle_of_a_wake_up_leaves_the_loop_awake():
    """The flag that says "the loop has been woken" must not stay up when it has not."""

    async def interrupted() -> list[str]:
        loop = asyncio.get_running_loop()
        port, delivered = AsyncioPort(loop), []
        wake = loop.call_soon_threadsafe

        def interrupt(*args):
            raise KeyboardInterrupt

        loop.call_soon_threadsafe = interrupt
        with pytest.raises(KeyboardInterrupt):
            port.post(lambda: delivered.append("first"))
        loop.call_soon_threadsafe = wake
        port.post(lambda: delivered.append("second"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return delivered

    assert asyncio.run(interrupted()) == ["first", "second"]


@pytest.mark.requirement("A-110")
def test_a_callback_that_fails_does_not_keep_those_behind_it_waiting(backend, caplog):
    async def deliver() -> list[str]:
        from bridge._runtime.loops import current_port

        port, delivered = current_port(), []

        def fail():
            raise ValueError("a callback's own")

        port.add(fail)
        port.add(lambda: delivered.append("behind"))
        port.flush()
        with anyio.fail_after(TIMEOUT_S):
            while not delivered:
                await anyio.sleep(0)
        return delivered

    assert backend.run(deliver) == ["behind"]
    assert "a callback has failed" in caplog.text


@pytest.mark.requirement("A-088")
@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
def test_an_exit_in_a_task_of_the_application_ends_nobody_elses_loop(event_loop, caplog):
    """Starlette's BaseHTTPMiddleware runs endpoints in such tasks."""

    async def app(scope, receive, send):
        if scope["path"] == "/exit":
            await asyncio.create_task(leave())
        await send(START)
        await send({"type": "http.response.body", "body": b"still here"})

    async def leave():
        raise SystemExit(3)

    with hosted(app, event_loop=event_loop, lifespan="off") as adapter:
        with pytest.raises(Exception, match="SystemExit"):
            run(adapter, environ_for("GET", "/exit"))
        assert run(adapter).body == b"still here"

    caplog.clear()  # its records hold the error, and with that the task


@pytest.mark.requirement("A-111")
@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
def test_what_sniffio_was_told_of_another_loop_is_not_believed(event_loop):
    sniffio = pytest.importorskip("sniffio")

    async def app(scope, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        await send(START)
        await send({"type": "http.response.body", "body": b"done"})

    def request():
        sniffio.current_async_library_cvar.set("trio")
        return run(adapter).body

    with hosted(app, event_loop=event_loop, lifespan="off") as adapter:
        assert contextvars.copy_context().run(request) == b"done"


@pytest.mark.requirement("A-085", "A-091")
def test_a_failure_that_nobody_comes_to_raise_is_logged_once(backend, caplog):
    failed = Flag("the application has failed")

    async def app(scope, receive, send):
        await send(START)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(send, {"type": "http.response.body", "body": b"a block", "more_body": True})
                await anyio.sleep(0)
                await anyio.sleep(0)
                raise ValueError("in the middle")
        finally:
            failed.set()

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter:
        gateway = Gateway(adapter).call()
        assert gateway.step() == b"a block"
        failed.wait()
        until(lambda: adapter.statistics().background == 0)
        gateway.close()
        until(lambda: adapter.statistics().failed_in_background == 1)

    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.requirement("A-085")
@pytest.mark.parametrize("keeps", ["a body read", "what it was called with in a context variable"])
def test_a_request_that_is_over_is_freed_without_the_garbage_collector(backend, keeps):
    variable = contextvars.ContextVar("kept")
    exchanges: list[weakref.ref[Exchange]] = []

    async def app(scope, receive, send):
        exchanges.append(weakref.ref(receive.__self__))
        if keeps == "a body read":
            await receive()
        else:
            variable.set((scope, receive, send))
        await send(START)
        await send({"type": "http.response.body", "body": b"ok"})

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter:
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                run(adapter, environ_for("POST", body=b"12345"))
            until(lambda: not any(exchange() for exchange in exchanges))
        finally:
            gc.enable()


@pytest.mark.requirement("A-002")
def test_an_answer_to_a_failure_never_calls_start_response_a_second_time():
    calls = []

    def start_response(status, headers):
        calls.append(status)
        raise OSError("the server's own")

    with hosted(answering(), lifespan="off", on_error="respond") as adapter:
        with pytest.raises(OSError, match="the server's own"):
            adapter(environ_for(), start_response)

    assert calls == ["200 OK"]


@pytest.mark.requirement("A-101", "A-107")
def test_a_failed_startup_is_logged_once_and_raised_anew_each_time(backend, caplog):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")  # as Starlette does

    errors = []
    with hosted(app, event_loop=backend.name) as adapter:
        for _ in range(3):
            with pytest.raises(LifespanError, match="no database") as caught:
                adapter.startup()
            errors.append(caught.value)

    assert len({id(error) for error in errors}) == 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
