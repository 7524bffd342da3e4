"""What every WSGI server may rely on when it calls an `ASGIToWSGI` (A-001 to A-009).

The gateway checks the letter of PEP 3333 at each step; the tests here choose what it is to be checked with.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest

from tests.backends import Backend
from tests.gateway import Gateway, UntouchableInput, answering, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold

TEXT = ((b"content-type", b"text/plain"),)


def start(status: int = 200, headers: Any = TEXT) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def block(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def streaming(*blocks: bytes) -> Any:
    """An ASGI application that sends each block on its own, and an empty last message."""

    async def app(scope, receive, send):
        await send(start())
        for content in blocks:
            await send(block(content))
        await send(block(b"", more=False))

    return app


async def echoing(scope, receive, send):
    """Answer with the request's body, piece by piece."""
    await send(start())
    more = True
    while more:
        event = await receive()
        assert event["type"] == "http.request"
        more = event["more_body"]
        await send(block(event["body"], more=more))


def sending_file(path: Path) -> Any:
    async def app(scope, receive, send):
        await send(start())
        await send({"type": "http.response.pathsend", "path": str(path)})

    return app


# ---- The callable -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-001")
def test_fifty_parallel_requests_each_get_their_own_answer(backend: Backend):
    count = 50
    arrived: list[str] = []
    all_are_here = Flag("all requests are in the application")

    async def app(scope, receive, send):
        arrived.append(scope["path"])
        if len(arrived) == count:
            all_are_here.set()
        await all_are_here.wait_on_loop()
        event = await receive()
        await send(start())
        await send(block(scope["path"].encode()))
        await send(block(b" " + event["body"], more=False))

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        helpers = [
            Helper(lambda number=number: run(adapter, environ_for("POST", f"/{number}", body=b"body %d" % number)).body)
            for number in range(count)
        ]
        bodies = [helper.join() for helper in helpers]

    assert bodies == [b"/%d body %d" % (number, number) for number in range(count)]


@pytest.mark.requirement("A-002", "A-003", "A-004")
@pytest.mark.parametrize(
    ("app", "environ"),
    [
        pytest.param(answering(), {}, id="whole"),
        pytest.param(streaming(b"a", b"b"), {}, id="streamed"),
        pytest.param(streaming(), {}, id="empty"),
        pytest.param(answering(b"", 204), {}, id="no content"),
        pytest.param(answering(), {"method": "HEAD"}, id="HEAD"),
        pytest.param(echoing, {"method": "POST", "body": b"12345"}, id="echoed"),
        pytest.param(sending_file(Path(__file__)), {"wsgi.file_wrapper": FileWrapper}, id="file"),
        pytest.param(answering(), {"CONTENT_LENGTH": "no number"}, id="refused"),
    ],
)
def test_start_response_is_called_once_before_the_iterable_is_returned_by_the_calling_thread(app, environ):
    with hosted(app, lifespan="off") as adapter:
        gateway = Gateway(adapter, environ_for(**environ)).call()
        thread_ids_at_return = list(gateway.thread_ids)
        gateway.drain()
        gateway.close()

    assert thread_ids_at_return == [threading.get_ident()]
    assert len(gateway.starts) == 1


@pytest.mark.requirement("A-003")
def test_status_and_headers_are_there_when_the_callable_returns_though_the_first_block_is_not_asked_for(backend):
    with hosted(streaming(b"a"), lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter).call()
        seen = (gateway.status, gateway.headers, list(gateway.blocks))
        gateway.drain()
        gateway.close()

    assert seen == ("200 OK", [("content-type", "text/plain")], [])


@pytest.mark.requirement("A-002")
def test_start_response_is_not_called_for_an_application_that_fails_first():
    async def app(scope, receive, send):
        await send(start())
        raise LookupError("before the first block")

    with hosted(app, lifespan="off") as adapter:
        gateway = Gateway(adapter)
        with pytest.raises(LookupError, match="before the first block"):
            gateway.call()

    assert gateway.starts == []


class LoudBytes(bytes):
    """Bytes of an unusual type, as some libraries make for headers."""


