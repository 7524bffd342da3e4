"""Early hints, trailers and files through the server's own means, under `ASGIToWSGI` (A-035 to A-037, A-039)."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import anyio
import anyio.lowlevel
import pytest

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from tests.backends import Backend
from tests.gateway import Gateway, UntouchableInput, environ_for, hosted, run
from tests.leaks import open_descriptors
from tests.meeting import Flag, Helper, Hold, until

CONTENT = bytes(range(256)) * 1000
PATHSEND = "http.response.pathsend"
FIELDS = ((b"content-type", b"text/plain"),)


def start(*headers: tuple[bytes, bytes], status: int = 200, trailers: bool = False) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [*FIELDS, *headers], "trailers": trailers}


def block(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def hint(*links: bytes) -> dict[str, Any]:
    return {"type": "http.response.early_hint", "links": list(links)}


def trailers(*headers: tuple[bytes, bytes], more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": headers, "more_trailers": more}


def host(app: Any, backend: Backend | None = None) -> Any:
    return hosted(app, lifespan="off", event_loop=backend.name if backend else "auto")


def sending(*messages: dict[str, Any]) -> Any:
    """An ASGI application that sends these messages; what it raises is the test's."""

    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


class Refused:
    """An ASGI application that sends messages of which one must be refused; then it answers ``ok`` all the same.

    Attributes:
        error: what came out of ``send``.
    """

    def __init__(self, *messages: dict[str, Any], answers: tuple[dict[str, Any], ...] = ()) -> None:
        self.error: BaseException | None = None
        self._messages = messages
        self._answers = answers or (start(), block(b"ok"))

    async def __call__(self, scope, receive, send):
        try:
            for message in self._messages:
                await send(message)
        except Exception as error:
            self.error = error
        for message in self._answers:
            await send(message)


# ---- Early hints --------------------------------------------------------------------------------------------------


class Hints:
    """A server's ``wsgi.early_hints``: records what it gets, by which thread, and how far the response was."""

    def __init__(self) -> None:
        self.links: list[Any] = []
        self.thread_ids: list[int] = []
        self.starts_at: list[int] = []
        self.gateway: Gateway | None = None

    def __call__(self, links: Any) -> None:
        self.links.append(links)
        self.thread_ids.append(threading.get_ident())
        self.starts_at.append(len(self.gateway.starts) if self.gateway else 0)

    def request(self, adapter: Any, **environ: Any) -> Gateway:
        self.gateway = Gateway(adapter, environ_for(**environ) | {"wsgi.early_hints": self})
        return self.gateway


@pytest.mark.requirement("A-035")
def test_hints_go_out_by_the_request_thread_before_the_response(backend):
    hints = Hints()
    app = sending(hint(b"</a>; rel=preload"), start(), hint(b"</b>", b"</c>; \xe9"), block(b"hello"))

    with host(app, backend) as adapter:
        gateway = hints.request(adapter).run()

    assert hints.links == [[("Link", "</a>; rel=preload")], [("Link", "</b>"), ("Link", "</c>; \xe9")]]
    assert all(type(pair) is tuple for links in hints.links for pair in links)
    assert hints.thread_ids == [threading.get_ident()] * 2
    assert hints.starts_at == [0, 0]
    assert (gateway.status, gateway.body) == ("200 OK", b"hello")


@pytest.mark.requirement("A-035")
def test_hints_after_the_headers_are_ignored(backend):
    hints = Hints()
    app = sending(start(), block(b"a", more=True), hint(b"</late>"), block(b"b"))

    with host(app, backend) as adapter:
        gateway = hints.request(adapter).run()

    assert hints.links == []
    assert gateway.blocks == [b"a", b"b"]


@pytest.mark.requirement("A-035")
def test_a_hint_without_links_is_not_passed_on():
    hints = Hints()

    with host(sending(hint(), {"type": "http.response.early_hint"}, start(), block(b"hello"))) as adapter:
        hints.request(adapter).run()

    assert hints.links == []


@pytest.mark.requirement("A-035")
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        pytest.param(hint(b"</a>\r\nSet-Cookie: a=b"), ApplicationValueError, id="line break"),
        pytest.param({"type": "http.response.early_hint", "links": ["</a>"]}, ApplicationTypeError, id="text"),
        pytest.param({"type": "http.response.early_hint", "links": b"</a>"}, ApplicationTypeError, id="bytes"),
        pytest.param({"type": "http.response.early_hint", "links": 5}, ApplicationTypeError, id="number"),
    ],
)
def test_links_that_cannot_be_sent_raise_out_of_send_and_the_response_may_still_come(message, kind, backend):
    hints = Hints()
    app = Refused(message)

    with host(app, backend) as adapter:
        gateway = hints.request(adapter).run()

    assert type(app.error) is kind
    assert hints.links == []
    assert gateway.body == b"ok"


