"""How an ASGI application under `ASGIToWSGI` gets its request body out of ``wsgi.input`` (A-031, A-041 to A-049)."""

from __future__ import annotations

import hashlib
import io
import threading
from typing import Any

import pytest

from bridge import Limits
from bridge.errors import BodyTooLarge, ClientDisconnected, ServerError
from tests.backends import Backend
from tests.gateway import QUICK, Gateway, ScriptedInput, UntouchableInput, answering, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
DISCONNECT = {"type": "http.disconnect"}


def block(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def request(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Reader:
    """An application that reads its body to the end and answers with it.

    Args:
        extra: how many more events it asks for after the end of the body or a disconnect.

    Attributes:
        events: what it received.
        returned: raised when it has returned.
    """

    def __init__(self, *, extra: int = 0, has_begun: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.returned = Flag("the reader has returned")
        self._extra = extra
        self._has_begun = has_begun

    @property
    def body(self) -> bytes:
        return b"".join(event.get("body", b"") for event in self.events)

    async def __call__(self, scope, receive, send):
        try:
            if self._has_begun:
                await send(START)
                await send(block(b"begun ", more=True))
            while True:
                event = await receive()
                self.events.append(event)
                if not event.get("more_body"):
                    break
            for _ in range(self._extra):
                self.events.append(await receive())
            if event["type"] == "http.request":
                if not self._has_begun:
                    await send(START)
                await send(block(self.body))
        finally:
            self.returned.set()


def read_by(app: Any, environ: dict[str, Any], backend: Backend | None = None, limits: Limits = QUICK) -> Gateway:
    """Make a whole request of an application."""
    with hosted(app, lifespan="off", limits=limits, event_loop=backend.name if backend else "auto") as adapter:
        return run(adapter, environ)


def limits_with(**changes: Any) -> Limits:
    return Limits(shutdown_s=2.0, cancel_s=1.0, loop_wait_s=5.0, startup_s=5.0, app_wait_s=8.0, **changes)


# ---- Bodies of a known length -------------------------------------------------------------------------------------


@pytest.mark.requirement("A-041")
@pytest.mark.parametrize(("piece_bytes", "size"), [(None, 10 * 1024 * 1024), (1000, 100_500), (1, 50)])
def test_each_octet_comes_once_in_order_and_in_bounded_pieces(piece_bytes, size, backend):
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    limits = QUICK if piece_bytes is None else limits_with(body_piece_bytes=piece_bytes)
    app = Reader()

    read_by(app, environ_for("POST", body=content), backend, limits)

    assert hashlib.sha256(app.body).digest() == hashlib.sha256(content).digest()
    assert max(len(event["body"]) for event in app.events) == (piece_bytes or 65536)
    assert [event["more_body"] for event in app.events] == [True] * (len(app.events) - 1) + [False]


@pytest.mark.requirement("A-041", "A-043", "A-046")
def test_short_reads_are_joined_by_nobody_and_lose_nothing(backend):
    """A server may give less than was asked for; the last piece is the one that completes the length."""
    content = bytes(range(100))
    stream = ScriptedInput(content[:1], content[1:3], content[3:6], content[6:], total_bytes=len(content))
    app = Reader()

    gateway = read_by(app, environ_for("POST", body=content, **{"wsgi.input": stream}), backend)

    assert gateway.body == content
    assert [len(event["body"]) for event in app.events] == [1, 2, 3, 94]
    assert [size for size, _ in stream.reads] == [100, 99, 97, 94]


@pytest.mark.requirement("A-043")
def test_what_follows_the_body_on_the_connection_is_not_asked_for():
    stream = io.BytesIO(b"body" + b"GET /next HTTP/1.1")
    app = Reader()

    read_by(app, environ_for("POST", CONTENT_LENGTH="4", **{"wsgi.input": stream}))

    assert app.body == b"body"
    assert stream.read() == b"GET /next HTTP/1.1"


@pytest.mark.requirement("A-043", "A-044")
def test_a_known_length_counts_more_than_an_input_that_ends_by_itself():
    stream = ScriptedInput(b"body", total_bytes=4)

    gateway = read_by(
        Reader(), environ_for("POST", CONTENT_LENGTH="4", **{"wsgi.input": stream, "wsgi.input_terminated": True})
    )

    assert gateway.body == b"body"
    assert len(stream.reads) == 1


# ---- No body ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-042", "A-044", "A-045")
@pytest.mark.parametrize(
    ("method", "change"),
    [
        pytest.param("POST", {"CONTENT_LENGTH": "0"}, id="length 0"),
        pytest.param("POST", {"CONTENT_LENGTH": "000"}, id="length 000"),
        pytest.param("POST", {"CONTENT_LENGTH": "0", "wsgi.input_terminated": True}, id="length 0, terminated"),
        pytest.param("POST", {"CONTENT_LENGTH": 0}, id="length 0 as a number"),
        pytest.param("POST", {}, id="no length"),
        pytest.param("POST", {"CONTENT_LENGTH": ""}, id="empty length"),
        pytest.param("GET", {}, id="plain GET"),
        pytest.param("POST", {"wsgi.input_terminated": False}, id="terminated says no"),
        pytest.param("POST", {"wsgi.input_terminated": None}, id="terminated is None"),
        pytest.param("POST", {"HTTP_TRANSFER_ENCODING": "chunked"}, id="chunked, but not terminated"),
        pytest.param("POST", {"SERVER_SOFTWARE": "WSGIServer/0.2"}, id="a server that does not end its input"),
        pytest.param("POST", {"SERVER_SOFTWARE": "not Granian"}, id="a server that only names a known one"),
        pytest.param("POST", {"SERVER_SOFTWARE": None}, id="an unknown server"),
    ],
)
def test_a_request_without_a_body_is_one_empty_event_and_the_input_is_not_touched(method, change, backend):
    app = Reader()
    environ = environ_for(method) | {"wsgi.input": UntouchableInput()} | change

    gateway = read_by(app, environ, backend)

    assert gateway.status == "200 OK"
    assert app.events == [request(b"")]


# ---- Bodies of unknown length -------------------------------------------------------------------------------------

CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


@pytest.mark.requirement("A-044", "A-046")
@pytest.mark.parametrize(
    ("method", "change"),
    [
        pytest.param("POST", CHUNKED, id="chunked"),
        pytest.param("GET", CHUNKED, id="chunked GET"),
        pytest.param("POST", {"wsgi.input_terminated": True}, id="POST without fields of a body"),
        pytest.param("POST", {"wsgi.input_terminated": 1}, id="a truthy promise"),
        pytest.param("GET", {"wsgi.input_terminated": True, "SERVER_PROTOCOL": "HTTP/2.0"}, id="HTTP/2 GET"),
        pytest.param("POST", CHUNKED | {"CONTENT_LENGTH": ""}, id="empty length"),
    ],
)
def test_a_terminated_input_is_read_to_its_end(method, change, backend):
    stream = ScriptedInput(b"a", b"bc", b"d" * 100_000)
    app = Reader()
    environ = environ_for(method) | {"wsgi.input": stream} | change

    read_by(app, environ, backend)

    assert app.body == b"abc" + b"d" * 100_000
    assert app.events[-1] == request(b"")
    assert max(size for size, _ in stream.reads) <= 65536


@pytest.mark.requirement("A-045")
@pytest.mark.parametrize("software", ["Granian", "Granian/2.7.1"])
def test_a_known_server_that_ends_its_input_by_itself_is_read(software):
    stream = ScriptedInput(b"abc")

    gateway = read_by(Reader(), environ_for("POST", SERVER_SOFTWARE=software, **{"wsgi.input": stream}))

    assert gateway.body == b"abc"


@pytest.mark.requirement("A-044")
def test_a_terminated_input_without_content_is_one_empty_event(backend):
    app = Reader()

    read_by(app, environ_for("POST", **CHUNKED, **{"wsgi.input": ScriptedInput()}), backend)

    assert app.events == [request(b"")]


# ---- Cut bodies ---------------------------------------------------------------------------------------------------

cut_short = pytest.mark.parametrize(
    ("script", "change", "arrived"),
    [
        pytest.param([], {"CONTENT_LENGTH": "10"}, [], id="ended at once"),
        pytest.param([b"abc"], {"CONTENT_LENGTH": "10"}, [b"abc"], id="ended early"),
        pytest.param([b"123456789"], {"CONTENT_LENGTH": "10"}, [b"123456789"], id="one octet is missing"),
        pytest.param([b"abc", ConnectionResetError("gone")], {"CONTENT_LENGTH": "10"}, [b"abc"], id="reset"),
        pytest.param([b"abc", TimeoutError("slow")], {"CONTENT_LENGTH": "10"}, [b"abc"], id="timed out"),
        pytest.param([b"abc", ValueError("I/O on closed file")], {"CONTENT_LENGTH": "10"}, [b"abc"], id="closed file"),
        pytest.param([ConnectionResetError("gone")], CHUNKED, [], id="chunked, reset at once"),
        pytest.param([b"abc", RuntimeError("bad chunk")], CHUNKED, [b"abc"], id="chunked, a server's own error"),
    ],
)


@pytest.mark.requirement("A-047", "A-052")
@cut_short
def test_a_cut_body_ends_in_a_disconnect_and_never_looks_whole(script, change, arrived, backend):
    app = Reader(extra=2)
    environ = environ_for("POST") | {"wsgi.input": ScriptedInput(*script)} | change

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter, environ)
        with pytest.raises(ClientDisconnected):
            gateway.call()
        app.returned.wait()

    assert gateway.starts == []
    assert app.events == [request(piece, more=True) for piece in arrived] + [DISCONNECT] * 3


@pytest.mark.requirement("A-047")
@cut_short
def test_a_body_that_is_cut_after_the_response_began_breaks_the_response_off(script, change, arrived, backend):
    app = Reader(has_begun=True)
    environ = environ_for("POST") | {"wsgi.input": ScriptedInput(*script)} | change

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter, environ).call()
        with pytest.raises(ClientDisconnected):
            gateway.drain()
        gateway.close()
        app.returned.wait()

    assert gateway.body == b"begun "
    assert app.events == [request(piece, more=True) for piece in arrived] + [DISCONNECT]


@pytest.mark.requirement("A-047")
def test_the_error_of_the_servers_input_is_the_cause_of_what_the_server_gets():
    cause = ConnectionResetError("gone")
    environ = environ_for("POST", CONTENT_LENGTH="10", **{"wsgi.input": ScriptedInput(cause)})

    with hosted(Reader(), lifespan="off") as adapter, pytest.raises(ClientDisconnected) as raised:
        run(adapter, environ)

    assert raised.value.__cause__ is cause


class CarelessInput:
    """A ``wsgi.input`` that does not do what it was asked."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self, size: int) -> Any:
        return self._answer


@pytest.mark.requirement("A-043", "A-046", "A-047")
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        pytest.param("text", "gave a str", id="text"),
        pytest.param(None, "gave a NoneType", id="None, as of a non-blocking file"),
        pytest.param(b"more than that", "gave 14 bytes when asked for 5", id="more than was asked for"),
    ],
)
def test_an_input_that_breaks_its_contract_is_the_servers_error(answer, complaint, backend):
    app = Reader()
    environ = environ_for("POST", CONTENT_LENGTH="5", **{"wsgi.input": CarelessInput(answer)})

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        with pytest.raises(ServerError, match=complaint):
            run(adapter, environ)
        app.returned.wait()

    assert app.events == [DISCONNECT]


# ---- On demand ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-048", "A-053")
@pytest.mark.parametrize("change", [{"CONTENT_LENGTH": "10"}, CHUNKED], ids=["length", "chunked"])
def test_a_body_that_the_application_does_not_read_is_not_read(change, backend):
    environ = environ_for("POST") | {"wsgi.input": UntouchableInput()} | change

    gateway = read_by(answering(b"no thanks", 403), environ, backend)

    assert (gateway.status, gateway.body) == ("403 Forbidden", b"no thanks")


@pytest.mark.requirement("A-048")
def test_each_piece_is_read_when_it_is_asked_for_and_not_before(backend):
    reads_seen: list[int] = []
    stream = ScriptedInput(b"a", b"b", b"c", total_bytes=3)

    async def app(scope, receive, send):
        await send(START)
        for _ in range(2):
            await send(block(b"-", more=True))  # the servant comes by in between, and may not read ahead
            reads_seen.append(len(stream.reads))
            await receive()
            reads_seen.append(len(stream.reads))
        await send(block(b"-"))

    read_by(app, environ_for("POST", CONTENT_LENGTH="3", **{"wsgi.input": stream}), backend)

    assert reads_seen == [0, 1, 1, 2]
    assert len(stream.reads) == 2


@pytest.mark.requirement("A-049")
def test_the_body_is_read_by_the_thread_that_the_server_is_waiting_with(backend):
    stream = ScriptedInput(b"a", b"b", total_bytes=2)

    async def app(scope, receive, send):
        await receive()
        await send(START)
        await send(block(b"first", more=True))
        await receive()
        await send(block(b"second"))

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter, environ_for("POST", CONTENT_LENGTH="2", **{"wsgi.input": stream})).call()
        gateway.step()
        stepping = Helper(gateway.drain)
        stepping.join()
        gateway.close()

    assert [thread_id for _, thread_id in stream.reads] == [threading.get_ident(), stepping.thread.ident]


@pytest.mark.requirement("A-049", "A-053")
def test_nothing_is_read_once_the_server_has_closed_the_request(backend):
    closed = Hold("the server has closed the response")
    stream = ScriptedInput(b"abc", total_bytes=3)
    seen: list[dict[str, Any]] = []
    returned = Flag("the application has returned")

    async def app(scope, receive, send):
        await send(START)
        try:
            await send(block(b"first", more=True))
        except OSError:
            await closed.stop_here_on_loop()
        seen.append(await receive())
        returned.set()

    with hosted(app, lifespan="off", event_loop=backend.name) as adapter:
        gateway = Gateway(adapter, environ_for("POST", CONTENT_LENGTH="3", **{"wsgi.input": stream})).call()
        gateway.step()
        gateway.close()
        closed.release()
        returned.wait()

    assert seen == [DISCONNECT]
    assert stream.reads == []


# ---- Refused ------------------------------------------------------------------------------------------------------

BAD_LENGTHS = [
    "+5", "-1", "1_0", "5,6", "5, 5", " 5", "5 ", "5.0", "1e3", "0x5", "five", "\u0665", "\xb2", "9" * 19, "-", " ",
]  # fmt: skip


async def never(scope, receive, send):
    raise AssertionError("the application was called")


@pytest.mark.requirement("A-031")
@pytest.mark.parametrize("length", BAD_LENGTHS, ids=ascii)
def test_a_content_length_that_is_no_number_is_answered_400_before_the_application_runs(length):
    environ = environ_for("POST", CONTENT_LENGTH=length, **{"wsgi.input": UntouchableInput()})

    with hosted(never, lifespan="off") as adapter:
        gateway = run(adapter, environ)
        statistics = adapter.statistics()

    assert gateway.status == "400 Bad Request"
    assert gateway.body == b"The request's Content-Length is not a number.\n"  # nothing of what the client sent
    assert ("Content-Length", str(len(gateway.body))) in gateway.headers
    assert (statistics.refused, statistics.requests) == (1, 0)


@pytest.mark.requirement("A-031")
def test_after_a_refused_request_the_next_one_is_served(backend):
    with hosted(Reader(), lifespan="off", event_loop=backend.name) as adapter:
        refused = run(adapter, environ_for("POST", CONTENT_LENGTH="x"))
        served = run(adapter, environ_for("POST", body=b"ok"))

    assert (refused.status, served.body) == ("400 Bad Request", b"ok")


@pytest.mark.requirement("A-031", "A-075")
@pytest.mark.parametrize("length", ["x", "1000"], ids=["400", "413"])
def test_a_refused_HEAD_request_is_answered_without_content(length):
    """Some servers (waitress, uWSGI) would send it, and the client would take it for the next response."""
    limits = limits_with(body_max_bytes=10)

    gateway = read_by(never, environ_for("HEAD", CONTENT_LENGTH=length), limits=limits)

    assert gateway.status[:3] in ("400", "413")
    assert gateway.body == b""


@pytest.mark.requirement("A-031")
def test_an_announced_body_beyond_the_limit_is_answered_413_before_the_application_runs():
    environ = environ_for("POST", CONTENT_LENGTH="11", **{"wsgi.input": UntouchableInput()})

    with hosted(never, lifespan="off", limits=limits_with(body_max_bytes=10)) as adapter:
        gateway = run(adapter, environ)
        statistics = adapter.statistics()

    assert gateway.status == "413 Content Too Large"
    assert statistics.refused == 1


@pytest.mark.requirement("A-041")
@pytest.mark.parametrize("change", [{"CONTENT_LENGTH": "10"}, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("max_bytes", [10, None])
def test_a_body_of_exactly_the_limit_is_taken(change, max_bytes, backend):
    environ = environ_for("POST") | {"wsgi.input": ScriptedInput(b"12345", b"67890")} | change

    gateway = read_by(Reader(), environ, backend, limits_with(body_max_bytes=max_bytes))

    assert gateway.body == b"1234567890"


@pytest.mark.requirement("A-044", "A-047")
def test_a_chunked_body_beyond_the_limit_is_answered_413_and_the_application_is_told(backend):
    app = Reader(extra=1)
    environ = environ_for("POST", **CHUNKED, **{"wsgi.input": ScriptedInput(b"12345", b"67890", b"!")})

    with hosted(app, lifespan="off", event_loop=backend.name, limits=limits_with(body_max_bytes=10)) as adapter:
        gateway = run(adapter, environ)
        app.returned.wait()
        statistics = adapter.statistics()

    assert gateway.status == "413 Content Too Large"
    assert app.events == [request(b"12345", more=True), request(b"67890", more=True), DISCONNECT, DISCONNECT]
    assert statistics.refused == 1


@pytest.mark.requirement("A-044", "A-047")
def test_a_chunked_body_beyond_the_limit_breaks_a_response_off_that_has_begun(backend):
    app = Reader(has_begun=True)
    environ = environ_for("POST", **CHUNKED, **{"wsgi.input": ScriptedInput(b"12345", b"678901")})

    with hosted(app, lifespan="off", event_loop=backend.name, limits=limits_with(body_max_bytes=10)) as adapter:
        gateway = Gateway(adapter, environ).call()
        with pytest.raises(BodyTooLarge):
            gateway.drain()
        gateway.close()
        app.returned.wait()

    assert (gateway.status, gateway.body) == ("200 OK", b"begun ")
    assert app.events == [request(b"12345", more=True), DISCONNECT]
