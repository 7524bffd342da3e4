"""Composition as oracle: an application that goes through both halves of the bridge behaves as it does by itself.

``to_wsgi(to_asgi(app))`` is compared with the WSGI application under the same gateway, ``to_asgi(to_wsgi(app))`` with
the ASGI application between the same strict fakes. What may differ is said where it is compared: names of fields are
lower case in ASGI, reasons are those of the registry, and a length may be inferred.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, ASGIToWSGI, ClientDisconnected, EventLoopError, Limits, to_asgi, to_wsgi
from tests.backends import Backend
from tests.conformance.driver import ClosingBlocks, logged
from tests.driving import Driver, Record, drive, fetch
from tests.fakes import DISCONNECT, body_events, make_scope
from tests.gateway import QUICK, Gateway, ScriptedInput, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold, until

on_each_loop = pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])

BIG = bytes(range(256)) * 1200  # 300 kB
SHORT_LIVED = Limits(worker_idle_s=0.05, shutdown_s=2.0, cancel_s=1.0)
TEXT = [("Content-Type", "text/plain")]


class ViewError(Exception):
    """The application's own."""


# ---- A WSGI application, there and back -----------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a WSGI server gets."""

    code: str = ""
    fields: frozenset[tuple[str, str]] = frozenset()
    body: bytes = b""
    error: BaseException | None = None

    def of_start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.code = status[:3]
        self.fields = frozenset((name.lower(), value) for name, value in headers if name.lower() != "content-length")


def by_itself(app: Any, environ: dict[str, Any]) -> Outcome:
    """Call a WSGI application as PEP 3333 says, with everything that servers must support."""
    outcome = Outcome()
    blocks: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        outcome.of_start(status, headers)
        return blocks.append

    try:
        result = app(environ, start_response)
        try:
            blocks.extend(result)
        finally:
            if hasattr(result, "close"):
                result.close()
    except Exception as error:
        outcome.error = error
    outcome.body = b"".join(blocks)
    return outcome


@contextmanager
def there_and_back(app: Any, event_loop: str, limits: Limits = SHORT_LIVED) -> Iterator[ASGIToWSGI]:
    """Host a WSGI application as an ASGI one that is hosted as a WSGI one."""
    with hosted(to_asgi(app, limits=limits), limits=QUICK, event_loop=event_loop) as adapter:
        yield adapter


