"""Rows about responses: their order, their content, their end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

from tests.docs.coming_from.clients import Client, answering, ask, on_a_loop, settle, until
from tests.docs.coming_from.looks import Host, to_asgi_row
from tests.fakes import make_scope

A_MOMENT_S: Final = 0.2
"""For what is claimed not to happen."""


@to_asgi_row("A client leaves a stream")
def client_leaves_a_stream(host: Host, _: str) -> str:
    made, is_waiting, go_on = 0, threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        nonlocal made
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        for number in range(100):
            if number == 3:
                is_waiting.set()
                assert go_on.wait(15)
            made += 1
            yield b"data: x\n\n"

    async def steps(hosted: Any) -> None:
        client = Client()
        asking = asyncio.create_task(client.ask(hosted))
        try:
            await until(is_waiting.is_set, "the third event")
            client.left.set()
            await settle()
        finally:
            go_on.set()
        await asking

    with host(app) as hosted:
        on_a_loop(lambda: steps(hosted))
    return "the generator goes on" if made == 100 else "the generator is closed"


@to_asgi_row("A client reads slowly")
def client_reads_slowly(host: Host, claimed: str) -> str:
    made = 0

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        nonlocal made
        start_response("200 OK", [("Content-Type", "text/plain")])
        for _ in range(200):
            made += 1
            yield bytes(65536)

    async def steps(hosted: Any) -> int:
        client = Client(stops_taking_at=1)
        asking = asyncio.create_task(client.ask(hosted))
        try:
            await until(lambda: made == 200 if "memory" in claimed else made > 0, "what is claimed")
            await settle()
            made_ahead = made
        finally:
            client.may_take.set()
        await asking
        assert len(client.body) == 200 * 65536
        return made_ahead

    with host(app) as hosted:
        ahead = on_a_loop(lambda: steps(hosted))
    return "the rest of the response waits in memory" if ahead == 200 else "the application is held back"


@to_asgi_row("`close()` of the response")
def close_of_the_response(host: Host, _: str) -> str:
    closed: list[bool] = []

    class Response:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"fine"])

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Response:
        answering(environ, start_response)
        return Response()

    assert ask(host, app).is_answered
    assert len(closed) <= 1
    return "is called" if closed else "is never called"


@to_asgi_row("`write()`")
def write(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])(b"written")
        return []

    client = ask(host, app)
    return "works" if client.is_answered and client.body == b"written" else "fails"


@to_asgi_row("`start_response(..., exc_info)` before output")
def start_response_with_exc_info(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        try:
            raise LookupError("the page went wrong")
        except LookupError:
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"error page"]

    client = ask(host, app)
    assert client.body == b"error page"
    return {500: "replaces the response", 200: "comes too late: 200 and the error page"}[client.status or 0]


@to_asgi_row("A second `start_response()` without `exc_info`")
def second_start_response(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html")])
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"fine"]

    client = ask(host, app)
    return {200: "is ignored", 404: "replaces the first", None: "is an error"}[client.status]


@to_asgi_row("Header values beyond ASCII")
def header_beyond_ascii(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Disposition", "attachment; filename=Z\xfcrich.pdf")])
        return [b"fine"]

    return "are sent as they are" if ask(host, app).is_answered else "are an error"


@to_asgi_row("A status without a reason (`'200'`)")
def status_without_a_reason(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200", [("Content-Type", "text/plain")])
        return [b"fine"]

    return "is accepted" if ask(host, app).is_answered else "is an error"


@to_asgi_row("`Connection: close` from the application")
def hop_by_hop(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
        return [b"fine"]

    return "is passed on" if ask(host, app).is_answered else "is an error"


@to_asgi_row("A body longer than its `Content-Length`")
def too_long(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"fine"]

    client = ask(host, app)
    if not client.is_answered:
        return "is an error"
    return {b"fi": "is cut to it", b"fine": "is passed on"}[client.body]


@to_asgi_row("Responses without content")
def no_content(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    client = ask(host, app)
    if client.status is None:
        assert client.messages[0]["type"] == "http.response.body"
        return "have no status: the server makes a 500 of them"
    return "are sent"


@to_asgi_row("Slow readers on all threads")
def slow_readers(host: Host, claimed: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        for _ in range(1 if environ["PATH_INFO"] == "/quick" else 40):
            yield bytes(10240)

    async def steps(hosted: Any) -> bool:
        readers = [Client(stops_taking_at=1) for _ in range(40)]
        reading = asyncio.gather(*(reader.ask(hosted) for reader in readers))
        try:
            await until(lambda: any(reader.messages for reader in readers), "a response")
            quick = Client(scope=make_scope(path="/quick"))
            asking = asyncio.create_task(quick.ask(hosted))
            if claimed == "another request is served":
                await until(asking.done, "another response")
            else:
                await asyncio.sleep(A_MOMENT_S)
            is_served = asking.done()
        finally:
            for reader in readers:
                reader.may_take.set()
        await reading
        assert (await asking).is_answered
        return is_served

    with host(app, response_memory_bytes=65536) as hosted:
        return "another request is served" if on_a_loop(lambda: steps(hosted)) else "another request waits"
