"""A trace goes through both adapters: the current span is the application's, wherever its code runs, and header
fields that carry a trace arrive as they were sent.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import anyio
import flask
import pytest
from opentelemetry import trace
from opentelemetry.context import attach
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge import Limits, call_async, to_asgi, to_wsgi
from tests.conformance.driver import Driver, hosted, make_scope, run
from tests.gateway import answering, environ_for
from tests.gateway import hosted as hosted_on_wsgi
from tests.gateway import run as request
from tests.meeting import Flag, Helper

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FIELDS = {
    "traceparent": PARENT,
    "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    "baggage": "user=caf%C3%A9;secure;ttl=3,empty=",
}
START = {"type": "http.response.start", "status": 200, "headers": []}


class Tracing:
    """A tracer and the spans it has ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def spans(self) -> dict[str, ReadableSpan]:
        """Return the spans by name."""
        found = self.exporter.get_finished_spans()
        assert len({span.name for span in found}) == len(found)
        return {span.name: span for span in found}

    def parent_of(self, name: str) -> str | None:
        """Return the name of a span's parent, None for a root."""
        spans = self.spans()
        parent = spans[name].parent
        if parent is None:
            return None
        return next((other.name for other in spans.values() if other.context.span_id == parent.span_id), "unknown")

    def around_asgi(self, app: Any) -> Any:
        """Return an ASGI middleware that starts a span for each request, named by its path."""

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            with self.tracer.start_as_current_span(scope["path"]):
                await app(scope, receive, send)

        return middleware

    def around_wsgi(self, app: Any) -> Any:
        """Return a WSGI middleware that starts a span for each request, named by its path."""

        def middleware(environ: Any, start_response: Any) -> Any:
            with self.tracer.start_as_current_span(environ["PATH_INFO"]):
                return app(environ, start_response)

        return middleware


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    tracing = Tracing()
    yield tracing
    tracing.provider.shutdown()


def current() -> str:
    """Return the name of the current span, or a note that there is none."""
    return getattr(trace.get_current_span(), "name", "none")


# ---- Under to_asgi ----------------------------------------------------------------------------------------------


def shop(tracing: Tracing, seen: dict[str, str]) -> flask.Flask:
    app = flask.Flask("shop")

    async def ask() -> str:
        await anyio.sleep(0)
        with tracing.tracer.start_as_current_span("in the coroutine"):
            return current()

    @app.get("/view")
    def view() -> flask.Response:
        seen["view"] = current()
        with tracing.tracer.start_as_current_span("in the view"):
            seen["child"] = current()
            seen["coroutine"] = call_async(ask)
            seen["after the coroutine"] = current()

        def lines() -> Iterator[str]:
            for number in range(3):
                seen[f"line {number}"] = current()
                yield f"{number}"
            with tracing.tracer.start_as_current_span("in the stream"):
                yield "last"

        response = flask.Response(lines())
        response.call_on_close(lambda: seen.update(close=current()))
        return response

    return app


def test_the_span_of_an_asgi_middleware_is_current_everywhere_in_a_flask_application(tracing, backend):
    seen: dict[str, str] = {}
    driver = Driver(make_scope(path="/view"))
    with hosted(shop(tracing, seen)) as adapter:
        run(partial(driver.call, tracing.around_asgi(adapter)), backend.name)

    assert driver.error is None
    assert driver.body == b"012last"
    assert seen == {
        "view": "/view",
        "child": "in the view",
        "coroutine": "in the coroutine",
        "after the coroutine": "in the view",
        "line 0": "/view",
        "line 1": "/view",
        "line 2": "/view",
        "close": "/view",
    }


def test_spans_that_a_flask_application_starts_are_children_of_the_middlewares(tracing, backend):
    driver = Driver(make_scope(path="/view"))
    with hosted(shop(tracing, {})) as adapter:
        run(partial(driver.call, tracing.around_asgi(adapter)), backend.name)

    assert driver.error is None
    assert tracing.parent_of("/view") is None
    assert tracing.parent_of("in the view") == "/view"
    assert tracing.parent_of("in the coroutine") == "in the view"
    assert tracing.parent_of("in the stream") == "/view"
    assert len({span.context.trace_id for span in tracing.spans().values()}) == 1