def through_both(adapter: ASGIToWSGI, environ: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    gateway = Gateway(adapter, environ)
    try:
        gateway.run()
    except Exception as error:
        outcome.error = error
    if gateway.starts:
        outcome.of_start(gateway.status, gateway.headers)
    outcome.body = gateway.body
    return outcome


def plain(environ, start_response):
    start_response("200 OK", [*TEXT, ("X-A", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe9")])
    return [b"plain"]


def not_found(environ, start_response):
    start_response("404 NOT FOUND", list(TEXT))
    return [b"nothing ", b"here"]


def no_content(environ, start_response):
    start_response("204 No Content", [("X-A", "1")])
    return []


def redirect(environ, start_response):
    start_response("302 FOUND", [*TEXT, ("Location", "/elsewhere?q=%41")])
    return iter([b"", b"moved", b""])


def generate(environ, start_response):
    start_response("200 OK", list(TEXT))
    for number in range(20):
        yield b"%d," % number


def write(environ, start_response):
    sink = start_response("200 OK", list(TEXT))
    sink(b"by write, ")
    sink(b"twice, ")
    return [b"and returned"]


def echo(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [environ["wsgi.input"].read()]


def echo_in_steps(environ, start_response):
    start_response("200 OK", list(TEXT))
    while octets := environ["wsgi.input"].read(10_000):
        yield octets


def lines(environ, start_response):
    digest = hashlib.sha256()
    for line in environ["wsgi.input"]:
        digest.update(b"%d:" % len(line) + line)
    start_response("200 OK", list(TEXT))
    return [digest.hexdigest().encode()]


_SHOWN = (
    "REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING SERVER_NAME SERVER_PORT SERVER_PROTOCOL REMOTE_ADDR REMOTE_PORT "
    "CONTENT_TYPE CONTENT_LENGTH HTTP_HOST HTTP_X_A HTTP_COOKIE HTTP_ACCEPT wsgi.url_scheme"
).split()


def show(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: environ.get(key) for key in _SHOWN}, sort_keys=True).encode()]


def fail_at_once(environ, start_response):
    raise ViewError("at once")


def fail_after_start(environ, start_response):
    start_response("200 OK", list(TEXT))
    raise ViewError("after start_response")


def fail_in_the_first_step(environ, start_response):
    raise ViewError("in the first step")
    yield b""


def replace_by_an_error_page(environ, start_response):
    start_response("200 OK", list(TEXT))
    try:
        raise ViewError
    except ViewError:
        start_response("500 Oops", [*TEXT, ("X-Page", "error")], sys.exc_info())
    return [b"oops"]


WSGI_APPS = [
    plain,
    not_found,
    no_content,
    redirect,
    generate,
    write,
    echo,
    echo_in_steps,
    lines,
    show,
    fail_at_once,
    fail_after_start,
    fail_in_the_first_step,
    replace_by_an_error_page,
]

ENVIRONS: list[Any] = [
    pytest.param({}, id="GET"),
    pytest.param({"method": "POST", "body": BIG}, id="300 kB"),
    pytest.param({"method": "PUT", "body": b""}, id="empty body"),
    pytest.param(
        {
            "method": "POST",
            "wsgi.input": BIG,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input_terminated": True,
        },
        id="no length",
    ),
    pytest.param(
        {"wsgi.input": BIG, "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}, id="GET with a body"
    ),
    pytest.param(
        {
            "method": "DELETE",
            "path": "/caf\xc3\xa9/%41//x;y/..",
            "SCRIPT_NAME": "/mounted",
            "QUERY_STRING": "q=%C3%A9&r=\xe9&&",
            "HTTP_COOKIE": "a=1; b=\xe9",
            "HTTP_X_A": "one, two",
            "HTTP_ACCEPT": "",
            "CONTENT_TYPE": "text/plain; charset=utf-8",
            "wsgi.url_scheme": "https",
            "SERVER_PORT": "443",
        },
        id="odd fields",
    ),
]


def make_environ(parts: dict[str, Any]) -> dict[str, Any]:
    """Make a fresh environ: an input can be read once."""
    parts = dict(parts)
    if "wsgi.input" in parts:
        parts["wsgi.input"] = io.BytesIO(parts["wsgi.input"])
    return environ_for(parts.pop("method", "GET"), parts.pop("path", "/"), **parts)


@pytest.mark.requirement("A-001", "A-019", "A-026", "A-041", "A-044", "A-073", "A-081")
@on_each_loop
@pytest.mark.parametrize("parts", ENVIRONS)
@pytest.mark.parametrize("app", WSGI_APPS)
def test_a_wsgi_application_is_the_same_there_and_back(app, parts, event_loop):
    expected = by_itself(app, make_environ(parts))

    with there_and_back(app, event_loop) as adapter:
        outcome = through_both(adapter, make_environ(parts))

    assert (type(outcome.error), str(outcome.error)) == (type(expected.error), str(expected.error))
    if expected.error is None:
        assert (outcome.code, outcome.fields) == (expected.code, expected.fields)
    assert outcome.body == expected.body


@pytest.mark.requirement("A-082", "A-084")
@on_each_loop
@pytest.mark.parametrize("delivered", [1, 3])
def test_an_error_in_the_middle_of_a_stream_comes_through_both_ways_as_itself(delivered, event_loop):
    error = ViewError("in the middle")
    may_fail = Flag("the blocks have been read")

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        for _ in range(delivered):
            yield b"block"
        may_fail.wait()
        raise error

    with there_and_back(app, event_loop) as adapter:
        gateway = Gateway(adapter).call()
        while len(gateway.body) < delivered * len(b"block"):  # blocks that came together may have been joined
            gateway.step()
        may_fail.set()
        with pytest.raises(ViewError) as caught:
            gateway.drain()
        gateway.close()

    assert caught.value is error
    assert gateway.body == b"block" * delivered


def no_start_response(environ, start_response):
    return [b"body"]


def bad_status(environ, start_response):
    start_response("OK", list(TEXT))
    return [b"body"]


def header_with_a_line_break(environ, start_response):
    start_response("200 OK", [("X-A", "1\r\nX-B: 2")])
    return [b"body"]


def text_for_octets(environ, start_response):
    start_response("200 OK", list(TEXT))
    return ["text"]


def nothing_to_iterate_over(environ, start_response):
    start_response("200 OK", list(TEXT))


def second_start(environ, start_response):
    start_response("200 OK", list(TEXT))
    start_response("200 OK", list(TEXT))
    return [b"body"]


def too_much(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "3")])
    return [b"12345"]


def too_little(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "30")])
    return iter([b"123", b"45"])