@pytest.mark.requirement("A-004")
@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        pytest.param(HTTPStatus.IM_A_TEAPOT, [], ("418 I'm a Teapot", []), id="enum"),
        pytest.param(299, [], ("299 Success", []), id="unregistered"),
        pytest.param(200, [[b"x-a", b"1"]], ("200 OK", [("x-a", "1")]), id="lists for pairs"),
        pytest.param(200, (pair for pair in TEXT), ("200 OK", [("content-type", "text/plain")]), id="generator"),
        pytest.param(200, [(b"x-a", b"caf\xe9 \xff")], ("200 OK", [("x-a", "caf\xe9 \xff")]), id="upper octets"),
        pytest.param(200, [(LoudBytes(b"x-a"), LoudBytes(b"1"))], ("200 OK", [("x-a", "1")]), id="bytes subclass"),
    ],
)
def test_status_and_headers_have_exactly_the_types_that_servers_check(status, headers, expected):
    with hosted(answering(b"", status, headers), lifespan="off") as adapter:
        gateway = run(adapter)

    assert (gateway.status, gateway.headers) == expected


@pytest.mark.requirement("A-005")
@pytest.mark.parametrize("app", [answering(), streaming(b"hel", b"lo")], ids=["whole", "streamed"])
def test_what_start_response_returns_is_not_looked_at(app):
    starts: list[str] = []

    def start_response(status, headers):
        starts.append(status)
        return UntouchableInput()

    with hosted(app, lifespan="off") as adapter:
        result = adapter(environ_for(), start_response)
        body = b"".join(result)
        result.close()

    assert (starts, body) == (["200 OK"], b"hello")


# ---- The iterable -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-006")
def test_a_response_that_is_complete_at_once_is_a_list_of_one_block(backend):
    with hosted(answering(b"hello"), lifespan="off", event_loop=backend.name) as adapter:
        gateway = run(adapter)

    assert isinstance(gateway.result, list)
    assert list(gateway.result) == [b"hello"]
    assert gateway.blocks == [b"hello"]


@pytest.mark.requirement("A-006")
def test_a_response_under_way_has_no_length(backend):
    with hosted(streaming(b"a"), lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter).call()
        with pytest.raises(TypeError):
            len(gateway.result)
        gateway.drain()
        gateway.close()

    assert gateway.body == b"a"


@pytest.mark.requirement("A-006")
@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("more", [True, False], ids=["streamed", "whole"])
def test_blocks_are_bytes_whatever_buffer_the_application_sent(kind, more):
    async def app(scope, receive, send):
        await send(start())
        await send(block(kind(b"hello"), more=more))
        if more:
            await send(block(kind(b""), more=False))

    with hosted(app, lifespan="off") as adapter:
        gateway = run(adapter)  # checks the type of each block

    assert gateway.body == b"hello"


@pytest.mark.requirement("A-001", "A-002", "A-004", "A-006")
@pytest.mark.parametrize(
    ("app", "expected"),
    [
        pytest.param(answering(b"hello"), b"hello", id="whole"),
        pytest.param(streaming(b"hel", b"", b"lo"), b"hello", id="streamed"),
        pytest.param(echoing, b"hello", id="echoed"),
    ],
)
def test_the_validator_of_the_standard_library_finds_nothing(app, expected, maybe_lint, backend):
    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(maybe_lint(adapter), environ_for("POST", body=b"hello"))
        gateway.call()
        gateway.drain()
        gateway.result.close()  # once: the validator counts

    assert gateway.body == expected


@pytest.mark.requirement("A-007")
def test_steps_may_be_taken_by_alternating_threads(backend):
    blocks = [b"%d" % number for number in range(6)]

    with hosted(streaming(*blocks), lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter).call()
        while True:
            if Helper(gateway.step).join() is None:
                break
            if gateway.step() is None:
                break
        Helper(gateway.close).join()

    assert gateway.blocks == blocks


@pytest.mark.requirement("A-007")
@pytest.mark.parametrize("app", [answering(), streaming(b"a", b"b")], ids=["whole", "streamed"])
@pytest.mark.parametrize("is_drained", [True, False], ids=["after the end", "before the end"])
def test_close_may_be_called_twice(app, is_drained):
    with hosted(app, lifespan="off") as adapter:
        gateway = Gateway(adapter).call()
        if is_drained:
            gateway.drain()
        gateway.result.close()
        gateway.result.close()

    assert gateway.status == "200 OK"