@pytest.mark.requirement("A-035")
def test_what_the_servers_callable_raises_comes_out_of_send(backend):
    def fail(links):
        raise BrokenPipeError("the client has left")

    app = Refused(hint(b"</a>"))
    with host(app, backend) as adapter:
        gateway = run(adapter, environ_for(**{"wsgi.early_hints": fail}))

    assert type(app.error) is BrokenPipeError
    assert gateway.body == b"ok"


@pytest.mark.requirement("A-034", "A-035", "A-036", "A-039")
@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([hint(b"</a>")], id="early hint"),
        pytest.param([start(), {"type": PATHSEND, "path": "/etc/hostname"}], id="pathsend"),
        pytest.param([{"type": "http.response.push", "path": "/", "headers": []}], id="push"),
        pytest.param([{"type": "http.response.debug", "info": {}}], id="debug"),
        pytest.param([start(), {"type": "http.response.zerocopysend", "file": 0}], id="zerocopysend"),
    ],
)
def test_what_was_not_offered_raises_out_of_send(messages):
    answers = (block(b"ok"),) if len(messages) > 1 else ()
    app = Refused(*messages, answers=answers)

    with host(app) as adapter:
        gateway = run(adapter)

    assert isinstance(app.error, ApplicationError)
    assert messages[-1]["type"] in str(app.error)
    assert gateway.body == b"ok"


# ---- Trailers -----------------------------------------------------------------------------------------------------


