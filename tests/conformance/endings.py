"""The ways in which a request ends early under `to_asgi`, each played out once: what is reported, what is logged.

Every one is played with a path that would break a log line, and with a query that must not get into a log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

from bridge import ClientDisconnected, Limits, RequestReport, WSGIToASGI
from tests.conformance.driver import (
    DISCONNECT,
    TEXT,
    ClientGoneError,
    Driver,
    answering,
    block,
    body_events,
    hosted,
    make_scope,
    run,
    until,
)

PATH = "/a\nb"
QUERY = b"token=secret"


def scope(method: str = "GET", **extra: Any) -> dict[str, Any]:
    """The scope of the request that is looked at."""
    return make_scope(method, PATH, raw_path=b"/a%0Ab", query_string=QUERY, **extra)


def upload(*pieces: bytes, length: int | None = None, more: tuple[Any, ...] = (), **extra: Any) -> Driver:
    """A POST whose body comes in these pieces; ``more`` comes instead of its end."""
    field_of_length = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    events = body_events(*pieces)
    for event in events if more else ():
        event["more_body"] = True
    return Driver(scope("POST", headers=[field_of_length], **extra), events=[*events, *more])


@dataclass
class Stage:
    """Where an ending is played: on one kind of loop, with an observer or without.

    Attributes:
        seen: every report, also of requests that only help.
    """

    backend: str
    is_observed: bool = True
    seen: list[RequestReport] = field(default_factory=list)

    @property
    def reports(self) -> list[RequestReport]:
        """The reports of the request that is looked at."""
        return [report for report in self.seen if report.path == PATH]

    @contextmanager
    def host(self, app: Any, **options: Any) -> Iterator[WSGIToASGI]:
        """Host an application for the length of a ``with``."""
        with hosted(app, **options) as adapter:
            if self.is_observed:
                adapter.observe(self.seen.append)
            yield adapter

    def serve(self, app: Any, driver: Driver, **options: Any) -> Driver:
        """Serve one request."""
        with self.host(app, **options) as adapter:
            run(partial(driver.call, adapter), self.backend)
        return driver

    def serve_until(self, app: Any, driver: Driver, is_so: Callable[[WSGIToASGI], object], **options: Any) -> Driver:
        """Serve one request and cancel it when the condition holds."""
        with self.host(app, **options) as adapter:

            async def main() -> None:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(driver.call, adapter)
                    await until(lambda: is_so(adapter))
                    tasks.cancel_scope.cancel()

            run(main, self.backend)
        return driver


class Held:
    """A WSGI application that stops in each request until it is opened."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.opened = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.entered.append(environ["PATH_INFO"])
        block(self.opened)
        start_response("200 OK", list(TEXT))
        return [b"done"]