@pytest.mark.requirement("A-059", "A-070", "A-081", "A-082")
@on_each_loop
@pytest.mark.parametrize(
    "app",
    [
        no_start_response,
        bad_status,
        header_with_a_line_break,
        text_for_octets,
        nothing_to_iterate_over,
        second_start,
        too_little,
    ],
)
def test_a_wsgi_application_that_breaks_the_rules_never_looks_fine(app, event_loop):
    is_first = [True]

    def first_bad(environ, start_response):
        return (app if is_first and is_first.pop() else plain)(environ, start_response)

    with there_and_back(first_bad, event_loop) as adapter:
        outcome = through_both(adapter, environ_for())
        after = through_both(adapter, environ_for())

    assert isinstance(outcome.error, ApplicationError)
    assert (after.error, after.body) == (None, b"plain")


@pytest.mark.requirement("A-070")
@on_each_loop
def test_content_beyond_its_length_never_goes_out(event_loop):
    with there_and_back(too_much, event_loop) as adapter:
        outcome = through_both(adapter, environ_for())

    assert outcome.body in (b"", b"123")
    assert outcome.error is None or isinstance(outcome.error, ApplicationError)


@pytest.mark.requirement("A-075")
@on_each_loop
@pytest.mark.parametrize("app", [plain, generate, write])
def test_head_has_the_fields_of_get_and_no_content_both_ways(app, event_loop):
    expected = by_itself(app, environ_for("HEAD"))

    with there_and_back(app, event_loop) as adapter:
        outcome = through_both(adapter, environ_for("HEAD"))

    assert (outcome.error, outcome.code, outcome.fields) == (None, expected.code, expected.fields)
    assert outcome.body == b""


@pytest.mark.requirement("A-077")
@on_each_loop
def test_a_block_comes_through_both_ways_before_the_next_is_made(event_loop):
    holds = [Hold(f"block {number}") for number in range(3)]

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        for number, hold in enumerate(holds):
            yield b"%d" % number
            hold.stop_here()

    with there_and_back(app, event_loop) as adapter:
        gateway = Gateway(adapter).call()
        for hold in holds:
            gateway.step()
            hold.reached.wait()
            hold.release()
        gateway.drain()
        gateway.close()

    assert gateway.blocks == [b"0", b"1", b"2"]


@pytest.mark.requirement("A-047", "A-091")
@on_each_loop
@pytest.mark.parametrize("ending", [b"", OSError("connection reset")], ids=["an early end", "an error"])
def test_a_cut_upload_never_looks_whole_both_ways(ending, event_loop):
    outcomes: list[Any] = []
    cut = ScriptedInput(b"only this", ending)

    def app(environ, start_response):
        try:
            outcomes.append(environ["wsgi.input"].read())
        except OSError as error:
            outcomes.append(type(error))
            raise
        start_response("200 OK", list(TEXT))
        return [b"all is fine"]

    # Streamed, or the application would not be called at all for a body that never came in whole.
    app_as_asgi = to_asgi(app, limits=SHORT_LIVED, large_body="stream")
    with hosted(app_as_asgi, event_loop=event_loop) as adapter:
        outcome = through_both(adapter, environ_for("POST", CONTENT_LENGTH="2000000", **{"wsgi.input": cut}))
        until(lambda: adapter.statistics().background == 0, "the end of the application")

    assert isinstance(outcome.error, ClientDisconnected)
    assert outcome.code == ""
    assert all(isinstance(item, type) and issubclass(item, OSError) for item in outcomes)