class TrailersOfServer:
    """A server's callable for trailers, as gunicorn has it for HTTP/2."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.thread_ids: list[int] = []

    def __call__(self, fields: Any) -> None:
        self.calls.append(fields)
        self.thread_ids.append(threading.get_ident())

    def environ(self, method: str = "GET", te: str = "trailers") -> dict[str, Any]:
        return environ_for(method, headers={"TE": te}, **{"gunicorn.http2.send_trailers": self})


@pytest.mark.requirement("A-036")
@pytest.mark.parametrize(
    ("te", "is_offered"),
    [
        ("trailers", True),
        ("Trailers", True),
        ("gzip, trailers", True),
        ("trailers , deflate;q=0.5", True),
        ("", False),
        ("gzip", False),
        ("no-trailers", False),
        (None, False),
    ],
)
def test_trailers_are_offered_to_clients_that_take_them(te, is_offered):
    seen: list[bool] = []

    async def app(scope, receive, send):
        seen.append("http.response.trailers" in scope["extensions"])
        await send(start())
        await send(block(b""))

    environ = environ_for(HTTP_TE=te, **{"gunicorn.http2.send_trailers": TrailersOfServer()})
    with host(app) as adapter:
        run(adapter, environ)

    assert seen == [is_offered]


@pytest.mark.requirement("A-036")
@pytest.mark.parametrize("first", [block(b"hello"), block(b"")], ids=["content", "no content"])
def test_trailers_are_left_with_the_server_by_the_request_thread(first, backend):
    server = TrailersOfServer()
    app = sending(start(trailers=True), first, trailers((b"x-checksum", b"123"), (b"x-a", b"\xe9")))

    with host(app, backend) as adapter:
        gateway = run(adapter, server.environ())

    assert gateway.body == first["body"]
    assert server.calls == [[("x-checksum", "123"), ("x-a", "\xe9")]]
    assert server.thread_ids == [threading.get_ident()]


@pytest.mark.requirement("A-036")
def test_trailers_may_come_in_several_messages(backend):
    """The server keeps one list: the last call has all of them."""
    server = TrailersOfServer()
    app = sending(
        start(trailers=True),
        block(b"hello"),
        trailers((b"a", b"1"), more=True),
        trailers((b"b", b"2")),
    )

    with host(app, backend) as adapter:
        run(adapter, server.environ())

    assert server.calls[-1] == [("a", "1"), ("b", "2")]


@pytest.mark.requirement("A-036")
def test_fields_that_are_needed_before_the_content_are_left_out_of_the_trailers():
    server = TrailersOfServer()
    late = ((b"content-length", b"5"), (b"Set-Cookie", b"a=b"), (b"x-a", b"1"), (b"transfer-encoding", b"chunked"))

    with host(sending(start(trailers=True), block(b"hello"), trailers(*late))) as adapter:
        run(adapter, server.environ())

    assert server.calls == [[("x-a", "1")]]


@pytest.mark.requirement("A-036")
@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        pytest.param([(b"x-a", b"1\r\nx-b: 2")], ApplicationValueError, id="line break"),
        pytest.param([(b"x a", b"1")], ApplicationValueError, id="no token"),
        pytest.param([("x-a", "1")], ApplicationTypeError, id="text"),
    ],
)
@pytest.mark.parametrize("is_offered", [True, False], ids=["offered", "not offered"])
def test_trailers_that_cannot_be_sent_raise_out_of_send(headers, kind, is_offered, backend):
    server = TrailersOfServer()
    app = Refused(start(trailers=True), block(b"hello"), trailers(*headers), answers=(trailers((b"x-a", b"1")),))

    with host(app, backend) as adapter:
        gateway = run(adapter, server.environ() if is_offered else environ_for())

    assert type(app.error) is kind
    assert gateway.body == b"hello"
    assert server.calls == ([[("x-a", "1")]] if is_offered else [])


@pytest.mark.requirement("A-037")
@pytest.mark.parametrize("is_offered", [True, False], ids=["offered", "not offered"])
def test_the_response_is_complete_when_the_last_trailers_have_come_and_not_before(is_offered, backend):
    server = TrailersOfServer()
    events: list[Any] = []
    is_over: list[bool] = []
    may_drain = Flag("the helper is known")
    done = Flag("the application is done")

    async def app(scope, receive, send):
        await receive()

        async def listen():
            events.append((await receive())["type"])

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await send(start((b"trailer", b"x-a"), trailers=True))
            await send(block(b"hello"))
            for more in (True, False):
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()
                events.append(len(gateway.blocks))
                is_over.append(draining.is_done)
                await send(trailers((b"x-a", b"1"), more=more))
        done.set()

    def drain():
        may_drain.wait()
        gateway.drain()

    with host(app, backend) as adapter:
        gateway = Gateway(adapter, server.environ() if is_offered else environ_for()).call()
        draining = Helper(drain)
        may_drain.set()  # the application looks at the helper
        draining.join()
        gateway.close()
        done.wait()

    assert gateway.body == b"hello"
    assert is_over == [False, False]
    assert events == [1, 1, "http.disconnect"]
    assert len(server.calls) == (2 if is_offered else 0)
    assert [name for name, _ in gateway.headers] == ["content-type"]


@pytest.mark.requirement("A-037")
@pytest.mark.parametrize("last", [(), (trailers((b"x-a", b"1"), more=True),)], ids=["none", "not the last"])
def test_an_application_that_returns_before_its_last_trailers_has_not_completed_the_response(last, backend):
    app = sending(start(trailers=True), block(b"hello"), *last)

    with host(app, backend) as adapter:
        gateway = Gateway(adapter).call()
        with pytest.raises(ApplicationError):
            gateway.drain()
        gateway.close()

    assert gateway.body == b"hello"


@pytest.mark.requirement("A-037")
def test_trailers_that_were_not_announced_are_refused(backend):
    app = Refused(start(), block(b"a", more=True), trailers((b"x-a", b"1")), answers=(block(b"b"),))

    with host(app, backend) as adapter:
        gateway = run(adapter, TrailersOfServer().environ())

    assert isinstance(app.error, ApplicationError)
    assert gateway.body == b"ab"


@pytest.mark.requirement("A-036", "A-037")
@pytest.mark.parametrize("is_offered", [True, False], ids=["offered", "not offered"])
@pytest.mark.parametrize("blocks", [[block(b"x")], [block(b"x", more=True), block(b"")]], ids=["whole", "streamed"])
def test_a_response_without_content_ends_and_so_does_its_application(is_offered, blocks, backend):
    """To HEAD there is no place for trailers, and the request thread, which would leave them there, has gone."""
    answered = Hold("the server has the response")
    returned = Flag("the application has returned")
    server = TrailersOfServer()

    async def app(scope, receive, send):
        for message in (start(trailers=True), *blocks):
            await send(message)
        await answered.stop_here_on_loop()
        await send(trailers((b"x-a", b"1")))
        returned.set()

    with host(app, backend) as adapter:
        gateway = run(adapter, server.environ("HEAD") if is_offered else environ_for("HEAD"))
        answered.release()
        returned.wait()

    assert gateway.body == b""


@pytest.mark.requirement("A-010", "A-037")
def test_an_application_may_take_its_scope_to_pieces_before_it_sends_trailers(backend):
    server = TrailersOfServer()

    async def app(scope, receive, send):
        scope.clear()
        for message in (start(trailers=True), block(b"hello"), trailers((b"x-a", b"1"))):
            await send(message)

    with host(app, backend) as adapter:
        gateway = run(adapter, server.environ())

    assert gateway.body == b"hello"


# ---- Files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "content.bin"
    file.write_bytes(CONTENT)
    return str(file)


class Wrapper(FileWrapper):
    """A server's ``wsgi.file_wrapper``, which is told by its type."""

    made: list[Wrapper] = []

    def __init__(self, file: Any, block_bytes: int) -> None:
        super().__init__(file, block_bytes)
        self.made.append(self)