def test_what_a_wsgi_application_leaves_in_its_context_does_not_reach_the_middleware_or_the_next_request(
    tracing, backend
):
    seen: list[str] = []
    inside: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(current())
        attach(trace.set_span_in_context(tracing.tracer.start_span("left open")))  # and never detached
        inside.append(current())
        start_response("200 OK", [])
        return [b""]

    async def main() -> None:
        for _ in range(2):
            await Driver(make_scope()).call(adapter)
            seen.append(current())

    with hosted(app, limits=Limits(workers=1)) as adapter:
        run(main, backend.name)

    assert inside == ["left open"] * 2
    assert seen == ["none"] * 4


def test_spans_of_requests_to_a_wsgi_application_that_run_at_once_do_not_mix(tracing, backend):
    count = 4
    together = threading.Barrier(count)
    seen: dict[str, list[str]] = {}

    async def ask() -> str:
        await anyio.sleep(0)
        return current()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        names = seen[environ["PATH_INFO"]] = [current()]
        together.wait(10)
        names.append(call_async(ask))
        start_response("200 OK", [])
        for _ in range(2):
            together.wait(10)
            names.append(current())
            yield b"x"

    with hosted(app, limits=Limits(workers=count, worker_idle_s=0.05)) as adapter:
        traced = tracing.around_asgi(adapter)

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(count):
                    tasks.start_soon(Driver(make_scope(path=f"/{number}")).call, traced)

        run(main, backend.name)

    assert seen == {f"/{number}": [f"/{number}"] * 4 for number in range(count)}


# ---- Under to_wsgi ----------------------------------------------------------------------------------------------


def test_the_span_of_a_wsgi_middleware_is_current_everywhere_in_an_asgi_application(tracing, backend):
    seen: dict[str, str] = {}
    is_over = Flag("the background work is done")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen["call"] = current()
        await receive()
        seen["after receive"] = current()
        with tracing.tracer.start_as_current_span("in the application"):
            await send(START)
            async with anyio.create_task_group() as group:

                async def child() -> None:
                    seen["child task"] = current()

                group.start_soon(child)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        seen["after send"] = current()
        await send({"type": "http.response.body", "body": b"two"})
        with tracing.tracer.start_as_current_span("in the background"):
            seen["background"] = current()
        is_over.set()

    with hosted_on_wsgi(app, lifespan="off", event_loop=backend.name) as adapter:
        assert request(tracing.around_wsgi(adapter), environ_for("POST", "/view", body=b"body")).body == b"onetwo"
        is_over.wait()

    assert seen == {
        "call": "/view",
        "after receive": "/view",
        "child task": "in the application",
        "after send": "/view",
        "background": "in the background",
    }
    assert tracing.parent_of("in the application") == "/view"
    assert tracing.parent_of("in the background") == "/view"


