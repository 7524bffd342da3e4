"""The adapter as an ASGI application, and the general rules for ``environ`` (W-001 to W-015)."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import anyio
import pytest

from bridge import Limits, ServerError, WorkerPool, WSGIToASGI, to_asgi
from bridge._wsgi_hosting.error_stream import ErrorStream
from tests.backends import Backend
from tests.conformance.deliveries import CHUNKED_STREAM, EXPECT, Reader
from tests.driving import Driver, drive, fetch
from tests.fakes import LEFT_OUT, Unchecked, body_events, make_scope
from tests.meeting import TIMEOUT_S

PLAIN = [("Content-Type", "text/plain")]
IDLE = Limits(worker_idle_s=0.05)


def hello(environ, start_response, /):
    start_response("200 OK", list(PLAIN))
    return [b"hello"]


class Probe:
    """Records every environ it is called with."""

    def __init__(self, spoil: Callable[[dict[str, Any]], object] = lambda environ: None) -> None:
        self.environs: list[dict[str, Any]] = []
        self._spoil = spoil

    @property
    def environ(self) -> dict[str, Any]:
        (environ,) = self.environs
        return environ

    def __call__(self, environ, start_response):
        self.environs.append(dict(environ) if type(environ) is dict else environ)
        self._spoil(environ)
        start_response("200 OK", list(PLAIN))
        return [b"probed"]


def environ_of(scope: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    probe = Probe()
    fetch(WSGIToASGI(probe, limits=IDLE, **options), scope)
    return probe.environ


@pytest.mark.requirement("W-001")
def test_the_adapter_is_a_coroutine_function_of_three_arguments_that_returns_none(backend, maybe_lint):
    adapter = to_asgi(maybe_lint(hello))

    assert inspect.iscoroutinefunction(adapter.__call__)
    assert list(inspect.signature(adapter).parameters) == ["scope", "receive", "send"]
    record = fetch(adapter, backend=backend)
    assert record.result is None
    assert (record.status, record.body) == (200, b"hello")


class ClassApp:
    calls = 0

    def __init__(self, environ, start_response):
        type(self).calls += 1
        start_response("200 OK", list(PLAIN))

    def __iter__(self):
        yield b"hello"


class Secretive:
    """A callable that tells nothing about itself."""

    def __call__(self, environ, start_response):
        return hello(environ, start_response)

    def __getattr__(self, name):
        raise AssertionError(f"the application was asked for {name}")

    @property
    def __signature__(self):
        raise AssertionError("the application was introspected")


def with_an_argument_before(prefix, environ, start_response):
    return hello(environ, start_response)


def with_any_arguments(*args):
    return hello(*args)


def counted(app: Any) -> tuple[Any, list[int]]:
    calls: list[int] = []

    def counting(*args, **kwargs):
        assert len(args) == 2
        assert not kwargs
        calls.append(1)
        return app(*args)

    return counting, calls


@pytest.mark.requirement("W-002")
@pytest.mark.parametrize(
    "app",
    [
        pytest.param(hello, id="positional-only-function"),
        pytest.param(ClassApp, id="class"),
        pytest.param(Secretive(), id="instance"),
        pytest.param(functools.partial(with_an_argument_before, "x"), id="partial"),
        pytest.param(Probe().__call__, id="bound-method"),
        pytest.param(with_any_arguments, id="any-arguments"),
    ],
)
def test_any_kind_of_callable_is_called_once_with_two_positional_arguments(app):
    assert fetch(WSGIToASGI(app, limits=IDLE)).body in (b"hello", b"probed")
    counting, calls = counted(app)

    fetch(WSGIToASGI(counting, limits=IDLE))

    assert calls == [1]


@pytest.mark.requirement("W-002")
def test_what_is_not_callable_is_no_application():
    with pytest.raises(TypeError, match="callable"):
        WSGIToASGI("shop:app")


@pytest.mark.requirement("W-003")
def test_fifty_interleaved_requests_each_get_their_own_answer(backend: Backend, maybe_lint):
    together = threading.Barrier(50)

    def echo(environ, start_response):
        together.wait(TIMEOUT_S)  # all fifty are under way here
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Id", environ["HTTP_X_ID"])])
        return [environ["wsgi.input"].read(10)]

    adapter = WSGIToASGI(maybe_lint(echo), limits=Limits(workers=50, worker_idle_s=0.05))
    drivers = []
    for number in range(50):
        tag = b"%d" % number
        headers = [(b"host", b"h"), (b"x-id", tag), (b"content-length", b"%d" % len(tag))]
        drivers.append(Driver(adapter, make_scope(method="POST", headers=headers), body_events(tag), backend=backend))

    async def all_at_once() -> None:
        async with anyio.create_task_group() as group:
            for driver in drivers:
                group.start_soon(driver.serve)

    backend.run(all_at_once, timeout_s=2 * TIMEOUT_S)

    for number, driver in enumerate(drivers):
        record = driver.record.checked()
        assert (record.header(b"x-id"), record.body) == (b"%d" % number, b"%d" % number)


def spoil(environ):
    for key in list(environ):
        if key != "bridge.scope":
            environ[key] = "spoiled"
    environ["extra"] = []


@pytest.mark.requirement("W-004")
def test_the_scope_is_left_untouched_also_when_the_application_edits_environ():
    scope = make_scope(
        method="POST",
        path="/café/x",
        root_path="/café",
        headers=[(b"Host", b"h"), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"content-length", b"1")],
        extensions={"tls": {"tls_version": 0x0304, "client_cert_chain": ["PEM"]}},
        state={"pool": {"a": 1}},
    )
    before = copy.deepcopy(scope)

    fetch(WSGIToASGI(Probe(spoil), limits=IDLE), scope, body_events(b"x"))

    assert scope == before


@pytest.mark.requirement("W-004")
def test_extensions_that_cannot_be_written_are_no_trouble(maybe_lint):
    extensions = MappingProxyType({"http.response.early_hint": MappingProxyType({}), "tls": MappingProxyType({})})

    record = fetch(WSGIToASGI(maybe_lint(hello), limits=IDLE), make_scope(extensions=extensions))

    assert record.status == 200


OPTIONAL_KEYS = ("scheme", "root_path", "raw_path", "client", "server", "extensions", "state", "asgi")


@pytest.mark.requirement("W-005")
@pytest.mark.parametrize("value", [pytest.param(LEFT_OUT, id="missing"), pytest.param(None, id="none")])
@pytest.mark.parametrize("key", [*OPTIONAL_KEYS, "all of them"])
def test_an_optional_key_that_is_missing_or_none_takes_its_default(key, value, maybe_lint):
    keys = OPTIONAL_KEYS if key == "all of them" else (key,)
    probe = Probe()

    record = fetch(WSGIToASGI(maybe_lint(probe), limits=IDLE), make_scope(**dict.fromkeys(keys, value)))

    assert record.status == 200
    assert None not in probe.environ.values()
    assert probe.environ["wsgi.url_scheme"] == "http"
    assert probe.environ["SERVER_NAME"]
    assert probe.environ["SERVER_PORT"]


@pytest.mark.requirement("W-005")
def test_the_smallest_scope_is_answered(maybe_lint):
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "http_version": "1.1"}

    assert fetch(WSGIToASGI(maybe_lint(hello), limits=IDLE), scope).status == 200


@pytest.mark.requirement("W-005")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([[b"host", b"h"], [b"x-a", b"1"]], id="lists"),
        pytest.param(((b"host", b"h"), (b"x-a", b"1")), id="tuples"),
        pytest.param(iter([(b"host", b"h"), [b"x-a", b"1"]]), id="iterator"),
    ],
)
def test_headers_may_be_any_iterable_of_pairs(headers):
    environ = environ_of(make_scope(headers=headers, client=["192.0.2.1", 1], server=["127.0.0.1", 80]))

    assert environ["HTTP_X_A"] == "1"
    assert environ["REMOTE_ADDR"] == "192.0.2.1"


@pytest.mark.requirement("W-006")
@pytest.mark.parametrize("kind", ["mqtt", "HTTP", ""])
def test_an_unknown_scope_type_is_named_in_the_error_and_nothing_is_sent(backend, kind):
    record = drive(to_asgi(hello), {"type": kind}, backend=backend)

    assert isinstance(record.exception, ServerError)
    assert repr(kind) in str(record.exception)
    assert record.messages == []
    assert record.receive.calls == []


@pytest.mark.requirement("W-007")
@pytest.mark.parametrize("kind", ["websocket.receive", "http.response.start", "lifespan.startup", "odd"])
def test_an_event_of_another_kind_raises_while_the_body_is_collected(backend, kind):
    app = Reader()
    scope = make_scope(method="POST", headers=[(b"content-length", b"3")])

    record = drive(WSGIToASGI(app, limits=IDLE), scope, [Unchecked({"type": kind})], backend=backend)

    assert isinstance(record.exception, ServerError)
    assert kind in str(record.exception)
    assert app.calls == 0
    assert record.messages == []


@pytest.mark.requirement("W-007")
@pytest.mark.parametrize("delivery", [EXPECT, CHUNKED_STREAM], ids=lambda delivery: delivery.name)
def test_an_event_of_another_kind_raises_while_the_application_reads(backend, delivery):
    app = Reader()
    events = [*body_events(b"1234567", is_complete=False), Unchecked({"type": "websocket.receive"})]

    record = delivery.driver(app, b"1234567890", events, backend=backend).run()

    assert isinstance(app.error, OSError)
    assert isinstance(record.exception, ServerError)
    assert "websocket.receive" in str(record.exception)


@pytest.mark.requirement("W-007")
def test_unknown_keys_of_a_known_event_are_ignored():
    app = Reader()
    event = {"type": "http.request", "body": b"abc", "more_body": False, "trace": object()}

    scope = make_scope(method="POST", headers=[(b"content-length", b"3")])
    fetch(WSGIToASGI(app, limits=IDLE), scope, [Unchecked(event)])

    assert app.result == b"abc"


@pytest.mark.requirement("W-008")
def test_environ_is_exactly_a_dict_and_shares_nothing_mutable_with_another_request():
    kept: list[dict[str, Any]] = []

    def app(environ, start_response):
        kept.append(environ)
        return hello(environ, start_response)

    adapter = WSGIToASGI(app, limits=IDLE)
    for _ in range(2):
        fetch(adapter, make_scope(state={"a": 1}, extensions={"http.response.early_hint": {}}))

    first, second = kept
    assert type(first) is dict
    assert first is not second
    immutable = (str, bool, tuple, int, type, ErrorStream)  # that one remembers nothing
    shared = [key for key in first if first[key] is second.get(key) and not isinstance(first[key], immutable)]
    assert shared == []


@pytest.mark.requirement("W-009")
def test_clearing_environ_changes_nothing_of_the_response():
    scope = make_scope(method="HEAD", extensions={"http.response.pathsend": {}})

    record = fetch(WSGIToASGI(Probe(dict.clear), limits=IDLE), scope)

    assert record.body == b""
    assert record.header(b"content-length") == b"6"


HOSTILE = make_scope(
    method="POST",
    path="/😀\udcff/€\x85",
    root_path="/é€",
    raw_path=b"/%F0%9F%98%80%FF",
    query_string=bytes(range(0x21, 0x100)),
    headers=[
        (b"host", b"\xff\xfe"),
        (b"x-all", bytes(range(0x20, 0x100))),
        (b"content-type", b"\xe9"),
        (b"content-length", b"0"),
        (b"cookie", b"\x85=\xa0"),
        (b"cookie", b"b=\xff"),
    ],
    client=("::1%eth0", 1),
    server=("hôst", 80),
    http_version="3",
    extensions={"tls": {"client_cert_name": "CN=Zoë €", "tls_version": 0x0304}},
)


@pytest.mark.requirement("W-010", "W-012")
def test_every_value_under_a_key_without_a_dot_is_a_str_of_octets():
    environ = environ_of(HOSTILE)

    for key, value in environ.items():
        assert value is not None, key
        if "." not in key:
            assert type(value) is str, key
            value.encode("latin-1")


ALWAYS = [
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "wsgi.version",
    "wsgi.url_scheme",
    "wsgi.input",
    "wsgi.errors",
    "wsgi.multithread",
    "wsgi.multiprocess",
    "wsgi.run_once",
]


@pytest.mark.requirement("W-011", "W-012")
def test_what_is_always_there_is_there_and_what_has_no_value_is_not():
    environ = environ_of({"type": "http", "method": "GET", "path": "", "headers": [], "http_version": "1.0"})

    assert set(ALWAYS) <= environ.keys()
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"]
    assert None not in environ.values()
    for key in ("REMOTE_USER", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR", "REMOTE_PORT", "AUTH_TYPE", "HTTPS"):
        assert key not in environ


FORGED = [
    b"remote-user",
    b"Remote_User",
    b"script-name",
    b"path-info",
    b"https",
    b"ssl-client-verify",
    b"ssl_client_verify",
    b"wsgi.url_scheme",
    b"wsgi.input",
    b"bridge.scope",
    b"server-name",
    b"request-method",
    b"auth-type",
    b"gateway-interface",
]


@pytest.mark.requirement("W-013")
def test_a_request_field_reaches_no_key_but_its_own():
    plain = environ_of(make_scope(headers=[(b"host", b"h")]))
    forged = environ_of(make_scope(headers=[(b"host", b"h"), *((name, b"forged") for name in FORGED)]))

    assert all(key.startswith("HTTP_") for key in forged.keys() - plain.keys())
    for key, value in plain.items():
        if "." not in key:
            assert forged[key] == value
    assert forged["wsgi.url_scheme"] == "http"


@pytest.mark.requirement("W-015")
def test_a_deployer_adds_pairs_to_every_environ_that_never_override_the_request(maybe_lint):
    extra = {
        "myapp.config": "/etc/shop.toml",
        "REMOTE_USER": "deployer",
        "PATH_INFO": "/forged",
        "REQUEST_METHOD": "DELETE",
        "HTTP_HOST": "forged",
        "wsgi.url_scheme": "gopher",
        "wsgi.input": None,
        "CONTENT_LENGTH": "99",
    }
    probe = Probe()
    adapter = WSGIToASGI(maybe_lint(probe), limits=IDLE, environ=extra)
    scope = make_scope(method="POST", path="/real", headers=[(b"host", b"real"), (b"content-length", b"2")])

    fetch(adapter, scope, body_events(b"ab"))

    environ = probe.environ
    assert environ["myapp.config"] == "/etc/shop.toml"
    assert environ["REMOTE_USER"] == "deployer"
    assert (environ["PATH_INFO"], environ["REQUEST_METHOD"], environ["HTTP_HOST"]) == ("/real", "POST", "real")
    assert (environ["wsgi.url_scheme"], environ["CONTENT_LENGTH"]) == ("http", "2")
    assert environ["wsgi.input"] is not None


@pytest.mark.requirement("W-015", "W-077")
def test_a_deployers_content_length_is_not_taken_for_that_of_a_request_without_one():
    environ = environ_of(
        make_scope(method="POST", headers=[(b"transfer-encoding", b"chunked")]), environ={"CONTENT_LENGTH": "99"}
    )

    assert "CONTENT_LENGTH" not in environ


@pytest.mark.requirement("W-015", "W-055")
def test_the_environment_of_the_process_is_neither_merged_nor_changed(monkeypatch):
    monkeypatch.setenv("BRIDGE_TEST_SECRET", "secret")
    before = dict(os.environ)

    environ = environ_of(make_scope(headers=[(b"host", b"h"), (b"proxy", b"http://evil")]))

    assert "BRIDGE_TEST_SECRET" not in environ
    assert environ["HTTP_PROXY"] == "http://evil"
    assert dict(os.environ) == before


@pytest.mark.requirement("W-003")
def test_one_adapter_serves_several_loops_one_after_the_other(backend):
    adapter = WSGIToASGI(hello, workers=WorkerPool(workers=2, idle_s=0.05))

    for _ in range(3):
        assert fetch(adapter, backend=backend).body == b"hello"

    assert adapter.statistics().requests == 0