@pytest.mark.requirement("A-091", "A-087")
@on_each_loop
def test_an_early_close_reaches_the_iterable_both_ways_and_is_no_error(event_loop, caplog):
    blocks = ClosingBlocks([b"x" * 100_000] * 1000)

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        return blocks

    with there_and_back(app, event_loop) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        gateway.close()
        until(lambda: blocks.closed_in, "close() of the application's iterable")
        until(lambda: adapter.statistics().background == 0, "the end of the application")
        failed = adapter.statistics().failed_in_background

    assert len(blocks.closed_in) == 1
    assert failed == 0
    assert logged(caplog, logging.ERROR) == []


# ---- An ASGI application, there and back ----------------------------------------------------------------------------


def asgi_start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def asgi_body(octets: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


async def a_plain(scope, receive, send):
    await send(asgi_start(200, (b"content-type", b"text/plain"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=\xe9")))
    await send(asgi_body(b"plain"))


async def a_stream(scope, receive, send):
    await send(asgi_start(203))
    for number in range(20):
        await send(asgi_body(b"%d," % number, more=True))
    await send(asgi_body())


async def a_length(scope, receive, send):
    await send(asgi_start(200, (b"content-length", b"6")))
    await send(asgi_body(b"abc", more=True))
    await send(asgi_body(b"def"))


async def a_empty(scope, receive, send):
    await send(asgi_start(404))
    await send(asgi_body())


async def a_no_content(scope, receive, send):
    await send(asgi_start(204, (b"x-a", b"1")))
    await send(asgi_body())


async def a_not_modified(scope, receive, send):
    await send(asgi_start(304, (b"etag", b'"e"')))
    await send(asgi_body())


async def a_echo(scope, receive, send):
    octets = b""
    while (event := await receive())["type"] == "http.request":
        octets += event["body"]
        if not event["more_body"]:
            break
    await send(asgi_start(200))
    await send(asgi_body(octets))


async def a_echo_as_it_comes(scope, receive, send):
    await send(asgi_start(200))
    while (event := await receive())["type"] == "http.request":
        await send(asgi_body(event["body"], event["more_body"]))
        if not event["more_body"]:
            break


async def a_show(scope, receive, send):
    shown = {
        key: scope.get(key) for key in ("method", "path", "root_path", "query_string", "scheme", "client", "server")
    }
    # The names have no order, and a WSGI application is not told how the message was framed.
    fields = sorted(field for field in scope["headers"] if field[0] != b"transfer-encoding")
    await send(asgi_start())
    await send(asgi_body(repr((shown, fields)).encode()))


async def a_fail_at_once(scope, receive, send):
    raise ViewError("at once")


async def a_fail_after_start(scope, receive, send):
    await send(asgi_start())
    raise ViewError("after the start")


async def a_listen(scope, receive, send):
    """As frameworks do: one task waits for the disconnect while another sends."""
    while (await receive())["more_body"]:
        pass
    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        await send(asgi_start())
        await send(asgi_body(b"a", more=True))
        await send(asgi_body(b"b"))
        group.cancel_scope.cancel()


ASGI_APPS = [
    a_plain,
    a_stream,
    a_length,
    a_empty,
    a_no_content,
    a_not_modified,
    a_echo,
    a_echo_as_it_comes,
    a_show,
    a_fail_at_once,
    a_fail_after_start,
    a_listen,
]

PIECES = [BIG[:1], BIG[1:100_000], BIG[100_000:]]
LENGTH = (b"content-length", b"%d" % len(BIG))

SCOPES: list[Any] = [
    pytest.param({}, [], id="GET"),
    pytest.param({"method": "POST", "headers": [LENGTH]}, PIECES, id="300 kB"),
    pytest.param({"method": "POST", "headers": [(b"transfer-encoding", b"chunked")]}, PIECES, id="no length"),
    pytest.param({"headers": [(b"transfer-encoding", b"chunked")]}, PIECES, id="GET with a body"),
    pytest.param(
        {
            "method": "PATCH",
            "path": "/mounted/caf\xe9/%41//x",
            "raw_path": b"/mounted/caf%C3%A9/%2541//x",
            "root_path": "/mounted",
            "query_string": b"q=%C3%A9&&r",
            "headers": [(b"cookie", b"a=1"), (b"x-a", b"\xe9"), (b"content-type", b"text/plain")],
            "scheme": "https",
        },
        [],
        id="odd fields",
    ),
]


@contextmanager
def back_and_there(app: Any, backend: Backend) -> Iterator[Any]:
    """Host an ASGI application as a WSGI one that is hosted as an ASGI one, with loops of the same kind."""
    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        yield to_asgi(adapter, limits=SHORT_LIVED)


def comparable(record: Record) -> Any:
    """Return what must be the same: a length may have been inferred, and a start without content goes nowhere."""
    if record.exception is not None:
        return type(record.exception), str(record.exception), record.body
    return record.status, [field for field in record.headers if field[0] != b"content-length"], record.body


@pytest.mark.requirement("A-010", "A-019", "A-026", "A-041", "A-054", "A-073", "A-081")
@pytest.mark.parametrize(("parts", "pieces"), SCOPES)
@pytest.mark.parametrize("app", ASGI_APPS)
def test_an_asgi_application_is_the_same_back_and_there(app, parts, pieces, backend):
    expected = comparable(drive(app, make_scope(**parts), body_events(*pieces), backend=backend))

    with back_and_there(app, backend) as composed:
        outcome = comparable(drive(composed, make_scope(**parts), body_events(*pieces), backend=backend))

    assert outcome == expected


@pytest.mark.requirement("A-082")
def test_an_asgi_error_in_the_middle_of_a_stream_comes_through_as_itself(backend):
    error = ViewError("in the middle")
    may_fail = Flag("the first block has been sent")

    async def app(scope, receive, send):
        await send(asgi_start())
        with anyio.CancelScope() as sending:

            async def give_up() -> None:
                await may_fail.wait_on_loop()
                sending.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(give_up)
                await send(asgi_body(b"out", more=True))
                await may_fail.wait_on_loop()
        raise error

    with back_and_there(app, backend) as composed:
        with Driver(composed, backend=backend) as driver:
            until(lambda: driver.record.body == b"out", "the first block")
            may_fail.set()
        record = driver.record

    assert record.exception is error
    assert not record.is_complete


@pytest.mark.requirement("A-058", "A-059", "A-062", "A-070", "A-083")
@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="nothing"),
        pytest.param([asgi_start()], id="a bare start"),
        pytest.param([asgi_body(b"x")], id="a body first"),
        pytest.param([asgi_start(103)], id="interim status"),
        pytest.param([asgi_start(200, (b"x-a", b"1\r\nx-b: 2"))], id="line break"),
        pytest.param([asgi_start(), {"type": "http.response.body", "body": "text"}], id="text"),
        pytest.param([asgi_start(200, (b"content-length", b"3")), asgi_body(b"12345")], id="too much"),
        pytest.param([asgi_start(200, (b"content-length", b"3")), asgi_body(b"1")], id="too little"),
        pytest.param([asgi_start(), asgi_body(b"1", more=True)], id="no end"),
    ],
)
def test_an_asgi_application_that_breaks_the_rules_never_looks_fine(messages, backend):
    first = [messages]

    async def app(scope, receive, send):
        for message in first.pop() if first else [asgi_start(), asgi_body(b"next")]:
            await send(message)

    with back_and_there(app, backend) as composed:
        record = drive(composed, backend=backend)
        after = fetch(composed, backend=backend)

    assert isinstance(record.exception, ApplicationError)
    assert not record.is_complete
    assert after.body == b"next"


@pytest.mark.requirement("A-047")
def test_a_cut_upload_is_a_disconnect_back_and_there(backend):
    events: list[Any] = []

    async def app(scope, receive, send):
        while True:
            event = await receive()
            events.append((event["type"], event.get("more_body")))
            if not event.get("more_body"):
                break

    with back_and_there(app, backend) as adapter:
        composed = to_asgi(adapter.app, limits=SHORT_LIVED, large_body="stream")
        scope = make_scope(method="POST", headers=[(b"content-length", b"2000000")])
        drive(composed, scope, [*body_events(b"only this", is_complete=False), DISCONNECT], backend=backend)
        # The bridge may find out before it calls the application; if it calls it, the body must not look whole.
        until(lambda: not events or events[-1][0] == "http.disconnect", "the disconnect")

    assert ("http.request", False) not in events


@pytest.mark.requirement("A-091", "A-093", "A-087")
def test_a_client_that_leaves_is_gone_back_and_there(backend, caplog):
    outcomes: list[str] = []
    has_heard = Flag("the application was told")

    async def app(scope, receive, send):
        await receive()
        await send(asgi_start())
        try:
            while True:
                await send(asgi_body(b"x" * 100_000, more=True))
        except OSError as error:
            outcomes.append(type(error).__name__)
            outcomes.append((await receive())["type"])
            raise
        finally:
            has_heard.set()

    with back_and_there(app, backend) as composed:
        with Driver(composed, backend=backend, is_deaf_after_disconnect=True) as driver:
            until(lambda: len(driver.record.body) > 100_000, "some blocks")
            driver.disconnect()
        has_heard.wait()

    assert outcomes == ["ClientDisconnected", "http.disconnect"]
    assert logged(caplog, logging.ERROR) == []


@pytest.mark.requirement("A-079", "A-085")
def test_work_after_the_response_does_not_hold_it_up_back_and_there(backend):
    hold = Hold("work after the response")

    async def app(scope, receive, send):
        await send(asgi_start())
        await send(asgi_body(b"a", more=True))
        await send(asgi_body(b"ll"))
        await hold.stop_here_on_loop()

    with back_and_there(app, backend) as composed:
        record = fetch(composed, backend=backend)
        assert not hold.released.is_set()
        hold.reached.wait()
        hold.release()

    assert record.body == b"all"


# ---- One inside the other --------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-108", "A-109")
@on_each_loop
def test_a_worker_of_one_half_may_call_the_other_half_on_the_same_loop(event_loop):
    """A WSGI application that is hosted on the process' loop mounts an ASGI application that runs on that very loop."""
    loop_threads: set[int] = set()

    async def inner(scope, receive, send):
        loop_threads.add(threading.get_ident())
        await a_echo(scope, receive, send)

    inner_adapter = to_wsgi(inner, lifespan="off", event_loop=event_loop, limits=QUICK)
    assert isinstance(inner_adapter, ASGIToWSGI)

    def mounting(environ, start_response):
        return inner_adapter(environ, start_response)

    as_asgi = to_asgi(mounting, limits=Limits(workers=2, worker_idle_s=0.05))

    async def outer(scope, receive, send):
        loop_threads.add(threading.get_ident())
        await as_asgi(scope, receive, send)

    try:
        with hosted(outer, event_loop=event_loop) as adapter:
            # More than there are workers: each must get its turn.
            octets = [b"%d" % number * 50_000 for number in range(8)]
            requests = [Helper(lambda body=body: run(adapter, environ_for("POST", body=body)).body) for body in octets]
            bodies = [request.join() for request in requests]
    finally:
        inner_adapter.shutdown()

    assert bodies == octets
    assert len(loop_threads) == 1


@pytest.mark.requirement("A-110")
@on_each_loop
def test_a_call_on_the_loop_that_would_wait_for_itself_is_refused_at_once(event_loop):
    adapters: list[ASGIToWSGI] = []

    async def app(scope, receive, send):
        if scope["path"] == "/outer":
            with pytest.raises(EventLoopError, match="event loop"):
                run(adapters[0], environ_for(path="/inner"))
        await a_plain(scope, receive, send)

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        adapters.append(adapter)
        assert run(adapter, environ_for(path="/outer")).body == b"plain"