@pytest.fixture(autouse=True)
def forget_wrappers() -> None:
    Wrapper.made = []


def with_wrapper(method: str = "GET", **more: Any) -> dict[str, Any]:
    return environ_for(method, **{"wsgi.file_wrapper": Wrapper}, **more)


def file_at(path: str) -> dict[str, Any]:
    return {"type": PATHSEND, "path": path}


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize("headers", [(), ((b"content-length", b"%d" % len(CONTENT)),)], ids=["no length", "length"])
def test_a_file_is_the_servers_own_wrapper_returned_as_the_response_itself(path, headers, backend):
    with host(sending(start(*headers), file_at(path)), backend) as adapter:
        gateway = Gateway(adapter, with_wrapper()).call()
        (wrapper,) = Wrapper.made
        is_the_wrapper = gateway.result is wrapper
        file = wrapper.filelike
        gateway.drain()
        gateway.close()

    assert is_the_wrapper
    assert gateway.body == CONTENT
    assert gateway.headers == [("content-type", "text/plain"), *((n.decode(), v.decode()) for n, v in headers)]
    assert file.closed


@pytest.mark.requirement("A-039")
def test_the_wrapper_gets_a_real_file_that_the_server_may_send_by_its_descriptor(path):
    with host(sending(start(), file_at(path))) as adapter:
        gateway = Gateway(adapter, with_wrapper()).call()
        file = Wrapper.made[0].filelike
        content = os.pread(file.fileno(), len(CONTENT) + 1, 0)
        position = file.tell()
        gateway.close()

    assert content == CONTENT
    assert position == 0


@pytest.mark.requirement("A-039")
def test_the_response_is_complete_for_the_application_when_its_file_is_with_the_server(path, backend):
    events: list[str] = []
    done = Flag("the application is done")

    async def app(scope, receive, send):
        await send(start())
        await send(file_at(path))
        events.append((await receive())["type"])
        done.set()

    with host(app, backend) as adapter:
        gateway = Gateway(adapter, with_wrapper()).call()
        done.wait()
        gateway.drain()
        gateway.close()

    assert events == ["http.disconnect"]
    assert gateway.body == CONTENT


@pytest.mark.requirement("A-039")
def test_the_file_of_a_request_whose_body_is_not_read_is_sent(path):
    environ = with_wrapper("POST", CONTENT_LENGTH="10") | {"wsgi.input": UntouchableInput()}

    with host(sending(start(), file_at(path))) as adapter:
        gateway = run(adapter, environ)

    assert gateway.body == CONTENT


def make_pipe(directory: Path) -> str:
    path = str(directory / "pipe")
    os.mkfifo(path)
    return path


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize(
    ("make_path", "kind"),
    [
        pytest.param(lambda directory: "content.bin", ApplicationValueError, id="relative"),
        pytest.param(lambda directory: "./content.bin", ApplicationValueError, id="relative, with a dot"),
        pytest.param(lambda directory: "", ApplicationValueError, id="empty"),
        pytest.param(lambda directory: None, ApplicationTypeError, id="None"),
        pytest.param(lambda directory: str(directory / "missing").encode(), ApplicationTypeError, id="bytes"),
        pytest.param(lambda directory: str(directory / "missing"), FileNotFoundError, id="missing"),
        pytest.param(lambda directory: str(directory / "a\0b"), ValueError, id="NUL"),
        pytest.param(str, OSError, id="directory"),
        pytest.param(make_pipe, OSError, id="pipe that nobody writes to"),
        pytest.param(lambda directory: "/dev/null", OSError, id="device"),
    ],
)
def test_a_path_that_cannot_be_sent_raises_out_of_send_and_the_application_may_still_answer(
    make_path, kind, tmp_path, backend
):
    app = Refused(start(), file_at(make_path(tmp_path)), answers=(block(b"ok"),))

    with host(app, backend) as adapter:
        gateway = Helper(lambda: run(adapter, with_wrapper())).join()

    assert isinstance(app.error, kind)
    assert gateway.body == b"ok"
    assert Wrapper.made == []


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize("length", [b"0", b"5", b"%d" % (len(CONTENT) + 1)])
def test_a_content_length_that_is_not_the_files_raises_out_of_send_and_closes_the_file(path, length, backend):
    app = Refused(start((b"content-length", length)), file_at(path), answers=(block(b"x" * int(length)),))

    with host(app, backend) as adapter:
        gateway = run(adapter, with_wrapper())
        left = path in open_descriptors().values()

    assert isinstance(app.error, ApplicationError)
    assert gateway.body == b"x" * int(length)
    assert not left


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
def test_a_response_without_content_has_no_file_and_leaves_none_open(path, method, status, backend):
    length = (b"content-length", b"%d" % len(CONTENT))

    with host(sending(start(length, status=status), file_at(path)), backend) as adapter:
        gateway = Gateway(adapter, with_wrapper(method)).call()
        left = path in open_descriptors().values()
        gateway.drain()
        gateway.close()

    assert gateway.body == b""
    assert Wrapper.made == []
    assert not left
    assert ("content-length", str(len(CONTENT))) in gateway.headers or status == 204