def read_all(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Read the body and tell its length."""
    octets = environ["wsgi.input"].read()
    start_response("200 OK", list(TEXT))
    return [b"%d" % len(octets)]


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * 100


# ---- Refused ----------------------------------------------------------------------------------------------------


def is_malformed(stage: Stage) -> None:
    stage.serve(answering([b"x"]), Driver(scope(headers=[(b"host", b"second")])))


def is_announced_too_large(stage: Stage) -> None:
    stage.serve(read_all, upload(b"x" * 11, length=11), limits=Limits(body_max_bytes=10))


def becomes_too_large_while_collected(stage: Stage) -> None:
    stage.serve(read_all, upload(b"x" * 6, b"x" * 6), limits=Limits(body_max_bytes=10))


def becomes_too_large_while_read(stage: Stage) -> None:
    limits = Limits(body_max_bytes=1000, body_memory_bytes=100)
    stage.serve(read_all, upload(*[b"x" * 300] * 5), limits=limits, large_body="stream")


def does_not_arrive(stage: Stage) -> None:
    waiting = upload(length=5)
    waiting._events.clear()
    stage.serve(read_all, waiting, limits=Limits(body_wait_s=0.05))


def _behind_another(stage: Stage, driver: Driver, limits: Limits, is_over: Callable[[Driver], object]) -> None:
    """Serve one request while another holds the only worker."""
    app = Held()
    with stage.host(app, limits=limits) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Driver(make_scope(path="/first")).call, adapter)
                await until(lambda: app.entered)
                with anyio.CancelScope() as second:
                    async with anyio.create_task_group() as others:
                        others.start_soon(driver.call, adapter)
                        await until(lambda: is_over(driver) or adapter.statistics().waiting)
                        if not limits.queue_wait_s:
                            second.cancel()
                app.opened.set()

        run(main, stage.backend)


def finds_the_queue_full(stage: Stage) -> None:
    limits = Limits(workers=1, queue=0, queue_wait_s=30.0)
    _behind_another(stage, Driver(scope()), limits, lambda driver: driver.is_returned)


def waits_too_long_for_a_worker(stage: Stage) -> None:
    limits = Limits(workers=1, queue_wait_s=0.3)
    _behind_another(stage, Driver(scope()), limits, lambda driver: driver.is_returned)


REFUSED = {
    is_malformed: 400,
    does_not_arrive: 408,
    is_announced_too_large: 413,
    becomes_too_large_while_collected: 413,
    becomes_too_large_while_read: 413,
    finds_the_queue_full: 503,
    waits_too_long_for_a_worker: 503,
}
"""Each way to be refused, and the status that is answered."""


# ---- Aborted ----------------------------------------------------------------------------------------------------


def loses_its_client_in_a_stream(stage: Stage) -> None:
    driver = Driver(scope(), raises_when_gone=True)

    def blocks() -> Iterator[bytes]:
        yield b"one"
        driver.block_until_sent(2)
        driver.disconnect()
        yield from endless()

    stage.serve(answering(blocks), driver)


def loses_its_client_before_the_answer(stage: Stage) -> None:
    stage.serve(answering([b"late"]), Driver(scope(), fail_at={0: ClientGoneError()}))


def sees_its_client_leave_before_the_answer(stage: Stage) -> None:
    driver = Driver(scope())

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        driver.disconnect()
        while not environ["bridge.client_disconnected"]():
            driver.settle()
        raise ClientDisconnected("nobody is there")

    stage.serve(app, driver)


def loses_its_client_at_the_last_block(stage: Stage) -> None:
    stage.serve(answering([b"last"]), Driver(scope(), fail_at={1: ClientGoneError()}))


def is_cut_while_collected(stage: Stage) -> None:
    stage.serve(read_all, upload(b"half", length=8, more=(DISCONNECT,)))


def is_cut_while_read(stage: Stage) -> None:
    limits = Limits(body_memory_bytes=2)
    stage.serve(read_all, upload(b"half", length=8, more=(DISCONNECT,)), limits=limits, large_body="stream")


def has_a_client_that_takes_nothing(stage: Stage) -> None:
    limits = Limits(response_memory_bytes=1000, response_wait_s=0.05)
    stage.serve(answering(endless), Driver(scope(), hold_at={1}), limits=limits)


def is_cancelled_while_it_runs(stage: Stage) -> None:
    entered = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", list(TEXT))
        entered.set()
        while True:
            write(b"x")

    stage.serve_until(app, Driver(scope(), hold_at={1}), lambda _: entered.is_set(), limits=Limits(cancel_s=10.0))


def is_cancelled_while_it_waits_for_a_worker(stage: Stage) -> None:
    _behind_another(stage, Driver(scope()), Limits(workers=1, queue_wait_s=None), lambda driver: False)


def is_cancelled_in_the_upload(stage: Stage) -> None:
    driver = upload(b"half", length=8, more=())
    driver._events[-1]["more_body"] = True
    stage.serve_until(read_all, driver, lambda _: driver.receive_calls == 2)


def loses_its_client_and_is_then_cancelled(stage: Stage) -> None:
    driver = Driver(scope(), raises_when_gone=True)
    is_left, may_end = threading.Event(), threading.Event()

    def blocks() -> Iterator[bytes]:
        yield b"one"
        driver.block_until_sent(2)
        driver.disconnect()
        is_left.set()
        block(may_end)
        yield b"two"

    with stage.host(answering(blocks)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(is_left.is_set)
                await until(lambda: any(exchange.is_gone for exchange in tuple(adapter._hosting.live)))
                tasks.cancel_scope.cancel()
                may_end.set()

        run(main, stage.backend)


ABORTED = [
    loses_its_client_in_a_stream,
    loses_its_client_before_the_answer,
    sees_its_client_leave_before_the_answer,
    loses_its_client_at_the_last_block,
    is_cut_while_collected,
    is_cut_while_read,
    has_a_client_that_takes_nothing,
    is_cancelled_while_it_runs,
    is_cancelled_while_it_waits_for_a_worker,
    is_cancelled_in_the_upload,
    loses_its_client_and_is_then_cancelled,
]
"""Each way to end because the client has left or the server cancels."""
