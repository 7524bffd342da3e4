"""Rows about an ASGI application's work and its end, under a WSGI server."""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

from bridge import ApplicationTimeout, Limits
from tests.docs.coming_from.gateways import Request, http_only
from tests.docs.coming_from.looks import Host, to_wsgi_row
from tests.gateway import answering
from tests.meeting import Flag, Helper, until

START: Final = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
END: Final = {"type": "http.response.body", "body": b"fine"}
A_MOMENT_S: Final = 0.2
"""For what is claimed never to happen."""


@to_wsgi_row("A background task")
def background_task(host: Host, claimed: str) -> str:
    order: list[str] = []
    is_answered, go_on, is_over = Flag("an answer"), Flag("go on"), Flag("the application is over")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        await send(START)
        await send(END)
        is_answered.set()
        await go_on.wait_on_loop()
        order.append("the task")
        is_over.set()

    with host(app) as hosted:
        request = Helper(lambda: (Request(hosted).run(), order.append("the request")))
        is_answered.wait()
        if claimed == "holds no thread":
            request.join()
        go_on.set()
        is_over.wait()
        request.join()
    return "holds no thread" if order == ["the request", "the task"] else "holds the request's thread"


@to_wsgi_row("A client leaves a stream")
def client_leaves_a_stream(host: Host, claimed: str) -> str:
    is_told = Flag("the application is told")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        await send(START)
        try:
            for _number in range(1000):
                await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        except OSError:
            is_told.set()

    with host(app) as hosted:
        request = Request(hosted)
        request.step()
        request.close()
        if claimed == "the application is told":
            is_told.wait()
        else:
            threading.Event().wait(A_MOMENT_S)
        told = is_told.is_set()
    return "the application is told" if told else "the application hears nothing"


@to_wsgi_row("An application that returns without a response")
def no_response(host: Host, claimed: str) -> str:
    has_returned = Flag("the application has returned")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        has_returned.set()

    def ask() -> str:
        try:
            Request(hosted).run()
        except Exception:
            return "is an error"
        return "nothing"

    with host(app) as hosted:
        request = Helper(ask)
        has_returned.wait()
        request.thread.join(10 if claimed == "is an error" else A_MOMENT_S)
        if not request.is_done:
            return "holds the thread for ever"
        return str(request.result)


@to_wsgi_row("An application that is silent")
def silent(host: Host, claimed: str) -> str:
    is_called, go_on = Flag("the application is called"), Flag("go on")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        is_called.set()
        await go_on.wait_on_loop()
        await answering()(scope, receive, send)

    def ask() -> str:
        try:
            Request(hosted).run()
        except ApplicationTimeout:
            return f"is given up after {Limits().app_wait_s:.0f} s"
        return "is waited for without end"

    with host(app, app_wait_s=0.05) as hosted:
        request = Helper(ask)
        is_called.wait()
        request.thread.join(10 if "given up" in claimed else 3 * A_MOMENT_S)
        go_on.set()
        return str(request.join())


@to_wsgi_row("A failure before the response")
def failure_before(host: Host, _: str) -> str:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        raise LookupError("went wrong")

    with host(app) as hosted:
        try:
            request = Request(hosted).run()
        except LookupError:
            return "rises to the server"
        assert request.statuses == ["500 Internal Server Error"]
        return "is answered 500 by the adapter"


@to_wsgi_row("A failure after the response")
def failure_after(host: Host, claimed: str) -> str:
    records: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Handler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        http_only(scope)
        await send(START)
        await send(END)
        raise LookupError("went wrong")

    logging.getLogger().addHandler(handler)
    try:
        with host(app) as hosted:
            assert Request(hosted).run().blocks[0] == b"fine"
            if claimed == "is logged":
                until(lambda: records, "a record")
    finally:
        logging.getLogger().removeHandler(handler)
    return "is logged" if records else "is lost"