@pytest.mark.requirement("A-039")
@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="before the start"),
        pytest.param([start(), block(b"a", more=True)], id="after a body"),
    ],
)
def test_a_file_may_only_come_instead_of_the_content(messages, path, backend):
    app = Refused(*messages, file_at(path), answers=(block(b"b"),) if messages else (start(), block(b"b")))

    with host(app, backend) as adapter:
        gateway = run(adapter, with_wrapper())

    assert isinstance(app.error, ApplicationError)
    assert gateway.body == (b"ab" if messages else b"b")
    assert Wrapper.made == []


@pytest.mark.requirement("A-039", "A-069")
def test_what_comes_after_the_file_is_ignored_with_one_warning(path, backend, caplog):
    done = Flag("the application is done")

    async def app(scope, receive, send):
        for message in (start(), file_at(path), block(b"more"), file_at(path)):
            await send(message)
        done.set()

    with caplog.at_level(logging.WARNING, "bridge"), host(app, backend) as adapter:
        gateway = run(adapter, with_wrapper())
        done.wait()

    assert gateway.body == CONTENT
    assert len(Wrapper.made) == 1
    assert ["ignored" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.requirement("A-036", "A-037", "A-039")
@pytest.mark.parametrize("is_offered", [True, False], ids=["offered", "not offered"])
def test_a_file_may_be_followed_by_trailers(path, is_offered, backend, caplog):
    server = TrailersOfServer()
    done = Flag("the application is done")

    async def app(scope, receive, send):
        for message in (start(trailers=True), file_at(path), trailers((b"x-a", b"1"))):
            await send(message)
        done.set()

    environ = (server.environ() if is_offered else environ_for()) | {"wsgi.file_wrapper": Wrapper}
    with caplog.at_level(logging.WARNING, "bridge"), host(app, backend) as adapter:
        gateway = run(adapter, environ)
        done.wait()

    assert gateway.body == CONTENT
    assert server.calls == ([[("x-a", "1")]] if is_offered else [])
    assert caplog.records == []


@pytest.mark.requirement("A-039")
def test_a_file_is_closed_if_the_server_fails_on_the_way_to_it(path, backend):
    def fail(*args):
        raise RuntimeError("the server's own")

    with host(sending(start(), file_at(path)), backend) as adapter:
        with pytest.raises(RuntimeError, match="the server's own"):
            adapter(with_wrapper(), fail)
        left_by_start_response = path in open_descriptors().values()
        with pytest.raises(RuntimeError, match="the server's own"):
            run(adapter, environ_for(**{"wsgi.file_wrapper": fail}))
        left_by_wrapper = path in open_descriptors().values()

    assert not left_by_start_response
    assert not left_by_wrapper


@pytest.mark.requirement("A-039", "A-068")
def test_a_file_is_closed_if_the_application_is_cancelled_while_it_is_opened(path, backend):
    """The loop is held until the request thread has opened the file; only then the ``send()`` is cancelled. Whether it
    was in time depends on the loop: then the response failed, else the file is the response, which may be over."""
    seen: list[bool] = []
    is_over = Flag("the request is over")

    async def app(scope, receive, send):
        await send(start())
        async with anyio.create_task_group() as group:
            group.start_soon(send, file_at(path))
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            until(lambda: path in open_descriptors().values() or is_over.is_set(), "the file is open, or was")
            seen.append(True)
            group.cancel_scope.cancel()

    with host(app, backend) as adapter:
        try:
            with suppress(ApplicationError):
                assert run(adapter, with_wrapper()).body == CONTENT
        finally:
            is_over.set()
        left = path in open_descriptors().values()

    assert seen == [True]
    assert not left