@pytest.mark.requirement("A-007")
def test_close_by_another_thread_returns_while_the_loop_is_busy(backend):
    """Tornado closes on its own loop's thread: a wait in ``close()`` would stop a whole server."""
    busy = Hold("the application keeps the loop busy")

    async def app(scope, receive, send):
        await send(start())
        await send(block(b"first"))
        busy.stop_here()
        while (await receive())["type"] != "http.disconnect":
            pass

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        stepping = Helper(gateway.step)  # asks for more, so that send() returns
        busy.reached.wait()
        try:
            Helper(gateway.close).join()
            was_released = busy.released.is_set()
        finally:
            busy.release()
        second = stepping.join()

    assert not was_released
    assert second is None


@pytest.mark.requirement("A-007")
def test_a_step_that_waits_is_set_free_by_a_close_in_another_thread(backend):
    waiting = Flag("the application waits")
    seen: list[str] = []
    done = Flag("the application has returned")

    async def app(scope, receive, send):
        await receive()
        await send(start())
        await send(block(b"first"))
        waiting.set()
        seen.append((await receive())["type"])
        done.set()

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        stepping = Helper(gateway.step)
        waiting.wait()
        Helper(gateway.close).join()
        second = stepping.join()
        done.wait()

    assert second is None
    assert seen == ["http.disconnect"]


# ---- The environ --------------------------------------------------------------------------------------------------


class SubclassedEnviron(dict):
    """Gevent's environ is a dict of its own kind."""


@pytest.mark.requirement("A-008")
@pytest.mark.parametrize(
    ("change", "client", "server"),
    [
        pytest.param(lambda environ: environ, ("127.0.0.1", 50000), ("testserver", 80), id="ordinary"),
        pytest.param(SubclassedEnviron, ("127.0.0.1", 50000), ("testserver", 80), id="dict subclass"),
        pytest.param({"REMOTE_PORT": 50000}, ("127.0.0.1", 50000), ("testserver", 80), id="port as a number"),
        pytest.param({"REMOTE_ADDR": "localhost", "REMOTE_PORT": "None"}, None, ("testserver", 80), id="waitress unix"),
        pytest.param(
            {"REMOTE_ADDR": "", "SERVER_NAME": "/run/app.sock", "SERVER_PORT": ""},
            None,
            ("/run/app.sock", None),
            id="gunicorn unix",
        ),
        pytest.param(
            {"REMOTE_PORT": None, "CONTENT_TYPE": None, "CONTENT_LENGTH": None, "QUERY_STRING": None},
            ("127.0.0.1", 0),
            ("testserver", 80),
            id="None for unknown",
        ),
    ],
)
def test_irregular_environs_are_served(change, client, server):
    seen: list[Any] = []

    async def app(scope, receive, send):
        seen.append((scope["client"], scope["server"]))
        await answering()(scope, receive, send)

    environ = environ_for()
    environ = change(environ) if isinstance(change, Callable) else environ | change
    with hosted(app, lifespan="off") as adapter:
        gateway = run(adapter, environ)

    assert gateway.status == "200 OK"
    assert seen == [(client, server)]


@pytest.mark.requirement("A-008")
def test_an_environ_with_nothing_that_is_optional_is_served():
    needed = ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "wsgi.input", "wsgi.errors")
    environ = {key: value for key, value in environ_for().items() if key in needed}

    with hosted(answering(b"hello"), lifespan="off") as adapter:
        gateway = run(adapter, environ)

    assert (gateway.status, gateway.body) == ("200 OK", b"hello")


@pytest.mark.requirement("A-009")
@pytest.mark.parametrize(
    ("app", "environ"),
    [
        pytest.param(answering(), {}, id="whole"),
        pytest.param(echoing, {"method": "POST", "body": b"12345"}, id="echoed"),
        pytest.param(sending_file(Path(__file__)), {"wsgi.file_wrapper": FileWrapper}, id="file"),
        pytest.param(answering(), {"CONTENT_LENGTH": "-1"}, id="refused"),
        pytest.param(answering(), {"wsgi.url_scheme": "https", "SSL_PROTOCOL": "TLSv1.3"}, id="tls"),
    ],
)
def test_the_environ_is_left_as_it_was(app, environ):
    asked = environ_for(**environ)
    before = dict(asked)
    values_before = {key: copy.copy(value) for key, value in asked.items() if isinstance(value, str | tuple)}

    with hosted(app, lifespan="off") as adapter:
        run(adapter, asked)

    assert list(asked) == list(before)
    assert all(asked[key] is before[key] for key in before)
    assert all(asked[key] == value for key, value in values_before.items())