def test_middlewares_around_receive_and_send_of_an_asgi_application_see_the_span(tracing, backend):
    seen: list[tuple[str, str]] = []

    def watched(app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            async def receive_watched() -> Any:
                message = await receive()
                seen.append((message["type"], current()))
                return message

            async def send_watched(message: Any) -> None:
                await send(message)
                seen.append((message["type"], current()))

            await app(scope, receive_watched, send_watched)

        return middleware

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await answering(b"body")(scope, receive, send)

    with hosted_on_wsgi(watched(app), lifespan="off", event_loop=backend.name) as adapter:
        request(tracing.around_wsgi(adapter), environ_for("POST", "/view", body=b"body"))

    assert seen == [
        ("http.request", "/view"),
        ("http.response.start", "/view"),
        ("http.response.body", "/view"),
    ]


def test_spans_of_requests_to_an_asgi_application_that_run_at_once_do_not_mix(tracing, backend):
    count = 4
    entered: set[str] = set()
    all_are_here = Flag("all requests are in the application")
    seen: dict[str, list[str]] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        names = seen[scope["path"]] = [current()]
        entered.add(scope["path"])
        if len(entered) == count:
            all_are_here.set()
        await all_are_here.wait_on_loop()
        names.append(current())
        await send(START)
        for more in (True, False):
            await send({"type": "http.response.body", "body": b"x", "more_body": more})
            names.append(current())

    with hosted_on_wsgi(app, lifespan="off", event_loop=backend.name) as adapter:
        traced = tracing.around_wsgi(adapter)
        helpers = [Helper(lambda n=number: request(traced, environ_for(path=f"/{n}"))) for number in range(count)]
        for helper in helpers:
            helper.join()

    assert seen == {f"/{number}": [f"/{number}"] * 4 for number in range(count)}


def test_the_lifespan_of_an_asgi_application_does_not_run_in_the_first_requests_span(tracing, backend):
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(f"{scope['type']}: {current()}")
        if scope["type"] == "http":
            await answering()(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    with hosted_on_wsgi(app, event_loop=backend.name) as adapter:
        request(tracing.around_wsgi(adapter), environ_for(path="/view"))

    assert seen == ["lifespan: none", "http: /view"]


# ---- Header fields ----------------------------------------------------------------------------------------------


def test_the_fields_of_a_trace_reach_a_wsgi_application_unharmed():
    seen: dict[str, Any] = {}
    answered = [("traceresponse", PARENT)]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", answered)
        return [b""]

    driver = Driver(make_scope(headers=[(name.encode(), value.encode()) for name, value in FIELDS.items()]))
    with hosted(app) as adapter:
        run(partial(driver.call, adapter))

    assert {name: seen[f"HTTP_{name.upper()}"] for name in FIELDS} == FIELDS
    assert driver.header(b"traceresponse") == PARENT.encode()


def test_the_fields_of_a_trace_reach_an_asgi_application_unharmed():
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await answering(headers=[(b"traceresponse", PARENT.encode())])(scope, receive, send)

    with hosted_on_wsgi(app, lifespan="off") as adapter:
        gateway = request(adapter, environ_for(headers=FIELDS))

    for name, value in FIELDS.items():
        assert [other for key, other in seen if key == name.encode()] == [value.encode()]
    assert ("traceresponse", PARENT) in gateway.headers


def test_several_fields_of_the_trace_state_are_joined_in_order():
    """W3C Trace Context, section 3.3: they are one list, as RFC 9110 has it."""
    seen: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    driver = Driver(make_scope(headers=[(b"tracestate", b"a=1"), (b"tracestate", b"b=2")]))
    with hosted(app) as adapter:
        run(partial(driver.call, adapter))

    assert seen["HTTP_TRACESTATE"].replace(" ", "") == "a=1,b=2"


@pytest.mark.parametrize("direction", ["to_asgi", "to_wsgi", "both"])
def test_an_application_that_reads_the_fields_itself_continues_the_clients_trace(direction, tracing):
    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        carrier = {name: environ[f"HTTP_{name.upper()}"] for name in FIELDS}
        with tracing.tracer.start_as_current_span("served", context=extract(carrier)):
            start_response("200 OK", [])
            return [b""]

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        carrier = {name.decode(): value.decode() for name, value in scope["headers"]}
        with tracing.tracer.start_as_current_span("served", context=extract(carrier)):
            await answering()(scope, receive, send)

    if direction == "to_asgi":
        driver = Driver(make_scope(headers=[(name.encode(), value.encode()) for name, value in FIELDS.items()]))
        with hosted(wsgi_app) as adapter:
            run(partial(driver.call, adapter))
    else:
        inner = to_asgi(wsgi_app, limits=Limits(worker_idle_s=0.05)) if direction == "both" else asgi_app
        with hosted_on_wsgi(inner, lifespan="off") as adapter:
            assert to_wsgi(adapter) is adapter
            request(adapter, environ_for(headers=FIELDS))

    span = tracing.spans()["served"]
    assert span.parent is not None
    assert format(span.parent.trace_id, "032x") == PARENT.split("-")[1]
    assert format(span.parent.span_id, "016x") == PARENT.split("-")[2]
    assert span.context.trace_state["congo"] == "t61rcWkgMzE"
