"""The ways in which a request ends early under `to_wsgi`, each played out once: what is reported, what is logged.

Every one is played with a path that would break a log line, and with a query that must not get into a log.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from bridge import ASGIToWSGI, ClientDisconnected, Limits, RequestReport
from tests.gateway import Gateway, ScriptedInput, answering, environ_for, hosted, run
from tests.meeting import Hold

PATH = "/a\nb"
QUICK = {"shutdown_s": 2.0, "cancel_s": 1.0}
START = {"type": "http.response.start", "status": 200, "headers": []}


def environ(method: str = "GET", **more: Any) -> dict[str, Any]:
    """The environ of the request that is looked at."""
    return environ_for(method, PATH, QUERY_STRING="token=secret", **more)


def block(octets: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


@dataclass
class Stage:
    """Where an ending is played: on one kind of loop, with an observer or without.

    Attributes:
        seen: every report, complete once the adapter has been shut down.
    """

    backend: str
    is_observed: bool = True
    seen: list[RequestReport] = field(default_factory=list)

    @property
    def reports(self) -> list[RequestReport]:
        """The reports of the request that is looked at."""
        return [report for report in self.seen if report.path == PATH]

    @contextmanager
    def host(self, app: Any, *, lifespan: str = "off", **options: Any) -> Iterator[ASGIToWSGI]:
        """Host an application for the length of a ``with``."""
        options.setdefault("limits", Limits(**QUICK))
        with hosted(app, lifespan=lifespan, event_loop=self.backend, **options) as adapter:
            if self.is_observed:
                adapter.observe(self.seen.append)
            yield adapter


async def read_all(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and tell its length."""
    count = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        count += len(message["body"])
        if not message["more_body"]:
            break
    await send(START)
    await send(block(b"%d" % count, more=False))


async def endless(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    while True:
        await send(block(b"x" * 100))


# ---- Refused ----------------------------------------------------------------------------------------------------


def is_malformed(stage: Stage) -> None:
    with stage.host(answering()) as adapter:
        run(adapter, environ("POST", CONTENT_LENGTH="+1"))


def is_announced_too_large(stage: Stage) -> None:
    with stage.host(read_all, limits=Limits(body_max_bytes=3, **QUICK)) as adapter:
        run(adapter, environ("POST", body=b"long"))


def becomes_too_large_while_read(stage: Stage) -> None:
    source = ScriptedInput(b"a", b"bcd", b"efg")
    with stage.host(read_all, limits=Limits(body_max_bytes=3, **QUICK)) as adapter:
        run(adapter, environ("POST", **{"wsgi.input": source, "wsgi.input_terminated": True}))


def comes_after_the_shutdown(stage: Stage) -> None:
    with stage.host(answering()) as adapter:
        run(adapter, environ_for(path="/first"))
        adapter.shutdown()
        run(adapter, environ())


REFUSED = {
    is_malformed: 400,
    is_announced_too_large: 413,
    becomes_too_large_while_read: 413,
    comes_after_the_shutdown: 503,
}
"""Each way to be refused, and the status that is answered."""


# ---- Aborted ----------------------------------------------------------------------------------------------------


def is_closed_in_a_stream(stage: Stage) -> None:
    with stage.host(endless) as adapter:
        gateway = Gateway(adapter, environ()).call()
        gateway.step()
        gateway.close()


def is_dropped_in_a_stream(stage: Stage) -> None:
    with stage.host(endless) as adapter:
        gateway = Gateway(adapter, environ()).call()
        gateway.step()
        del gateway
        gc.collect()


def is_closed_before_its_first_block(stage: Stage) -> None:
    with stage.host(endless) as adapter:
        Gateway(adapter, environ()).call().close()


def loses_its_client_before_the_answer(stage: Stage) -> None:
    """The server tells of it, as waitress does."""
    hold = Hold("the client has left")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await hold.stop_here_on_loop()

    with stage.host(app) as adapter:
        with suppress(ClientDisconnected):
            run(adapter, environ(**{"waitress.client_disconnected": lambda: True}))
        hold.release()


def is_cut_by_an_error_in_the_upload(stage: Stage) -> None:
    source = ScriptedInput(b"half", OSError("reset"), total_bytes=8)
    with stage.host(read_all) as adapter, suppress(ClientDisconnected):
        run(adapter, environ("POST", CONTENT_LENGTH="8", **{"wsgi.input": source}))


def is_cut_by_an_early_end_of_the_upload(stage: Stage) -> None:
    with stage.host(read_all) as adapter, suppress(ClientDisconnected):
        run(adapter, environ("POST", CONTENT_LENGTH="8", **{"wsgi.input": ScriptedInput(b"half", total_bytes=8)}))


class ServerError(BaseException):
    """What a server raises in its own thread to get it back."""


def is_called_back_by_the_server(stage: Stage) -> None:
    def start_response(*_: Any) -> None:
        raise ServerError

    with stage.host(endless) as adapter, suppress(ServerError):
        adapter(environ(), start_response)


ABORTED = [
    is_closed_in_a_stream,
    is_dropped_in_a_stream,
    is_closed_before_its_first_block,
    loses_its_client_before_the_answer,
    is_cut_by_an_error_in_the_upload,
    is_cut_by_an_early_end_of_the_upload,
    is_called_back_by_the_server,
]
"""Each way to end because the client has left or the server wants its thread back."""
