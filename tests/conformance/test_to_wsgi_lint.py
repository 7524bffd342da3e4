"""ASGI applications of all sorts under wsgiref's validator, a pedantic middleware: it has nothing to complain about.

The validator checks what the adapter gives to ``start_response``, what it iterates over and how it treats
``wsgi.input``. Its complaints are assertion errors, and warnings, which are errors here.
"""

from __future__ import annotations

import functools
import os
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import anyio
import pytest

from bridge import BadRequest, Limits
from tests.gateway import QUICK, Gateway, environ_for, hosted
from tests.meeting import Flag, until

on_each_loop = pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])

TEXT = [(b"content-type", b"text/plain")]
REQUEST = b"first line\nsecond line\r\nlast" * 1000


def start(status: int = 200, headers: Any = TEXT) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(octets: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


async def read_all(receive: Any) -> bytes:
    pieces = []
    while True:
        event = await receive()
        assert event["type"] == "http.request"
        pieces.append(event["body"])
        if not event["more_body"]:
            return b"".join(pieces)


async def say(messages: Any, scope: Any, receive: Any, send: Any) -> None:
    for message in messages:
        await send(message)


def saying(*messages: dict[str, Any]) -> Any:
    return functools.partial(say, messages)


async def echo(scope, receive, send):
    octets = await read_all(receive)
    await send(start(headers=[*TEXT, (b"content-length", b"%d" % len(octets))]))
    await send(body(octets))


async def echo_as_it_comes(scope, receive, send):
    await send(start())
    more = True
    while more:
        event = await receive()
        more = event["more_body"]
        await send(body(event["body"], more))


async def listen_while_sending(scope, receive, send):
    """As frameworks do: one task waits for the disconnect while another one sends."""
    await read_all(receive)
    async with anyio.create_task_group() as group:
        heard: list[str] = []

        async def listen() -> None:
            heard.append((await receive())["type"])

        group.start_soon(listen)
        await send(start())
        await send(body(b"a", more=True))
        await send(body(b"b"))
    assert heard == ["http.disconnect"]


async def from_two_tasks(scope, receive, send):
    await send(start())
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(send, body(b"x", more=True))
    await send(body())


async def with_lifespan(scope, receive, send):
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    await send(start())
    await send(body(b"lively"))


def in_two_steps(scope: Any) -> Any:
    return functools.partial(say, [start(), body(b"two steps")], scope)


async def fail(scope, receive, send):
    raise LookupError


async def hop_by_hop(scope, receive, send):
    await send(start(headers=[*TEXT, (b"connection", b"close"), (b"transfer-encoding", b"chunked"), (b"x-a", b"\xe9")]))
    await send(body(b"sent"))


async def send_file(scope, receive, send):
    await send(start())
    await send({"type": "http.response.pathsend", "path": os.path.abspath(__file__)})


with open(__file__, "rb") as own_file:
    THIS_FILE = own_file.read()

APPS = [
    pytest.param(saying(start(), body(b"body")), b"body", id="one piece"),
    pytest.param(saying(start(), body()), b"", id="empty"),
    pytest.param(saying(start(), body(b"a", True), body(b"b", True), body()), b"ab", id="stream"),
    pytest.param(saying(start(), body(b"", True), body(b"late")), b"late", id="empty block first"),
    pytest.param(saying(start(299), body(b"odd")), b"odd", id="unregistered status"),
    pytest.param(
        saying(start(404, [*TEXT, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]), body(b"no")), b"no", id="404"
    ),
    pytest.param(saying(start(204, []), body(b"swallowed")), b"", id="204"),
    pytest.param(saying(start(304, [(b"etag", b'"e"')]), body()), b"", id="304"),
    pytest.param(echo, REQUEST, id="echo"),
    pytest.param(echo_as_it_comes, REQUEST, id="echo in pieces"),
    pytest.param(listen_while_sending, b"ab", id="listener"),
    pytest.param(from_two_tasks, b"xx", id="two senders"),
    pytest.param(with_lifespan, b"lively", id="lifespan"),
    pytest.param(in_two_steps, b"two steps", id="ASGI 2"),
    pytest.param(hop_by_hop, b"sent", id="hop-by-hop fields"),
    pytest.param(send_file, THIS_FILE, id="pathsend"),
    pytest.param(fail, b"Internal Server Error\n", id="error"),
]


def request(adapter: Any, method: str = "POST", **more: Any) -> Gateway:
    """Make one request with the validator in between."""
    environ = environ_for(method, body=REQUEST, **{"wsgi.file_wrapper": FileWrapper, **more})
    return Gateway(validator(adapter), environ)


@pytest.mark.requirement("A-001", "A-004", "A-006", "A-039", "A-043", "A-046")
@on_each_loop
@pytest.mark.parametrize(("app", "expected"), APPS)
def test_the_validator_stays_silent_for(app, expected, event_loop, capsys):
    with hosted(app, event_loop=event_loop, on_error="respond") as adapter:
        for _ in range(2):
            assert request(adapter).run().body == expected

    assert capsys.readouterr().err == ""  # it also complains on stderr


@pytest.mark.requirement("A-075", "A-004")
@pytest.mark.parametrize("app", [pytest.param(case.values[0], id=case.id) for case in APPS])
def test_the_validator_stays_silent_under_head_for(app, capsys):
    with hosted(app, on_error="respond") as adapter:
        gateway = request(adapter, "HEAD").run()

    assert gateway.body == b""
    assert capsys.readouterr().err == ""


@pytest.mark.requirement("A-044")
@pytest.mark.parametrize("app", [echo, echo_as_it_comes])
def test_the_validator_stays_silent_for_a_body_without_a_length(app, capsys):
    chunked = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    with hosted(app) as adapter:
        assert request(adapter, **chunked).run().body == REQUEST

    assert capsys.readouterr().err == ""


@pytest.mark.requirement("A-007", "A-091")
@on_each_loop
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_the_validator_stays_silent_when_the_server_closes_early(steps, event_loop, capsys):
    has_heard = Flag("the application was told")

    async def app(scope, receive, send):
        await send(start())
        try:
            while True:
                await send(body(b"tick", more=True))
        except OSError:
            has_heard.set()

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = request(adapter).call()
        for _ in range(steps):
            gateway.step()
        gateway.close()
        has_heard.wait()
        until(lambda: adapter.statistics().background == 0, "the end of the application")

    assert capsys.readouterr().err == ""


@pytest.mark.requirement("A-004", "A-031")
@pytest.mark.parametrize(
    ("limits", "more", "status"),
    [
        pytest.param(Limits(body_max_bytes=5), {}, "413 ", id="413"),
        pytest.param(QUICK, {"HTTP_X_A": "a", "CONTENT_LENGTH": "00000"}, "200 ", id="an odd but valid length"),
    ],
)
def test_the_validator_stays_silent_for_the_answers_of_the_bridge(limits, more, status, capsys):
    with hosted(saying(start(), body(b"fine")), limits=limits) as adapter:
        assert request(adapter, **more).run().status.startswith(status)

    assert capsys.readouterr().err == ""


@pytest.mark.requirement("A-004", "A-102")
def test_the_validator_stays_silent_for_the_answer_after_the_shutdown(capsys):
    with hosted(saying(start(), body(b"fine"))) as adapter:
        request(adapter).run()
        adapter.shutdown()
        gateway = request(adapter).run()

    assert gateway.status.startswith("503 ")
    assert capsys.readouterr().err == ""


@pytest.mark.requirement("A-081")
def test_an_error_passes_the_validator_as_itself(capsys):
    error = BadRequest("of the application itself")

    async def app(scope, receive, send):
        raise error

    with hosted(app, lifespan="off") as adapter:
        with pytest.raises(BadRequest) as caught:
            request(adapter).run()

    assert caught.value is error
    assert capsys.readouterr().err == ""
